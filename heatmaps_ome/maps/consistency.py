"""How far the prediction moves when tiles go through the network one by one, as in training."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

from heatmaps_ome.maps.numbers import number, probability

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WIDE_GAP = 0.1
"""Difference in a class's probability above which a slide gets a warning.

Other differences from the training (the level that is read, the precision) move scores by 0.02 at
most: see scripts/benchmarks/README.md. A tenth is far beyond that, and enough to take a slide
across a threshold of decision that it was not close to.
"""


@dataclass(frozen=True)
class Consistency:
    """A model's predictions from the same tiles, by the dense grid and alone as in training.

    In training each tile went through the network alone, which padded it at its own borders, and
    its feature was the mean over its whole map. Maps come from a dense grid, where a cell sees its
    surroundings and only tissue enters averages.

    Attributes
    ----------
    n_tiles, n_tissue_tiles : int
        Tiles that were compared, and all of the slide's that count as tissue.
    classes : tuple of str
    dense : tuple of float, sums to 1
        Class probabilities of the bag of the dense grid's features, pooled as for the maps, at
        these tiles.
    plain : tuple of float, sums to 1
        Class probabilities of the bag of these tiles' own features.
    slide : tuple of float, sums to 1
        The slide's class probabilities, of all cells; empty where not known.
    """

    n_tiles: int
    n_tissue_tiles: int
    classes: tuple[str, ...]
    dense: tuple[float, ...]
    plain: tuple[float, ...]
    slide: tuple[float, ...] = ()

    def in_class_order(self, classes: tuple[str, ...]) -> Consistency:
        """Return the same with the classes in another order."""
        order = [self.classes.index(name) for name in classes]
        dense, plain, slide = (
            tuple(bag[index] for index in order) if bag else ()
            for bag in (self.dense, self.plain, self.slide)
        )
        return Consistency(self.n_tiles, self.n_tissue_tiles, classes, dense, plain, slide)

    @property
    def gap(self) -> float:
        """Largest difference in a class's probability between both bags; NaN if one has none."""
        return _largest(self._gaps(self.dense))

    @property
    def slide_gap(self) -> float | None:
        """The same between plain tiles and the slide; None if only some tiles were compared.

        Tiles left out may differ from the others: that is not the grid's doing.
        """
        if not self.slide or self.n_tiles < self.n_tissue_tiles:
            return None
        return _largest(self._gaps(self.slide))

    @property
    def is_wide(self) -> bool:
        """Whether a gap is larger than ``WIDE_GAP``."""
        return any(gap is not None and gap > WIDE_GAP for gap in (self.gap, self.slide_gap))

    def sentence(self, class_name: str | None = None) -> str:
        """Return the comparison in words, without a full stop.

        Parameters
        ----------
        class_name : str, optional
            The class to report, unless another has a wider gap; then that with the widest.

        >>> print(Consistency(2, 9, ("A", "B"), (0.9, 0.1), (0.8, 0.2)).sentence("B"))
        B 0.100 from the dense grid's features of 2 of 9 tiles, 0.200 from these tiles alone \
as in training; difference 0.1
        """
        some = self.n_tiles < self.n_tissue_tiles
        tiles = f"{self.n_tiles:,} of {self.n_tissue_tiles:,}" if some else f"all {self.n_tiles:,}"
        index = self._reported_class(self.dense, class_name)
        text = (
            f"{self.classes[index]} {probability(self.dense[index])} from the dense grid's "
            f"features of {tiles} tiles, {probability(self.plain[index])} from these tiles alone "
            f"as in training; difference {number(self.gap)}"
        )
        if self.slide_gap is None:
            return text
        index = self._reported_class(self.slide, class_name)
        return (
            f"{text}; {self.classes[index]} {probability(self.slide[index])} from all cells, "
            f"difference from the tiles {number(self.slide_gap)}"
        )

    def warning(self) -> str:
        """Return the warning for a slide whose gap is wide."""
        return (
            "the dense grid that its maps are made of and tiles as in training differ by more than "
            f"{WIDE_GAP:g} in what the model predicts: {self.sentence()}; take the maps "
            "for where to look rather than for probabilities, compare more tiles with "
            "--consistency-tiles, and leave out --no-pool and --blur-kernel-size if they were given"
        )

    def record(self) -> dict[str, Any]:
        """Return all of it as plain JSON values, None for NaN."""
        return {
            "tiles": self.n_tiles,
            "tissue_tiles": self.n_tissue_tiles,
            "dense": self._by_class(self.dense),
            "plain": self._by_class(self.plain),
            "slide": self._by_class(self.slide) if self.slide else None,
            "gap": _finite(self.gap),
            "slide_gap": None if self.slide_gap is None else _finite(self.slide_gap),
            "wide_from": WIDE_GAP,
            "wide": self.is_wide,
        }

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Consistency:
        """Return the Consistency of a `record`; KeyError or TypeError if it is none."""

        def probabilities(name: str) -> tuple[float, ...]:
            values = (record[name] or {}).values()
            return tuple(math.nan if value is None else float(value) for value in values)

        return cls(
            n_tiles=int(record["tiles"]),
            n_tissue_tiles=int(record["tissue_tiles"]),
            classes=tuple(record["dense"]),
            dense=probabilities("dense"),
            plain=probabilities("plain"),
            slide=probabilities("slide"),
        )

    def _gaps(self, other: tuple[float, ...]) -> list[float]:
        """Return how far each class's probability is from the plain tiles'."""
        return [abs(plain - value) for plain, value in zip(self.plain, other, strict=True)]

    def _reported_class(self, other: tuple[float, ...], class_name: str | None) -> int:
        """Return the index of the class to report."""
        # The gaps of two classes differ only in the last digits.
        gaps = [round(gap, 9) for gap in self._gaps(other)]
        index = gaps.index(max(gaps))
        if class_name in self.classes:
            wanted = self.classes.index(class_name)
            return wanted if gaps[wanted] == gaps[index] else index
        return index

    def _by_class(self, probabilities: tuple[float, ...]) -> dict[str, float | None]:
        """Return probabilities by the names of their classes."""
        return dict(zip(self.classes, map(_finite, probabilities), strict=True))


def mean_consistency(models: Sequence[Consistency | None]) -> Consistency | None:
    """Return the means of several models' probabilities for the same tiles.

    Parameters
    ----------
    models : sequence of Consistency or None
        With the classes in the same order; if one is None, so is the mean.
    """
    known = [model for model in models if model is not None]
    if not known or len(known) < len(models):
        return None
    dense, plain, slide = (
        tuple(fmean(values) for values in zip(*bags, strict=True))
        for bags in zip(*((model.dense, model.plain, model.slide) for model in known), strict=True)
    )
    first = known[0]
    return Consistency(first.n_tiles, first.n_tissue_tiles, first.classes, dense, plain, slide)


def _largest(gaps: list[float]) -> float:
    """Return the largest, or NaN if one is."""
    return math.nan if any(map(math.isnan, gaps)) else max(gaps)


def _finite(value: float) -> float | None:
    """Return a number as strict JSON has it."""
    return value if math.isfinite(value) else None
