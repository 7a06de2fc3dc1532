"""Draws a map of two results: A, B and B − A with shared scales, and A against B cell by cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from heatmaps_ome.display.colour import colour_map as colour_map_of
from heatmaps_ome.display.rendering import Style
from heatmaps_ome.exporters.figures.captions import (
    RESEARCH,
    drawable,
    font,
    number,
    scale_bar,
    shortened,
)
from heatmaps_ome.exporters.figures.layout import DPI, FAINT, INK, Layout, Line, pixels_of
from heatmaps_ome.geometry import YX, Window
from heatmaps_ome.maps.kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.axes import Axes
    from shapely.geometry.base import BaseGeometry

    from heatmaps_ome.display.scaling import Range
    from heatmaps_ome.run.comparison.agreement import RegionPair
    from heatmaps_ome.run.comparison.common_cells import CommonCells
    from heatmaps_ome.run.comparison.quantities import Compared, Sorted
    from heatmaps_ome.run.comparison.scales import MapScale
    from heatmaps_ome.run.comparison.statistics import Numbers

DIFFERENCES: Final = "BrBG"
"""Colour map of B − A: another one than any map's own, and clear to all colour vision."""
_WIDTH, _HEIGHT, _HEAD, _FOOT = 440, 470, 62, 30
"""Size in px of a panel, and of the strips above and below all panels."""
_MAP_HEIGHT = _HEIGHT - 116
_MARGIN, _UNIT = 14, 14
_INNER = _WIDTH - 2 * _MARGIN
"""Width of a panel between its margins."""
_GLASS = "#e4e4e6"
_ONLY_A, _ONLY_B, _BOTH = "#0072b2", "#e69f00", "#3d2b56"
_DIFFERENT, _SAME = "#b2182b", "#c9c9cd"
_BINS: Final = 44


@dataclass(frozen=True, eq=False)
class Pictures:
    """The panels of a map, side by side in one picture.

    Attributes
    ----------
    whole : (rows, cols, 3) uint8
        With a title above and the notice below.
    titles : tuple of str
        One for each panel.
    """

    whole: np.ndarray
    titles: tuple[str, ...]

    def panels(self) -> list[np.ndarray]:
        """Return the panels alone, (rows, cols, 3) uint8 each."""
        rows = slice(_HEAD, _HEAD + _HEIGHT)
        return [
            self.whole[rows, index * _WIDTH : (index + 1) * _WIDTH]
            for index in range(len(self.titles))
        ]


@dataclass(frozen=True, eq=False)
class _Panel:
    """A panel: its title, and the function that draws it into a box of a figure."""

    title: str
    draw: Callable[[Layout, int], None]


@dataclass(frozen=True)
class Headings:
    """The words above all panels.

    Attributes
    ----------
    slide : str
    names : tuple of two str
        Of A and B.
    """

    slide: str
    names: tuple[str, str]


def drawn_map(
    compared: Compared, scale: MapScale, cells: CommonCells, numbers: Numbers, words: Headings
) -> Pictures:
    """Return the pictures of a map: A, B, B − A, and A against B."""
    own = _colour_map(compared.quantity.kind)
    low, high, beyond = scale.clips
    bar = (scale.values, own, compared.quantity.unit, (low, high))
    differing = (scale.difference, DIFFERENCES, compared.quantity.unit, (beyond, beyond))
    titles = (
        f"A: {words.names[0]}",
        f"B: {words.names[1]}",
        "B \u2212 A",
        "B against A, number of cells",
    )
    maps = ((compared.a, bar), (compared.b, bar), (compared.b - compared.a, differing))
    panels = [
        _Panel(title, _cells_panel(values, cells, *how))
        for title, (values, how) in zip(titles, maps, strict=False)
    ]
    panels.append(_Panel(titles[3], _scatter_panel(compared, scale, numbers)))
    return _whole(panels, words.slide, f"{compared.quantity.name} ({compared.quantity.text})")


