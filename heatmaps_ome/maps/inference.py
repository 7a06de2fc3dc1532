"""Features + model → raw maps, block by block, so that memory does not grow with the slide."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from heatmaps_ome.features.plain_tiles import stand_ins
from heatmaps_ome.features.pooling import Pooling, pool
from heatmaps_ome.geometry import Shape, Window
from heatmaps_ome.maps.consistency import Consistency
from heatmaps_ome.maps.formulas import softmax
from heatmaps_ome.maps.heatmap_set import HeatmapSet
from heatmaps_ome.maps.kinds import ATTENTION, CONTRIBUTION, SCORE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from heatmaps_ome.features.plain_tiles import PlainTiles
    from heatmaps_ome.features.store import FeatureStore
    from heatmaps_ome.geometry import Grid
    from heatmaps_ome.models.attention_mil import AttentionMIL
    from heatmaps_ome.slides.reader import SlideReader


def compute_heatmaps(
    slide: SlideReader,
    grid: Grid,
    tissue: np.ndarray,
    store: FeatureStore,
    pooling: Pooling,
    model: AttentionMIL,
    tiles: PlainTiles | None = None,
) -> HeatmapSet:
    """Return the maps that a model computes from a slide's features: design.md section 7.

    With e the cell's embedding: attention logit = attention(e), score = softmax(head(e)), and
    the slide's logits = head(Σ aᵢ eᵢ), a being the softmax of the attention over the tissue.

    Parameters
    ----------
    tissue : (rows, cols) bool
        Foreground cells of ``grid``; only they are evaluated.
    tiles : PlainTiles, optional
        Tiles to compare the dense grid with.
    """
    n_classes = len(model.classes)
    attention = np.full(grid.shape, np.nan, np.float32)
    cell_logits = np.full((n_classes, *grid.shape), np.nan, np.float32)
    slide_embedding, compared = _WeightedMean(), _WeightedMean()
    in_tiles = stand_ins(() if tiles is None else tiles.windows, tissue, pooling.reach)
    with torch.inference_mode():
        projected = _Projected(store, tissue, model)
        for cells, pooled in _pooled(tissue | in_tiles, tissue, projected, pooling):
            where = np.zeros(grid.shape, bool)
            inside = where[cells.slices] = tissue[cells.slices]
            if inside.any():
                with _rounded_alike(int(np.count_nonzero(inside))):
                    embeddings = model.embed_projected(torch.from_numpy(pooled[inside]))
                    logits = slide_embedding.add(model, embeddings)
                    cell_logits[:, where] = model.class_logits(embeddings).T.numpy()
                attention[where] = logits.numpy()
            standing_in = pooled[in_tiles[cells.slices]]
            with _rounded_alike(len(standing_in)):
                compared.add(model, model.embed_projected(torch.from_numpy(standing_in)))
        projected.forget()
        with _rounded_alike(0 if tiles is None else len(tiles.windows)):
            slide_logits = _slide_logits(model, slide_embedding.mean())
            consistency = _consistency(model, tiles, compared, slide_logits)
    maps = {
        ATTENTION: attention,
        SCORE: softmax(cell_logits.astype(np.float64)).astype(np.float32),
    }
    if model.is_additive:
        maps[CONTRIBUTION] = _contributions(attention, cell_logits)
    return HeatmapSet(
        slide_name=slide.name,
        slide_shape=slide.shape,
        grid=grid,
        classes=model.classes,
        tissue=tissue,
        maps=maps,
        logits=slide_logits,
        prediction=softmax(slide_logits),
        consistency=consistency,
    )


def _consistency(
    model: AttentionMIL, tiles: PlainTiles | None, dense: _WeightedMean, slide_logits: np.ndarray
) -> Consistency | None:
    """Return how the bag of plain tiles compares with that of the dense grid's cells."""
    if tiles is None:
        return None
    plain = _WeightedMean()
    plain.add(model, model.embed(torch.from_numpy(tiles.features)))
    bags = (_slide_logits(model, dense.mean()), _slide_logits(model, plain.mean()), slide_logits)
    probabilities = [tuple(softmax(logits).tolist()) for logits in bags]
    return Consistency(len(tiles.windows), tiles.n_tissue_tiles, model.classes, *probabilities)


class _WeightedMean:
    """Running mean of embeddings, weighted by the softmax of their attention logits."""

    def __init__(self) -> None:
        self._largest = -np.inf
        self._total: np.ndarray | None = None
        self._weight = 0.0

    def add(self, model: AttentionMIL, embedded: torch.Tensor) -> torch.Tensor:
        """Take (n, E) embeddings in and return their (n,) attention logits."""
        logits = model.attention_logits(embedded)
        if len(logits):
            self._add(embedded.double().numpy(), logits.double().numpy())
        return logits

    def _add(self, embeddings: np.ndarray, logits: np.ndarray) -> None:
        """Take (n, E) embeddings with their (n,) logits in."""
        largest = max(self._largest, float(logits.max()))
        weights = np.exp(logits - largest)
        # The earlier sums were scaled to another largest logit.
        before = np.exp(self._largest - largest)
        # The product of matrices would be rounded by the number of threads that share it.
        total = np.einsum("n,ne->e", weights, embeddings)
        self._total = total if self._total is None else self._total * before + total
        self._weight = self._weight * before + weights.sum()
        self._largest = largest

    def mean(self) -> np.ndarray | None:
        """Return the (E,) float64 mean, or None if nothing was added."""
        return None if self._total is None else self._total / self._weight


