"""The raw maps of one slide, untouched by display: what the model gives and what follows."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from heatmaps_ome.maps.faithfulness import leave_one_out

if TYPE_CHECKING:
    from collections.abc import Sequence

    from heatmaps_ome.geometry import Grid, Shape
    from heatmaps_ome.maps.consistency import Consistency

TILE_CELLS = 7
"""Cells along a 224-px tile at 32 px per cell: what a model's training features average."""


@dataclass(frozen=True)
class Member:
    """What one of several models says of a slide as a whole.

    Attributes
    ----------
    name : str
        Of the model's file, without its folder.
    digest : str
        Of the model.
    prediction, logits : tuple of float
        Class probabilities and class logits, in the order of the set's classes; NaN without tissue.
    """

    name: str
    digest: str
    prediction: tuple[float, ...]
    logits: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class HeatmapSet:
    """What a model computes of one slide, cell by cell and as a whole.

    Attributes
    ----------
    slide_name : str
        Name of the slide's file without its last suffix.
    slide_shape : Shape
        Size of the slide at level 0.
    grid : Grid
        Where the cells lie.
    classes : tuple of str
        The model's classes, in its own order.
    tissue : (rows, cols) bool
        Foreground cells; every other array is NaN elsewhere.
    attention : (rows, cols) float32, logits
        Attention before the softmax over the slide's tissue.
    scores : (classes, rows, cols) float32, in [0, 1]
        Class probabilities of each cell alone.
    contributions : (classes, rows, cols) float32, logits; or None
        Each cell's share of the slide's class logits, to which they sum; None where the
        model's head is not affine, so that no such shares exist.
    logits : (classes,) float64
        The slide's class logits; NaN for a slide without tissue.
    prediction : (classes,) float64, sums to 1
        The slide's class probabilities; NaN for a slide without tissue.
    consistency : Consistency or None
        How plain tiles compare with the dense grid; None where they were not looked at.
    artefacts : (rows, cols) uint8, or None
        The kind of artefact that a cell lies on, 1 + its index in `artefacts.KINDS`; 0 for none and
        where no tissue is. None in results of earlier versions.
    members : tuple of Member
        The models that all of it is the mean of (see `ensemble`); empty for a single model.
    spread : (channels, rows, cols) float32, or None
        Sample standard deviation over several models of each channel, as `stacked` has them.
    mean_falls : (classes, rows, cols) float32, or None
        Mean of what `leave_one_out` says of each of several models, which cannot be worked out of
        the means of their maps; None for a single model, of which it can.
    """

    slide_name: str
    slide_shape: Shape
    grid: Grid
    classes: tuple[str, ...]
    tissue: np.ndarray
    attention: np.ndarray
    scores: np.ndarray
    contributions: np.ndarray | None = field(repr=False)
    logits: np.ndarray
    prediction: np.ndarray
    consistency: Consistency | None = None
    artefacts: np.ndarray | None = field(default=None, repr=False)
    members: tuple[Member, ...] = ()
    spread: np.ndarray | None = field(default=None, repr=False)
    mean_falls: np.ndarray | None = field(default=None, repr=False)

    def score(self, class_name: str) -> np.ndarray:
        """Return the (rows, cols) score map of a class."""
        return self.scores[self.classes.index(class_name)]

    @cached_property
    def falls(self) -> np.ndarray | None:
        """What `leave_one_out` says of the maps: all files and the scaling ask for it."""
        return self.mean_falls if self.members else leave_one_out(self)

    @property
    def tissue_cells(self) -> int:
        """Number of foreground cells."""
        return int(np.count_nonzero(self.tissue))


def class_keys(classes: Sequence[str]) -> tuple[str, ...]:
    """Return the classes' names as they may stand in names of files and labels, all different.

    >>> class_keys(["MSI-H / high", "MSI-H: high", "MSS"])
    ('MSI-H_high', 'MSI-H_high-2', 'MSS')
    """
    keys: list[str] = []
    for name in classes:
        plain = key = re.sub(r"[^\w.-]+", "_", name).strip("._") or "class"
        count = 1
        # Some disks do not tell capitals from small letters.
        while key.casefold() in {other.casefold() for other in keys}:
            count += 1
            key = f"{plain}-{count}"
        keys.append(key)
    return tuple(keys)


def channel_names(heatmaps: HeatmapSet) -> list[str]:
    """Return the names of the channels, the same as those of the labels and overlays."""
    keys = class_keys(heatmaps.classes)
    return ["attention", *(f"{kind}-{key}" for kind in _kinds(heatmaps) for key in keys)]


def measurement_names(heatmaps: HeatmapSet) -> list[str]:
    """Return what people read of the channels, in the same order: "score: MSIH"."""
    names = (f"{kind}: {name}" for kind in _kinds(heatmaps) for name in heatmaps.classes)
    return ["attention", *names]


def stacked(heatmaps: HeatmapSet) -> np.ndarray:
    """Return all maps as one (channels, rows, cols) float32 array, NaN where no tissue is."""
    parts = [heatmaps.attention[None], heatmaps.scores]
    if heatmaps.contributions is not None and heatmaps.falls is not None:
        parts += [heatmaps.contributions, heatmaps.falls]
    return np.concatenate(parts).astype(np.float32, copy=False)


def _kinds(heatmaps: HeatmapSet) -> list[str]:
    """Return the kinds of maps that there is one of per class."""
    affine = heatmaps.contributions is not None
    return ["score", *(["contribution", "leave-one-out"] if affine else [])]
