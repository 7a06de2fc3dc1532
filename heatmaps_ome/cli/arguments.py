"""argparse-dataclass with titled groups, repeatable options, and no tracebacks on usage errors."""

from __future__ import annotations

import argparse
import sys
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

import argparse_dataclass

from heatmaps_ome.options import GROUPS

if TYPE_CHECKING:
    from collections.abc import Sequence

OptionsT = TypeVar("OptionsT")


class OptionsParser(argparse_dataclass.ArgumentParser, Generic[OptionsT]):
    """Parses a command line into a frozen options dataclass.

    A field's metadata give its ``group`` in the help, whether it may be ``repeated``, and the
    endings (``followed_by``) of further words that count as its values. A ValueError of the
    dataclass becomes a usage error (exit code 2).
    """

    def __init__(self, options: type[OptionsT], prog: str, description: str) -> None:
        self._fields = {entry.name: entry for entry in fields(options)}  # pyright: ignore[reportArgumentType]
        self._groups: dict[str, argparse._ArgumentGroup] = {}
        super().__init__(options, prog=prog, description=description, allow_abbrev=False)
        self._options = options

    def add_argument(self, *args: Any, **kwargs: Any) -> argparse.Action:
        """Add an argument to its field's group, with its default in the help."""
        name = kwargs.get("dest") or args[0].lstrip("-").replace("-", "_")
        field = self._fields.get(name)
        if field is None:
            return super().add_argument(*args, **kwargs)
        if field.metadata.get("repeated"):
            kwargs |= {"action": "append", "default": []}
        kwargs["help"] += _default_note(field.default, kwargs["help"])
        title = field.metadata["group"]
        if title not in self._groups:
            self._groups[title] = self.add_argument_group(title, GROUPS[title])
        return self._groups[title].add_argument(*args, **kwargs)

    # argparse-dataclass builds the options here as well, where a ValueError would be a traceback.
    parse_known_args = argparse.ArgumentParser.parse_known_args  # pyright: ignore[reportAssignmentType]

    def parse_args(self, args: Sequence[str] | None = None, namespace: None = None) -> OptionsT:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the options, or exit with a usage error."""
        words = list(sys.argv[1:] if args is None else args)
        for field in self._fields.values():
            if "followed_by" in field.metadata:
                words = _flag_per_value(
                    words, field.metadata["args"], field.metadata["followed_by"]
                )
        parsed = vars(argparse.ArgumentParser.parse_args(self, words))
        given = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in parsed.items()
            if value is not MISSING
        }
        try:
            return self._options(**given)
        except ValueError as error:
            self.error(str(error))

    def error(self, message: str) -> NoReturn:
        """Exit with one sentence and a pointer to --help; the whole usage would hide it."""
        self.exit(2, f"{self.prog}: {message}\nSee {self.prog} --help\n")


def _flag_per_value(
    words: Sequence[str], flags: Sequence[str], endings: tuple[str, ...]
) -> list[str]:
    """Return a command line with an option's flag before each of its values.

    A shell expands ``-m fold-*.pkl`` to several words. argparse would take all but the first for
    positional arguments or, with ``nargs``, positional arguments for further values.

    >>> _flag_per_value(["-m", "a.pkl", "b.pkl", "c.svs"], ["-m", "--model-path"], (".pkl",))
    ['-m', 'a.pkl', '-m', 'b.pkl', 'c.svs']
    """
    out: list[str] = []
    flag, has_value = "", False
    for place, word in enumerate(words):
        if word == "--":
            return [*out, *words[place:]]
        if not word.startswith("-") and flag and (not has_value or word.lower().endswith(endings)):
            out += [flag, word] if has_value else [word]
            has_value = True
            continue
        out.append(word)
        given = [name for name in flags if word == name or _joined(word, name)]
        flag, has_value = (given[0], word != given[0]) if given else ("", False)
    return out


def _joined(word: str, flag: str) -> bool:
    """Return whether a word is a flag joined to its value: --model-path=a.pkl or -ma.pkl."""
    return word.startswith(flag + "=" if flag.startswith("--") else flag)


def _default_note(default: object, help_: str) -> str:
    """Return the note about an option's default for its help, or ""."""
    if default in (None, MISSING, False, ()) or "(default:" in help_:
        return ""
    text = ",".join(default) if isinstance(default, tuple) else str(default)
    return f" (default: {text})"
