"""Rules for places: in every output, each cell's value stands at the cell's µm.

Everything is computed as viewers do, from the µm in the files' own metadata (NGFF's scale and
translation, OME-XML's pixel size), and from nothing that the writers knew.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from heatmaps_ome.geometry import YX, Shape
from heatmaps_ome.validate.labels import ANY
from heatmaps_ome.validate.problems import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from heatmaps_ome.validate.labels import Label
    from heatmaps_ome.validate.ngff import Pyramid
    from heatmaps_ome.validate.raw_values import Values
    from heatmaps_ome.validate.tiff import Overlay

_CELLS_LIMIT = 2000
"""Cells tried, of tissue and of the rest each."""
_SEED = 0
_ONE = 1
"""Grey level that rounding may cost."""
_MARGIN = 1e-3
"""Part of a cell's side at its edges, for float noise."""


@dataclass(frozen=True)
class Probes:
    """Places where an output is compared with the raw values.

    Attributes
    ----------
    g_rows, g_cols : (n,) int64
        The cells that the places lie in.
    rows, cols : (n,) int64
        The output's pixels at the places.
    um : (n, 2) float64
        The places, (y, x).
    """

    g_rows: np.ndarray
    g_cols: np.ndarray
    rows: np.ndarray
    cols: np.ndarray
    um: np.ndarray

    def first(self, wrong: np.ndarray) -> str:
        """Return how many places are wrong and where the first is, in words."""
        y, x = self.um[np.flatnonzero(wrong)[0]]
        return f"{wrong.sum()} of {wrong.size} places tried, first at y {y:.1f}, x {x:.1f} µm"


def probes(values: Values, um_pixel: YX, shape: Shape) -> Probes:
    """Return places in cells: their centres, and near all four corners.

    Corners are approached as far as the pixel there still belongs to the cell, so that a shift
    by more than a pixel shows. Cells are taken evenly at random from tissue and from the rest.
    """
    cells = _chosen(values.tissue)
    reach = [
        max(0.0, 0.5 - pixel / cell / 2 - _MARGIN)
        for pixel, cell in zip(um_pixel, values.um_cell, strict=True)
    ]
    corners = [(0, 0), (-1, -1), (-1, 1), (1, -1), (1, 1)]
    parts = np.concatenate([cells + 0.5 + np.multiply(corner, reach) for corner in corners])
    um = np.asarray(values.um_drawn) + parts * np.asarray(values.um_cell)
    pixels = np.floor(um / np.asarray(um_pixel)).astype(np.int64)
    inside = ((pixels >= 0) & (pixels < shape)).all(axis=1)
    owners = np.tile(cells, (len(corners), 1))[inside]
    pixels = pixels[inside]
    return Probes(owners[:, 0], owners[:, 1], pixels[:, 0], pixels[:, 1], um[inside])


def _chosen(tissue: np.ndarray) -> np.ndarray:
    """Return the (row, column) of at most ``_CELLS_LIMIT`` cells of tissue and of the rest."""
    rng = np.random.default_rng(_SEED)
    chosen = []
    for cells in (np.argwhere(tissue), np.argwhere(~tissue)):
        few = len(cells) <= _CELLS_LIMIT
        chosen.append(cells if few else rng.choice(cells, _CELLS_LIMIT, replace=False))
    return np.concatenate(chosen)


def covers(um_end: YX, um_slide: YX, um_pixel: YX) -> Iterator[str]:
    """Yield the axes along which an output ends more than a pixel off the slide's own end."""
    for axis, end, slide, pixel in zip("yx", um_end, um_slide, um_pixel, strict=True):
        if not -1e-3 * pixel <= end - slide < pixel * (1 + 1e-3):
            yield f"along {axis} it ends at {end:.2f} µm, the slide at {slide:.2f}"


def _image(placed: tuple[Pyramid, Values]) -> Iterator[str]:
    """Demand an image or label that covers the slide, to a pixel."""
    pyramid, values = placed
    end = pyramid.um_pixel.times(YX(*pyramid.shapes[0]))
    yield from covers(end, values.um_slide, pyramid.um_pixel)


