"""Packs a shared folder into a zip file that Windows opens without further programs."""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING, Final
from zipfile import ZIP_STORED, ZipFile, ZipInfo

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_FIRST_DATE: Final = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip file can state."""
_FILE_MODE: Final = 0o644 << 16


def write_zip(
    folder: Path, target: Path, top: str, report: Callable[[int, int], None], *, dated: bool
) -> None:
    """Write all files of a folder into a zip file, one after another and not compressed: most are.

    Parameters
    ----------
    top : str
        Name of the folder in the file, into which Windows unpacks all.
    report : callable
        Takes the number of files that are packed, and of all.
    dated : bool
        Whether the files have the present time, else the earliest that there is.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    # The page first, for those who look into the file.
    paths.sort(key=lambda path: path.parent != folder)
    date = time.localtime()[:6] if dated else _FIRST_DATE
    with ZipFile(target, "w", ZIP_STORED, allowZip64=True) as archive:
        for count, path in enumerate(paths, start=1):
            entry = ZipInfo(f"{top}/{path.relative_to(folder).as_posix()}", date)
            entry.external_attr = _FILE_MODE
            entry.file_size = path.stat().st_size
            with path.open("rb") as source, archive.open(entry, "w") as sink:
                shutil.copyfileobj(source, sink)
            report(count, len(paths))
