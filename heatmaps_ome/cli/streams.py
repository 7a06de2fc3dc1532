"""Standard streams for people: closed or full ones undo no work, and control characters are shown.

Names of slides and texts in strangers' results are printed. An ESC in one could recolour, erase or
retitle the terminal, so all that is written goes through `Guarded`.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, TextIO

from heatmaps_ome.cli.layout import for_people

if TYPE_CHECKING:
    from collections.abc import Iterator

_CONTROLS: Final = re.compile(
    # C0 without tab and newline, DEL, C1; marks that turn the direction of writing
    # (unicode.org/reports/tr9, section 2), separators of lines; bytes that are no text.
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_MOVES_UP: Final = re.compile(r"(\x1b\[A)+")
_LINE_ENDS: Final = re.compile("[\t\n]")
_UNDECODED: Final = range(0xDC80, 0xDD00)
"""Bytes of names that are not UTF-8, as Python has them in texts (PEP 383)."""


def escaped(text: str) -> str:
    r"""Return a text with control characters as escapes; tabs and newlines stay.

    >>> escaped("a\x1b[2J.svs, caf\udce9.svs")
    'a\\x1b[2J.svs, caf\\xe9.svs'
    """
    return _CONTROLS.sub(lambda match: _escape(match[0]), text)


def one_line(text: object) -> str:
    r"""Return a text with tabs and newlines as escapes too: it cannot pretend to be two lines.

    >>> one_line("a\nb.svs: done")
    'a\\nb.svs: done'
    """
    return escaped(_LINE_ENDS.sub(lambda match: repr(match[0])[1:-1], str(text)))


def _escape(char: str) -> str:
    code = ord(char)
    if code in _UNDECODED:
        code -= _UNDECODED.start - 0x80
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


class Guarded:
    """A standard stream that takes every text and never raises.

    Attributes
    ----------
    error : OSError or None
        The first error of writing; later texts are dropped.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self.error: OSError | None = None

    def write(self, text: str) -> int:
        """Write a text without control characters; see `error` for a failure."""
        if self._stream is None:
            self.error = self.error or OSError(errno.EBADF, "it is closed")
        if self._stream is not None and self.error is None:
            safe = self._for_bars(text) if self.isatty() else escaped(text)
            self._try(self._stream, self._encodable(safe))
        return len(text)

    def flush(self) -> None:
        """Flush the stream; see `error` for a failure."""
        if self._stream is not None and self.error is None:
            self._try(self._stream, "")

    def isatty(self) -> bool:
        """Return whether a person looks at it."""
        try:
            return self._stream is not None and self._stream.isatty()
        except ValueError:  # closed meanwhile
            return False

    def __getattr__(self, name: str) -> Any:
        """Return any other attribute of the stream, such as its ``encoding``."""
        return getattr(self._stream, name)

    def _try(self, stream: TextIO, text: str) -> None:
        try:
            if text:
                stream.write(text)
            else:
                stream.flush()
        except (OSError, ValueError) as error:
            self.error = error if isinstance(error, OSError) else OSError(errno.EBADF, str(error))
            _discard(stream)

    def _encodable(self, text: str) -> str:
        """Return a text with escapes for characters that the stream's encoding lacks."""
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        return text.encode(encoding, "backslashreplace").decode(encoding)

    @staticmethod
    def _for_bars(text: str) -> str:
        """Return a text escaped but for what bars need: returns at its ends, or moves to a bar.

        A text of nothing but moves up has no name in it.
        """
        if _MOVES_UP.fullmatch(text):
            return text
        begin = "\r" if text.startswith("\r") else ""
        end = "\r" if len(text) > 1 and text.endswith("\r") else ""
        return begin + escaped(text[len(begin) : len(text) - len(end)]) + end


def _discard(stream: TextIO) -> None:
    """Send what a broken stream still holds to nowhere, or Python would fail on it at its exit."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
        stream.flush()


class OneLineFormatter(logging.Formatter):
    """Formats log messages of one line each; a name in them cannot begin a line of its own.

    On a terminal they are wrapped, with all lines but the first indented.
    """

    def __init__(self, form: str, stream: TextIO | None = None) -> None:
        super().__init__(form)
        self._stream = stream

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the message without the traceback that may follow it."""
        record.message = one_line(record.message)
        return for_people(super().formatMessage(record), self._stream)


class BesideBars(logging.StreamHandler[Any]):
    """Writes log messages above the bars of a run, which are drawn anew below them."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a message."""
        bars = sys.modules.get("tqdm")
        if bars is None:
            super().emit(record)
            return
        with bars.tqdm.external_write_mode(file=self.stream):
            super().emit(record)


@contextmanager
def guarded_streams() -> Iterator[tuple[Guarded, Guarded]]:
    """Guard the standard output and the standard error inside, and give them back as they were."""
    _open_descriptors()
    before = sys.stdout, sys.stderr
    guards = Guarded(sys.stdout), Guarded(sys.stderr)
    sys.stdout, sys.stderr = guards  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield guards
    finally:
        for guard in guards:
            guard.flush()
        sys.stdout, sys.stderr = before


def _open_descriptors() -> None:
    """Open the closed ones of the three standard descriptors to nowhere.

    Otherwise the first files that are opened would get their numbers, and libraries that print
    would print into a result.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
