"""A pickle machine that can only make inert values: it imports nothing and calls nothing.

Python's unpickler looks names up and calls them; in this way a pickle runs code. This machine
follows the public instruction list of `pickletools`, an instruction at a time, and knows only
those in its table. A name stays a name; calling it gives a `Node` that remembers the name and
the arguments. A handful of names stand for harmless functions of our own
(`inert_values.CONSTRUCTORS`). Nor can a file exhaust the machine: each instruction makes a
bounded number of objects, copies are paid from a budget, and no value is walked recursively.
"""

from __future__ import annotations

import pickletools
import re
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from heatmaps_ome.models.refusals import Unsafe, Unusable
from heatmaps_ome.models.safe_pickle.inert_values import (
    CONSTRUCTORS,
    ArrayRef,
    DTypeRef,
    Global,
    InertDict,
    Node,
    StorageRef,
    inert_key,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_PICKLE_BYTES = 64 << 20
MAX_INSTRUCTIONS = 2_000_000
"""An export that names the files of 1 400 patients has 70 000."""

_NAME = re.compile(r"[\w.<>]{1,200}")


@dataclass(frozen=True)
class InertPickle:
    """The content of a pickle: its inert root, all names that it asks for, and its length."""

    root: Any
    names: frozenset[str]
    n_bytes: int


def interpret(data: bytes, load_storage: Callable[[Any], StorageRef]) -> InertPickle:
    """Return the inert value that a pickle describes.

    Parameters
    ----------
    data : bytes
        The pickle, of any protocol; bytes that follow it are not read.
    load_storage : callable
        Converts a persistent id, itself an inert value, to a storage; raises `Unusable`.

    Raises
    ------
    Unsafe
        The pickle uses an instruction, codec or type that is not supported.
    Unusable
        The pickle is damaged, or larger than any model's.
    """
    if len(data) > MAX_PICKLE_BYTES:
        raise Unusable(f"holds a pickle of {len(data)} bytes, too much for a model")
    machine = _Machine(load_storage, len(data))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # pickletools warns of escapes that no pickler writes
            return machine.run(data)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, Warning):
        # Without the cause: its text can quote the pickle's content.
        raise Unusable("is damaged: its pickle does not follow the format") from None


