"""Reads files that a user names: regular files of a bounded size, and nothing else.

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
_DESCRIPTORS: Final = (Path("/dev/fd"), Path("/proc/self/fd"))
_STANDARD_INPUT: Final = Path("/dev/stdin")


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


def read_bytes(path: str | os.PathLike[str], limit: int, *, pipes: bool = False) -> bytes:
    """Return the content of a regular file of at most ``limit`` bytes.

    Parameters
    ----------
    pipes : bool
        Take a pipe too that the shell gave to this process: ``<(command)`` or ``/dev/stdin``.

    Raises
    ------
    OSError
        If it cannot be read, is no regular file, or is longer.
    """
    if not (pipes and _is_own_pipe(path)):
        _require_size(require_regular(path).st_size, limit, path)
    with _opened(path, pipes=pipes) as file:
        # A file may grow meanwhile, and files of /proc give no size.
        data = file.read(limit + 1)
    _require_size(len(data), limit, path)
    return data


def read_text(
    path: str | os.PathLike[str], limit: int = MAX_TEXT_BYTES, *, pipes: bool = False
) -> str:
    """Return the text of a regular file in UTF-8 of at most ``limit`` bytes; see `read_bytes`.

    Raises
    ------
    OSError
        If it cannot be read, is no regular file, or is longer.
    UnicodeDecodeError
        If it is not UTF-8; a ValueError.
    """
    return read_bytes(path, limit, pipes=pipes).decode("utf-8")


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


def _facts(path: str | os.PathLike[str]) -> os.stat_result:
    try:
        return Path(path).stat()
    except ValueError as error:
        raise OSError(
            errno.EINVAL, "its name holds a character that no file name has", os.fspath(path)
        ) from error


def _opened(path: str | os.PathLike[str], *, pipes: bool = False) -> BinaryIO:
    # Not blocking, in case a FIFO takes the file's place between the look and the opening.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    file = os.fdopen(os.open(path, flags), "rb")
    try:
        facts = os.fstat(file.fileno())
        if pipes and stat.S_ISFIFO(facts.st_mode) and _is_own_pipe(path):
            os.set_blocking(file.fileno(), True)
        else:
            _require_kind(facts, path)
    except OSError:
        file.close()
        raise
    return file


def _require_kind(facts: os.stat_result, path: str | os.PathLike[str]) -> None:
    if stat.S_ISREG(facts.st_mode):
        return
    kind = next((name for test, name in _KINDS if test(facts.st_mode)), "of another kind")
    code = errno.EISDIR if stat.S_ISDIR(facts.st_mode) else errno.EINVAL
    reason = f"it is {kind}, and only regular files are read as files"
    raise OSError(code, reason, os.fspath(path))


def _require_size(n_bytes: int, limit: int, path: str | os.PathLike[str]) -> None:
    if n_bytes > limit:
        raise OSError(
            errno.EFBIG, f"it has more than {limit / 2**20:g} MiB, too many", os.fspath(path)
        )


def _is_own_pipe(path: str | os.PathLike[str]) -> bool:
    """Return whether a path leads to a pipe among this process's own descriptors."""
    place = Path(path)
    own = place == _STANDARD_INPUT or place.parent in _DESCRIPTORS
    return own and stat.S_ISFIFO(_facts(path).st_mode)