def _label(placed: tuple[Label, Values]) -> Iterator[str]:
    """Demand at each place the level nearest to the raw value, within half a step."""
    label, values = placed
    if not label.stands_for:
        return
    numbers_drawn = drawn_values(values, label.name, label)
    tried = probes(values, label.pyramid.um_pixel, label.pyramid.shapes[0])
    finest = label.pyramid.levels[0]
    levels = np.asarray(finest.get_coordinate_selection((tried.rows, tried.cols)), np.int64)
    wanted = numbers_drawn[tried.g_rows, tried.g_cols].astype(np.float64)
    table, half_step = label.table
    drawn = table[np.clip(levels, 0, len(table) - 1)]
    low, high = np.nanmin(table), np.nanmax(table)
    wrong = np.isnan(drawn) != np.isnan(wanted)
    wrong |= np.abs(drawn - np.clip(wanted, low, high)) > half_step
    # Another rule reports levels without a number.
    wrong &= ~(np.isnan(drawn) & (levels > 0))
    if wrong.any():
        n = np.flatnonzero(wrong)[0]
        yield (
            f"the label differs from the raw values in {tried.first(wrong)}: "
            f"{drawn[n]:g} is drawn where {wanted[n]:g} is"
        )


def _bounds(placed: tuple[Label, Values]) -> Iterator[str]:
    """Demand that numbers beyond which a cell lies are marked as bounds, and no others."""
    label, values = placed
    numbers = {level: n for level, n in label.stands_for.items() if level not in label.names}
    if not label.states_factor or not numbers:
        return
    numbers_drawn = drawn_values(values, label.name, label)
    first, last = min(numbers), max(numbers)
    slack = 2.0**-22 * max(map(abs, numbers.values()))
    ends = {
        first: ("at most", (numbers_drawn < numbers[first] - slack).any()),
        last: ("at least", (numbers_drawn > numbers[last] + slack).any()),
    }
    for level, bound in label.bounds.items():
        if bound != ends.get(level, (None,))[0]:
            yield f"value {level} is marked {bound!r} where it is no such bound"
    for level, (bound, beyond) in ends.items():
        if beyond and label.bounds.get(level) != bound:
            yield f"cells lie beyond the number of value {level}, which is not marked {bound!r}"


def drawn_values(values: Values, name: str, label: Label | None) -> np.ndarray:
    """Return the drawn values of a map, (rows, cols), in the numbers of its label."""
    factor = values.factor(name) if label is not None and label.states_factor else 1
    return values.channel(name) * np.float32(factor)


def _classes(placed: tuple[Label, Values]) -> Iterator[str]:
    """Demand the model's classes as the names of the winner's values."""
    label, values = placed
    wanted = dict(enumerate(values.facts["classes"], start=1))
    if label.name == "winner" and label.names != wanted:
        yield f"the values are named {label.names}, the model's classes are {wanted}"


@dataclass(frozen=True, eq=False)
class PlacedMap:
    """A map that a drawing must show.

    Attributes
    ----------
    name : str
    values : Values
    record : dict
        The result's provenance.
    label : Label or None
        The label of the same map, whose colours the drawing has.
    """

    name: str
    values: Values
    record: dict[str, Any]
    label: Label | None

    @cached_property
    def drawn_values(self) -> np.ndarray:
        """The drawn value of each cell, (rows, cols); NaN where none is."""
        return drawn_values(self.values, self.name, self.label)

    @cached_property
    def alpha(self) -> np.ndarray:
        """The opacity of each cell, (rows, cols) in 0..255."""
        options, tissue = self.record["options"], self.values.tissue
        # Results of earlier versions all fade.
        if not self.values.fades(self.name) or options.get("fade") == "none":
            known = tissue & ~np.isnan(self.values.channel(self.name))
            return np.rint(known * options["att_alpha"] * 255)
        ends = self.record["scaling"]["ranges"]["attention"][0]
        attention = np.nan_to_num(self.values.channel("attention").astype(np.float64), nan=-np.inf)
        position = (attention - ends["lower"]) / (ends["upper"] - ends["lower"])
        # A tile may have an attention and lack another value.
        known = ~np.isnan(self.values.channel(self.name))
        return np.rint(known * np.clip(position, 0, 1) * options["score_alpha"] * 255)


