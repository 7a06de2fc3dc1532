"""Holds tiles against their slide: whether they lie on it, and on its tissue."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from heatmaps_ome.errors import FeaturesError
from heatmaps_ome.features.files.placing import beyond, require_different
from heatmaps_ome.features.files.refusals import Unfit
from heatmaps_ome.geometry import Window, anchored_pixels
from heatmaps_ome.slides.tissue import LUMA

if TYPE_CHECKING:
    from heatmaps_ome.features.bag import Tiles
    from heatmaps_ome.features.slide_facts import SlideFacts
    from heatmaps_ome.slides.reader import SlideReader

_LONGEST_SIDE: Final = 1024
"""Pixels that the slide is read at to look for tissue."""
_LEAST_DARK: Final = 0.1
"""Share of a tile's pixels that have to be dark: tools keep tiles with little tissue too."""
_MOST_HANGING: Final = 0.2
_BRIGHT: Final = 224.0
"""Luma from which a tile is background, as in `SlideReader`'s tissue."""


def check_on_slide(tiles: Tiles, slide: SlideFacts) -> tuple[str, ...]:
    """Return warnings about tiles on the edge of their slide.

    Raises
    ------
    FeaturesError
        If there are none, they have no size, some lie beyond the slide, or one is given twice.
    """
    places = tiles.l0_places
    if len(places) == 0:
        raise FeaturesError(f"the tiles of {slide.name} are 0; leave this slide out")
    x0, y0, x1, y1 = places.T
    if not (np.isfinite(places).all() and (x1 > x0).all() and (y1 > y0).all()):
        raise FeaturesError(
            f"the tiles of {slide.name} have places that are no rectangles; give x0 < x1 and "
            "y0 < y1 in level-0 px"
        )
    outside = beyond(places, slide)
    if outside.any():
        raise FeaturesError(
            f"{int(outside.sum())} of {len(places)} tiles lie beyond the slide {slide.name} of "
            f"{slide.shape.cols} × {slide.shape.rows} px; give the tiles of this very slide, in "
            "the unit of its coordinates"
        )
    try:
        require_different(places)
    except Unfit as reason:
        raise FeaturesError(f"the table of tiles of {slide.name} {reason}") from reason
    # Tools cut tiles that hang over the edge; of another slide's a good part may do so.
    hanging = ((x0 + x1) / 2 > slide.shape.cols) | ((y0 + y1) / 2 > slide.shape.rows)
    hanging |= (x0 + x1 < 0) | (y0 + y1 < 0)
    if hanging.mean() <= _MOST_HANGING:
        return ()
    return (
        f"{int(hanging.sum())} of {len(places)} tiles of {slide.name} lie mostly beyond the "
        "slide's edge; check that they are this slide's",
    )


def tissue_share(slide: SlideReader, tiles: Tiles) -> float:
    """Return the share of tiles that have tissue in them, in [0, 1].

    The slide is read once, at about a thousand pixels along its longer side.

    Raises
    ------
    SlideError
        If the slide cannot be read.
    """
    side = max(1, math.ceil(max(slide.shape) / _LONGEST_SIDE))
    lattice = anchored_pixels(slide.shape, slide.mpp, side)
    rgb = slide.read(lattice, Window(0, 0, *lattice.shape))
    dark = rgb @ LUMA < _BRIGHT
    # Dark pixels above and to the left of each corner: any rectangle's are four of these numbers.
    counts = np.pad(dark.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    rows, cols = lattice.shape
    x0, y0, x1, y1 = tiles.l0_places.T / side
    left, top = (np.clip(np.floor(c), 0, n - 1).astype(int) for c, n in ((x0, cols), (y0, rows)))
    right = np.clip(np.ceil(x1).astype(int), left + 1, cols)
    bottom = np.clip(np.ceil(y1).astype(int), top + 1, rows)
    inside = counts[bottom, right] - counts[top, right] - counts[bottom, left] + counts[top, left]
    share = inside / ((bottom - top) * (right - left))
    return float((share >= _LEAST_DARK).mean())
