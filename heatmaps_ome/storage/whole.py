"""Folders that appear whole or not at all, and files that are linked or copied."""

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
        Given the temporary folder, which is empty.

    Raises
    ------
    OutputError
        If the disk does not take it.
    """
    # Of this process alone: another run may be at the same folder.
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
    """Hard-link a file, or copy it where that cannot be."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)
