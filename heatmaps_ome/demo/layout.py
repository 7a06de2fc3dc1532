"""Lays out the demo slide: outlines of tissue, islands, lumina, fat and vessels, no pixels yet."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from heatmaps_ome.demo.nuclei import jittered_lattice
from heatmaps_ome.errors import OptionError

UM_ISLAND_RADIUS = (160.0, 450.0)
_TRIES = 300


@dataclass(frozen=True)
class Disc:
    """A round structure, in level-0 pixels."""

    l0_y: float
    l0_x: float
    l0_radius: float


@dataclass(frozen=True)
class Layout:
    """Places of all structures on one demo slide, in level-0 pixels.

    Attributes
    ----------
    tissue, islands : tuple of (n, 2) float64 arrays
        Outlines, (y, x), not closed.
    lumina, fat, vessels : tuple of Disc
        Gland lumina inside the islands; fat cells and vessels outside them.
    """

    tissue: tuple[np.ndarray, ...]
    islands: tuple[np.ndarray, ...]
    lumina: tuple[Disc, ...]
    fat: tuple[Disc, ...]
    vessels: tuple[Disc, ...]


def blob(
    rng: np.random.Generator, centre: tuple[float, float], radii: tuple[float, float], bumps: float
) -> np.ndarray:
    """Return an irregular, smooth, star-shaped outline: (144, 2) float64, (y, x).

    Parameters
    ----------
    centre, radii : (float, float)
        Along y and x.
    bumps : float
        Strength of the irregularity, relative to the radius.
    """
    turn = np.linspace(0, 2 * np.pi, 144, endpoint=False)
    radius = np.ones_like(turn)
    for order in range(2, 9):
        strength = rng.normal(0, bumps / order**0.8)
        radius += strength * np.cos(order * turn + rng.uniform(0, 2 * np.pi))
    radius = np.clip(radius, 0.55, 1.4)
    y = centre[0] + radii[0] * radius * np.sin(turn)
    x = centre[1] + radii[1] * radius * np.cos(turn)
    return np.stack([y, x], axis=1)


def inside(outline: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return (n,) bool: which of the (n, 2) points, (y, x), lie inside a closed outline."""
    from matplotlib.path import Path as Outline

    return Outline(outline).contains_points(points)


def inside_any(outlines: tuple[np.ndarray, ...], points: np.ndarray) -> np.ndarray:
    """Return (n,) bool: which of the (n, 2) points lie inside at least one outline."""
    is_inside = np.zeros(len(points), dtype=bool)
    for outline in outlines:
        is_inside |= inside(outline, points)
    return is_inside


def plan_layout(
    rng: np.random.Generator,
    l0_size: tuple[int, int],
    mpp: float,
    islands: int | None,
) -> Layout:
    """Return a random layout; with ``islands=None`` their number follows from the slide's area.

    Raises
    ------
    OptionError
        When the slide is too small for that many islands.
    """
    height, width = l0_size
    main = blob(rng, (height / 2, width / 2), (0.43 * height, 0.43 * width), 0.07)
    tissue = (np.clip(main, 0.03 * min(l0_size), [0.97 * height, 0.97 * width]),)
    if islands is None:
        mm2 = height * width * mpp**2 / 1e6
        islands = max(1, round(mm2 * rng.uniform(0.4, 0.65)))
    placed: list[np.ndarray] = []
    for number in range(islands):
        outline = _place_island(rng, tissue[0], placed, l0_size, mpp)
        if outline is None:
            raise OptionError(
                f"a demo slide of {width} x {height} pixels at {mpp} um/px has room for {number} "
                f"tumour islands, not {islands}; ask for fewer or for a larger slide"
            )
        placed.append(outline)
    done = tuple(placed)
    fat = _place_fat(rng, tissue[0], done, mpp)
    vessels = _place_vessels(rng, tissue[0], done, mpp)
    return Layout(tissue, done, _place_lumina(rng, done, mpp), fat, vessels)


