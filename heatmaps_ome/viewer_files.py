"""Where the files for viewers are: the page, and the scripts for QuPath and napari."""

from __future__ import annotations

from pathlib import Path

import heatmaps_ome

_NAME = "viewer_configs"


def viewer_files() -> Path:
    """Return the folder ``viewer_configs``: part of an installed package, beside it in a checkout.

    >>> (viewer_files() / "page" / "dist" / "index.html").is_file()
    True
    """
    package = Path(heatmaps_ome.__file__).parent
    installed = package / _NAME
    return installed if installed.is_dir() else package.parent / _NAME
