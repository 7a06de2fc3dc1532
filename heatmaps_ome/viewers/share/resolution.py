"""Chooses how fine the slides' pictures are, by the wishes for a pixel's size and for all bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from heatmaps_ome.errors import OptionError
from heatmaps_ome.storage.disk import bytes_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from heatmaps_ome.viewers.share.slides import Prepared

_NEARLY: Final = 0.9
"""A pixel of 0.2425 µm counts as one of 0.25 µm."""


def no_finer(slides: Iterable[Prepared], um_px: float | None) -> list[Prepared]:
    """Return slides whose pixels are at least about so wide, as far as they have levels.

    Parameters
    ----------
    um_px : float or None
        None: any.
    """
    return [slide if um_px is None else _no_finer(slide, um_px) for slide in slides]


def _no_finer(slide: Prepared, um_px: float) -> Prepared:
    while slide.plan.um_px < _NEARLY * um_px and len(slide.plan.masks) > 1:
        slide = slide.coarser()
    return slide


def fitted(slides: list[Prepared], fixed_bytes: int, most_bytes: int | None) -> list[Prepared]:
    """Return slides that fit into a number of bytes together: the finest ones are made coarser.

    Parameters
    ----------
    fixed_bytes : int
        Bytes of the page.
    most_bytes : int or None
        None: any.

    Raises
    ------
    OptionError
        If even the coarsest pictures do not fit.
    """
    slides = list(slides)
    if most_bytes is None:
        return slides
    while fixed_bytes + sum(slide.total_bytes for slide in slides) > most_bytes:
        reducible = [place for place, slide in enumerate(slides) if len(slide.plan.masks) > 1]
        if not reducible:
            least = fixed_bytes + sum(slide.total_bytes for slide in slides)
            raise OptionError(
                f"--max-size: the maps and the coarsest pictures take {bytes_text(least)}, more "
                f"than {bytes_text(most_bytes)}; give a larger size, or fewer --slides"
            )
        finest = min(reducible, key=lambda place: slides[place].plan.um_px)
        slides[finest] = slides[finest].coarser()
    return slides
