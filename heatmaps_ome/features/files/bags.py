"""Reads the features of a slide's tiles from a file of any known system."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from heatmaps_ome.features.bag import Bag
from heatmaps_ome.features.files.coordinate_files import coordinates_of_rows
from heatmaps_ome.features.files.feature_tables import feature_table
from heatmaps_ome.features.files.numbers import (
    digest_of_arrays,
    plain_features,
    rows_of_features,
)
from heatmaps_ome.features.files.placing import placed
from heatmaps_ome.features.files.refusals import naming
from heatmaps_ome.features.tile_facts import NO_FACTS

if TYPE_CHECKING:
    from pathlib import Path

    from heatmaps_ome.features.files.coordinates import Coordinates
    from heatmaps_ome.features.slide_facts import SlideFacts
    from heatmaps_ome.features.tile_facts import TileFacts


def read_bag(path: Path, slide: SlideFacts, facts: TileFacts = NO_FACTS) -> Bag:
    """Return the features of a slide's tiles with their places.

    Parameters
    ----------
    path : Path
        A file of features, or a zarr store.
    slide : SlideFacts
    facts : TileFacts
        The user's, where the file states less.

    Raises
    ------
    FeaturesError
        If it cannot be read, is damaged, has no tiles or no places, or is of another slide.
    """
    with naming(path):
        table = feature_table(path, slide, facts)
        values = rows_of_features(table.values)
        coordinates = coordinates_of_rows(table.coordinates, path, len(values), slide, facts)
        place = placed(_chosen(coordinates, table.keep), facts, slide)
        features = plain_features(values)
    notes = place.notes
    if table.keep is not None:
        features = features[table.keep]
        notes = (*notes, f"{int((~table.keep).sum())} augmented tiles are left out")
    return Bag(
        l0_places=place.l0_places,
        system=coordinates.system,
        notes=notes,
        digest=digest_of_arrays(place.l0_places, place.um_places, features),
        features=features,
        um_places=place.um_places,
        encoder=table.encoder,
    )


def _chosen(coordinates: Coordinates, keep: np.ndarray | None) -> Coordinates:
    """Return the coordinates of the rows that are kept."""
    if keep is None:
        return coordinates
    sides = coordinates.sides
    if isinstance(sides, np.ndarray):
        sides = sides[keep]
    return replace(coordinates, xy=coordinates.xy[keep], sides=sides)
