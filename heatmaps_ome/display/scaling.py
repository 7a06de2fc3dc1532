"""The scaling that the slides of a cohort share: fitted once, stored in a file, applied to more.

It has the reference's meaning, made exact (create_heatmaps.py:386-401; design.md section 8): over
all tissue cells of all slides, attention is stretched between two quantiles; a class's score,
centred on chance, is divided by twice a quantile of its absolute value.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from heatmaps_ome.errors import ScalingError
from heatmaps_ome.maps.kinds import ATTENTION, KINDS
from heatmaps_ome.storage.digests import digest_of, write_json
from heatmaps_ome.storage.regular_file import read_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from heatmaps_ome.maps.heatmap_set import HeatmapSet
    from heatmaps_ome.maps.map_kind import Scale


@dataclass(frozen=True)
class Quantiles:
    """The quantiles that a scaling is fitted to, all in [0, 1].

    Attributes
    ----------
    attention_lower, attention_upper : float
        Quantiles of the attention; they are drawn as the ends of its colour map.
    score : float
        Quantile of the absolute distance of scores from chance; contributions, leave-one-out,
        margins and the spread over several models use it too, from zero.
    """

    attention_lower: float = 0.01
    attention_upper: float = 1.0
    score: float = 0.95

    def __post_init__(self) -> None:
        """Refuse numbers that are no quantiles, and an empty range."""
        for name, value in asdict(self).items():
            if not 0 <= value <= 1:
                raise ValueError(f"the quantile {name} is {value}; give one between 0 and 1")
        if self.attention_lower >= self.attention_upper:
            raise ValueError(
                f"the lower attention quantile, {self.attention_lower}, must be below the upper "
                f"one, {self.attention_upper}"
            )

    def leave_out(self, scale: Scale) -> tuple[bool, bool]:
        """Return whether ranges of a kind leave out the smallest, and the largest, values."""
        if scale == "quantiles":
            return self.attention_lower > 0, self.attention_upper < 1
        return self.score < 1 and scale != "from zero", self.score < 1


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
        """Return positions of values in the range: float64, clipped to [0, 1]; NaN stays NaN."""
        scaled = (np.asarray(values, np.float64) - self.lower) / (self.upper - self.lower)
        return np.clip(scaled, 0.0, 1.0)


@dataclass(frozen=True)
class EarlierFit:
    """A scaling that was fitted to a part of the slides that a later one is fitted to.

    Attributes
    ----------
    cohort : str
        Digest of its slides.
    slides, cells : int
        Number of slides and cells in the fit.
    """

    cohort: str
    slides: int
    cells: int


@dataclass(frozen=True)
class CohortScaling:
    """The colour ranges that all slides of a cohort share.

    Attributes
    ----------
    cohort : str
        Digest of the slides that it was fitted to.
    model_digest, extractor_digest : str
        The model and the extractor that made the maps; maps of others have other units, so they
        are refused. Several models have a digest as a set.
    quantiles : Quantiles
        The quantiles that the ranges were fitted to.
    classes : tuple of str
        The model's classes.
    ranges : mapping of kind → tuple of Range
        The ranges of each kind of quantity that the slides have (see `kinds`): one per class, in
        the order of ``classes``, or a single one; of drawn values (see `HeatmapSet.factor`). Files
        of earlier versions lack later kinds and those drawn otherwise since.
    slides, cells : int
        Number of slides and cells in the fit.
    names : mapping of kind → tuple of str
        Names of the maps of kinds that do not have one for each class: given ones.
    history : tuple of EarlierFit
        The scalings that this one extends, the first one first; no map depends on them.
    """

    cohort: str
    model_digest: str
    extractor_digest: str
    quantiles: Quantiles
    classes: tuple[str, ...]
    ranges: Mapping[str, tuple[Range, ...]]
    slides: int
    cells: int
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    history: tuple[EarlierFit, ...] = ()

    @property
    def attention(self) -> Range:
        """The range of the attention, over which other maps fade; [0, 1] if it is unknown."""
        return self.ranges.get(ATTENTION, (Range(0.0, 1.0),))[0]

    def range_of(self, kind: str, class_name: str | None = None) -> Range | None:
        """Return the range of a kind's map of a class, or of all classes; None if unknown."""
        ranges = self.ranges.get(kind)
        if not ranges:
            return None
        if class_name is None:
            return ranges[0]
        names = self.names.get(kind, self.classes)
        return ranges[names.index(class_name)] if class_name in names else None

    def lacking(self, heatmaps: HeatmapSet) -> list[str]:
        """Return the kinds that cannot be drawn, as this scaling is of an earlier version.

        It lacks them, or was fitted to what they showed then.
        Kinds whose labels have fixed ends need no range.
        """
        return [
            key
            for key, kind in KINDS.items()
            if kind.drawn == "every class"
            and kind.levels is None
            and key not in self.ranges
            and heatmaps.values(key) is not None
        ]

    @property
    def numbers(self) -> str:
        """Digest of the classes and ranges: all that decides how maps are drawn."""
        ranges = {kind: [asdict(ends) for ends in group] for kind, group in self.ranges.items()}
        names = {"names": {kind: list(group) for kind, group in self.names.items()}}
        others = names if self.names else {}
        return digest_of({"classes": list(self.classes), "ranges": ranges, **others})

    def record(self) -> dict[str, Any]:
        """Return all of it as plain JSON values."""
        record = {"format": _FORMAT, **asdict(self)}
        for key in ("names", "history"):
            if not record[key]:
                del record[key]
        return record

    @classmethod
    def from_record(cls, record: Any) -> CohortScaling:
        """Return the scaling that `record` describes.

        Raises
        ------
        ValueError, KeyError, TypeError
            If it describes none.
        """
        # Records state their format since the fifth.
        return _from_json({"format": _RAW_FORMATS[-1], **record})

    def save(self, path: Path) -> None:
        """Write the scaling as JSON, replacing the file as a whole."""
        write_json(path, self.record())

    @classmethod
    def load(cls, path: Path) -> CohortScaling:
        """Return the scaling in a file.

        Raises
        ------
        ScalingError
            If the file is no scaling of heatmaps-ome.
        """
        try:
            return _from_json(read_json(path, _MAX_BYTES))
        except OSError as error:
            raise ScalingError(
                f"{path} cannot be read ({error.strerror}); check --scaling"
            ) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
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
        misfit = self.misfit(model_digest, extractor_digest)
        if misfit is not None:
            raise ScalingError(f"{path} {misfit}; leave out --scaling or use that one")

    def misfit(self, model_digest: str, extractor_digest: str) -> str | None:
        """Return why maps of a model and an extractor cannot be scaled so, else None.

        It is the end of a sentence that begins with the scaling's file.
        """
        for what, own, other in (
            ("model", self.model_digest, model_digest),
            # Its digest stands for all that features and their explanation depend on.
            ("extractor, --explain or size of tiles", self.extractor_digest, extractor_digest),
        ):
            if own != other:
                return (
                    f"was fitted with another {what} ({own[:12]}, not {other[:12]}), whose values "
                    "have another scale"
                )
        return None