def _place_island(
    rng: np.random.Generator,
    tissue: np.ndarray,
    placed: list[np.ndarray],
    l0_size: tuple[int, int],
    mpp: float,
) -> np.ndarray | None:
    """Return an outline inside the tissue and clear of the others; it shrinks as tries fail."""
    largest = min(UM_ISLAND_RADIUS[1] / mpp, 0.2 * min(l0_size))
    smallest = min(UM_ISLAND_RADIUS[0] / mpp, 0.5 * largest)
    low, high = tissue.min(axis=0), tissue.max(axis=0)
    for attempt in range(_TRIES):
        limit = largest + (smallest - largest) * attempt / _TRIES
        radius = rng.uniform(smallest, limit)
        centre = rng.uniform(low, high)
        stretch = rng.uniform(0.8, 1.2)
        outline = blob(rng, (centre[0], centre[1]), (radius * stretch, radius / stretch), 0.17)
        wide = centre + (outline - centre) * 1.25
        clear = all(
            np.min(np.linalg.norm(wide[:, None] - other[None], axis=2)) > 25 / mpp
            and not inside(other, wide).any()
            and not inside(wide, other).any()
            for other in placed
        )
        if clear and inside(tissue, wide).all():
            return outline
    return None


def _place_lumina(
    rng: np.random.Generator, islands: tuple[np.ndarray, ...], mpp: float
) -> tuple[Disc, ...]:
    """Return gland lumina, some of the lattice points that lie well inside an island."""
    discs = []
    for island in islands:
        centre = island.mean(axis=0)
        box = (*island.min(axis=0), *island.max(axis=0))
        points = jittered_lattice(rng, box, 95 / mpp, 0.2)
        points = points[inside(centre + (island - centre) * 0.8, points)]
        points = points[rng.random(len(points)) < 0.3]
        discs += [Disc(y, x, rng.uniform(7, 20) / mpp) for y, x in points.tolist()]
    return tuple(discs)


def _place_fat(
    rng: np.random.Generator, tissue: np.ndarray, islands: tuple[np.ndarray, ...], mpp: float
) -> tuple[Disc, ...]:
    """Return packed fat cells in one to three lobules outside the islands."""
    low, high = tissue.min(axis=0), tissue.max(axis=0)
    discs = []
    for _ in range(rng.integers(1, 4)):
        centre = rng.uniform(low, high)
        um_radius = rng.uniform(120, 380) * min(1.0, np.min(high - low) * mpp / 2200)
        lobule = blob(rng, (centre[0], centre[1]), (um_radius / mpp, um_radius / mpp), 0.15)
        box = (*lobule.min(axis=0), *lobule.max(axis=0))
        points = jittered_lattice(rng, box, 58 / mpp, 0.09)
        points = points[inside(lobule, points) & inside(tissue, points)]
        discs += [Disc(y, x, rng.uniform(25, 29.5) / mpp) for y, x in points.tolist()]
    return _clear_of(discs, islands)


def _place_vessels(
    rng: np.random.Generator, tissue: np.ndarray, islands: tuple[np.ndarray, ...], mpp: float
) -> tuple[Disc, ...]:
    """Return vessels, about four per mm², outside the islands."""
    box = (*tissue.min(axis=0), *tissue.max(axis=0))
    points = jittered_lattice(rng, box, 300 / mpp, 0.3)
    points = points[inside(tissue, points) & (rng.random(len(points)) < 0.35)]
    discs = [Disc(y, x, rng.uniform(10, 38) / mpp) for y, x in points.tolist()]
    return _clear_of(discs, islands)


def _clear_of(discs: list[Disc], islands: tuple[np.ndarray, ...]) -> tuple[Disc, ...]:
    """Return the discs that touch no island."""
    if not discs:
        return ()
    turn = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    ring = np.stack([np.sin(turn), np.cos(turn)], axis=1) * 1.6
    free = [
        not inside_any(islands, np.array([disc.l0_y, disc.l0_x]) + ring * disc.l0_radius).any()
        for disc in discs
    ]
    return tuple(disc for disc, keep in zip(discs, free, strict=True) if keep)