def drawn_categories(maps: Sorted, cells: CommonCells, words: Headings) -> Pictures:
    """Return the pictures of two maps of categories: A, B, and where they differ."""
    names = ["none", *dict.fromkeys([*maps.categories[0], *maps.categories[1]])]
    planes = [
        _renumbered(values, own, names)
        for values, own in ((maps.a, maps.categories[0]), (maps.b, maps.categories[1]))
    ]
    colours = [maps.colours.get(name, "#ffffff") for name in names]
    differ = np.where(np.isfinite(planes[0]), planes[0] != planes[1], np.nan)
    legend = list(zip(names[1:], colours[1:], strict=True))
    agreement = [("the same", _SAME), ("not the same", _DIFFERENT)]
    panels = [
        _Panel(f"A: {words.names[0]}", _sorted_panel(planes[0], colours, legend, cells)),
        _Panel(f"B: {words.names[1]}", _sorted_panel(planes[1], colours, legend, cells)),
        _Panel("Where they differ", _sorted_panel(differ, [_SAME, _DIFFERENT], agreement, cells)),
    ]
    return _whole(panels, words.slide, maps.name)


def drawn_regions(
    pairs: Sequence[RegionPair], cells: CommonCells, class_name: str, words: Headings
) -> Pictures:
    """Return the pictures of hot and cold regions: of A alone, of B alone, of both."""
    panels = [
        _Panel(f"{pair.kind.capitalize()} regions", _regions_panel(pair, cells)) for pair in pairs
    ]
    return _whole(panels, words.slide, f"Regions for and against {class_name}")


def _colour_map(kind: str) -> str:
    """Return the colour map that a run draws a kind in."""
    return Style().colour_map(KINDS[kind])


def _whole(panels: Sequence[_Panel], slide: str, title: str) -> Pictures:
    """Return panels side by side, with words above and below."""
    from matplotlib.figure import Figure

    size = len(panels) * _WIDTH, _HEAD + _HEIGHT + _FOOT
    figure = Figure(figsize=(size[0] / DPI, size[1] / DPI), dpi=DPI, facecolor="white")
    layout = Layout(figure, size, _UNIT)
    width = size[0] - 2 * _MARGIN
    _write(layout, (_MARGIN, 10), slide, 1.25 * _UNIT, width, bold=True)
    _write(layout, (_MARGIN, 34), title, 1.1 * _UNIT, width)
    _write(layout, (_MARGIN, size[1] - 22), RESEARCH, 0.85 * _UNIT, width, colour=FAINT)
    for index, panel in enumerate(panels):
        left = index * _WIDTH
        _write(layout, (left + _MARGIN, _HEAD + 4), panel.title, _UNIT, _INNER, bold=True)
        panel.draw(layout, left)
    return Pictures(pixels_of(figure), tuple(panel.title for panel in panels))


def _write(
    layout: Layout,
    place: tuple[float, float],
    text: str,
    size: float,
    width: float,
    *,
    bold: bool = False,
    colour: str = INK,
) -> None:
    """Write a text that is cut to a width."""
    layout.text(*place, Line(shortened(drawable(text), size, width), size, bold, colour))


def _cells_panel(
    values: np.ndarray,
    cells: CommonCells,
    ends: Range,
    colour_map: str,
    unit: str,
    clips: tuple[bool, bool],
) -> Callable[[Layout, int], None]:
    """Return what draws a map of a quantity with its colour bar."""

    def draw(layout: Layout, left: int) -> None:
        axes = _map_axes(layout, left)
        _show(axes, values, cells, cmap=colour_map_of(colour_map), vmin=ends.lower, vmax=ends.upper)
        _scale(layout, left, axes)
        _bar(layout, left, ends, colour_map, unit, clips)

    return draw


def _sorted_panel(
    values: np.ndarray,
    colours: Sequence[str],
    legend: Sequence[tuple[str, str]],
    cells: CommonCells,
) -> Callable[[Layout, int], None]:
    """Return what draws a map of categories with its legend."""

    def draw(layout: Layout, left: int) -> None:
        from matplotlib.colors import ListedColormap

        axes = _map_axes(layout, left)
        _show(axes, values, cells, cmap=ListedColormap(list(colours)),
              vmin=-0.5, vmax=len(colours) - 0.5)  # fmt: skip
        _scale(layout, left, axes)
        _legend(layout, left, legend)

    return draw


