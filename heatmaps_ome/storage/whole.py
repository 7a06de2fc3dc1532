"""Write folders atomically, and link or copy files."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from heatmaps_ome.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def write_atomically(folder: Path, write: Callable[[Path], object]) -> None:
    """Write to a temporary folder and rename it when complete.

    Parameters
    ----------
    write : callable
        Called with the temporary folder, which is empty.

    Raises
    ------
    OutputError
        If the disk cannot be written.
    """
    # Named after this process: another run may be writing the same folder.
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        write(partial)
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise OutputError(
            f"{folder} cannot be written ({error.strerror}); free space there or choose another "
            "place with --cache-dir"
        ) from error


def link(source: Path, target: Path) -> None:
    """Hard-link a file, or copy it if that is not possible."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)
