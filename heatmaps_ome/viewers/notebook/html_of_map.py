"""A map as notebooks show it by itself: a small picture and its numbers."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from heatmaps_ome.maps.numbers import number
from heatmaps_ome.viewers.notebook.drawing import draw
from heatmaps_ome.viewers.notebook.markup import block, paragraph, picture

if TYPE_CHECKING:
    from heatmaps_ome.geometry import Grid
    from heatmaps_ome.viewers.notebook.map_facts import MapFacts

_INCHES, _DPI = (5.0, 3.6), 100


def html_of_map(facts: MapFacts, values: np.ndarray, grid: Grid) -> str:
    """Return a map as HTML."""
    return block(
        paragraph(facts.title, bold=True),
        picture(_small_png(facts, values, grid), "png", facts.title),
        paragraph(_numbers(facts, values, grid)),
    )


def _small_png(facts: MapFacts, values: np.ndarray, grid: Grid) -> bytes:
    """Return a small picture of a map as a PNG; pyplot, which would show it too, is left alone."""
    from matplotlib.figure import Figure

    figure: Figure = Figure(_INCHES, layout="constrained")
    draw(figure.add_subplot(), facts, values, grid)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=_DPI)
    return file.getvalue()


def _numbers(facts: MapFacts, values: np.ndarray, grid: Grid) -> str:
    """Return how many cells a map has, how large they are, and how its values are spread."""
    finite = values[np.isfinite(values)]
    size = grid.um_cell
    cells = f"{finite.size} cells of tissue, {size.x:.4g} × {size.y:.4g} µm each"
    if not finite.size:
        return cells
    if facts.colours.categories:
        counts = (
            f"{name} {np.count_nonzero(finite == place)}"
            for place, name in enumerate(facts.colours.categories, start=1)
        )
        return f"{cells}: {', '.join(counts)}"
    low, middle, high = np.quantile(finite.astype(np.float64), [0, 0.5, 1]).tolist()
    spread = f"{number(low)} to {number(high)}, median {number(middle)}"
    return f"{facts.quantity_text}: {spread}; {cells}"