def _regions_panel(pair: RegionPair, cells: CommonCells) -> Callable[[Layout, int], None]:
    """Return what draws the regions of A alone, of B alone, and of both."""

    def draw(layout: Layout, left: int) -> None:
        axes = _map_axes(layout, left)
        tissue = np.where(cells.tissues[0] | cells.tissues[1], 0.0, np.nan)
        _show(axes, tissue, cells, cmap="Greys", vmin=0, vmax=1)
        both = pair.a.intersection(pair.b)
        for shape, colour in (
            (pair.a.difference(pair.b), _ONLY_A), (pair.b.difference(pair.a), _ONLY_B),
            (both, _BOTH),
        ):  # fmt: skip
            _fill(axes, shape, colour, cells)
        _scale(layout, left, axes)
        _legend(layout, left, [("A alone", _ONLY_A), ("B alone", _ONLY_B), ("both", _BOTH)])

    return draw


def _scatter_panel(
    compared: Compared, scale: MapScale, numbers: Numbers
) -> Callable[[Layout, int], None]:
    """Return what draws how many cells have which values in A and B."""

    def draw(layout: Layout, left: int) -> None:
        known = np.isfinite(compared.a) & np.isfinite(compared.b)
        first, second = compared.a[known], compared.b[known]
        side = _INNER - 62
        axes = layout.axes((left + _MARGIN + 58, _HEAD + 32, side, side))
        _write(layout, (left + _MARGIN, _HEAD + _HEIGHT - 22), _correlation_text(numbers),
               0.9 * _UNIT, _INNER)  # fmt: skip
        if not first.size:
            return
        joined = np.concatenate([first, second])
        low, high = float(joined.min()), float(joined.max())
        if high <= low:
            low, high = scale.values.lower, scale.values.upper
        axes.hexbin(first, second, gridsize=_BINS, extent=(low, high, low, high), bins="log",
                    mincnt=1, cmap="viridis", linewidths=0.1)  # fmt: skip
        axes.plot([low, high], [low, high], color=FAINT, linewidth=1, linestyle="--")
        margin = 0.03 * (high - low)
        axes.set(xlim=(low - margin, high + margin), ylim=(low - margin, high + margin))
        _number_both_axes(axes, low, high)

    return draw


def _number_both_axes(axes: Axes, low: float, high: float) -> None:
    """Write numbers and the names A and B at the axes of a scatter plot."""
    ticks = [low, (low + high) / 2, high]
    texts = [number(tick, high - low) for tick in ticks]
    axes.set_xticks(ticks, texts, fontproperties=font(0.85 * _UNIT))
    axes.set_yticks(ticks, texts, fontproperties=font(0.85 * _UNIT))
    axes.tick_params(length=3, color=FAINT, labelcolor=INK, pad=2)
    axes.set_xlabel("A", fontproperties=font(_UNIT), labelpad=1)
    axes.set_ylabel("B", fontproperties=font(_UNIT), labelpad=1)


def _correlation_text(numbers: Numbers) -> str:
    """Return the correlations in words, or why there are none."""
    if numbers.pearson is None or numbers.spearman is None:
        return f"no correlation: {numbers.undefined}"
    return (
        f"Pearson {number(numbers.pearson, 1.0)}, Spearman {number(numbers.spearman, 1.0)}, "
        f"{numbers.cells} cells"
    )


def _map_axes(layout: Layout, left: int) -> Axes:
    """Return the axes of a panel's map."""
    axes = layout.axes((left + _MARGIN, _HEAD + 32, _INNER, _MAP_HEIGHT))
    axes.set_facecolor(_GLASS)
    return axes


def _show(axes: Axes, values: np.ndarray, cells: CommonCells, **colouring: Any) -> None:
    """Draw cells at their places in µm, the part of the slide that has tissue."""
    part, grid = _tissue_window(cells), cells.lattice
    (top, left), (bottom, right) = (
        grid.um_from_g(YX(*corner))
        for corner in ((part.row, part.col), (part.row_stop, part.col_stop))
    )
    axes.imshow(
        np.ma.masked_invalid(values[part.slices]), extent=(left, right, bottom, top),
        interpolation="nearest", aspect="auto", **colouring,
    )  # fmt: skip
    # The box keeps its size, and µm are as long in x as in y: what is beside the map is glass.
    um_per_px = max((right - left) / _INNER, (bottom - top) / _MAP_HEIGHT)
    middle, half = YX((top + bottom) / 2, (left + right) / 2), um_per_px / 2
    axes.set(
        xlim=(middle.x - half * _INNER, middle.x + half * _INNER),
        ylim=(middle.y + half * _MAP_HEIGHT, middle.y - half * _MAP_HEIGHT),
    )


