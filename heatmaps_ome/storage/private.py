"""Hidden files and folders of one process: written apart, then renamed; known when left over."""

from __future__ import annotations

import itertools
import logging
import shutil
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from heatmaps_ome.storage.names import shortened
from heatmaps_ome.storage.owners import Owner, owner_of_this_process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

logger = logging.getLogger(__name__)

PARTIAL: Final = "partial"
"""Last suffix of whatever is being written."""
_NAME_BYTES: Final = 80
_FORGOTTEN_S: Final = 7 * 24 * 3600
"""Age from which another machine's files count as left over, in seconds."""
_numbers = itertools.count()


def private_path(path: Path, suffix: str = PARTIAL) -> Path:
    """Return a hidden path beside a path, for this process and this call alone."""
    owner, name = owner_of_this_process().label, shortened(path.name, _NAME_BYTES)
    return path.with_name(f".{name}.{owner}.{next(_numbers)}.{suffix}")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the path of a file to write, which replaces a file as a whole in the end.

    Raises
    ------
    OSError
        If it cannot be renamed; what was written is removed, whatever goes wrong.
    """
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
    try:
        alive = Owner.from_label(parts[-3]).is_alive()
        return time.time() - path.lstat().st_mtime > _FORGOTTEN_S if alive is None else not alive
    except (ValueError, IndexError, OSError):
        return False
