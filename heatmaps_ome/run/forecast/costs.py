"""Costs of slides: seconds and bytes by their sizes, as measured on slides that are done.

A megapixel is one of the slide at the network's resolution, whatever its own: pixels of that size
are read, computed and drawn.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from heatmaps_ome.geometry import YX, Shape

Measure: TypeAlias = Literal["making", "drawing", "results", "features", "pixels"]
"""Seconds to make raw maps and to draw them; bytes of a slide's results, and of its features and
pixels in the cache, as far as these are no links of the results."""
MEASURES: Final[tuple[Measure, ...]] = get_args(Measure)
_MOST_SLIDES: Final = 100
"""Slides that count in full; older ones count less and less, as machines and disks change."""

_LEAST_SPREAD: Final = 0.1
"""SD of the slides' sizes, as a share of their mean, from which both parts follow."""


@dataclass(frozen=True)
class Sum:
    """A cost of several slides together, and what a line through their sizes needs.

    Attributes
    ----------
    amount : float
        Seconds or bytes.
    megapixels : float
    slides : float
        Older slides count less.
    squares, products : float
        Sums of the squares of slides' megapixels, and of their products with the amounts.
    """

    amount: float = 0
    megapixels: float = 0
    slides: float = 0
    squares: float = 0
    products: float = 0

    @classmethod
    def of_slide(cls, amount: float, megapixels: float) -> Sum:
        """Return the cost of one slide."""
        return cls(amount, megapixels, 1, megapixels**2, megapixels * amount)

    def plus(self, other: Sum) -> Sum:
        """Return the cost of both groups of slides, in which the other is the later one."""
        room = max(0.0, _MOST_SLIDES - other.slides)
        weight = min(1.0, room / self.slides) if self.slides else 1.0
        return Sum(*(
            weight * own + new for own, new in zip(astuple(self), astuple(other), strict=True)
        ))  # fmt: skip

    def expected(self, megapixels: float, slides: int) -> float:
        """Return what slides will cost: so much for each, and so much for each megapixel.

        Both parts follow from least squares where the sizes differ enough to tell them apart, and
        neither is negative; else the cost is proportional to the size.

        Parameters
        ----------
        megapixels : float
            Of all slides together.
        """
        mean = self.megapixels / self.slides
        variance = self.squares / self.slides - mean**2
        if variance > (_LEAST_SPREAD * mean) ** 2:
            slope = (self.products / self.slides - mean * self.amount / self.slides) / variance
            base = self.amount / self.slides - slope * mean
            if slope < 0:
                return self.amount / self.slides * slides
            if base >= 0:
                return base * slides + slope * megapixels
        return self.amount / self.megapixels * megapixels


@dataclass(frozen=True)
class Costs:
    """What slides cost.

    Attributes
    ----------
    sums : mapping of measure → Sum
        Without those that are not known.
    least_share : float or None
        The least that a slide left on disk, in bytes per byte of its own files.
    """

    sums: Mapping[str, Sum] = field(default_factory=dict)
    least_share: float | None = None

    def of(self, measure: Measure, sizes: Sequence[float]) -> float | None:
        """Return what slides of some sizes in megapixels will cost; None if it is not known."""
        known = self.sums.get(measure)
        return None if known is None else known.expected(sum(sizes), len(sizes))

    def slides(self, measure: Measure) -> int:
        """Return on how many slides a cost was measured."""
        known = self.sums.get(measure)
        return 0 if known is None else round(known.slides)

    def plus(self, other: Costs) -> Costs:
        """Return the costs of both groups of slides, in which the other is the later one."""
        names = {*self.sums, *other.sums}
        sums = {
            name: self.sums.get(name, Sum()).plus(other.sums.get(name, Sum())) for name in names
        }
        shares = [one for one in (self.least_share, other.least_share) if one is not None]
        return Costs(sums, min(shares, default=None))

    def or_else(self, other: Costs) -> Costs:
        """Return these costs, with those of another group of slides where they are not known."""
        share = self.least_share if self.least_share is not None else other.least_share
        return Costs({**other.sums, **self.sums}, share)

    def only(self, *measures: Measure) -> Costs:
        """Return some of the costs."""
        return Costs({name: one for name, one in self.sums.items() if name in measures})

    def without(self, *measures: Measure) -> Costs:
        """Return all other costs."""
        sums = {name: one for name, one in self.sums.items() if name not in measures}
        return Costs(sums, self.least_share)

    def record(self) -> dict[str, Any]:
        """Return the costs as plain JSON values."""
        sums = {name: list(astuple(one)) for name, one in self.sums.items()}
        return {"sums": sums, "least_share": self.least_share}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Costs:
        """Return the costs that a record has.

        Raises
        ------
        ValueError, KeyError, TypeError, AttributeError
            If it has none.
        """
        sums = {
            name: Sum(*map(float, values))
            for name, values in record["sums"].items()
            if name in MEASURES
        }
        if any(one.megapixels <= 0 or one.slides <= 0 for one in sums.values()):
            raise ValueError("slides without pixels")
        share = record["least_share"]
        return cls(sums, None if share is None else float(share))


def megapixels_of(shape: Shape, mpp: YX, target_mpp: float) -> float:
    """Return the size of a slide at the network's resolution, in megapixels.

    Parameters
    ----------
    mpp : YX
        µm per level-0 pixel.
    target_mpp : float
        µm per network pixel.
    """
    return shape.rows * mpp.y * shape.cols * mpp.x / target_mpp**2 / 1e6
