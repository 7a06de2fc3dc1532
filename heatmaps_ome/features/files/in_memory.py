"""Scores of tiles that a program has in memory, checked as those of a file are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from heatmaps_ome.errors import FeaturesError
from heatmaps_ome.features.bag import TileScores
from heatmaps_ome.features.files.coordinates import Coordinates
from heatmaps_ome.features.files.given_maps import maps_of
from heatmaps_ome.features.files.numbers import digest_of_arrays
from heatmaps_ome.features.files.placing import placed
from heatmaps_ome.features.files.refusals import Unfit
from heatmaps_ome.features.tile_facts import NO_FACTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from heatmaps_ome.features.slide_facts import SlideFacts
    from heatmaps_ome.features.tile_facts import TileFacts


def scores_of_arrays(
    places: Any, maps: Mapping[str, Any], slide: SlideFacts, facts: TileFacts = NO_FACTS
) -> TileScores:
    """Return the scores of a slide's tiles.

    Parameters
    ----------
    places : (n, 4) or (n, 2) numbers
        x0, y0, x1, y1 of each tile; or x and y, with the tiles' size in ``facts``. Level-0 pixels,
        unless ``facts`` has another unit.
    maps : mapping of name → (n,) numbers
        NaN where a tile has no value.
    facts : TileFacts
        Its ``maps`` has the kinds, as ``NAME:kind``.

    Raises
    ------
    FeaturesError
        If the arrays do not fit together, or the tiles do not lie on the slide.
    """
    try:
        place = placed(_coordinates(np.asarray(places), facts), facts, slide)
        columns = {str(name): _column(name, values, place) for name, values in maps.items()}
        given, notes = maps_of(columns, facts)
    except (Unfit, TypeError, ValueError) as reason:
        raise FeaturesError(f"what is given for {slide.name} {reason}") from reason
    return TileScores(
        l0_places=place.l0_places,
        system="arrays of Python",
        notes=(*place.notes, *notes),
        digest=digest_of_arrays(place.l0_places, *(one.values for one in given)),
        maps=given,
    )


def _coordinates(places: np.ndarray, facts: TileFacts) -> Coordinates:
    """Return places as the coordinates of a file are."""
    if places.ndim != 2 or places.shape[1] not in (2, 4) or places.dtype.kind not in "iuf":
        raise Unfit(
            f"has places of {places.dtype} {places.shape}; give x0, y0, x1, y1 of each tile, or x "
            "and y with tile_size"
        )
    corners = places.astype(np.float64)
    sides = corners[:, 2:] - corners[:, :2] if places.shape[1] == 4 else None
    if sides is not None and not (sides > 0).all():
        raise Unfit("has tiles whose x1 or y1 is not beyond x0 and y0; give x0, y0, x1, y1")
    return Coordinates(
        xy=corners[:, :2],
        system="arrays of Python",
        unit=facts.unit or "px",
        sides=sides,
        origin="top-left" if sides is not None else facts.origin or "top-left",
    )


def _column(name: object, values: Any, place: Any) -> np.ndarray:
    """Return one map's values."""
    column = np.asarray(values)
    count = len(place.l0_places)
    if column.shape == (count, 1):
        column = column[:, 0]
    if column.shape != (count,) or column.dtype.kind not in "iufb":
        raise Unfit(
            f"has {column.dtype} {column.shape} for {name!s}; give a number for each of the "
            f"{count} tiles"
        )
    return column.astype(np.float64)