_MAX_BYTES = 8 << 20
"""Longest file that is read; one of 1,000 classes has a tenth of it."""
_FORMAT = "heatmaps-ome scaling 6"
_UNEXTENDED_FORMAT = "heatmaps-ome scaling 5"
"""Has no history."""
_RAW_FORMATS = tuple(f"heatmaps-ome scaling {number}" for number in (1, 2, 3, 4))
"""Formats whose contributions and evidence are raw, not times the slide's cells: dropped."""
_EARLIER_FORMATS = _RAW_FORMATS[:3]
_EARLIER_KEYS = {
    "attention": "attention",
    "scores": "score",
    "contributions": "contribution",
    "leave_one_out": "leave-one-out",
    "spread": "sd-score",
    "margins": "margin",
}
"""Key of formats 1 to 3 → the kind whose ranges it has. The first format lacked leave-one-out, the
first two lacked margins and the spread."""


def _from_json(facts: dict[str, Any]) -> CohortScaling:
    """Return the scaling that JSON describes; any misfit is a ValueError, KeyError or TypeError."""
    form = facts.pop("format")
    if form in _EARLIER_FORMATS:
        ranges = {kind: facts.pop(key, ()) for key, kind in _EARLIER_KEYS.items()}
        ranges[ATTENTION] = [ranges[ATTENTION]]
    elif form in (_FORMAT, _UNEXTENDED_FORMAT, _RAW_FORMATS[-1]):
        ranges = facts.pop("ranges")
    else:
        raise ValueError("another format")
    read = {kind: tuple(Range(**ends) for ends in group) for kind, group in ranges.items()}
    names = {kind: tuple(map(str, group)) for kind, group in facts.pop("names", {}).items()}
    history = tuple(EarlierFit(**fit) for fit in facts.pop("history", ()))
    count = len(facts["classes"])
    fits = (len(group) in (0, 1, len(names.get(kind, ())) or count) for kind, group in read.items())
    if not any(read.values()) or not all(fits):
        raise ValueError("ranges of other maps")
    if facts["quantiles"].keys() != asdict(Quantiles()).keys():
        raise ValueError("other quantiles")
    return CohortScaling(
        **{
            **facts,
            "quantiles": Quantiles(**facts["quantiles"]),
            "classes": tuple(facts["classes"]),
            "ranges": {
                kind: group
                for kind, group in read.items()
                if group and not (form in _RAW_FORMATS and _was_raw(kind, names))
            },
            "names": names,
            "history": history,
        }
    )


def _was_raw(kind: str, names: Mapping[str, tuple[str, ...]]) -> bool:
    """Return whether a kind is drawn times the cells now, but was not; given maps still are not."""
    return kind in KINDS and KINDS[kind].summed and kind not in names
