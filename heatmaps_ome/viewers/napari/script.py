"""Loads the script for napari, which also runs where heatmaps-ome is not installed."""

from __future__ import annotations

import importlib.util
from functools import cache
from typing import TYPE_CHECKING

from heatmaps_ome.viewers.files import viewer_files

if TYPE_CHECKING:
    from types import ModuleType


@cache
def script() -> ModuleType:
    """Return ``viewer_configs/napari/open.py`` as a module: the one place that makes layers."""
    path = viewer_files() / "napari" / "open.py"
    spec = importlib.util.spec_from_file_location("heatmaps_ome.viewers.napari.open", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no module")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
