"""The error for a damaged tile of a slide, in the same words for all readers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heatmaps_ome.errors import DamagedTileError
from heatmaps_ome.slides.paths import printable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from heatmaps_ome.geometry import Shape, Window


def damaged_tile(
    path: Path, l0_place: tuple[int, int], reason: Exception | None = None
) -> DamagedTileError:
    """Return the error for a tile that cannot be read.

    Parameters
    ----------
    l0_place : (int, int)
        Its first row and column, in level-0 pixels.
    reason : Exception or None
        What its library raised; None to leave it out.
    """
    row, col = l0_place
    detail = "" if reason is None else f" ({reason})"
    return DamagedTileError(
        f"{printable(path)} cannot be read near level-0 pixel (y {row}, x {col}){detail}; the file "
        "is damaged there: copy it again, or leave such tiles blank with --bad-tiles blank"
    )


def l0_place_of(shapes: Sequence[Shape], level: int, tile: Window) -> tuple[int, int]:
    """Return the first row and column of a level's tile, in level-0 pixels.

    Parameters
    ----------
    shapes : sequence of Shape
        Sizes of the levels, finest first.
    """
    first, own = shapes[0], shapes[level]
    return round(tile.row * first.rows / own.rows), round(tile.col * first.cols / own.cols)
