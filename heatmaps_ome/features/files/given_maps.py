"""The columns of a table of tiles become maps: named, and of a kind."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from heatmaps_ome.features.bag import GIVEN_KINDS, GivenKind, GivenMap
from heatmaps_ome.features.files.refusals import Unfit, listed, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from heatmaps_ome.features.tile_facts import TileFacts

MOST_MAPS: Final = 256
LONGEST_NAME: Final = 200
_NAMED_KINDS: Final[tuple[tuple[re.Pattern[str], GivenKind], ...]] = (
    (re.compile(r"(^|[^a-z])(attention|attn)"), "attention"),
    (re.compile(r"^prob(abilit(y|ies))?([^a-z]|$)|(^|[^a-z])probabilit(y|ies)$|[^a-z]prob$"),
     "probability"),
    (re.compile(r"(^|[^a-z])contributions?([^a-z]|$)"), "contribution"),
)  # fmt: skip
"""Names of columns that state a kind, in small letters."""


@dataclass(frozen=True)
class _Wish:
    """A map that the user asks for, from ``NAME[=COLUMN][:kind]``."""

    name: str
    column: str
    kind: GivenKind | None


def maps_of(
    columns: Mapping[str, np.ndarray], facts: TileFacts
) -> tuple[tuple[GivenMap, ...], tuple[str, ...]]:
    """Return the maps of a table's columns, and notes on the kinds that were inferred.

    Parameters
    ----------
    columns : mapping
        Name → (n,) numbers; NaN where a tile has none.
    facts : TileFacts
        The user's ``maps``, and the ``dataset`` that names one column.

    Raises
    ------
    Unfit
        If there are none, one is asked for that is not there, or values are infinite, missing
        throughout or not of the kind that the user states.
    """
    if facts.maps:
        wishes = [_wish(text) for text in facts.maps]
    elif facts.dataset is not None and facts.dataset in columns:
        wishes = [_Wish(facts.dataset, facts.dataset, None)]
    else:
        wishes = [_Wish(name, name, None) for name in columns]
    if not wishes:
        raise Unfit("holds no scores: it has no columns of numbers beside the tiles' places")
    if len(wishes) > MOST_MAPS:
        raise Unfit(
            f"has {len(wishes)} columns of numbers; name those to draw with --map NAME=COLUMN"
        )
    names = [wish.name for wish in wishes]
    if len(set(names)) < len(names):
        raise Unfit(f"would have several maps of one name ({listed(names)}); name each differently")
    for name in names:
        _require_name(name)
    pairs = [_map(wish, columns) for wish in wishes]
    return tuple(given for given, _ in pairs), tuple(note for _, note in pairs if note)


def _wish(text: str) -> _Wish:
    """Return what ``NAME[=COLUMN][:kind]`` asks for."""
    rest, kind = text, None
    head, colon, tail = text.rpartition(":")
    if colon and tail in GIVEN_KINDS:
        rest, kind = head, tail
    name, equals, column = rest.partition("=")
    if not name.strip() or (equals and not column.strip()):
        raise Unfit(
            f"cannot have the map {quoted(text)}; write --map NAME, NAME=COLUMN or "
            f"NAME=COLUMN:kind with a kind of {', '.join(GIVEN_KINDS)}"
        )
    return _Wish(name.strip(), (column if equals else name).strip(), _kind(kind))


def _require_name(name: str) -> None:
    """Refuse names that no legend or file can have."""
    if not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
        raise Unfit(
            f"would have a map {quoted(name)}, whose name is not of 1 to {LONGEST_NAME} printable "
            "characters; name it with --map NAME=COLUMN"
        )


def _kind(text: str | None) -> GivenKind | None:
    return next((kind for kind in GIVEN_KINDS if kind == text), None)


def _map(wish: _Wish, columns: Mapping[str, np.ndarray]) -> tuple[GivenMap, str]:
    """Return a map and the note on its kind, or ""."""
    if wish.column not in columns:
        raise Unfit(
            f"has no column of numbers {quoted(wish.column)}; it has {listed(columns) or 'none'} "
            f"(kinds are {', '.join(GIVEN_KINDS)})"
        )
    values = np.asarray(columns[wish.column])
    with np.errstate(over="ignore"):  # infinities are refused below
        values = values.astype(np.float32)
    if np.isinf(values).any():
        row = int(np.flatnonzero(np.isinf(values))[0])
        raise Unfit(
            f"has an infinite value in {quoted(wish.column)}, row {row + 1}; write it again"
        )
    if np.isnan(values).all():
        raise Unfit(f"has no value in {quoted(wish.column)}; leave it out with --map")
    kind, note = _kind_of(wish, values)
    return GivenMap(wish.name, kind, values), note


def _kind_of(wish: _Wish, values: np.ndarray) -> tuple[GivenKind, str]:
    """Return the kind that the user or the name states, and a note on the latter."""
    in_range = bool(np.nanmin(values) >= 0 and np.nanmax(values) <= 1)
    if wish.kind is not None:
        if wish.kind == "probability" and not in_range:
            raise Unfit(
                f"has values from {np.nanmin(values):g} to {np.nanmax(values):g} in "
                f"{quoted(wish.column)}, which are no probabilities; give :value"
            )
        return wish.kind, ""
    for pattern, kind in _NAMED_KINDS:
        if pattern.search(wish.column.lower()) or pattern.search(wish.name.lower()):
            if kind == "probability" and not in_range:
                continue
            return kind, (
                f"{quoted(wish.name)} is drawn as {kind}, by its name; --map "
                f"{wish.name}={wish.column}:value draws its values as they are"
            )
    return "value", ""
