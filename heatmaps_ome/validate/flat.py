"""Rules for pictures with a map burnt in: they are the slide image blended with the map's colours.

Colours and opacities are worked out anew from the raw values, the label's colour table and the
options that provenance records, and laid over the pixels of the slide image beside the picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from heatmaps_ome.geometry import Window
from heatmaps_ome.validate.labels import ANY
from heatmaps_ome.validate.levels import spread
from heatmaps_ome.validate.placement import PlacedMap, cells_along, drawn_colours
from heatmaps_ome.validate.problems import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from heatmaps_ome.validate.ngff import Pyramid

_SIDE = 64
_TISSUE_WINDOWS = 16
_SEED = 0
_GREY_LEVELS = 1.5
"""A step of opacity, and rounding."""


@dataclass(frozen=True, eq=False)
class PlacedFlat:
    """A picture with the map that it must show.

    Attributes
    ----------
    flat : Pyramid
    image : Pyramid
        The slide's.
    drawn_map : PlacedMap
    """

    flat: Pyramid
    image: Pyramid
    drawn_map: PlacedMap

    @property
    def facts(self) -> dict[str, Any]:
        """The picture's metadata about its map."""
        return self.flat.attributes["heatmaps_ome"]["map"]

    @cached_property
    def cells_on_label(self) -> tuple[np.ndarray, np.ndarray] | None:
        """The rows and the columns of cells that are on the map's label; None without one."""
        values, label = self.drawn_map.values, self.drawn_map.label
        if label is None:
            return None
        rows, cols = (
            np.unique(cells_along((np.arange(pixels) + 0.5) * size, origin, cell, cells)[0])
            for size, pixels, origin, cell, cells in zip(
                label.pyramid.um_pixel, label.pyramid.shapes[0], values.um_drawn, values.um_cell,
                values.tissue.shape, strict=True,
            )
        )  # fmt: skip
        return rows, cols


@dataclass(frozen=True)
class _Cells:
    """The cells around the pixels of a window.

    Attributes
    ----------
    rows, cols : (n,) int64
        Indices of the cells, 0 where there is none.
    inside : (rows, cols) bool
        Whether a pixel lies in any cell.
    clear : (rows, cols) bool
        Whether a pixel's centre is clear of the edges of cells.
    """

    rows: np.ndarray
    cols: np.ndarray
    inside: np.ndarray
    clear: np.ndarray


def _named(placed: PlacedFlat) -> Iterator[str]:
    """Demand that a picture names its map, and how that is coloured."""
    facts, name = placed.facts, placed.drawn_map.name
    if facts["name"] != name:
        yield f"it says that it shows {facts['name']}, its file that it shows {name}"
    if placed.drawn_map.label is None:
        return
    wanted = placed.drawn_map.label.block["heatmaps_ome"]
    for key in ("quantity", "colour_map", "lower", "upper", "middle"):
        if facts[key] != wanted[key]:
            yield f"its {key} is {facts[key]} where the label's is {wanted[key]}"


def _blend(placed: PlacedFlat) -> Iterator[str]:
    """Demand the slide image's pixels, blended with the map, in windows spread over each level."""
    finest = _matching_level(placed)
    if finest is None:
        yield (
            f"the slide image has no level of {tuple(placed.flat.shapes[0])} pixels of "
            f"{tuple(placed.flat.um_pixel)} µm, as the picture has"
        )
        return
    for level in range(len(placed.flat.levels)):
        same = finest + level
        if same >= len(placed.image.levels):
            yield f"its level {level} is coarser than all of the slide image"
            return
        # Another rule reports levels of other sizes.
        if placed.flat.shapes[level] == placed.image.shapes[same]:
            yield from _blend_at(placed, level, same)


def _blend_at(placed: PlacedFlat, level: int, same: int) -> Iterator[str]:
    """Demand the blend at a level of a picture.

    Parameters
    ----------
    same : int
        The slide image's level of the same pixels.
    """
    for window in _windows(placed, level):
        picture, slide = (
            np.moveaxis(chunks.window(window), 0, -1).astype(np.float64)
            for chunks in (placed.flat.chunks[level], placed.image.chunks[same])
        )
        if placed.facts.get("over_grey"):
            slide = _greyed(slide)
        off = _difference(picture, slide, placed, _cells_of(placed, level, window))
        if off.max(initial=0) > _GREY_LEVELS:
            row, col = np.unravel_index(np.argmax(off), off.shape)
            yield (
                f"its level {level} differs by {off.max():.0f} grey levels from level {same} of "
                f"the slide image with the map over it at row {window.row + row}, column "
                f"{window.col + col}"
            )


