"""Tiles with their places: the features of a slide (a bag), or the scores that other tools gave."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, get_args

if TYPE_CHECKING:
    import numpy as np

GivenKind = Literal["attention", "probability", "contribution", "value"]
"""attention: unitless, higher is more; probability: in [0, 1]; contribution: signed, about zero;
value: a quantity with or without a unit."""
GIVEN_KINDS: Final[tuple[GivenKind, ...]] = get_args(GivenKind)


@dataclass(frozen=True, eq=False)
class Tiles:
    """Places of tiles; place, not index, is the truth.

    Attributes
    ----------
    l0_places : (n, 4) float64
        x0, y0, x1, y1 in level-0 pixels from the outer top left corner of the slide's first pixel
        (OpenSlide's frame: its bounds are not subtracted).
    system : str
        The system that wrote them, for people: "STAMP 2.5.0".
    notes : tuple of str
        Sentences on all that was inferred: where the tiles' size comes from, what was left out.
    digest : str
        sha256 in hex of places and values.
    """

    l0_places: np.ndarray = field(repr=False)
    system: str
    notes: tuple[str, ...]
    digest: str

    @property
    def count(self) -> int:
        """Number of tiles."""
        return len(self.l0_places)


@dataclass(frozen=True, eq=False)
class Bag(Tiles):
    """The features of a slide's tiles.

    Attributes
    ----------
    features : (n, d) float16 or float32
        As they were stored; all finite.
    um_places : (n, 2) float32
        x and y of the top left corners in µm, exactly as the file has them where it has µm: the
        coordinates that models were trained with.
    encoder : str
        Name of the features' encoder as the file has it; "" where it has none.
    """

    features: np.ndarray = field(repr=False)
    um_places: np.ndarray = field(repr=False)
    encoder: str = ""


@dataclass(frozen=True, eq=False)
class GivenMap:
    """One column of scores.

    Attributes
    ----------
    name : str
        For people and files: "attention", "tumour".
    kind : GivenKind
    values : (n,) float32
        NaN where a tile has none.
    unit : str
        "" for none.
    """

    name: str
    kind: GivenKind
    values: np.ndarray = field(repr=False)
    unit: str = ""


@dataclass(frozen=True, eq=False)
class TileScores(Tiles):
    """The scores of a slide's tiles, whatever gave them.

    Attributes
    ----------
    maps : tuple of GivenMap
        At least one; with different names.
    """

    maps: tuple[GivenMap, ...]
