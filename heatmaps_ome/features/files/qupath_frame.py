"""QuPath's coordinates begin at the slide's non-empty part, OpenSlide's at its first pixel.

Both write level-0 pixels into the same formats, and no file states which of the two it has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from heatmaps_ome.features.slide_facts import SlideFacts


def in_level0_frame(l0_places: np.ndarray, slide: SlideFacts) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return places that begin at the slide's first pixel, and notes on the choice.

    Tiles lie on the non-empty part. Where that holds for one of the two beginnings, it is taken;
    where for both, OpenSlide's is.

    Parameters
    ----------
    l0_places : (n, 4) float64
        In one of the two frames.
    slide : SlideFacts
    """
    bounds = slide.bounds
    if bounds is None or (bounds.row == 0 and bounds.col == 0):
        return l0_places, ()
    moved = l0_places + np.array([bounds.col, bounds.row] * 2)
    begin = f"x {bounds.col}, y {bounds.row} px"
    if _on_bounds(l0_places, slide):
        note = f"its coordinates begin at the slide's first pixel; QuPath's would at {begin}"
        if _on_bounds(moved, slide):
            note += ", and fit too: import them there and look"
        return l0_places, (note,)
    if _on_bounds(moved, slide):
        return moved, (f"its coordinates begin at {begin}, as QuPath's do",)
    return l0_places, ()


def _on_bounds(l0_places: np.ndarray, slide: SlideFacts) -> bool:
    """Return whether the centres of all tiles lie on the slide's non-empty part."""
    bounds = slide.bounds
    if bounds is None:
        return True
    x, y = (l0_places[:, :2] + l0_places[:, 2:]).T / 2
    along = (x >= bounds.col) & (x <= bounds.col_stop)
    return bool(np.all(along & (y >= bounds.row) & (y <= bounds.row_stop)))
