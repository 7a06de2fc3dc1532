"""The small picture of a slide in a table of many: the slide, and the slide under a map."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    import pyvips

SMALL: Final = "small"
"""The picture's place in a slide's part, as a data URI; parts of earlier versions have none."""
_SIDES_PX: Final = (236, 176)
"""Most columns and rows of each half: twice those on a usual screen."""
_GAP_PX: Final = 8
_QUALITY: Final = 75


def small_jpeg(slide: np.ndarray, mapped: np.ndarray | None) -> bytes:
    """Return the small picture as a JPEG without metadata.

    Parameters
    ----------
    slide : (rows, cols, 3) uint8
        The slide.
    mapped : (rows, cols, 3) uint8 or None
        The slide under a map; None: there is no map.
    """
    return _stored([_small(half) for half in (slide, mapped) if half is not None])


def small_picture(part: dict[str, Any]) -> bytes:
    """Return the small picture of a slide's part; without one, a smaller picture of the slide.

    Raises
    ------
    ValueError, KeyError, TypeError, AttributeError
        If the part is damaged.
    """
    small = part.get(SMALL)
    if small is not None:
        return _bytes_of(small)
    import pyvips

    cols, rows = _SIDES_PX
    # Decoded at a fraction of its size, in a fraction of the time.
    picture = _bytes_of(part["thumbnail"]["jpeg"])
    try:
        return _stored([pyvips.Image.thumbnail_buffer(picture, cols, height=rows, size="down")])
    except pyvips.Error as error:
        raise ValueError(f"the slide's picture is damaged: {error}") from error


def _small(rgb: np.ndarray) -> pyvips.Image:
    import pyvips

    cols, rows = _SIDES_PX
    image = pyvips.Image.new_from_array(np.ascontiguousarray(rgb))
    return image.thumbnail_image(cols, height=rows, size="down")


def _stored(halves: list[pyvips.Image]) -> bytes:
    """Return pictures side by side as a JPEG."""
    from pyvips.enums import Extend, ForeignKeep

    left = halves[0]
    for right in halves[1:]:
        start, rows = left.width + _GAP_PX, max(left.height, right.height)
        wide = left.embed(0, 0, start + right.width, rows, extend=Extend.WHITE)
        left = wide.insert(right, start, 0)
    return left.jpegsave_buffer(Q=_QUALITY, keep=ForeignKeep.NONE, optimize_coding=True)


def _bytes_of(uri: str) -> bytes:
    """Return the bytes in a data URI in base64."""
    return base64.b64decode(uri.partition(",")[2], validate=True)