class _Projected:
    """A slide's features after the model's first layer, chunk by chunk.

    Pooling takes means, and the first layer is affine. So the layer may come first, and only an
    eighth of the numbers are pooled.
    """

    def __init__(self, store: FeatureStore, tissue: np.ndarray, model: AttentionMIL) -> None:
        self._store, self._tissue, self._model = store, tissue, model
        side, width = store.chunk_cells, model.project(torch.zeros(1, model.n_features)).shape[1]
        self._chunk_bytes = side * side * width * 4
        self._width = width
        self._chunk = lru_cache(max(4, _PROJECTED_BYTES // self._chunk_bytes))(self._projected)

    @property
    def chunks(self) -> list[Window]:
        """The windows of cells that are kept together."""
        return self._store.chunks

    def read(self, cells: Window) -> np.ndarray:
        """Return (rows, cols, P) float32 of a window of cells; zero where no tissue is."""
        out = np.zeros((cells.rows, cells.cols, self._width), np.float32)
        side = self._store.chunk_cells
        for row in range(cells.row // side, -(-cells.row_stop // side)):
            for col in range(cells.col // side, -(-cells.col_stop // side)):
                chunk = Window(row * side, col * side, side, side)
                shared = chunk.common(cells)
                values = self._chunk(row, col)[shared.within(chunk).slices]
                out[shared.within(cells).slices] = values
        return out

    def forget(self) -> None:
        """Clear the chunk cache (lru_cache on a bound method keeps arrays alive)."""
        self._chunk.cache_clear()

    def _projected(self, row: int, col: int) -> np.ndarray:
        """Return a chunk, (rows, cols, P) float32."""
        side = self._store.chunk_cells
        shape = Window(0, 0, *self._store.shape)
        chunk = Window(row * side, col * side, side, side).common(shape)
        inside = self._tissue[chunk.slices]
        out = np.zeros((chunk.rows, chunk.cols, self._width), np.float32)
        if inside.any():
            features = torch.from_numpy(self._store.read_cells(chunk, inside))
            with _rounded_alike(len(features)):
                out[inside] = self._model.project(features.float()).numpy()
        return out


@contextmanager
def _rounded_alike(n_rows: int) -> Iterator[None]:
    """Have products inside rounded alike on any number of cores.

    torch shares the rows of a product between its threads, and where a thread has only a few of
    them, it sums them in another order: results would differ in their last digits between a run
    of its own and workers that share the machine.
    """
    if n_rows > _FEW_ROWS:
        yield
        return
    with _counting:
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)


_FEW_ROWS: Final = 1024
"""One thread takes these as fast as several, which would have a dozen rows or less on 64 cores."""
_counting = threading.RLock()
"""torch's number of threads is one for all slides that are made at once."""
_PROJECTED_BYTES = 256 * 2**20
"""Kept in memory: enough that neighbouring chunks share them, whatever the slide's size."""


def _pooled(
    wanted: np.ndarray, tissue: np.ndarray, projected: _Projected, pooling: Pooling
) -> Iterator[tuple[Window, np.ndarray]]:
    """Yield windows that hold a wanted cell, with their pooled (rows, cols, P) projections."""
    shape = Shape(*tissue.shape)
    for cells in projected.chunks:
        if not wanted[cells.slices].any():
            continue
        wide = cells.grown(pooling.reach, shape)
        top, left = pooling.reach - (cells.row - wide.row), pooling.reach - (cells.col - wide.col)
        bottom = pooling.reach - (wide.row_stop - cells.row_stop)
        right = pooling.reach - (wide.col_stop - cells.col_stop)
        margins = ((top, bottom), (left, right))
        values = np.pad(projected.read(wide), (*margins, (0, 0)))
        # Its products have few rows, however many cells there are.
        with _rounded_alike(0):
            pooled = pool(values, np.pad(tissue[wide.slices], margins), pooling)
        yield cells, pooled


def _slide_logits(model: AttentionMIL, embedding: np.ndarray | None) -> np.ndarray:
    """Return the (C,) float64 logits of a slide's mean embedding; NaN without tissue."""
    if embedding is None:
        return np.full(len(model.classes), np.nan)
    logits = model.class_logits(torch.from_numpy(embedding).float()[None])
    return logits[0].double().numpy()


def _contributions(attention: np.ndarray, cell_logits: np.ndarray) -> np.ndarray:
    """Return softmax(attention)ᵢ · logitᵢ, (C, rows, cols) float32."""
    if np.isnan(attention).all():
        return cell_logits
    weights = np.exp(attention.astype(np.float64) - np.nanmax(attention))
    return (cell_logits * (weights / np.nansum(weights))).astype(np.float32)