def _tissue_window(cells: CommonCells) -> Window:
    """Return the cells around the tissue of either result; all where there is none."""
    rows, cols = np.nonzero(cells.tissues[0] | cells.tissues[1])
    if not rows.size:
        return Window(0, 0, *cells.lattice.shape)
    size = int(np.ptp(rows)) + 1, int(np.ptp(cols)) + 1
    box = Window(int(rows.min()), int(cols.min()), *size)
    return box.grown(max(1, max(size) // 25), cells.lattice.shape)


def _scale(layout: Layout, left: int, axes: Axes) -> None:
    """Draw a scale bar at the foot of a panel."""
    left_um, right_um = axes.get_xlim()
    um_per_px = (right_um - left_um) / _INNER
    um, text = scale_bar(0.24 * _INNER * um_per_px)
    top = _HEAD + _HEIGHT - 74
    layout.fill(left + _MARGIN, top, um / um_per_px, 4, INK)
    _write(layout, (left + _MARGIN, top + 8), text, 0.9 * _UNIT, _INNER)


def _bar(
    layout: Layout,
    left: int,
    ends: Range,
    colour_map: str,
    unit: str,
    clips: tuple[bool, bool],
) -> None:
    """Draw a colour bar with numbers at its ends and in its middle, and its unit below."""
    width, place = round(0.62 * _INNER), left + _WIDTH - _MARGIN - round(0.62 * _INNER)
    top = _HEAD + _HEIGHT - 76
    axes = layout.axes((place, top, width, 14))
    axes.imshow(
        np.linspace(0, 1, 256)[None],
        extent=(0, 1, 0, 1),
        cmap=colour_map_of(colour_map),
        aspect="auto",
    )
    span, size = ends.upper - ends.lower, 0.9 * _UNIT
    signs = ("\u2264 " * clips[0], "", "\u2265 " * clips[1])
    values = (ends.lower, (ends.lower + ends.upper) / 2, ends.upper)
    aligns = ("left", "center", "right")
    for index, (sign, value, align) in enumerate(zip(signs, values, aligns, strict=True)):
        line = Line(sign + number(value, span), size, False, INK)
        layout.text(place + index * width / 2, top + 18, line, align)
    _write(layout, (place, top + 38), unit, size, width, colour=FAINT)


def _legend(layout: Layout, left: int, entries: Sequence[tuple[str, str]]) -> None:
    """Draw swatches with names, in two columns right of the scale bar."""
    place, top = left + _MARGIN + round(0.3 * _INNER), _HEAD + _HEIGHT - 78
    width = round(0.35 * _INNER)
    for index, (name, colour) in enumerate(entries[:6]):
        x, y = place + index % 2 * width, top + index // 2 * 20
        layout.fill(x, y, 14, 14, colour)
        _write(layout, (x + 20, y), name, 0.9 * _UNIT, width - 24)


def _fill(axes: Axes, shape: BaseGeometry, colour: str, cells: CommonCells) -> None:
    """Fill polygons in level-0 pixels, with their holes left out."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path as Outline

    mpp = cells.lattice.mpp
    for polygon in getattr(shape, "geoms", [shape]):
        if polygon.is_empty or polygon.geom_type != "Polygon":
            continue
        rings = [np.asarray(ring.coords) for ring in (polygon.exterior, *polygon.interiors)]
        outline = Outline.make_compound_path(
            *(Outline(ring * (mpp.x, mpp.y), closed=True) for ring in rings)
        )
        axes.add_patch(PathPatch(outline, facecolor=colour, linewidth=0))


def _renumbered(values: np.ndarray, own: Sequence[str], names: Sequence[str]) -> np.ndarray:
    """Return values 1, 2, … of a map's own categories as places in a common list."""
    places = np.array([0, *(names.index(name) for name in own)], float)
    known = np.isfinite(values)
    numbers = np.where(known, np.nan_to_num(values), 0).astype(np.int64)
    return np.where(known, places[np.clip(numbers, 0, len(own))], np.nan)
