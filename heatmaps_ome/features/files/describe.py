"""Describes a file of tiles by itself, without its slide."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from heatmaps_ome.features.files.containers import container_of
from heatmaps_ome.features.files.coordinate_files import coordinates_from
from heatmaps_ome.features.files.feature_tables import feature_table
from heatmaps_ome.features.files.numbers import rows_of_features
from heatmaps_ome.features.files.placing import stride_of
from heatmaps_ome.features.files.refusals import Unfit, naming
from heatmaps_ome.features.files.same_slide import ANY_SLIDE
from heatmaps_ome.features.files.scores import score_table
from heatmaps_ome.features.tile_facts import NO_FACTS

if TYPE_CHECKING:
    from pathlib import Path

    from heatmaps_ome.features.files.coordinates import Coordinates
    from heatmaps_ome.features.tile_facts import TileFacts

_UNITS: Final = {"px": "px of level 0", "um": "µm", None: "not given"}
_WITH_FEATURES: Final = ("h5", "zarr", "torch", "npy", "npz")


@dataclass(frozen=True)
class TilesDescription:
    """The content of a file of tiles.

    Attributes
    ----------
    holds : str
        "features", "scores" or "coordinates".
    system : str
        The system that wrote it; "" if nothing states it.
    n_tiles : int
    n_features : int or None
        Features of a tile; None without features.
    maps : tuple of str
        Columns of scores.
    encoder : str
        "" if the file does not name it.
    unit : str
        Of coordinates, for people.
    side : str
        Of a tile, for people.
    notes : tuple of str
        Sentences on all that was inferred.
    """

    holds: str
    system: str
    n_tiles: int
    n_features: int | None
    maps: tuple[str, ...]
    encoder: str
    unit: str
    side: str
    notes: tuple[str, ...]


def may_hold_tiles(path: Path) -> bool:
    """Return whether a file or store may be one of tiles, by its first bytes and its name."""
    if path.is_dir():
        return any((path / name).is_dir() for name in ("tables", "table", "obs"))
    try:
        container_of(path)
    except (Unfit, OSError):
        return False
    return True


def describe_tiles(path: Path, facts: TileFacts = NO_FACTS) -> TilesDescription:
    """Return a description of a file of features, scores or coordinates.

    Raises
    ------
    FeaturesError
        If it is damaged, or holds none of them.
    """
    with naming(path):
        if container_of(path) in _WITH_FEATURES:
            try:
                table = feature_table(path, ANY_SLIDE, facts)
                values = rows_of_features(table.values)
                return _described(
                    "features", table.coordinates, len(values), values.shape[1], (), table.encoder
                )
            except Unfit as reason:
                return _without_features(path, facts, reason)
        return _without_features(path, facts, None)


def _without_features(path: Path, facts: TileFacts, reason: Unfit | None) -> TilesDescription:
    """Return a description of scores, or else of coordinates; the reason if there are neither."""
    try:
        table = score_table(path, ANY_SLIDE, facts)
        if table.columns:
            return _described(
                "scores", table.coordinates, table.n_rows, None, tuple(table.columns), ""
            )
    except Unfit as error:
        reason = reason or error
    try:
        own = coordinates_from(path, ANY_SLIDE, facts)
    except ValueError as error:
        raise reason or Unfit("holds neither features, scores nor coordinates") from error
    return _described("coordinates", own, len(own.xy), None, (), "")


def _described(
    holds: str,
    own: Coordinates | None,
    n_tiles: int,
    n_features: int | None,
    maps: tuple[str, ...],
    encoder: str,
) -> TilesDescription:
    if own is None:
        note = ("it holds no coordinates; those in a file beside it, or of --coords, are used",)
        return TilesDescription(
            holds, "", n_tiles, n_features, maps, encoder, "not given", "not given", note
        )
    unit = _UNITS.get(own.unit, str(own.unit))
    return TilesDescription(
        holds, own.system, n_tiles, n_features, maps, encoder, unit, _side(own), own.notes
    )


def _side(own: Coordinates) -> str:
    """Return the sides of tiles in words."""
    unit = {"px": " px", "um": " µm"}.get(own.unit or "", "")
    if own.sides is None:
        stride = stride_of(own.xy)
        apart = "" if stride is None else f"; neighbours are {stride:g}{unit} apart"
        return f"not given{apart}"
    sides = np.unique(np.atleast_1d(np.asarray(own.sides, np.float64)))
    if np.ptp(sides) <= 1e-6 * sides[-1]:
        return f"{sides[-1]:g}{unit}"
    return f"{sides[0]:g} to {sides[-1]:g}{unit}"
