"""Refuses tiles of another slide, where a file states its slide's size."""

from __future__ import annotations

from typing import Final

from heatmaps_ome.features.files.refusals import Unfit
from heatmaps_ome.features.slide_facts import SlideFacts
from heatmaps_ome.geometry import YX, Shape

ANY_SLIDE: Final = SlideFacts("", Shape(0, 0), YX(1.0, 1.0))
"""Stands for the slide of a file that is described by itself: tiles of any slide are its own."""


def require_size(width: float, height: float, within: float, slide: SlideFacts) -> None:
    """Refuse tiles of a slide of another size.

    Parameters
    ----------
    width, height : float
        Level-0 pixels that the file states.
    within : float
        Difference that rounding explains.

    Raises
    ------
    Unfit
        If the slide has another size.
    """
    if slide is ANY_SLIDE:
        return
    rows, cols = slide.shape
    if abs(width - cols) > within or abs(height - rows) > within:
        raise Unfit(
            f"is of a slide of {width:.0f} × {height:.0f} px, and {slide.name} has {cols} × {rows} "
            "px; give the file of this very slide"
        )
