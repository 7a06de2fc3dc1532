"""Draws a map with matplotlib: cells at their places in µm, colours of the run, a colour bar."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from heatmaps_ome.display.colour import colour_map
from heatmaps_ome.geometry import YX

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

    from heatmaps_ome.geometry import Grid
    from heatmaps_ome.viewers.notebook.map_facts import ColourScale, MapFacts

_OFF_TISSUE = "0.85"
"""Grey: the middle of a diverging colour map is nearly white."""


def new_axes() -> Axes:
    """Return the axes of a new figure, which notebooks show."""
    import matplotlib.pyplot as plt

    return plt.subplots(layout="constrained")[1]


def draw(axes: Axes, facts: MapFacts, values: np.ndarray, grid: Grid) -> AxesImage:
    """Draw a map on axes, with a colour bar beside them, and return its image.

    Parameters
    ----------
    values : (rows, cols) float32
        The map's; contributions are drawn times the slide's cells.
    """
    image = axes.imshow(
        values * np.float32(facts.colours.factor), extent=um_extent(grid), origin="upper",
        interpolation="nearest", aspect="equal", **_colouring(facts.colours),
    )  # fmt: skip
    axes.set_facecolor(_OFF_TISSUE)
    axes.set_xlabel("x (µm)")
    axes.set_ylabel("y (µm)")
    # A class may be called "$", which would begin a formula.
    axes.set_title(facts.title, parse_math=False)
    extend = {(True, False): "min", (False, True): "max", (True, True): "both"}
    bar = axes.figure.colorbar(image, ax=axes, extend=extend.get(facts.colours.clips, "neither"))
    bar.set_label(facts.colours.quantity or facts.quantity_text, parse_math=False)
    names = facts.colours.categories
    if facts.colours.colours:
        bar.set_ticks(list(range(1, len(names) + 1)))
        bar.ax.set_yticklabels(names, parse_math=False)
        bar.ax.minorticks_off()
    return image


def um_extent(grid: Grid) -> tuple[float, float, float, float]:
    """Return the outer edges of a grid's cells in µm: left, right, bottom, top.

    >>> from heatmaps_ome.geometry import Grid, Shape
    >>> um_extent(Grid(Shape(2, 3), YX(64, 64), YX(-32, 0), YX(0.5, 0.5)))
    (0.0, 96.0, 48.0, -16.0)
    """
    (top, left), (bottom, right) = grid.um_origin, grid.um_from_g(YX(*grid.shape))
    return left, right, bottom, top


def _colouring(colours: ColourScale) -> dict[str, Any]:
    """Return how imshow colours a map's values: white where tissue is in no category."""
    if not colours.colours:
        return {
            "cmap": colour_map(colours.colour_map),
            "vmin": colours.lower,
            "vmax": colours.upper,
        }
    from matplotlib.colors import BoundaryNorm, ListedColormap

    n_colours = len(colours.colours)
    cmap = ListedColormap(list(colours.colours)).with_extremes(under="white")
    return {"cmap": cmap, "norm": BoundaryNorm(np.arange(n_colours + 1) + 0.5, n_colours)}
