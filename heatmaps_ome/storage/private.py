"""Hidden files and folders of one process: written apart, then renamed; known when left over."""

from __future__ import annotations

import itertools
import shutil
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from heatmaps_ome.storage.names import shortened
from heatmaps_ome.storage.owners import Owner, owner_of_this_process
from heatmaps_ome.storage.regular_file import require_replaceable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PARTIAL: Final = "partial"
"""Last suffix of whatever is being written."""
_NAME_BYTES: Final = 80
FOREIGN_S: Final = 7 * 24 * 3600
"""Age from which another machine's files count as left over, in s."""
_numbers = itertools.count()


def private_path(path: Path, suffix: str = PARTIAL) -> Path:
    """Return a hidden path beside a path, for this process and this call alone."""
    return path.with_name(f".{shortened(path.name, _NAME_BYTES)}.{own_name(suffix)}")


def own_name(suffix: str = PARTIAL) -> str:
    """Return a new name of this process, which no other process and no other call has."""
    return f"{owner_of_this_process().label}.{next(_numbers)}.{suffix}"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the path of a file to write, which replaces a file as a whole in the end.

    Raises
    ------
    OSError
        If there is anything but a regular file, or it cannot be renamed; what was written is
        removed, whatever goes wrong.
    """
    require_replaceable(path)
    partial = private_path(path)
    try:
        yield partial
        partial.replace(path)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def left_over(folder: Path, suffix: str = PARTIAL) -> list[Path]:
    """Return the private files and folders in a folder whose processes have ended.

    Those of another machine count as left over after a week.
    """
    return [path for path in sorted(folder.glob(f".*.{suffix}")) if _is_left_over(path)]


def remove(path: Path) -> None:
    """Remove a file or a folder, as far as that is possible."""
    shutil.rmtree(path, ignore_errors=True)
    with suppress(OSError):
        path.unlink(missing_ok=True)


def _is_left_over(path: Path) -> bool:
    """Return whether a private file or folder belongs to a process that has ended."""
    parts = path.name.split(".")
    return len(parts) > 2 and has_ended(parts[-3], path, FOREIGN_S)


def has_ended(label: str, path: Path, foreign_s: float | None) -> bool:
    """Return whether the process with a label, to which a path belongs, has ended.

    Parameters
    ----------
    foreign_s : float or None
        Age of the path in s from which another machine's process counts as ended; None: never.
    """
    try:
        alive = Owner.from_label(label).is_alive()
    except ValueError:
        return False
    return alive is False or (alive is None and foreign_s is not None and age_s(path) > foreign_s)


def age_s(path: Path) -> float:
    """Return the time since a path was changed, in s; 0 if that is unknown."""
    try:
        return time.time() - path.lstat().st_mtime
    except OSError:
        return 0.0
