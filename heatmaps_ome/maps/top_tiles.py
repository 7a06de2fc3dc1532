"""Picks the tiles of a slide that speak most for and against a class; they do not overlap."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from heatmaps_ome.features.pooling import TILE_CELLS
from heatmaps_ome.geometry import YX
from heatmaps_ome.maps.evidence import evidence
from heatmaps_ome.maps.kinds import CONTRIBUTION, SCORE
from heatmaps_ome.maps.numbers import is_next_to_nothing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from heatmaps_ome.maps.heatmap_set import HeatmapSet

Kind = Literal["top", "bottom"]
"""Whether a tile speaks for the class or against it."""


class L0Window(NamedTuple):
    """A rectangle in level-0 pixels; parts of it may lie off the slide."""

    y: float
    x: float
    rows: float
    cols: float


@dataclass(frozen=True)
class PickedTile:
    """A tile as large as those that the model was trained on, around one cell.

    Attributes
    ----------
    kind : "top" or "bottom"
    rank : int
        1 for the tile whose middle speaks most for the class, or against it.
    l0_window : L0Window
        ``TILE_CELLS`` × ``TILE_CELLS`` cells; at its true place, also over the slide's edge.
    um_centre : YX
        Its middle in µm from the slide's top left corner.
    score : float, in [0, 1]
        Class probability of the middle cell, whose feature is averaged over just this tile.
    contribution : float, logits
        That of the middle cell; NaN where the model's head is not affine.
    share : float, in [0, 1]
        The tile's cells' part of all evidence that speaks the same way; NaN likewise, and where
        all of it is next to nothing beside the evidence to the contrary.
    """

    kind: Kind
    rank: int
    l0_window: L0Window
    um_centre: YX
    score: float
    contribution: float
    share: float


def picked_tiles(heatmaps: HeatmapSet, class_name: str, count: int) -> tuple[PickedTile, ...]:
    """Return the tiles that speak most for a class, then those that speak most against it.

    A tile is worth the evidence of its middle cell (see `evidence`), whose pooled feature stands
    for the tile, or, where the head is not affine, its score beyond chance. The best is taken
    first, then the best that overlaps none taken, and so on; among equals the first in reading
    order. A tile that speaks for the class is never a bottom tile, and one against it never a top
    tile, so that there may be fewer of them than requested, or none.

    Parameters
    ----------
    count : int
        Tiles of each kind at most.
    """
    own = evidence(heatmaps, class_name)
    score = heatmaps.map(SCORE, class_name)
    value = _value(own, score, heatmaps.chance)
    if value is None:
        return ()
    if heatmaps.tiles is not None:
        return tuple(_picked(heatmaps.tiles, class_name, count))
    # Infinite contributions cannot be centred over the classes; such cells are left out.
    known = heatmaps.tissue & np.isfinite(value)
    if score is not None:
        known &= np.isfinite(score)
    tiles: list[PickedTile] = []
    kinds: tuple[tuple[Kind, int], ...] = (("top", 1), ("bottom", -1))
    for kind, sign in kinds:
        worth = np.where(known, sign * value, -np.inf)
        total = math.nan if own is None else _total(np.where(known, value, 0), sign)
        for rank, cell in enumerate(_apart(worth.copy(), count), 1):
            share = _sum_above_zero(worth[_around(cell)]) / total
            tiles.append(_tile(heatmaps, class_name, (kind, rank), cell, share))
    return tuple(tiles)


def _value(own: np.ndarray | None, score: np.ndarray | None, chance: float) -> np.ndarray | None:
    """Return the evidence or, without any, the score beyond chance; None if both are unknown."""
    if own is not None or score is None:
        return own
    return score - np.float32(chance)


def _apart(worth: np.ndarray, count: int) -> Iterator[tuple[int, int]]:
    """Yield the cells worth most, none within a tile of another; changes ``worth``."""
    reach = TILE_CELLS - 1
    for _ in range(count):
        row, col = divmod(int(worth.argmax()), worth.shape[1])
        if not worth[row, col] > 0:
            return
        yield row, col
        worth[
            max(0, row - reach) : row + reach + 1, max(0, col - reach) : col + reach + 1
        ] = -np.inf


def _tile(
    heatmaps: HeatmapSet,
    class_name: str,
    place: tuple[Kind, int],
    cell: tuple[int, int],
    share: float,
) -> PickedTile:
    """Return the tile around a cell, of a kind and rank."""
    grid, half = heatmaps.grid, TILE_CELLS // 2
    row, col = cell
    score, contribution = (heatmaps.map(kind, class_name) for kind in (SCORE, CONTRIBUTION))
    return PickedTile(
        kind=place[0],
        rank=place[1],
        l0_window=L0Window(
            *grid.l0_from_g(YX(row - half, col - half)), *grid.l0_cell.times(TILE_CELLS)
        ),
        um_centre=grid.um_from_g(YX(row + 0.5, col + 0.5)),
        score=math.nan if score is None else float(score[cell]),
        contribution=math.nan if contribution is None else float(contribution[cell]),
        share=share,
    )


def _picked(table: HeatmapSet, class_name: str, count: int) -> Iterator[PickedTile]:
    """Yield tiles of a table that do not overlap, those worth most first, for and against."""
    own, scores, shares = (
        None if values is None else values[0]
        for values in (
            evidence(table, class_name), table.map(SCORE, class_name),
            table.map(CONTRIBUTION, class_name),
        )
    )  # fmt: skip
    value, places = _value(own, scores, table.chance), table.places
    if value is None or places is None:
        return
    kinds: tuple[tuple[Kind, int], ...] = (("top", 1), ("bottom", -1))
    for kind, sign in kinds:
        worth = np.where(np.isfinite(value), sign * value, -np.inf)[: len(places)]
        total = math.nan if own is None else _total(value[: len(places)], sign)
        for rank, tile in enumerate(_apart_of(places, worth, count), 1):
            x0, y0, x1, y1 = places[tile].tolist()
            yield PickedTile(
                kind=kind,
                rank=rank,
                l0_window=L0Window(y0, x0, y1 - y0, x1 - x0),
                um_centre=YX((y0 + y1) / 2, (x0 + x1) / 2).times(table.grid.mpp),
                score=math.nan if scores is None else float(scores[tile]),
                contribution=math.nan if shares is None else float(shares[tile]),
                share=float(worth[tile]) / total,
            )


def _apart_of(places: np.ndarray, worth: np.ndarray, count: int) -> Iterator[int]:
    """Yield the tiles worth most, above zero, of which none overlaps another."""
    free = worth.copy()
    for _ in range(count):
        tile = int(free.argmax()) if len(free) else -1
        if tile < 0 or not free[tile] > 0:
            return
        yield tile
        corner, end = places[tile, :2], places[tile, 2:]
        over = ((places[:, :2] < end) & (places[:, 2:] > corner)).all(axis=1)
        free[over] = -np.inf


def _around(cell: tuple[int, int]) -> tuple[slice, slice]:
    """Return the index of a tile's cells, as far as there are any."""
    half = TILE_CELLS // 2
    row, col = (slice(max(0, middle - half), middle + half + 1) for middle in cell)
    return row, col


def _total(values: np.ndarray, sign: int) -> float:
    """Return the sum of the evidence of a sign; NaN if it is next to nothing."""
    finite = values[np.isfinite(values)]
    total, beside = _sum_above_zero(sign * finite), _sum_above_zero(-sign * finite)
    return math.nan if is_next_to_nothing(total, beside) else total


def _sum_above_zero(worth: np.ndarray) -> float:
    """Return the sum of the values above zero, to float64's digits."""
    return float(worth[worth > 0].sum(dtype=np.float64))
