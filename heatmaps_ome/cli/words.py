"""Sorts the words of a command line into options and the rest, wherever they stand.

argparse takes positional arguments in one piece only, and reports a missing option before one that
is mistyped. So words are sorted here, and argparse gets ``--flag=value`` for each option, then
``--`` and the rest.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

HELP: Final = ("-h", "--help")
_NUMBER: Final = re.compile(r"-(\.?[0-9]|inf|nan)", re.IGNORECASE)
_LONG_DASHES: Final = ("\u2013", "\u2014")
_LIKE: Final = 0.6
"""Least similarity, of 1, at which an option may be meant by a word; see difflib."""
_VERY_LIKE: Final = 0.85


@dataclass(frozen=True)
class Flag:
    """An option as the command line has it.

    Attributes
    ----------
    name : str
        Its long flag.
    takes_value : bool
    followed_by : tuple of str
        Endings of further words that count as its values.
    """

    name: str
    takes_value: bool
    followed_by: tuple[str, ...] = ()


@dataclass
class SortedWords:
    """The words of a command line.

    Attributes
    ----------
    options : list of (str, str or None)
        Long flags with their values, in the order given.
    rest : list of str
        Slides and other positional arguments.
    problems : list of str
        A sentence for each word that is no option, and each option without its value.
    """

    options: list[tuple[str, str | None]] = field(default_factory=list)
    rest: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def repeated(self, many: frozenset[str]) -> Iterator[tuple[str, str]]:
        """Yield options given with several values, but for those that may be; the last counts."""
        values: dict[str, set[str]] = {}
        last: dict[str, str] = {}
        for name, value in self.options:
            if value is not None and name not in many:
                values.setdefault(name, set()).add(value)
                last[name] = value
        yield from ((name, last[name]) for name, given in values.items() if len(given) > 1)

    def for_argparse(self) -> list[str]:
        """Return the words so that argparse cannot mistake any."""
        words = [name if value is None else f"{name}={value}" for name, value in self.options]
        return [*words, "--", *self.rest] if self.rest else words


def sort_words(words: Sequence[str], flags: Mapping[str, Flag]) -> SortedWords:
    """Return the words of a command line, sorted.

    Parameters
    ----------
    flags : mapping of str to Flag
        By all their spellings, such as ``-o`` and ``--output-path``.

    >>> model = Flag("--model-path", True, (".pkl",))
    >>> sort_words(["b.svs", "-m", "1.pkl", "2.pkl", "c.svs"], {"-m": model}).for_argparse()
    ['--model-path=1.pkl', '--model-path=2.pkl', '--', 'b.svs', 'c.svs']
    """
    sorter = _Sorter(flags)
    remaining = list(words)
    while remaining:
        word = remaining.pop(0)
        if word == "--":
            sorter.sorted.rest += remaining
            break
        if (word.startswith("-") and word != "-") or _dashed(word) in flags:
            sorter.take_option(word, remaining)
        else:
            sorter.take_other(word)
    return sorter.sorted


def _dashed(word: str) -> str:
    """Return a word with two plain dashes for the long one that editors make of them.

    >>> _dashed("—overwrite"), _dashed("a—b")
    ('--overwrite', 'a—b')
    """
    return f"--{word[1:]}" if word.startswith(_LONG_DASHES) else word


class _Sorter:
    """Takes words one by one."""

    def __init__(self, flags: Mapping[str, Flag]) -> None:
        self.sorted = SortedWords()
        self._flags = flags
        self._before: Flag | None = None
        """The option that the words before belong to."""

    def take_other(self, word: str) -> None:
        """Take a word that is no option."""
        before = self._before
        if before is not None and before.followed_by and word.lower().endswith(before.followed_by):
            self.sorted.options.append((before.name, word))
        else:
            self._before = None
            self.sorted.rest.append(word)

    def take_option(self, word: str, remaining: list[str]) -> None:
        """Take an option, with its value from the word itself or from those that remain."""
        name, joined, value = word.partition("=")
        if name not in self._flags and not word.startswith("--"):
            name, joined, value = self._taken_apart(word, remaining)
        self._before = flag = self._flags.get(name)
        if flag is None:
            self.sorted.problems.append(_no_such_option(name, self._flags))
        elif not flag.takes_value:
            if joined:
                self.sorted.problems.append(f"{name} takes no value; leave out ={value}")
            self.sorted.options.append((flag.name, None))
        elif joined:
            self._add(flag, name, value)
        elif remaining and self._may_be_value(remaining[0]):
            self._add(flag, name, remaining.pop(0))
        else:
            follows = f", but {remaining[0]} follows" if remaining else ""
            self.sorted.problems.append(f"{name} needs a value{follows}")

    def _taken_apart(self, word: str, remaining: list[str]) -> tuple[str, str, str]:
        """Return flag, "=" and value of ``-oFOLDER``; leave ``-o FOLDER`` of ``-vo FOLDER``."""
        short, rest = word[:2], word[2:]
        flag = self._flags.get(short)
        meant = difflib.get_close_matches(f"-{word.partition('=')[0]}", self._flags, 1, _VERY_LIKE)
        if flag is None or not rest or meant:
            return word.partition("=")
        if flag.takes_value:
            return short, "=", rest
        remaining.insert(0, f"-{rest}")
        return short, "", ""

    def _may_be_value(self, word: str) -> bool:
        """Return whether a word is a value: anything that does not look like an option."""
        return not word.startswith("-") or word == "-" or _NUMBER.match(word) is not None

    def _add(self, flag: Flag, name: str, value: str) -> None:
        if value == "--":  # which argparse of Python 3.11 stumbles over
            self.sorted.problems.append(f"{name} needs a value, which -- is not")
        else:
            self.sorted.options.append((flag.name, value))


def _no_such_option(word: str, flags: Mapping[str, Flag]) -> str:
    """Return a sentence about an option that does not exist, with those that may be meant."""
    bare = word.lstrip("".join(("-", *_LONG_DASHES)))
    plain = f"--{bare.replace('_', '-').casefold()}"
    known = [name for name in flags if name.startswith("--")]
    beginning = [name for name in known if name.startswith(plain)] if len(plain) > 3 else []
    close = beginning[:3] or difflib.get_close_matches(plain, known, 1, _LIKE)
    hint = f"; did you mean {' or '.join(close)}?" if close else ""
    return f"{word}: there is no such option{hint}"
