"""One map in Python: its values, their places and unit, and a picture."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from heatmaps_ome.geometry import YX
from heatmaps_ome.viewers.notebook.drawing import draw, new_axes
from heatmaps_ome.viewers.notebook.html_of_map import html_of_map
from heatmaps_ome.viewers.notebook.map_facts import MapFacts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from heatmaps_ome.geometry import Grid


@dataclass(frozen=True, eq=False)
class MapValues(MapFacts):
    """One map of a slide; numpy functions take it as an array.

    Attributes
    ----------
    values : (rows, cols) float32, read-only
        NaN off tissue. In a map of categories: 1 for the first category, 2 for
        the second, …, and 0 for tissue in none of them.
    grid : Grid
        Where the cells lie on the slide.

    Examples
    --------
    >>> from heatmaps_ome.geometry import Grid, Shape
    >>> from heatmaps_ome.viewers.notebook.map_facts import ColourScale
    >>> grid = Grid(Shape(1, 3), l0_cell=YX(64, 64), l0_origin=YX(0, 0), mpp=YX(0.5, 0.5))
    >>> cells = np.array([[0.25, np.nan, 0.75]], np.float32)
    >>> scale = ColourScale("coolwarm", lower=0, upper=1)
    >>> score = MapValues(
    ...     "score", "tumour", "Score of tumour", "probability of tumour", "probability", scale,
    ...     values=cells, grid=grid,
    ... )
    >>> score.at(x_um=70, y_um=10), score.at(x_px=140, y_px=20), score.at(x_um=40, y_um=10)
    (0.75, 0.75, nan)
    >>> float(np.nanmean(score))
    0.5
    """

    values: np.ndarray = field(repr=False)
    grid: Grid

    @property
    def categories(self) -> tuple[str, ...]:
        """Names of the values 1, 2, …; empty for quantities."""
        return self.colours.categories

    def at(
        self,
        *,
        x_um: float | None = None,
        y_um: float | None = None,
        x_px: float | None = None,
        y_px: float | None = None,
    ) -> float:
        """Return the value of the cell around a place on the slide; NaN off tissue.

        Parameters
        ----------
        x_um, y_um : float
            The place in µm to the right of and below the slide's upper left corner; or
        x_px, y_px : float
            in level-0 pixels from there: 0.5 is the middle of the first pixel.

        Raises
        ------
        TypeError
            If the place is not given in exactly one of the two ways.
        ValueError
            If the place is not on the map.
        """
        if y_um is not None and x_um is not None and x_px is None and y_px is None:
            g = self.grid.g_from_um(YX(y_um, x_um))
        elif y_px is not None and x_px is not None and x_um is None and y_um is None:
            g = self.grid.g_from_l0(YX(y_px, x_px))
        else:
            raise TypeError("give a place either as x_um and y_um or as x_px and y_px")
        rows, cols = self.grid.shape
        # NaN is nowhere.
        if not (0 <= g.y < rows and 0 <= g.x < cols):
            raise ValueError(self._off_the_map(in_um=x_um is not None))
        return float(self.values[math.floor(g.y), math.floor(g.x)])

    def show(self, ax: Axes | None = None) -> Axes:
        """Draw the map, each cell at its place in µm, with a colour bar.

        Colours and their range are those of the run's other pictures; a map that the run did not
        draw has the range of this slide alone. Contributions and evidence are drawn times the
        slide's cells, as in all pictures; ``values`` are raw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; by default in a new figure.

        Returns
        -------
        matplotlib Axes
        """
        axes = new_axes() if ax is None else ax
        draw(axes, self, self.values, self.grid)
        return axes

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Return the values, for numpy."""
        # numpy 1 knows no copy=None, and takes it for False: a copy only where it is needed.
        return np.array(self.values, dtype=dtype, copy=copy)  # pyright: ignore[reportArgumentType]

    def _repr_html_(self) -> str:
        return html_of_map(self, self.values, self.grid)

    def _off_the_map(self, *, in_um: bool) -> str:
        """Return where the map lies, for a place that is not on it."""
        rows, cols = self.grid.shape
        first, last = YX(0, 0), YX(rows, cols)
        place = self.grid.um_from_g if in_um else self.grid.l0_from_g
        (top, left), (bottom, right) = place(first), place(last)
        unit = "µm" if in_um else "level-0 pixels"
        return (
            f"this place is not on the map, which lies from x {left:.6g} to {right:.6g} and from "
            f"y {top:.6g} to {bottom:.6g} {unit}"
        )
