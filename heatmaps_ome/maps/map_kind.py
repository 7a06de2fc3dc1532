"""A kind of map: the facts that a row of the table `kinds` has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

Scale = Literal[
    "quantiles", "around chance", "around the middle", "around zero", "from zero", "categories"
]
"""How a cohort's cells decide the values at the ends of a kind's colours.

"quantiles": two quantiles of the values; "around chance", "around the middle", "around zero": as
far to both sides of 1 / classes, of the middle of the slides' predictions or of zero as a quantile
of the distances; "from zero": that far to one side;
"categories": each value has a name and a colour of its own, and there is no range.
"""

Palette = Literal["attention", "score", "contribution", "spread", "categories"]
"""The colour map of a style that a kind has."""

Drawn = Literal["every class", "true class", "on request", "once"]
"""The classes whose maps are drawn: all that are requested, only the one drawn hot, all if the kind
is requested too; or one map for all classes."""


@dataclass(frozen=True)
class MapKind:
    """A kind of map: its meaning, its source, and how it is drawn.

    Texts may hold ``{name}``, the class, ``{rivals}``, the other classes, and ``{unit}``, that of
    the slide: cell or tile.

    Attributes
    ----------
    key : str
        Names the kind in files: labels and overlays of a class are called ``<key>-<class>``.
    title : str
        For choosers: "Score".
    map_title : str
        "Score of {name}".
    quantity : str
        Meaning of the numbers: "probability of {name}".
    unit : str
        "logit", "probability"; empty for categories.
    scale : Scale
    palette : Palette
    drawn : Drawn
    stored : bool
        Whether the raw values have a channel of it (one per class, unless drawn once).
    needs : tuple of str
        The kinds that it follows from; empty where a model gives it.
    formula : callable or None
        Returns its values from those that it needs; None where a model gives it.
    spread_of : str
        The kind whose standard deviation over several models it is; empty for others.
    least_classes, most_classes : int
        Numbers of classes of the models that have such maps.
    too_few : str
        Why there are none with fewer classes than ``least_classes``, but more than one.
    levels : tuple of two float, or None
        The smallest and the largest value that it can have, which a label's first and last level
        stand for; None: there is no limit, and the levels end with the cohort's range.
    ends : tuple of two str
        Meaning of values below and above the middle; empty where the quantity states it.
    fades : bool
        Whether cells are as opaque as their attention is high.
    pictured : bool
        Whether overlays and pictures are made of it, not only a label.
    evenly_spread : bool
        Whether small values matter no more than large ones.
    means : tuple of two str
        Quantity and unit of the mean over several models where they are other ones.
    of_softmax : bool
        Whether it compares classes of which a slide has exactly one.
    of_values : str
        The quantity where the model predicts a value or a risk; its unit is then the target's.
    of_given : tuple of two str
        Title and quantity of a map that was given, whose unit only its giver knows.
    summed : bool
        Whether the values of a slide's cells sum to the slide's own. The cells of a tile then share
        its value, and maps are drawn times the number of cells, so that slides of any size compare:
        ``quantity`` and ``of_values`` are of this product.
    raw : tuple of two str
        The quantity of the raw values of such a kind: of classes, and of a value or a risk.
    """

    key: str
    title: str
    map_title: str
    quantity: str
    unit: str
    scale: Scale
    palette: Palette
    drawn: Drawn
    stored: bool = False
    needs: tuple[str, ...] = ()
    formula: Callable[..., np.ndarray] | None = None
    spread_of: str = ""
    least_classes: int = 1
    most_classes: int | None = None
    too_few: str = ""
    levels: tuple[float, float] | None = None
    ends: tuple[str, str] = ("", "")
    fades: bool = False
    pictured: bool = True
    evenly_spread: bool = False
    means: tuple[str, str] = ("", "")
    of_softmax: bool = False
    of_values: str = ""
    of_given: tuple[str, str] = ("", "")
    summed: bool = False
    raw: tuple[str, str] = ("", "")

    @property
    def per_class(self) -> bool:
        """Whether there is a map per class rather than one for all of them."""
        return self.drawn != "once"

    def left_out(self, n_classes: int) -> str:
        """Return why a model of so many classes has no such maps; empty if it has."""
        if n_classes < self.least_classes:
            return self.too_few if n_classes > 1 else "the model has one class"
        if self.most_classes is not None and n_classes > self.most_classes:
            return f"the model has {n_classes} classes, and a label tells {self.most_classes} apart"
        return ""