def _overlay(placed: tuple[Overlay, PlacedMap]) -> Iterator[str]:
    """Demand each cell's opacity and colour at its place, and nothing drawn elsewhere."""
    overlay, drawn_map = placed
    values = drawn_map.values
    um_pixel, shape = overlay.um_pixel, overlay.shapes[0]
    coarsest = 2 ** (len(overlay.pages) - 1)
    for axis, size, pixel, end in zip("yx", shape, um_pixel, values.um_slide, strict=True):
        if not end - 1e-3 * pixel <= size * pixel < end + (coarsest + 1) * pixel:
            yield f"along {axis} it ends at {size * pixel:.2f} µm, the slide at {end:.2f}"
    # Beyond the slide lies padding, in which nothing is drawn.
    rows, cols = (int(np.ceil(round(s / p, 6))) for s, p in zip(values.um_slide, um_pixel,
                                                              strict=True))  # fmt: skip
    tried = probes(values, um_pixel, Shape(min(rows, shape.rows), min(cols, shape.cols)))
    rgba = overlay.at(tried.rows, tried.cols).astype(np.int64)
    alpha = drawn_map.alpha[tried.g_rows, tried.g_cols]
    wrong = (np.abs(rgba[:, 3] - alpha) > _ONE) | ((rgba[:, 3] > 0) & (alpha == 0))
    if wrong.any():
        n = np.flatnonzero(wrong)[0]
        yield (
            f"the opacity differs from the cells' in {tried.first(wrong)}: {rgba[n, 3]} is drawn "
            f"where {alpha[n]:.0f} should be"
        )
        return
    if drawn_map.label is not None and drawn_map.label.stands_for:
        numbers_drawn = drawn_map.drawn_values[tried.g_rows, tried.g_cols]
        yield from _coloured(rgba, numbers_drawn, drawn_map.label, tried)


def _coloured(
    rgba: np.ndarray, numbers_drawn: np.ndarray, label: Label, tried: Probes
) -> Iterator[str]:
    """Demand the colour of the level nearest to the drawn value."""
    fits = np.zeros(len(numbers_drawn), bool)
    for colours in drawn_colours(numbers_drawn, label):
        fits |= (np.abs(rgba[:, :3] - colours) <= _ONE).all(axis=1) | (colours[:, 0] == ANY)
    wrong = ~fits & (rgba[:, 3] > 0)
    if wrong.any():
        n = np.flatnonzero(wrong)[0]
        yield (
            f"the colour differs from the label's colour table in {tried.first(wrong)}: "
            f"{rgba[n, :3].tolist()} is drawn where the value is {numbers_drawn[n]:g}"
        )


def cells_along(
    um_centres: np.ndarray, origin: float, cell: float, cells: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return, along an axis, the cell around each pixel's centre and whether that is certain.

    Parameters
    ----------
    um_centres : (n,) float64
        Centres of pixels in µm.
    origin, cell : float
        Where cell 0 begins, and the size of a cell, in µm.

    Returns
    -------
    (n,) int64 and (n,) bool
        -1 where no cell is; not certain at the edges of cells, where float noise decides.
    """
    places = (um_centres - origin) / cell
    index = np.floor(places).astype(np.int64)
    index[(index < 0) | (index >= cells)] = -1
    return index, np.abs(places - np.rint(places)) > _MARGIN


def drawn_colours(numbers_drawn: np.ndarray, label: Label | None) -> Iterator[np.ndarray]:
    """Yield the colours that values may be drawn in: those of the levels nearest to them.

    Parameters
    ----------
    numbers_drawn : (n,) float
        Drawn values.

    Yields
    ------
    (n, 3) int64
        ``ANY`` where the label has no colour, which another rule reports; a value half way between
        two levels has two colours.
    """
    if label is None or not label.stands_for:
        yield np.full((len(numbers_drawn), 3), ANY, np.int64)
        return
    table, _ = label.table
    known = np.flatnonzero(~np.isnan(table))
    steps = table[known]
    position = np.interp(
        np.nan_to_num(numbers_drawn.astype(np.float64)), steps, np.arange(len(steps))
    )
    for nudge in (-0.01, 0.01):
        yield label.palette[
            known[np.clip(np.rint(position + nudge), 0, len(known) - 1).astype(int)]
        ]


IMAGE_PLACE: tuple[Rule[tuple[Pyramid, Values]], ...] = (
    Rule("placement-image", "the image and labels cover the slide to a pixel", _image),
)
LABEL_PLACE: tuple[Rule[tuple[Label, Values]], ...] = (
    Rule("placement-labels", "labels show each cell's value at its µm", _label),
    Rule("label-bounds", "numbers that cells lie beyond are marked as bounds", _bounds),
    Rule("label-classes", "the values of the winner are named after the model's classes", _classes),
)
OVERLAY_PLACE: tuple[Rule[tuple[Overlay, PlacedMap]], ...] = (
    Rule("placement-overlay", "overlays show each cell's colour and opacity at its µm", _overlay),
)
