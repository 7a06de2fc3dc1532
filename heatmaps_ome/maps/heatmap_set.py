"""The raw maps of one slide, untouched by display: the model's own, and those that follow."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from heatmaps_ome.maps.kinds import ARTEFACTS, ATTENTION, CONTRIBUTION, KINDS, SCORE, TISSUE
from heatmaps_ome.models.target import Target
from heatmaps_ome.storage.names import shortened

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from heatmaps_ome.geometry import Grid, Shape
    from heatmaps_ome.maps.consistency import Consistency
    from heatmaps_ome.maps.curves import Faithfulness


@dataclass(frozen=True)
class Member:
    """The answer of one of several models for a slide as a whole.

    Attributes
    ----------
    name : str
        The model's file, without its folder.
    digest : str
        The model's.
    prediction, logits : tuple of float
        Class probabilities and class logits, in the order of the set's classes; NaN without tissue.
    """

    name: str
    digest: str
    prediction: tuple[float, ...]
    logits: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class HeatmapSet:
    """All maps of one slide, cell by cell, and the slide's prediction.

    Maps of tiles are a table first, which is a set whose one row of cells are the tiles, with their
    ``places``; a raster of them (see `tile_raster`) is a set that has this table as its ``tiles``.

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
        Foreground cells; every map is NaN elsewhere.
    maps : mapping of kind → (rows, cols) or, for kinds per class, (classes, rows, cols) float32
        The maps that a model gives: attention (logits, before the softmax over the slide's
        tissue) where it has one, score (each cell's class probabilities alone) and, where the
        model's head is affine, contribution (each cell's share of the slide's class logits, to
        which they sum).
        Also those that follow from these, as far as they have been read or averaged; `values` has
        the others. See `kinds` for units.
    logits : (classes,) float64
        The slide's class logits; NaN for a slide without tissue.
    prediction : (classes,) float64, sums to 1
        The slide's class probabilities; NaN for a slide without tissue.
    consistency : Consistency or None
        How plain tiles compare with the dense grid; None where they were not compared.
    artefacts : (rows, cols) uint8, or None
        The kind of artefact that a cell lies on, 1 + its index in `artefacts.KINDS`; 0 for none and
        where no tissue is. None in results of earlier versions.
    excluded : mapping of kind of artefact → number of cells
        Cells that were taken out of the tissue because they lie on artefacts; empty if none were
        to be.
    brightness : float or None
        Median over the tissue cells of their mean luma, 0..255; None where it is not known.
    members : tuple of Member
        The models whose mean all of this is (see `ensemble`); empty for a single model.
    spread : mapping of kind → array like those of ``maps``
        Sample standard deviation over several models; empty for a single model.
    names : mapping of kind → tuple of str
        Names of the maps of kinds that do not have one for each of ``classes``: given ones.
    units_given : mapping of name → str
        Units of maps that were given with one.
    aim : Target or None
        What the model predicts; None: ``classes`` of a softmax.
    places : (n, 4) float64, or None
        Of a table, the tiles' x0, y0, x1, y1 in level-0 pixels.
    tiles : HeatmapSet or None
        Of a raster, the table that it was made from, which is the truth for each tile.
    finer : HeatmapSet or None
        Of a table, that of finer tiles around some of its own, which the raster shows between
        these (see `finer_maps`); nothing else follows from them.
    curves : tuple of Faithfulness
        How faithful the maps are, where that needed the model; empty where it follows from maps.
    explanation : mapping
        How maps of tiles were made, as plain JSON values; empty for a dense grid.
    """

    slide_name: str
    slide_shape: Shape
    grid: Grid
    classes: tuple[str, ...]
    tissue: np.ndarray
    maps: Mapping[str, np.ndarray] = field(repr=False)
    logits: np.ndarray
    prediction: np.ndarray
    consistency: Consistency | None = None
    artefacts: np.ndarray | None = field(default=None, repr=False)
    excluded: Mapping[str, int] = field(default_factory=dict)
    brightness: float | None = None
    members: tuple[Member, ...] = ()
    spread: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False)
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    units_given: Mapping[str, str] = field(default_factory=dict)
    aim: Target | None = None
    places: np.ndarray | None = field(default=None, repr=False)
    tiles: HeatmapSet | None = field(default=None, repr=False)
    finer: HeatmapSet | None = field(default=None, repr=False)
    curves: tuple[Faithfulness, ...] = field(default=(), repr=False)
    explanation: Mapping[str, Any] = field(default_factory=dict)

    @property
    def target(self) -> Target:
        """What the model predicts."""
        return self.aim or Target("classification", self.classes, "softmax")

    @property
    def predicted(self) -> dict[str, float]:
        """The slide's prediction by output; empty where maps were given, not predicted."""
        if self.target.task == "none":
            return {}
        return dict(zip(self.classes, self.prediction.tolist(), strict=True))

    @property
    def units(self) -> HeatmapSet:
        """The set of what was computed: the table of tiles of a raster of these, else itself."""
        return self.tiles or self

    @property
    def unit_name(self) -> str:
        """What ``units`` are called."""
        return "cell" if self.units.places is None else "tile"

    @property
    def n_places(self) -> int:
        """Number of the tiles of a table; 0 for maps of cells."""
        return 0 if self.places is None else len(self.places)

    @property
    def chance(self) -> float:
        """The probability that a guess gives to each class, in [0, 1]."""
        return 1 / len(self.classes) if self.target.link == "softmax" else 0.5

    @property
    def attention(self) -> np.ndarray | None:
        """The attention logits, (rows, cols) float32; None for a model without any."""
        return self.maps.get(ATTENTION)

    @property
    def scores(self) -> np.ndarray | None:
        """The class probabilities of each cell alone, (classes, rows, cols) float32, if known."""
        return self.maps.get(SCORE)

    @property
    def contributions(self) -> np.ndarray | None:
        """Shares of the slide's logits, (classes, rows, cols) float32; None if there are none."""
        return self.maps.get(CONTRIBUTION)

    @property
    def tissue_cells(self) -> int:
        """Number of foreground cells."""
        return int(np.count_nonzero(self.tissue))

    def factor(self, kind: str) -> int:
        """Return the number by which a kind's raw values are drawn: tissue cells, or 1.

        Raw contributions sum to the slide's logit over its cells, so each is the smaller the more
        cells there are; times the cells they are comparable, and their mean is the slide's logit.
        Maps that were given are drawn as given, as there is no prediction for them to sum to.
        """
        if not KINDS[kind].summed or self.target.is_given:
            return 1
        return max(1, self.tissue_cells)

    def values(self, kind: str) -> np.ndarray | None:
        """Return the maps of a kind, computed if need be.

        Returns
        -------
        (rows, cols) or, for kinds per class, (classes, rows, cols); or None
            None where there are no such maps: the model lacks what they follow from, or has too
            few classes or, for means of several models, where they do not follow from the means.
        """
        if kind in self.maps:
            return self.maps[kind]
        if kind == TISSUE:
            return self.tissue
        if kind == ARTEFACTS:
            return self.artefacts
        if kind not in self._derived:
            self._derived[kind] = self._computed(kind)
        return self._derived[kind]

    def names_of(self, kind: str) -> tuple[str, ...]:
        """Return the names of a kind's maps, in their order; the classes for most."""
        return self.names.get(kind, self.classes)

    def map(self, kind: str, class_name: str | None = None) -> np.ndarray | None:
        """Return one map, (rows, cols); of a class for kinds per class; None as in `values`."""
        values = self.values(kind)
        if values is None or class_name is None:
            return values
        names = self.names_of(kind)
        return values[names.index(class_name)] if class_name in names else None

    def score(self, class_name: str) -> np.ndarray | None:
        """Return the (rows, cols) score map of a class, if there is one."""
        return self.map(SCORE, class_name)

    def with_maps(self, **maps: np.ndarray | None) -> HeatmapSet:
        """Return a set with some of its maps replaced or, by None, taken away.

        Raises
        ------
        KeyError
            If there is no such kind of quantity.
        """
        unknown = [kind for kind in maps if KINDS[kind].scale == "categories"]
        if unknown:
            raise KeyError(unknown[0])
        merged = {**self.maps, **maps}
        return replace(
            self, maps={kind: values for kind, values in merged.items() if values is not None}
        )

    @cached_property
    def _derived(self) -> dict[str, np.ndarray | None]:
        """The maps that have been computed so far."""
        return {}

    def _computed(self, kind: str) -> np.ndarray | None:
        """Return the maps of a kind that follow from others, or None."""
        row = KINDS[kind]
        if row.spread_of:
            return self.spread.get(row.spread_of)
        # The stored maps of several models are means of the models' own.
        if row.formula is None or row.left_out(len(self.classes)) or (self.members and row.stored):
            return None
        # What tiles have was computed with the model; formulas are those of a softmax over classes.
        if row.stored and self.units.places is not None:
            return None
        if row.of_softmax and self.target.link != "softmax":
            return None
        needed = [self.values(other) for other in row.needs]
        return None if any(values is None for values in needed) else row.formula(*needed)


_KEY_BYTES: Final = 60
"""Bytes of a class's name in names of files, which most disks cut at 255."""


def class_keys(classes: Sequence[str]) -> tuple[str, ...]:
    """Return the classes' names as they may stand in names of files and labels, all different.

    >>> class_keys(["MSI-H / high", "MSI-H: high", "MSS"])
    ('MSI-H_high', 'MSI-H_high-2', 'MSS')
    """
    keys: list[str] = []
    for name in classes:
        plain = re.sub(r"[^\w.-]+", "_", name).strip("._") or "class"
        plain = key = shortened(plain, _KEY_BYTES)
        count = 1
        # Some disks do not tell capitals from small letters.
        while key.casefold() in {other.casefold() for other in keys}:
            count += 1
            key = f"{plain}-{count}"
        keys.append(key)
    return tuple(keys)


def map_name(kind: str, classes: Sequence[str], index: int) -> str:
    """Return the name of a kind's map of a class, or of all classes, as files and labels have it.

    >>> map_name("score", ("MSI-H / high",), 0), map_name("winner", ("A", "B"), 0)
    ('score-MSI-H_high', 'winner')
    """
    return f"{kind}-{class_keys(classes)[index]}" if KINDS[kind].per_class else kind
