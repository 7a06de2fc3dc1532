"""Coordinates of slideflow's bags: centres of tiles in level-0 pixels, in a file beside each.

Reference: slideflow/slideflow, ``slide/backends/vips.py`` (``tile_worker``: the place is that of
the centre, in whole pixels), ``slide/wsi.py`` (``_configure_downsample``: the side), and
``model/features.py`` (``to_torch``: the files).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from heatmaps_ome.features.files.arrays import read_npy, read_npz
from heatmaps_ome.features.files.coordinates import Coordinates
from heatmaps_ome.features.files.refusals import Unfit, naming
from heatmaps_ome.storage.regular_file import read_json

if TYPE_CHECKING:
    from pathlib import Path

    from heatmaps_ome.features.slide_facts import SlideFacts

_MAGNIFICATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)x", re.IGNORECASE)
_UM_AT_1X = 10.0
"""Slideflow's µm per pixel at 1 ×."""
_MOST_CONFIG_BYTES = 16 << 20


def index_of(path: Path) -> Path | None:
    """Return the file of coordinates beside a bag; None if there is none."""
    for ending in (".index.npz", ".index.npy"):
        beside = path.with_name(path.stem + ending)
        if beside.is_file():
            return beside
    return None


def slideflow_coordinates(path: Path, index: Path, slide: SlideFacts) -> Coordinates:
    """Return the coordinates of a bag's tiles.

    Parameters
    ----------
    path : Path
        The bag.
    index : Path
        Its file of coordinates.

    Raises
    ------
    FeaturesError
        If that file cannot be read, or holds none.
    """
    with naming(index):
        xy = read_npy(index) if index.suffix == ".npy" else _places(read_npz(index))
        if xy.ndim != 2 or xy.shape[1] < 2:
            raise Unfit(f"has coordinates of the shape {xy.shape}; x and y are needed")
    side, note = _side(path, slide)
    return Coordinates(
        np.ascontiguousarray(xy[:, :2]), system="slideflow", unit="px", sides=side,
        origin="centre", notes=(note,) if note else (),
    )  # fmt: skip


def _places(arrays: dict[str, np.ndarray]) -> np.ndarray:
    for name in ("locations", "arr_0"):
        if name in arrays:
            return arrays[name]
    raise Unfit("holds no places of tiles ('arr_0'); write it again")


def _side(path: Path, slide: SlideFacts) -> tuple[float | None, str]:
    """Return the tiles' side in level-0 pixels, and where it is from; None if nothing states it."""
    config = path.parent / "bags_config.json"
    try:
        facts: Any = read_json(config, _MOST_CONFIG_BYTES)
    except (OSError, ValueError):
        return None, ""
    if not isinstance(facts, dict):
        return None, ""
    side_um, side_px = facts.get("tile_um"), facts.get("tile_px")
    mpp = (slide.own_mpp or slide.mpp).x
    if isinstance(side_um, (int, float)) and not isinstance(side_um, bool) and side_um > 0:
        # Whole pixels, rounded down, as slideflow reads them.
        return float(int(side_um / mpp)), f"the tiles' side is {side_um:g} µm, by {config.name}"
    match = _MAGNIFICATION.fullmatch(side_um) if isinstance(side_um, str) else None
    if match is None or type(side_px) is not int or side_px < 1:
        return None, ""
    wanted = float(match[1])
    nearest = min(slide.downsamples, key=lambda step: abs(_UM_AT_1X / (step * mpp) - wanted))
    return float(int(nearest * side_px)), (
        f"the tiles' side is {side_px} px at {side_um}, by {config.name}"
    )
