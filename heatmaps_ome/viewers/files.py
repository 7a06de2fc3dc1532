"""Finds and copies the files for viewers: the page, and the scripts for QuPath and napari."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import heatmaps_ome

if TYPE_CHECKING:
    from collections.abc import Iterable

_NAME = "viewer_configs"


def viewer_files() -> Path:
    """Return the folder ``viewer_configs``: part of an installed package, beside it in a checkout.

    >>> (viewer_files() / "page" / "dist" / "index.html").is_file()
    True
    """
    package = Path(heatmaps_ome.__file__).parent
    installed = package / _NAME
    return installed if installed.is_dir() else package.parent / _NAME


def copy_viewer_files(
    kind: str, folder: Path, names: Iterable[str], ending: str | None = None
) -> None:
    """Copy files of a viewer into a folder; no file is ever half written.

    Parameters
    ----------
    kind : str
        The folder below ``viewer_configs``: "qupath" or "napari".
    ending : str or None
        Name of a file to append to every copy: the part that all of them share.
    """
    source = viewer_files() / kind
    end = b"" if ending is None else (source / ending).read_bytes()
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        partial = folder / f"{name}.partial"
        partial.write_bytes((source / name).read_bytes() + end)
        partial.replace(folder / name)
