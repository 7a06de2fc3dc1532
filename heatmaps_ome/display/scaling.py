"""The scaling that the slides of a cohort share, fitted once, kept in a file, applied to more.

The reference's meaning, made exact (create_heatmaps.py:386-401; design.md section 8): over all
tissue cells of all slides, attention is stretched between two quantiles; a class's score, centred
on chance, is divided by twice a quantile of its absolute value.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from heatmaps_ome.errors import ScalingError
from heatmaps_ome.maps.ensemble import score_spread
from heatmaps_ome.maps.winner import maps_left_out, margins

if TYPE_CHECKING:
    from pathlib import Path

    from heatmaps_ome.maps.heatmap_set import HeatmapSet


@dataclass(frozen=True)
class Quantiles:
    """Which quantiles a scaling is fitted to, each in [0, 1].

    Attributes
    ----------
    attention_lower, attention_upper : float
        Of the attention; they are drawn as the ends of its colour map.
    score : float
        Of the absolute distance of scores from chance; contributions, leave-one-out, margins and
        the spread over several models use it too, from zero.
    """

    attention_lower: float = 0.01
    attention_upper: float = 1.0
    score: float = 0.95

    def __post_init__(self) -> None:
        """Refuse what is no quantile and an empty range."""
        for name, value in asdict(self).items():
            if not 0 <= value <= 1:
                raise ValueError(f"the quantile {name} is {value}; give one between 0 and 1")
        if self.attention_lower >= self.attention_upper:
            raise ValueError(
                f"the lower attention quantile, {self.attention_lower}, must be below the upper "
                f"one, {self.attention_upper}"
            )


@dataclass(frozen=True)
class Range:
    """Values drawn at the ends of a colour map."""

    lower: float
    upper: float

    def __post_init__(self) -> None:
        """Refuse a range that cannot be divided by."""
        if not (np.isfinite(self.lower) and np.isfinite(self.upper) and self.lower < self.upper):
            raise ValueError(f"[{self.lower}, {self.upper}] is no range")

    @classmethod
    def around(cls, middle: float, reach: float) -> Range:
        """Return the range that reaches equally far to both sides."""
        return cls(middle - reach, middle + reach)

    def position(self, values: np.ndarray) -> np.ndarray:
        """Return where values lie in the range: float64 in [0, 1], clipped; NaN stays NaN."""
        scaled = (np.asarray(values, np.float64) - self.lower) / (self.upper - self.lower)
        return np.clip(scaled, 0.0, 1.0)


@dataclass(frozen=True)
class CohortScaling:
    """The colour ranges that all slides of a cohort share.

    Attributes
    ----------
    cohort : str
        Digest of the slides and options that it was fitted with.
    model_digest, extractor_digest : str
        What the maps were made with; other maps have other units, so they are refused. Several
        models have a digest as a set.
    quantiles : Quantiles
        What the ranges were fitted to.
    classes : tuple of str
        The model's classes, in the order of ``scores``.
    attention : Range
        Of the attention logit.
    scores : tuple of Range
        Of each class's score, around chance.
    contributions : tuple of Range
        Of each class's contribution, around zero; empty where there are none.
    slides, cells : int
        How many were fitted to.
    leave_one_out : tuple of Range
        Of the fall of each class's probability without a cell, around zero; empty where there are
        none, and in files of format 1.
    spread : tuple of Range
        Of the standard deviation over several models of each class's score, from zero; empty for a
        single model.
    margins : tuple of Range
        Of how far each class's score is above that of its strongest rival, around zero; empty where
        no margin is drawn, and in files of formats 1 and 2.
    """

    cohort: str
    model_digest: str
    extractor_digest: str
    quantiles: Quantiles
    classes: tuple[str, ...]
    attention: Range
    scores: tuple[Range, ...]
    contributions: tuple[Range, ...]
    slides: int
    cells: int
    leave_one_out: tuple[Range, ...] = ()
    spread: tuple[Range, ...] = ()
    margins: tuple[Range, ...] = ()

    def score(self, class_name: str) -> Range:
        """Return the range of a class's score."""
        return self.scores[self.classes.index(class_name)]

    def record(self) -> dict[str, Any]:
        """Return all of it as plain JSON values; of a single model nothing is said of a spread."""
        said = asdict(self)
        if not self.spread:
            del said["spread"]
        return said

    def save(self, path: Path) -> None:
        """Write the scaling as JSON, replacing the file as a whole."""
        partial = path.with_name(path.name + ".partial")
        partial.write_text(json.dumps({"format": _FORMAT, **self.record()}, indent=2) + "\n")
        partial.replace(path)

    @classmethod
    def load(cls, path: Path) -> CohortScaling:
        """Return the scaling in a file.

        Raises
        ------
        ScalingError
            If it is not one of ours.
        """
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            return _from_json(found)
        except OSError as error:
            raise ScalingError(
                f"{path} cannot be read ({error.strerror}); check --scaling"
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise ScalingError(
                f"{path} is no scaling.json of heatmaps-ome; give one that an earlier run wrote"
            ) from error

    def require_fit(self, model_digest: str, extractor_digest: str, path: Path) -> None:
        """Refuse to scale maps of another model or extractor.

        Raises
        ------
        ScalingError
            If either differs.
        """
        for what, own, other in (
            ("model", self.model_digest, model_digest),
            ("extractor", self.extractor_digest, extractor_digest),
        ):
            if own != other:
                raise ScalingError(
                    f"{path} was fitted with another {what} ({own[:12]}, not {other[:12]}), whose "
                    "values have another scale; leave out --scaling or use that one"
                )


_FORMAT = "heatmaps-ome scaling 3"
_FORMATS = ("heatmaps-ome scaling 1", "heatmaps-ome scaling 2", _FORMAT)
"""The first has no ranges of leave-one-out, the first two none of margins and of a spread."""


def _from_json(found: dict[str, Any]) -> CohortScaling:
    """Return the scaling that JSON describes; any misfit is a ValueError, KeyError or TypeError."""
    if found.pop("format") not in _FORMATS:
        raise ValueError("another format")
    return CohortScaling(
        **{
            **found,
            "quantiles": Quantiles(**found["quantiles"]),
            "classes": tuple(found["classes"]),
            "attention": Range(**found["attention"]),
            "scores": tuple(Range(**each) for each in found["scores"]),
            "contributions": tuple(Range(**each) for each in found["contributions"]),
            "leave_one_out": tuple(Range(**each) for each in found.get("leave_one_out", ())),
            "spread": tuple(Range(**each) for each in found.get("spread", ())),
            "margins": tuple(Range(**each) for each in found.get("margins", ())),
        }
    )


class ScalingFit:
    """Gathers the tissue cells of a cohort, slide by slide, and fits their common scaling."""

    def __init__(self, quantiles: Quantiles) -> None:
        self._quantiles = quantiles
        self._attention: list[np.ndarray] = []
        self._scores: list[np.ndarray] = []
        self._contributions: list[np.ndarray] = []
        self._falls: list[np.ndarray] = []
        self._spread: list[np.ndarray] = []
        self._margins: list[np.ndarray] = []
        self._classes: tuple[str, ...] = ()

    def add(self, heatmaps: HeatmapSet) -> None:
        """Take a slide's tissue cells in."""
        self._classes = heatmaps.classes
        self._attention.append(heatmaps.attention[heatmaps.tissue])
        self._scores.append(heatmaps.scores[:, heatmaps.tissue])
        if heatmaps.contributions is not None:
            self._contributions.append(heatmaps.contributions[:, heatmaps.tissue])
        if heatmaps.falls is not None:
            self._falls.append(heatmaps.falls[:, heatmaps.tissue])
        spread = score_spread(heatmaps)
        if spread is not None:
            self._spread.append(spread[:, heatmaps.tissue])
        if "margin" not in maps_left_out(heatmaps.classes):
            self._margins.append(margins(heatmaps.scores[:, heatmaps.tissue]))

    def fit(self, cohort: str, model_digest: str, extractor_digest: str) -> CohortScaling:
        """Return the scaling of all cells so far.

        Cells that are not finite are left out; no cells at all, or cells that are all alike,
        give a range around them that is wide enough to divide by.
        """
        attention = np.concatenate([*self._attention, np.empty(0, np.float32)])
        chance = 1 / max(1, len(self._classes))
        return CohortScaling(
            cohort=cohort,
            model_digest=model_digest,
            extractor_digest=extractor_digest,
            quantiles=self._quantiles,
            classes=self._classes,
            attention=_between(
                attention, self._quantiles.attention_lower, self._quantiles.attention_upper
            ),
            scores=tuple(
                _around(each, chance, self._quantiles.score) for each in _joined(self._scores)
            ),
            contributions=self._around_zero(self._contributions),
            slides=len(self._attention),
            cells=attention.size,
            leave_one_out=self._around_zero(self._falls),
            # No deviation is below zero: the upper half of a range around it is that from it.
            spread=tuple(Range(0.0, each.upper) for each in self._around_zero(self._spread)),
            margins=self._around_zero(self._margins),
        )

    def _around_zero(self, parts: list[np.ndarray]) -> tuple[Range, ...]:
        """Return the range of each class's values around zero."""
        return tuple(_around(each, 0.0, self._quantiles.score) for each in _joined(parts))


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    """Return (classes, n) values joined along the cells."""
    return np.concatenate(parts, axis=1) if parts else np.empty((0, 0), np.float32)


def _between(values: np.ndarray, lower: float, upper: float) -> Range:
    """Return the range between two quantiles."""
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return Range(0.0, 1.0)
    # float64, or an interpolated quantile of large values could fall beyond both neighbours.
    low, high = np.quantile(finite.astype(np.float64), [lower, upper]).tolist()
    return Range(low, high) if low < high else Range.around(low, _smallest_reach(low))


def _around(values: np.ndarray, middle: float, quantile: float) -> Range:
    """Return the range to both sides of ``middle`` that a quantile of the distances fills."""
    finite = values[np.isfinite(values)].astype(np.float64)
    reach = float(np.quantile(np.abs(finite - middle), quantile)) if finite.size else 0.0
    return Range.around(middle, max(reach, _smallest_reach(middle)))


def _smallest_reach(value: float) -> float:
    """Return a reach that float64 can still tell from nothing at this value.

    At zero it is far below what a cell of a slide of millions means to the slide.
    """
    return max(1e-12, abs(value) * 1e-6)