def _greyed(rgb: np.ndarray) -> np.ndarray:
    """Return (rows, cols, 3) float64 in greys of the same brightness (Rec. ITU-R BT.709)."""
    return np.broadcast_to((rgb @ [0.2126, 0.7152, 0.0722])[..., None], rgb.shape)


def _matching_level(placed: PlacedFlat) -> int | None:
    """Return the level of the slide image that has the picture's finest pixels, or None."""
    flat, image = placed.flat, placed.image
    for level, shape in enumerate(image.shapes):
        if shape == flat.shapes[0] and image.move("scale", level) == flat.um_pixel:
            return level
    return None


def _windows(placed: PlacedFlat, level: int) -> list[Window]:
    """Return windows spread over a level of a picture, and some at cells of tissue."""
    flat, values = placed.flat, placed.drawn_map.values
    rows, cols = flat.shapes[level]
    corners = [(row, col) for row in spread(rows, _SIDE) for col in spread(cols, _SIDE)]
    tissue = np.argwhere(values.tissue)
    few = min(len(tissue), _TISSUE_WINDOWS)
    chosen = np.random.default_rng(_SEED).choice(tissue, few, replace=False) if few else tissue
    um = np.asarray(values.um_drawn) + (chosen + 0.5) * np.asarray(values.um_cell)
    um_pixel = np.asarray(flat.um_pixel) * 2.0**level
    starts = np.floor(um / um_pixel).astype(np.int64) - _SIDE // 2
    ends = np.maximum(0, np.subtract((rows, cols), _SIDE))
    corners += [(int(row), int(col)) for row, col in np.clip(starts, 0, ends)]
    return [
        Window(row, col, min(_SIDE, rows - row), min(_SIDE, cols - col)) for row, col in corners
    ]


def _cells_of(placed: PlacedFlat, level: int, window: Window) -> _Cells:
    """Return the cells around the pixels of a window of a level, from places in µm alone.

    Cells at the slide's edge that are on no label are in no picture.
    """
    values, on_label = placed.drawn_map.values, placed.cells_on_label
    um_pixel = placed.flat.um_pixel.times(2.0**level)
    per_axis = zip(
        window[:2], window[2:], um_pixel, values.um_drawn, values.um_cell, values.tissue.shape,
        strict=True,
    )  # fmt: skip
    indices, inside, clear = [], [], []
    for axis, (first, count, pixel, origin, cell, cells) in enumerate(per_axis):
        um_centres = (first + np.arange(count) + 0.5) * pixel
        index, certain = cells_along(um_centres, origin, cell, cells)
        if on_label is not None:
            index = np.where(np.isin(index, on_label[axis]), index, -1)
        inside.append(index >= 0)
        clear.append(certain)
        indices.append(np.maximum(index, 0))
    (rows, cols), both = indices, np.logical_and.outer
    return _Cells(rows, cols, both(*inside), both(*clear))


def _difference(
    picture: np.ndarray, slide: np.ndarray, placed: PlacedFlat, cells: _Cells
) -> np.ndarray:
    """Return how far pixels are from the blend, in grey levels.

    Parameters
    ----------
    picture, slide : (rows, cols, 3) float64

    Returns
    -------
    (rows, cols) float64
        0 where a pixel's cell or colour is uncertain.
    """
    drawn_map = placed.drawn_map
    # Pixels share cells, of which a window has few.
    (rows, of_row), (cols, of_col) = (
        np.unique(index, return_inverse=True) for index in (cells.rows, cells.cols)
    )
    few, where = np.ix_(rows, cols), np.ix_(of_row, of_col)
    alpha = np.where(cells.inside, drawn_map.alpha[few][where], 0)[..., None] / 255
    numbers = drawn_map.drawn_values[few]
    nearest = np.full(picture.shape[:2], np.inf)
    for colour in drawn_colours(numbers.ravel(), drawn_map.label):
        colours = colour.reshape(*numbers.shape, 3)[where]
        bands = np.abs(picture - (slide * (1 - alpha) + colours * alpha))
        # numpy takes ten times as long for the greatest of a short last axis.
        off = reduce(np.maximum, np.moveaxis(bands, -1, 0))
        off[(colours[..., 0] == ANY) & (alpha[..., 0] > 0)] = 0
        nearest = np.minimum(nearest, off)
    return np.where(cells.clear, nearest, 0)


FLAT: tuple[Rule[PlacedFlat], ...] = (
    Rule("flat-named", "a picture with a map burnt in names it, and its colours", _named),
    Rule("flat-blend", "it is the slide image blended with the map's colours", _blend),
)
"""Rules for ``<slide>.<map>.flat.ome.zarr``."""
