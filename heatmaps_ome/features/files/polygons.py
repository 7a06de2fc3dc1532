"""Outlines of tiles become rectangles: their bounding boxes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from heatmaps_ome.features.files.refusals import Unfit

if TYPE_CHECKING:
    from collections.abc import Sequence

_FARTHEST: Final = 1e9
"""Coordinates beyond any slide, in any unit."""


def boxes_of_wkb(texts: Sequence[bytes | None]) -> tuple[np.ndarray, int]:
    """Return the bounding boxes of outlines in well-known binary.

    Returns
    -------
    boxes : (n, 4) float64
        x0, y0, x1, y1.
    n_others : int
        Outlines that are no upright rectangles.

    Raises
    ------
    Unfit
        If one is missing or damaged.
    """
    import shapely

    try:
        with np.errstate(all="ignore"):  # places that are no numbers are refused below
            shapes = shapely.from_wkb(np.array(texts, object))
    except (shapely.errors.ShapelyError, TypeError) as error:
        raise Unfit(f"has damaged outlines of tiles ({error}); write it again") from error
    boxes = shapely.bounds(shapes).reshape(-1, 4)
    if len(boxes) and not (np.isfinite(boxes).all() and np.abs(boxes).max() < _FARTHEST):
        raise Unfit("has tiles without an outline, or with one that is no place; write it again")
    full = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    others = np.abs(shapely.area(shapes) - full) > 1e-6 * full
    return boxes, int(others.sum())
