"""Reads lists and tables of slides as Excel, Notepad, PowerShell and shells write them."""

from __future__ import annotations

import codecs
import errno
import io
import logging
import os
import re
import stat
import time
from typing import TYPE_CHECKING, Final

from heatmaps_ome.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

logger = logging.getLogger(__name__)

MAX_BYTES: Final = 16 << 20
MAX_SLIDES: Final = 100_000
WINDOWS: Final = "cp1252"
"""The encoding of Excel's plain CSV in western countries."""

_BOMS: Final = (
    # UTF-32 begins like UTF-16.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_NO_TEXT: Final = (
    (b"PK\x03\x04", "an Excel workbook or another zip file"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook"),
    (b"II*\0", "a TIFF file"),
    (b"II+\0", "a TIFF file"),
    (b"MM\0*", "a TIFF file"),
    (b"\x1f\x8b", "a gzip file"),
    (b"PAR1", "a Parquet file"),
    (b"%PDF", "a PDF"),
)
_NO_WRITER_S = 10.0
_SILENCE_S = 600.0
_CHUNK = 1 << 20
_LINE_END = re.compile(r"\r\n|\r|\n")


def list_bytes(path: Path, flag: str) -> bytes:
    """Return the content of a regular file, or all that is written to a pipe.

    Parameters
    ----------
    path : Path
        ``<(command)`` of a shell is the path of a pipe.
    flag : str
        The option, for messages.

    Raises
    ------
    OptionError
        If it cannot be read, is a folder or a device, holds over 16 MiB, is no text, or if
        nobody writes to the pipe.
    """
    try:
        data = _bytes(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OptionError(f"{path} cannot be read ({reason}); check {flag}") from error
    if len(data) > MAX_BYTES:
        raise OptionError(
            f"{path} is longer than {MAX_BYTES >> 20} MiB, too long to name slides; check {flag}"
        )
    for start, kind in _NO_TEXT:
        if data.startswith(start):
            raise OptionError(
                f"{path} is {kind}, and {flag} takes a text; save it as CSV (UTF-8) or as text"
            )
    return data


def unicode_text(data: bytes) -> str | None:
    """Return the text of bytes that are Unicode of any kind, or None.

    UTF-16 without its mark is recognised by the zeros between Latin letters.
    """
    encoding = next((name for mark, name in _BOMS if data.startswith(mark)), None)
    if encoding is None:
        encoding = _unmarked(data)
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return None


def list_lines(data: bytes) -> Iterator[tuple[str, ...]]:
    """Yield the lines of a list, each with the other ways to read it.

    File names on old shares are not always UTF-8: a line's bytes may be the name itself, or the
    name in the encoding of Windows.
    """
    text = unicode_text(data)
    if text is not None:
        yield from ((line.removesuffix("\n"),) for line in io.StringIO(text, newline=None))
        return
    # Latin-1 has a character for each byte.
    text = data.removeprefix(codecs.BOM_UTF8).decode("latin-1")
    for line in io.StringIO(text, newline=None):
        yield _readings(line.removesuffix("\n").encode("latin-1"))


def table_text(data: bytes, path: Path) -> tuple[str, str]:
    """Return a table's text, and its encoding if that is not Unicode.

    Raises
    ------
    OptionError
        If it is neither Unicode nor Windows-1252; names the line.
    """
    text, encoding = unicode_text(data), ""
    if text is None:
        text, encoding = _windows_text(data, path), WINDOWS
    if "\0" in text:
        line = 1 + sum(1 for _end in _LINE_END.finditer(text, 0, text.index("\0")))
        raise OptionError(
            f"{path}, line {line}: there is a NUL character, so this is no table in text; save it "
            "as CSV (UTF-8)"
        )
    return text, encoding


def require_few(n_slides: int, path: Path) -> None:
    """Refuse a list of more slides than any run can do; it would only fill the memory.

    Raises
    ------
    OptionError
        If there are over 100,000.
    """
    if n_slides > MAX_SLIDES:
        raise OptionError(f"{path} has over {MAX_SLIDES:,} slides; split it")


def _windows_text(data: bytes, path: Path) -> str:
    try:
        text = data.decode(WINDOWS)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise OptionError(
            f"{path}, line {line}: the text is neither UTF-8 nor Windows-1252; save the table as "
            "CSV (UTF-8)"
        ) from error
    logger.warning(
        "%s is not UTF-8 and is read as Windows-1252, as Excel saves it; check the names in it, or "
        "save it as CSV UTF-8", path.name,
    )  # fmt: skip
    return text


def _readings(line: bytes) -> tuple[str, ...]:
    try:
        return (line.decode(),)
    except UnicodeDecodeError:
        as_named = line.decode("utf-8", "surrogateescape")
    try:
        return as_named, line.decode(WINDOWS)
    except UnicodeDecodeError:
        return (as_named,)


def _unmarked(data: bytes) -> str:
    """Return the encoding of a text without a mark of its encoding."""
    first, second = data[0::2][:2048], data[1::2][:2048]
    for zeros, others, encoding in ((second, first, "utf-16-le"), (first, second, "utf-16-be")):
        if zeros and zeros.count(0) > len(zeros) / 2 and not others.count(0):
            return encoding
    return "utf-8"


def _bytes(path: Path) -> bytes:
    _require_readable_kind(path.stat().st_mode)
    # Not blocking, as the opening of a pipe that nobody writes to would wait for ever.
    descriptor = os.open(
        path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    )
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        mode = os.fstat(descriptor).st_mode
        _require_readable_kind(mode)
        if stat.S_ISFIFO(mode):
            return _from_pipe(descriptor)
        data = bytearray()
        while len(data) <= MAX_BYTES and (chunk := file.read(_CHUNK)):
            data += chunk
        return bytes(data)


def _require_readable_kind(mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder")
    if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
        raise OSError(errno.EINVAL, "it is a device or socket, neither a file nor a pipe")


def _from_pipe(descriptor: int) -> bytes:
    """Return all that is written to a pipe, up to a little over the limit.

    Raises
    ------
    OSError
        If nobody opens the other end for ten seconds, or writes nothing for ten minutes.
    """
    from select import POLLIN, poll

    events = poll()
    events.register(descriptor, POLLIN)
    data = bytearray()
    since = time.monotonic()
    while len(data) <= MAX_BYTES:
        ready = events.poll(100)
        try:
            chunk, has_writer = os.read(descriptor, _CHUNK), False
        except BlockingIOError:
            chunk, has_writer = b"", True
        if chunk:
            data += chunk
            since = time.monotonic()
        # The end of a pipe is an event; that nobody has opened it yet is none.
        elif (ready or data) and not has_writer:
            break
        elif time.monotonic() - since > (_SILENCE_S if has_writer else _NO_WRITER_S):
            raise OSError(errno.ETIMEDOUT, "it is a pipe, and nothing is written to it")
    return bytes(data)
