"""The facts of a slide that the places of its tiles depend on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from heatmaps_ome.geometry import YX, Shape
    from heatmaps_ome.slides.opened_slide import OpenedSlide


@dataclass(frozen=True)
class SlideFacts:
    """A slide's size and scale.

    Attributes
    ----------
    name : str
        File name without its last suffix.
    shape : Shape
        Size at level 0, (rows, cols).
    mpp : YX
        µm per level-0 pixel, as this run uses it.
    downsamples : tuple of float
        Level-0 pixels per pixel of each level, finest first: what ``level:N`` refers to.
    own_mpp : YX or None
        µm per level-0 pixel as the slide states it: the one that other programs took. None where
        it states none.
    """

    name: str
    shape: Shape
    mpp: YX
    downsamples: tuple[float, ...] = (1.0,)
    own_mpp: YX | None = None


def facts_of(slide: OpenedSlide) -> SlideFacts:
    """Return the facts of an open slide.

    A level's downsample is OpenSlide's: the mean of the quotients of its two sides.
    """
    rows, cols = slide.shape
    downsamples = tuple((rows / level.rows + cols / level.cols) / 2 for level in slide.level_shapes)
    return SlideFacts(slide.name, slide.shape, slide.mpp, downsamples, slide.own_mpp)
