"""Units of coordinates: what they are in level-0 pixels, and which one a file must mean."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from heatmaps_ome.features.files.refusals import Unfit, quoted
from heatmaps_ome.geometry import YX

if TYPE_CHECKING:
    import numpy as np

    from heatmaps_ome.features.files.coordinates import Coordinates
    from heatmaps_ome.features.slide_facts import SlideFacts

_LEVEL = re.compile(r"level:([0-9]{1,3})")


def unit_px(unit: str, slide: SlideFacts, um_per_px: YX | None = None) -> YX:
    """Return the level-0 pixels in one unit.

    Parameters
    ----------
    unit : str
        "px", "um" or "level:N".
    um_per_px : YX or None
        Pixel size to take for µm; None: the slide's.

    Raises
    ------
    Unfit
        If there is no such unit, or the slide has no such level.
    """
    if unit == "px":
        return YX(1.0, 1.0)
    if unit == "um":
        mpp = um_per_px or slide.mpp
        return YX(1 / mpp.y, 1 / mpp.x)
    match = _LEVEL.fullmatch(unit)
    if match is None:
        raise Unfit(f"cannot have coordinates in {quoted(unit)}; give px, um or level:N")
    level = int(match[1])
    if level >= len(slide.downsamples):
        raise Unfit(
            f"cannot have coordinates of level {level}: the slide {slide.name} has "
            f"{len(slide.downsamples)} levels, from 0"
        )
    return YX(slide.downsamples[level], slide.downsamples[level])


def settled_unit(given: Coordinates, slide: SlideFacts) -> Coordinates:
    """Return coordinates with a unit: the one stated, or the only one that fits the slide.

    Coordinates of every coarser unit become larger in pixels. If they would then reach beyond the
    slide, they are level-0 pixels, as nothing else fits.

    Raises
    ------
    Unfit
        If several would fit.
    """
    if given.unit is not None:
        return given
    others = ["um", *(f"level:{n}" for n in range(1, len(slide.downsamples)))]
    if not _within(given.xy, "px", slide):
        return replace(given, unit="px")  # refused as beyond the slide, with the unit that fits
    fitting = [unit for unit in others if _within(given.xy, unit, slide)]
    if not fitting:
        note = (
            "its coordinates are level-0 px, as only so they lie on the slide; the file does not "
            "state their unit"
        )
        return replace(given, unit="px", notes=(*given.notes, note))
    raise Unfit(
        "does not state the unit of its coordinates, and more than one fits the slide; give "
        f"--coords-unit px or {' or '.join(fitting)}"
    )


def _within(xy: np.ndarray, unit: str, slide: SlideFacts) -> bool:
    """Return whether all points lie on the slide."""
    px = unit_px(unit, slide)
    most_x, most_y = xy.max(axis=0)
    return bool(
        xy.min() >= 0 and most_x * px.x < slide.shape.cols and most_y * px.y < slide.shape.rows
    )
