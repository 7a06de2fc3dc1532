"""Reads the features of a slide's tiles from a file of any known system."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from heatmaps_ome.features.bag import Bag
from heatmaps_ome.features.files import stamp
from heatmaps_ome.features.files.containers import container_of
from heatmaps_ome.features.files.coordinate_files import (
    combined,
    coordinates_from,
    described,
    h5_coordinates,
)
from heatmaps_ome.features.files.hdf5 import dataset, names_in, opened, read, text_attribute
from heatmaps_ome.features.files.numbers import digest_of_arrays, plain_features
from heatmaps_ome.features.files.placing import placed
from heatmaps_ome.features.files.refusals import Unfit, naming, quoted
from heatmaps_ome.features.tile_facts import NO_FACTS

if TYPE_CHECKING:
    from pathlib import Path

    import h5py

    from heatmaps_ome.features.files.coordinates import Coordinates
    from heatmaps_ome.features.slide_facts import SlideFacts
    from heatmaps_ome.features.tile_facts import TileFacts

_NAMES = ("feats", "features", "patch_embeddings", "embeddings")
"""Datasets of features, as systems name them."""


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
        container = container_of(path)
        if container == "h5":
            return _h5_bag(path, slide, facts)
        raise Unfit("holds no features that can be read")


def _h5_bag(path: Path, slide: SlideFacts, facts: TileFacts) -> Bag:
    with opened(path) as file:
        stamp.refuse_embeddings(file)
        stored = _features_dataset(file, facts)
        n_rows = stored.shape[1] if stored.ndim == 3 else len(stored)
        own = None
        if facts.coords is None or dataset(file, "coords") is not None:
            own = h5_coordinates(file, slide)
        coordinates = _coordinates(own, path, n_rows, slide, facts)
        keep = _rows_to_keep(file, n_rows)
        place = placed(_chosen(coordinates, keep), facts, slide)
        features = read(stored, _stored_type(stored))
        encoder = text_attribute(stored, "encoder") or text_attribute(file, "extractor") or ""
    features = plain_features(features)
    notes = place.notes
    if keep is not None:
        features = features[keep]
        notes = (*notes, f"{int((~keep).sum())} augmented tiles are left out")
    return Bag(
        l0_places=place.l0_places,
        system=coordinates.system,
        notes=notes,
        digest=digest_of_arrays(place.l0_places, place.um_places, features),
        features=features,
        um_places=place.um_places,
        encoder=encoder[:200],
    )


def _coordinates(
    own: Coordinates | None, path: Path, n_rows: int, slide: SlideFacts, facts: TileFacts
) -> Coordinates:
    """Return the coordinates of a file's rows: its own, those beside it or those of --coords."""
    if facts.coords is not None:
        given = coordinates_from(facts.coords, slide, facts)
        return combined(own, given, facts.coords, n_rows)
    if own is None:
        raise Unfit("holds no coordinates of its tiles; give them with --coords")
    if len(own.xy) != n_rows:
        raise Unfit(f"has {n_rows} rows of features and {len(own.xy)} coordinates; write it again")
    return described(own, path, slide, facts)


def _features_dataset(file: h5py.File, facts: TileFacts) -> h5py.Dataset:
    """Return the dataset of features."""
    names = _NAMES if facts.dataset is None else (facts.dataset,)
    for name in names:
        stored = dataset(file, name)
        if stored is not None:
            if stored.ndim < 2 or (stored.ndim == 2 and "coords" not in file and len(stored) == 1):
                plain_features(np.empty(stored.shape[-1:], np.float32))  # refused as a slide's
            return stored
    if facts.dataset is not None:
        raise Unfit(f"has no dataset {quoted(facts.dataset)}; it has {names_in(file)}")
    raise Unfit(
        f"has no dataset of features; it has {names_in(file)}: name one with --dataset if it holds "
        "features"
    )


def _stored_type(stored: h5py.Dataset) -> np.dtype:
    """Return the type to read features as: other floats than half and single become single."""
    return np.dtype(np.float16 if stored.dtype == np.float16 else np.float32)


def _rows_to_keep(file: h5py.File, n_rows: int) -> np.ndarray | None:
    """Return marugoto's rows that are no augmented copies, (n,) bool; None if all are kept."""
    stored = dataset(file, "augmented")
    if stored is None or stored.shape != (n_rows,):
        return None
    augmented = read(stored).astype(bool)
    return ~augmented if augmented.any() else None


def _chosen(coordinates: Coordinates, keep: np.ndarray | None) -> Coordinates:
    if keep is None:
        return coordinates
    sides = coordinates.sides
    if isinstance(sides, np.ndarray):
        sides = sides[keep]
    return replace(coordinates, xy=coordinates.xy[keep], sides=sides)