class _Machine:
    def __init__(self, load_storage: Callable[[Any], StorageRef], n_bytes: int) -> None:
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.names: set[str] = set()
        self.load_storage = load_storage
        self.n_bytes = n_bytes
        self.copy_budget = 2 * n_bytes + 1_000_000

    def run(self, data: bytes) -> InertPickle:
        for count, (opcode, argument, position) in enumerate(pickletools.genops(data)):
            if count > MAX_INSTRUCTIONS:
                raise Unusable(f"holds a pickle of over {MAX_INSTRUCTIONS} instructions")
            if opcode.name == "STOP":
                # Bytes always have positions; only files without a place in them have none.
                end = (position or 0) + 1
                return InertPickle(self.stack.pop(), frozenset(self.names), end)
            handler = _HANDLERS.get(opcode.name)
            if handler is None:
                raise Unsafe(
                    f"uses the pickle instruction {opcode.name}, which the safe reader refuses"
                )
            handler(self, argument)
        raise Unusable("is damaged: its pickle has no end")

    def charge(self, n_copied: int) -> None:
        """Pay for a copy: a few instructions could otherwise copy one long value for ever."""
        self.copy_budget -= n_copied
        if self.copy_budget < 0:
            raise Unusable("holds a pickle that unfolds to far more than its size")

    def pop_to_mark(self) -> list[Any]:
        items = self.stack
        self.stack = self.marks.pop()
        return items

    def skip(self, _argument: Any) -> None:
        """PROTO carries no value."""

    def frame(self, argument: int) -> None:
        if argument > self.n_bytes:
            raise Unusable("is damaged: its pickle announces more bytes than it has")

    def push(self, argument: Any) -> None:
        self.stack.append(argument)

    def mark(self, _argument: Any) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def pop(self, _argument: Any) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self.pop_to_mark()

    def pop_mark(self, _argument: Any) -> None:
        self.pop_to_mark()

    def duplicate(self, _argument: Any) -> None:
        self.stack.append(self.stack[-1])

    def put(self, argument: int) -> None:
        if argument >= 1 << 32:
            raise Unusable("is damaged: its pickle remembers more values than it has")
        self.memo[argument] = self.stack[-1]

    def memoize(self, _argument: Any) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def get(self, argument: int) -> None:
        self.stack.append(self.memo[argument])

    def make_tuple(self, _argument: Any) -> None:
        items = tuple(self.pop_to_mark())
        self.stack.append(items)

    def make_list(self, _argument: Any) -> None:
        items = self.pop_to_mark()
        self.stack.append(items)

    def make_dict(self, _argument: Any) -> None:
        items = self.pop_to_mark()
        self.stack.append({})
        self.add_pairs(items)

    def make_set(self, _argument: Any) -> None:
        self.stack.append(Node("builtins.set", ()))

    def make_frozenset(self, _argument: Any) -> None:
        items = self.pop_to_mark()
        self.stack.append(Node("builtins.frozenset", tuple(items)))

    def append(self, _argument: Any) -> None:
        item = self.stack.pop()
        self.add_items([item])

    def appends(self, _argument: Any) -> None:
        self.add_items(self.pop_to_mark())

    def set_item(self, _argument: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.add_pairs([key, value])

    def set_items(self, _argument: Any) -> None:
        self.add_pairs(self.pop_to_mark())

    def add_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is list:
            target.extend(items)
        elif not isinstance(target, Node):  # items of an object that is never made are dropped
            raise Unusable("is damaged: its pickle appends to what is not a list")

    def add_pairs(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, dict):
            for key, value in zip(items[::2], items[1::2], strict=True):
                target[inert_key(key)] = value
        elif not isinstance(target, Node):
            raise Unusable("is damaged: its pickle sets items of what is not a dict")

    def name(self, argument: str) -> None:
        self.push_name(argument.replace(" ", ".", 1))

    def stack_name(self, _argument: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise Unusable("is damaged: its pickle has a name that is not a text")
        self.push_name(f"{module}.{name}")

    def push_name(self, qualname: str) -> None:
        if not _NAME.fullmatch(qualname):
            raise Unusable("is damaged: its pickle asks for what cannot be a name")
        self.names.add(qualname)
        self.stack.append(Global(qualname))

    def call(self, _argument: Any) -> None:
        args, function = self.stack.pop(), self.stack.pop()
        self.stack.append(self.inert_call(function, args))

    def call_with_keywords(self, _argument: Any) -> None:
        _keywords, args, function = self.stack.pop(), self.stack.pop(), self.stack.pop()
        self.stack.append(self.inert_call(function, args))

    def inert_call(self, function: Any, args: Any) -> Any:
        if not isinstance(args, tuple):
            raise Unusable("is damaged: its pickle has arguments that are not a tuple")
        if isinstance(function, Node):
            return Node("<call>", (function, args))
        if not isinstance(function, Global):
            raise Unusable("is damaged: its pickle calls what is not a function")
        constructor = CONSTRUCTORS.get(function.qualname)
        return (
            Node(function.qualname, args) if constructor is None else constructor(args, self.charge)
        )

    def build(self, _argument: Any) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, Node):
            target.state = state
        elif isinstance(target, ArrayRef | DTypeRef):
            target.set_state(state)
        elif not isinstance(target, InertDict):
            raise Unusable("is damaged: its pickle sets the state of a plain value")

    def storage(self, _argument: Any) -> None:
        self.stack.append(self.load_storage(self.stack.pop()))


def _push_constant(value: Any) -> Callable[[_Machine, Any], None]:
    return lambda machine, _argument: machine.stack.append(value)


def _push_new(make: Callable[[], Any]) -> Callable[[_Machine, Any], None]:
    return lambda machine, _argument: machine.stack.append(make())


def _join_last(n_items: int) -> Callable[[_Machine, Any], None]:
    def join(machine: _Machine, _argument: Any) -> None:
        items = tuple(machine.stack[-n_items:])
        if len(items) != n_items:
            raise Unusable("is damaged: its pickle makes a tuple of nothing")
        machine.stack[-n_items:] = [items]

    return join


_ARGUMENTS = (
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT UNICODE SHORT_BINUNICODE "
    "BINUNICODE BINUNICODE8 STRING BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES BINBYTES8"
)
_HANDLERS: Mapping[str, Callable[[_Machine, Any], None]] = {
    **dict.fromkeys(_ARGUMENTS.split(), _Machine.push),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), _Machine.put),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _Machine.get),
    **dict.fromkeys(("APPENDS", "ADDITEMS"), _Machine.appends),
    **dict.fromkeys(("REDUCE", "NEWOBJ"), _Machine.call),
    "PROTO": _Machine.skip,
    "FRAME": _Machine.frame,
    "NONE": _push_constant(None),
    "NEWTRUE": _push_constant(True),
    "NEWFALSE": _push_constant(False),
    "EMPTY_TUPLE": _push_constant(()),
    "EMPTY_LIST": _push_new(list),
    "EMPTY_DICT": _push_new(dict),
    "EMPTY_SET": _Machine.make_set,
    "TUPLE1": _join_last(1),
    "TUPLE2": _join_last(2),
    "TUPLE3": _join_last(3),
    "TUPLE": _Machine.make_tuple,
    "LIST": _Machine.make_list,
    "DICT": _Machine.make_dict,
    "FROZENSET": _Machine.make_frozenset,
    "MARK": _Machine.mark,
    "POP": _Machine.pop,
    "POP_MARK": _Machine.pop_mark,
    "DUP": _Machine.duplicate,
    "MEMOIZE": _Machine.memoize,
    "APPEND": _Machine.append,
    "SETITEM": _Machine.set_item,
    "SETITEMS": _Machine.set_items,
    "GLOBAL": _Machine.name,
    "STACK_GLOBAL": _Machine.stack_name,
    "NEWOBJ_EX": _Machine.call_with_keywords,
    "BUILD": _Machine.build,
    "BINPERSID": _Machine.storage,
}
