"""Draws the outlines of hot and cold regions over the slide, with their names and a legend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from heatmaps_ome.display.outlines import OUTLINES
from heatmaps_ome.exporters.figures.captions import (
    drawable,
    font,
    shortened,
    width_px,
    wrapped,
)
from heatmaps_ome.exporters.figures.framed import Caption, frame
from heatmaps_ome.exporters.figures.layout import FAINT, INK, Layout, Line, pixels_of
from heatmaps_ome.maps.regions import KINDS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from heatmaps_ome.geometry import Grid, Window
    from heatmaps_ome.maps.regions import Kind, Region, Regions

_LINE_PX: Final = 2.2
"""Width of the line around a region."""
_HOLE_PX: Final = 1.4
_CASING_PX: Final = 1.3
"""White on both sides of a line, so that it is seen on tissue of any colour."""
_LEGEND_HEIGHT: Final = 10.5
"""In heights of its text."""


def drawn_regions(
    pixels: np.ndarray, extent: Grid, caption: Caption, regions: Regions
) -> tuple[np.ndarray, Window]:
    """Return a figure of the outlines over the slide, and where in it the slide is seen.

    Parameters
    ----------
    pixels : (rows, cols, 3) uint8
        The slide on ``extent``.

    Returns
    -------
    (rows, cols, 3) uint8, and a Window
    """
    around = frame(extent, caption, lambda unit, _: _LEGEND_HEIGHT * unit)
    layout, box = around.layout, around.box
    axes = layout.axes((box.col, box.row, box.cols, box.rows))
    # Above the rim around the picture, which is filled.
    axes.set_zorder(2)
    axes.imshow(pixels, interpolation="nearest", aspect="auto", extent=(0, box.cols, box.rows, 0))
    # Hot regions last: theirs are the outlines to see where both meet.
    for region in sorted(regions.regions, key=lambda region: region.kind == "hot"):
        _draw(axes, region, extent)
    for region in regions.regions:
        _name(axes, region, extent, layout.unit)
    axes.set(xlim=(0, box.cols), ylim=(box.rows, 0))
    _legend(layout, regions, around.below)
    return pixels_of(layout.figure), box


def _draw(axes: Axes, region: Region, extent: Grid) -> None:
    """Draw a region's outline and, thinner, those of its holes."""
    style = OUTLINES[region.kind]
    polygon = region.l0_polygon
    for ring, width in (
        (polygon.exterior, _LINE_PX),
        *((hole, _HOLE_PX) for hole in polygon.interiors),
    ):
        x, y = (np.asarray(ring.coords) / (extent.l0_cell.x, extent.l0_cell.y)).T
        axes.plot(x, y, color="white", linewidth=width + 2 * _CASING_PX, clip_on=True)
        axes.plot(x, y, **_pen(style.colour, style.dash, width))


def _pen(colour: str, dash: tuple[int, ...], width: float) -> dict[str, Any]:
    """Return matplotlib's arguments for a line; its dashes are in widths of the line."""
    lengths = tuple(length / width for length in dash)
    return {
        "color": colour,
        "linewidth": width,
        "linestyle": (0, lengths) if dash else "-",
        "dash_capstyle": "butt",
    }


def _name(axes: Axes, region: Region, extent: Grid, unit: float) -> None:
    """Write a region's name at a place inside it, as a whole also at the edge."""
    from matplotlib.patheffects import withStroke

    place = region.l0_polygon.representative_point()
    half = width_px(region.name, 0.8 * unit, bold=True) / 2 + 3
    x = float(np.clip(place.x / extent.l0_cell.x, half, max(half, extent.shape.cols - half)))
    axes.text(
        x, place.y / extent.l0_cell.y, region.name,
        color=OUTLINES[region.kind].colour, fontproperties=font(0.8 * unit, bold=True),
        ha="center", va="center", clip_on=True,
        path_effects=[withStroke(linewidth=2.5, foreground="white")],
    )  # fmt: skip


def _legend(layout: Layout, regions: Regions, box: tuple[int, int, int, int]) -> None:
    """Write the meaning of the two kinds of outlines, and of thin ones."""
    left, top, width, height = box
    sample = 3.4 * layout.unit
    for kind in KINDS:
        _sample(layout, kind, (left, top, round(sample), height))
        count = len(regions.of(kind))
        side = "for" if kind == "hot" else "against"
        text = f"{count} {kind} region{'' if count == 1 else 's'}: {side} {regions.class_name}"
        line = Line(shortened(drawable(text), layout.unit, width - sample), layout.unit, False, INK)
        layout.text(left + sample + 0.8 * layout.unit, top - 0.1 * layout.unit, line)
        top += round(1.6 * layout.unit)
        size = 0.8 * layout.unit
        for part in _criterion_lines(regions, kind, size, width):
            layout.text(left, top - 0.2 * layout.unit, Line(part, size, False, FAINT))
            top += round(1.4 * size)
        top += round(0.4 * layout.unit)
    thin = Line("thin lines: holes, which are no part of a region", 0.8 * layout.unit, False, FAINT)
    layout.text(left, top, thin)


def _criterion_lines(regions: Regions, kind: Kind, size: float, width: float) -> list[str]:
    """Return what makes a cell hot or cold, in at most two lines."""
    text = drawable(f"cells with {regions.criterion(kind)}")
    first, *rest = wrapped(text, lambda part: width_px(part, size) <= width)
    return [first, shortened(" ".join(rest), size, width)] if rest else [first]


def _sample(layout: Layout, kind: Kind, box: tuple[int, int, int, int]) -> None:
    """Draw a piece of a kind's outline on grey, on which its casing is seen."""
    style = OUTLINES[kind]
    axes = layout.axes(box)
    axes.set_facecolor("#c9b6c4")
    axes.plot([0, 1], [0.5, 0.5], color="white", linewidth=_LINE_PX + 2 * _CASING_PX)
    axes.plot([0, 1], [0.5, 0.5], **_pen(style.colour, style.dash, _LINE_PX))
    axes.set(xlim=(0, 1), ylim=(0, 1))
