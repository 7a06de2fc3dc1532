"""Remove files and folders, also those whose permissions hinder it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def remove(path: Path) -> None:
    """Remove a file or folder, also one whose permissions hinder it.

    Raises
    ------
    OSError
        If it cannot be removed.
    """
    if not path.is_dir() or path.is_symlink():
        path.unlink(missing_ok=True)
        return
    try:
        shutil.rmtree(path)
    except FileNotFoundError:
        # Another process removes it too.
        shutil.rmtree(path, ignore_errors=True)
    except PermissionError:
        _permit(path)
        shutil.rmtree(path)


def _permit(folder: Path) -> None:
    """Give this user all permissions for a folder and the folders in it."""
    folder.chmod(0o700)
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            _permit(path)
