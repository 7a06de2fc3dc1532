"""One lattice for the maps of two results, and their values on it by place."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from heatmaps_ome.geometry import YX, Shape, sample

if TYPE_CHECKING:
    from heatmaps_ome.geometry import Grid
    from heatmaps_ome.maps.heatmap_set import HeatmapSet

_ALIKE = 1e-9
"""Largest relative difference of two lattices' numbers that are the same."""
_ON_A_LINE = 1e-6
"""Part of a cell that may stick out of a lattice, as float noise."""


def common_lattice(a: Grid, b: Grid) -> Grid:
    """Return the finer of two lattices, grown by whole cells until it covers both.

    A cell of it has the value of that cell of either map in which its middle lies: exactly its own
    on the finer map.

    >>> from heatmaps_ome.geometry import Grid
    >>> coarse = Grid(Shape(2, 2), YX(64, 64), YX(-40, 0), YX(0.5, 0.5))
    >>> fine = Grid(Shape(2, 4), YX(32, 32), YX(0, 0), YX(0.5, 0.5))
    >>> lattice = common_lattice(coarse, fine)
    >>> lattice.shape, lattice.l0_origin
    (Shape(rows=5, cols=4), YX(y=-64, x=0))
    """
    fine, coarse = sorted((a, b), key=lambda grid: math.prod(grid.l0_cell))
    top, left = fine.g_from_l0(coarse.l0_origin)
    bottom, right = fine.g_from_l0(coarse.l0_from_g(YX(*coarse.shape)))
    before = YX(_beyond(-top), _beyond(-left))
    rows = int(before.y) + fine.shape.rows + _beyond(bottom - fine.shape.rows)
    cols = int(before.x) + fine.shape.cols + _beyond(right - fine.shape.cols)
    return replace(
        fine, shape=Shape(rows, cols), l0_origin=fine.l0_from_g(YX(-before.y, -before.x))
    )


def _beyond(cells: float) -> int:
    """Return how many whole cells cover what a map reaches beyond a lattice."""
    return max(0, math.ceil(cells - _ON_A_LINE))


def same_grid(a: Grid, b: Grid) -> bool:
    """Return whether two lattices have the same cells."""
    numbers = zip((*a.l0_cell, *a.l0_origin), (*b.l0_cell, *b.l0_origin), strict=True)
    near = (math.isclose(one, other, rel_tol=_ALIKE, abs_tol=_ON_A_LINE) for one, other in numbers)
    return a.shape == b.shape and all(near)


@dataclass(frozen=True, eq=False)
class CommonCells:
    """The cells on which two results of a slide are compared.

    Attributes
    ----------
    lattice : Grid
    grids : tuple of two Grid
        Those of A and of B.
    tissues : tuple of two (rows, cols) bool
        Tissue of A and of B on the lattice.
    """

    lattice: Grid
    grids: tuple[Grid, Grid]
    tissues: tuple[np.ndarray, np.ndarray]

    @classmethod
    def of(cls, a: HeatmapSet, b: HeatmapSet) -> CommonCells:
        """Return the common cells of two sets of maps of a slide."""
        grids = (a.grid, b.grid)
        lattice = a.grid if same_grid(*grids) else common_lattice(*grids)
        tissues = (
            sample(a.tissue, a.grid, lattice, fill=False),
            sample(b.tissue, b.grid, lattice, fill=False),
        )
        return cls(lattice, grids, tissues)

    @property
    def same_grid(self) -> bool:
        """Whether both have the same cells, so that nothing is resampled."""
        return same_grid(*self.grids)

    @cached_property
    def tissue(self) -> np.ndarray:
        """Cells that are tissue in both, (rows, cols) bool."""
        return self.tissues[0] & self.tissues[1]

    @property
    def mm2_per_cell(self) -> float:
        """Area of a cell in mm²."""
        return math.prod(self.lattice.um_cell) / 1e6

    def placed(self, values: np.ndarray, side: int) -> np.ndarray:
        """Return a map of A (0) or B (1) on the lattice, float64; NaN off the common tissue."""
        own = sample(values.astype(np.float64), self.grids[side], self.lattice, fill=np.nan)
        return np.where(self.tissue, own, np.nan)
