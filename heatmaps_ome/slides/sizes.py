"""Bounds of what slides claim to be, so that absurd files are refused before memory is asked for.

OpenSlide ends the whole process where the memory for a tile cannot be had.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from heatmaps_ome.geometry import Shape, Window
from heatmaps_ome.slides import tiff_head
from heatmaps_ome.slides.tiff_head import Damaged, TiffHead

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from heatmaps_ome.geometry import YX
    from heatmaps_ome.slides.tiff_head import Directory

_MOST_SIDE_PX: Final = 2**20
"""Pixels along a slide's side; at 0.1 µm a tenth of a metre."""
_MOST_PX: Final = 2**37
"""Pixels of a level; a slide of 26 × 76 mm at 0.25 µm has 2**35."""
_MOST_LEVELS: Final = 64
_PADDED: Final = 1.5
"""How much a level may be longer than another in one direction only: by parts of tiles."""
_ROUNDING_PX: Final = 8
"""Pixels by which the sides of small levels may differ besides."""
_MOST_TILE_PX: Final = 2**26
"""Pixels of a tile: 256 MiB."""
_COMMON_TILE_SIDE_PX: Final = 4096
"""Sides that tiles may have on any level, even on one that is smaller."""
SANE_MPP: Final = (0.05, 20.0)
"""Range of credible pixel sizes, in µm per pixel: design.md section 5."""
_MOST_SLIDE_MM: Final = 300.0
"""Side of a slide; the largest glass, for whole organs, is 203 × 254 mm."""


def absurd_levels(shapes: Sequence[Shape]) -> str | None:
    """Return how the sizes of a slide's levels cannot be, as the end of a sentence; else None."""
    if not 1 <= len(shapes) <= _MOST_LEVELS:
        return f"claims to have {len(shapes)} levels"
    for level, (rows, cols) in enumerate(shapes):
        if min(rows, cols) < 1 or max(rows, cols) > _MOST_SIDE_PX or rows * cols > _MOST_PX:
            return f"claims to have {cols} × {rows} pixels at level {level}"
    first = shapes[0]
    for level, shape in enumerate(shapes):
        if not alike_levels(first, shape):
            return (
                f"claims to have {first.cols} × {first.rows} pixels at level 0 but "
                f"{shape.cols} × {shape.rows} at level {level}"
            )
    return None


def alike_levels(first: Shape, other: Shape) -> bool:
    """Return whether a level may be another, made smaller: padding and rounding change shapes."""
    sides = sorted((first.rows / other.rows, first.cols / other.cols))
    rounding = _ROUNDING_PX / min(other)
    return sides[0] * (1 + rounding) >= 1 and sides[1] <= sides[0] * (_PADDED + rounding)


def absurd_tile(tile: Shape, level: Shape) -> str | None:
    """Return how the size of a level's tiles cannot be, as the end of a sentence; else None."""
    too_long = any(
        not 1 <= side <= max(_COMMON_TILE_SIDE_PX, 2 * whole)
        for side, whole in zip(tile, level, strict=True)
    )
    if too_long or tile.rows * tile.cols > _MOST_TILE_PX:
        return (
            f"claims to have tiles of {tile.cols} × {tile.rows} pixels on a level of "
            f"{level.cols} × {level.rows}"
        )
    return None


def absurd_tiff(path: Path) -> str | None:
    """Return what in the head of a TIFF cannot be, as the end of a sentence; else None.

    Nothing is found in other files, nor in TIFFs that libtiff itself refuses.
    """
    try:
        with TiffHead(path) as head:
            for directory in head.directories:
                reason = absurd_directory(directory, head.size)
                if reason is not None:
                    return reason
    except Damaged:
        # OpenSlide does not open such a file either.
        return None
    return None


def absurd_directory(directory: Directory, size: int) -> str | None:
    """Return what in a directory of tiles cannot be, as the end of a sentence; else None.

    Parameters
    ----------
    size : int
        Bytes of the file.

    Raises
    ------
    Damaged
        If a field lies beyond the file's end.
    """
    tiled = {tiff_head.TILE_WIDTH, tiff_head.TILE_LENGTH, tiff_head.TILE_OFFSETS}
    if not any(tag in directory for tag in tiled):
        return None
    level = Shape(directory.number(tiff_head.LENGTH), directory.number(tiff_head.WIDTH))
    tile = Shape(directory.number(tiff_head.TILE_LENGTH), directory.number(tiff_head.TILE_WIDTH))
    reason = absurd_tile(tile, level)
    if reason is not None:
        return reason
    return _absurd_segments(directory, level, tile, (tiff_head.TILE_BYTES, "tile"), size)


def absurd_strips(directory: Directory, size: int) -> str | None:
    """Return what in a directory of strips cannot be; see `absurd_directory`."""
    level = Shape(directory.number(tiff_head.LENGTH), directory.number(tiff_head.WIDTH))
    rows = directory.number(tiff_head.STRIP_ROWS, level.rows)
    if rows < 1:
        return f"claims to have strips of {rows} rows"
    strip = Shape(min(rows, level.rows), level.cols)
    n_strips = -(-level.rows // strip.rows) * directory.number(tiff_head.SAMPLES, 1)
    if directory.count(tiff_head.STRIP_BYTES) > n_strips:
        return f"has more than the {n_strips} strips of a level of {level.cols} × {level.rows}"
    return _absurd_segments(directory, level, strip, (tiff_head.STRIP_BYTES, "strip"), size)


def _absurd_segments(
    directory: Directory, level: Shape, tile: Shape, field: tuple[int, str], size: int
) -> str | None:
    """Return how the tiles or strips in a file cannot be those of a level."""
    tag, kind = field
    needed = -(-level.rows // tile.rows) * -(-level.cols // tile.cols)
    n_tiles = directory.count(tag)
    if n_tiles < needed:
        return f"has {n_tiles} {kind}s where a level of {level.cols} × {level.rows} has {needed}"
    largest = int(directory.numbers(tag).max(initial=0))
    if largest > size:
        return f"claims to have a {kind} of {largest} bytes, more than the file's {size}"
    return None


def within_slide(bounds: Window, shape: Shape) -> Window:
    """Return the part of a stated rectangle on the slide; the whole slide if there is none."""
    inside = bounds.common(Window(0, 0, *shape))
    return inside if inside.area else Window(0, 0, *shape)


def is_credible(mpp: YX) -> bool:
    """Return whether µm per level-0 pixel can be true; NaN cannot."""
    return all(SANE_MPP[0] <= value <= SANE_MPP[1] for value in mpp)


def absurd_extent(shape: Shape, mpp: YX) -> str | None:
    """Return how large a slide cannot be with such a pixel size, in words; else None."""
    mm = (shape.rows * mpp.y / 1000, shape.cols * mpp.x / 1000)
    return f"{mm[1]:.0f} × {mm[0]:.0f} mm" if max(mm) > _MOST_SLIDE_MM else None
