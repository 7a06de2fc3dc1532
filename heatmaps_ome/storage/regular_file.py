"""Regular files of a bounded size: nothing else is read as a file, or replaced by one.

A FIFO or a terminal would make a read wait for ever, and a device such as /dev/zero has no end. So
kinds are looked at before a file is opened. All refusals are OSErrors whose ``strerror`` states the
reason, as the callers' sentences about files that cannot be read quote it.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_TEXT_BYTES: Final = 64 << 20
"""Longest list of slides, or JSON file of a result, that is read."""

_KINDS: Final[tuple[tuple[Callable[[int], bool], str], ...]] = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def require_regular(path: str | os.PathLike[str]) -> os.stat_result:
    """Return the facts of a regular file, or of one that a link leads to, without opening it.

    Raises
    ------
    OSError
        If there is no such file, or it is a folder, a FIFO, a socket or a device.
    """
    facts = _facts(path)
    _require_kind(facts, path)
    return facts


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a regular file for reading bytes; the caller closes it.

    Raises
    ------
    OSError
        If it cannot be opened, or is no regular file.
    """
    require_regular(path)
    return _opened(path)


def read_bytes(path: str | os.PathLike[str], limit: int) -> bytes:
    """Return the content of a regular file of at most ``limit`` bytes.

    Raises
    ------
    OSError
        If it cannot be read, is no regular file, or is longer.
    """
    _require_size(require_regular(path).st_size, limit, path)
    with _opened(path) as file:
        # A file may grow meanwhile, and files of /proc give no size.
        data = file.read(limit + 1)
    _require_size(len(data), limit, path)
    return data


def read_text(path: str | os.PathLike[str], limit: int = MAX_TEXT_BYTES) -> str:
    """Return the text of a regular file in UTF-8 of at most ``limit`` bytes.

    Raises
    ------
    OSError
        If it cannot be read, is no regular file, or is longer.
    UnicodeDecodeError
        If it is not UTF-8; a ValueError.
    """
    return read_bytes(path, limit).decode("utf-8")


def read_json(path: str | os.PathLike[str], limit: int = MAX_TEXT_BYTES) -> Any:
    """Return the values in a regular JSON file of at most ``limit`` bytes.

    Raises
    ------
    OSError
        If it cannot be read, is no regular file, or is longer.
    ValueError
        If it is no JSON, or is nested too deeply to be read.
    """
    try:
        return json.loads(read_text(path, limit))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def require_replaceable(path: str | os.PathLike[str]) -> None:
    """Refuse a place for a file where there is anything but a regular file, or a link to one.

    Raises
    ------
    OSError
        If there is a folder, a FIFO, a socket or a device, or a link to one.
    """
    try:
        facts = _facts(path)
    except FileNotFoundError:  # a link that leads nowhere may be replaced too
        return
    _require_kind(facts, path, "replaced")


def _facts(path: str | os.PathLike[str]) -> os.stat_result:
    try:
        return Path(path).stat()
    except ValueError as error:
        raise OSError(
            errno.EINVAL, "its name holds a character that no file name has", os.fspath(path)
        ) from error


def _opened(path: str | os.PathLike[str]) -> BinaryIO:
    # Not blocking, in case a FIFO takes the file's place between the look and the opening.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    file = os.fdopen(os.open(path, flags), "rb")
    try:
        _require_kind(os.fstat(file.fileno()), path)
    except OSError:
        file.close()
        raise
    return file


def _require_kind(
    facts: os.stat_result, path: str | os.PathLike[str], done: str = "read as files"
) -> None:
    if stat.S_ISREG(facts.st_mode):
        return
    kind = next((name for test, name in _KINDS if test(facts.st_mode)), "of another kind")
    code = errno.EISDIR if stat.S_ISDIR(facts.st_mode) else errno.EINVAL
    raise OSError(code, f"it is {kind}, and only regular files are {done}", os.fspath(path))


def _require_size(n_bytes: int, limit: int, path: str | os.PathLike[str]) -> None:
    if n_bytes > limit:
        raise OSError(
            errno.EFBIG, f"it has more than {limit / 2**20:g} MiB, too many", os.fspath(path)
        )
