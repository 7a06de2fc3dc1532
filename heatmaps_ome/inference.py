"""Features + model → raw maps, block by block, so that memory does not grow with the slide."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from heatmaps_ome.heatmaps import HeatmapSet
from heatmaps_ome.pooling import Pooling, pool

if TYPE_CHECKING:
    from collections.abc import Iterator

    from heatmaps_ome.cache import FeatureStore
    from heatmaps_ome.geometry import Grid, Shape, Window
    from heatmaps_ome.models.attention_mil import AttentionMIL
    from heatmaps_ome.slide import SlideReader


def compute_heatmaps(
    slide: SlideReader,
    grid: Grid,
    tissue: np.ndarray,
    store: FeatureStore,
    pooling: Pooling,
    model: AttentionMIL,
) -> HeatmapSet:
    """Return what a model makes of a slide's features: design.md section 7.

    With e the cell's embedding: attention logit = attention(e), score = softmax(head(e)), and
    the slide's logits = head(Σ aᵢ eᵢ), a being the softmax of the attention over the tissue.

    Parameters
    ----------
    tissue : (rows, cols) bool
        Foreground cells of ``grid``; only they are evaluated.
    """
    n_classes = len(model.classes)
    attention = np.full(grid.shape, np.nan, np.float32)
    cell_logits = np.full((n_classes, *grid.shape), np.nan, np.float32)
    slide_embedding = _WeightedMean()
    with torch.inference_mode():
        for cells, features in _pooled_tissue(grid.shape, tissue, store, pooling):
            where = np.zeros(grid.shape, bool)
            where[cells.slices] = tissue[cells.slices]
            embeddings = model.embed(torch.from_numpy(features))
            logits = model.attention_logits(embeddings)
            attention[where] = logits.numpy()
            cell_logits[:, where] = model.class_logits(embeddings).T.numpy()
            slide_embedding.add(embeddings.double().numpy(), logits.double().numpy())
        slide_logits = _slide_logits(model, slide_embedding.mean())
    return HeatmapSet(
        slide_name=slide.name,
        slide_shape=slide.shape,
        grid=grid,
        classes=model.classes,
        tissue=tissue,
        attention=attention,
        scores=_softmax(cell_logits.astype(np.float64)).astype(np.float32),
        contributions=_contributions(attention, cell_logits) if model.is_additive else None,
        logits=slide_logits,
        prediction=_softmax(slide_logits),
    )


class _WeightedMean:
    """Running mean of embeddings, weighted by the softmax of their attention logits."""

    def __init__(self) -> None:
        self._largest = -np.inf
        self._total: np.ndarray | None = None
        self._weight = 0.0

    def add(self, embeddings: np.ndarray, logits: np.ndarray) -> None:
        """Take (n, E) embeddings with their (n,) logits in."""
        largest = max(self._largest, float(logits.max()))
        weights = np.exp(logits - largest)
        # What was summed before was scaled to another largest logit.
        before = np.exp(self._largest - largest)
        total = weights @ embeddings
        self._total = total if self._total is None else self._total * before + total
        self._weight = self._weight * before + weights.sum()
        self._largest = largest

    def mean(self) -> np.ndarray | None:
        """Return the (E,) float64 mean, or None of nothing."""
        return None if self._total is None else self._total / self._weight


def _pooled_tissue(
    shape: Shape, tissue: np.ndarray, store: FeatureStore, pooling: Pooling
) -> Iterator[tuple[Window, np.ndarray]]:
    """Yield windows of cells with the pooled (n, F) features of their tissue cells."""
    for cells in store.chunks:
        inside = tissue[cells.slices]
        if not inside.any():
            continue
        wide = cells.grown(pooling.reach, shape)
        top, left = pooling.reach - (cells.row - wide.row), pooling.reach - (cells.col - wide.col)
        bottom = pooling.reach - (wide.row_stop - cells.row_stop)
        right = pooling.reach - (wide.col_stop - cells.col_stop)
        margins = ((top, bottom), (left, right))
        features = np.pad(store.read(wide), (*margins, (0, 0)))
        yield cells, pool(features, np.pad(tissue[wide.slices], margins), pooling)[inside]


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


def _softmax(logits: np.ndarray) -> np.ndarray:
    """Return the softmax over the first axis; NaN stays NaN."""
    powers = np.exp(logits - logits.max(axis=0))
    return powers / powers.sum(axis=0)
