"""argparse-dataclass with titled groups, options anywhere, and no tracebacks on usage errors."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from dataclasses import MISSING, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

import argparse_dataclass

from heatmaps_ome.cli.words import HELP, Flag, sort_words
from heatmaps_ome.options import GROUPS, default_note, flag_of, path, quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

logger = logging.getLogger(__name__)

OptionsT = TypeVar("OptionsT")


class OptionsParser(argparse_dataclass.ArgumentParser, Generic[OptionsT]):
    """Parses a command line into a frozen options dataclass.

    A field's metadata give its ``group`` in the help, whether it may be ``repeated``, and the
    endings (``followed_by``) of further words that count as its values. A ValueError of the
    dataclass becomes a usage error (exit code 2); its `notes`, if it has any, are logged.
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
        # The dataclass refuses other values, from Python too, and names the nearest.
        kwargs.pop("choices", None)
        if "type" in kwargs:
            kwargs["type"] = _reader(kwargs["type"])
        kwargs["help"] += default_note(field)
        title = field.metadata["group"]
        if title not in self._groups:
            self._groups[title] = self.add_argument_group(title, GROUPS[title])
        return self._groups[title].add_argument(*args, **kwargs)

    # argparse-dataclass builds the options here as well, where a ValueError would be a traceback.
    parse_known_args = argparse.ArgumentParser.parse_known_args  # pyright: ignore[reportAssignmentType]

    def parse_args(self, args: Sequence[str] | None = None, namespace: None = None) -> OptionsT:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the options, or exit with a usage error."""
        parsed = vars(argparse.ArgumentParser.parse_args(self, self._sorted(args)))
        given = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in parsed.items()
            if value is not MISSING
        }
        try:
            options = self._options(**given)
        except ValueError as error:
            self.error(str(error))
        for note in getattr(options, "notes", tuple)():
            logger.warning("%s", note)
        return options

    def error(self, message: str) -> NoReturn:
        """Exit with one sentence and a pointer to --help; the whole usage would hide it."""
        sentence = message.removeprefix("argument ")
        self.exit(2, f"{self.prog}: {sentence}\nSee {self.prog} --help\n")

    def _sorted(self, args: Sequence[str] | None) -> list[str]:
        """Return a command line in an order that argparse can read, or exit with its problems."""
        words = list(sys.argv[1:] if args is None else args)
        asks_help = set(HELP) & set(words[: words.index("--")] if "--" in words else words)
        if asks_help:
            return ["--help"]
        line = sort_words(words, dict(self._flags()))
        problems = [*line.problems, *self._too_many(line.rest)]
        if problems:
            self.error(f"\n{self.prog}: ".join(problems))
        many = frozenset(
            flag_of(entry) for entry in self._fields.values() if entry.metadata.get("repeated")
        )
        for name, last in line.repeated(many):
            logger.warning("%s is given more than once; the last, %s, counts", name, last)
        return line.for_argparse()

    def _flags(self) -> Iterator[tuple[str, Flag]]:
        """Yield every spelling of an option with the option."""
        for entry in self._fields.values():
            name = flag_of(entry)
            if name.startswith("-"):
                flag = Flag(name, entry.type is not bool, entry.metadata.get("followed_by", ()))
                yield from ((word, flag) for word in entry.metadata.get("args", [name]))

    def _too_many(self, rest: list[str]) -> Iterator[str]:
        """Yield a sentence for words beyond the positional arguments that the command takes."""
        takes = [entry for entry in self._fields.values() if not flag_of(entry).startswith("-")]
        if any("nargs" in entry.metadata for entry in takes) or len(rest) <= len(takes):
            return
        expected = " and ".join(map(flag_of, takes)) or "nothing but options"
        for word in rest[len(takes) :]:
            yield f"{word}: one argument too many; {self.prog} takes {expected}"


def _reader(read: Any) -> Callable[[str], Any]:
    """Return the function that reads an option's value, whose errors are sentences."""
    convert, wanted = (path, None) if read is Path else _READERS.get(read, (read, None))

    def value_of(word: str) -> Any:
        try:
            # Names of files stay the bytes that they are.
            return convert(word if read is Path else _decoded(word))
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{quoted(word)} {wanted or error}") from error

    return value_of


def _decoded(word: str) -> str:
    r"""Return a word as a text; UTF-8 that the locale could not decode is read as UTF-8.

    >>> _decoded("MSI-H"), _decoded("h\udcc3\udca9mato")
    ('MSI-H', 'hémato')
    """
    try:
        return os.fsencode(word).decode("utf-8")
    except UnicodeError:
        return word


_READERS: dict[Any, tuple[Callable[[str], Any], str]] = {
    int: (int, "is no whole number"),
    float: (float, "is no number"),
}
