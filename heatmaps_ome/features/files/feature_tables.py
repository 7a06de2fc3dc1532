"""Reads the features in a file of any kind, with the coordinates that it holds itself, if any."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from heatmaps_ome.features.files import stamp
from heatmaps_ome.features.files.annotated import annotated, annotated_zarr
from heatmaps_ome.features.files.arrays import read_npy, read_npz
from heatmaps_ome.features.files.containers import container_of
from heatmaps_ome.features.files.coordinate_files import (
    COORDINATES,
    array_coordinates,
    h5_coordinates,
)
from heatmaps_ome.features.files.h5_stores import H5Store, is_annotated
from heatmaps_ome.features.files.hdf5 import dataset, names_in, opened, read, text_attribute
from heatmaps_ome.features.files.refusals import NO_TILES, Unfit, listed, quoted
from heatmaps_ome.features.files.torch_tensors import read_tensors
from heatmaps_ome.features.files.zarr_stores import opened_store

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import h5py

    from heatmaps_ome.features.files.annotated import Annotated
    from heatmaps_ome.features.files.coordinates import Coordinates
    from heatmaps_ome.features.slide_facts import SlideFacts
    from heatmaps_ome.features.tile_facts import TileFacts

FEATURES: Final = ("feats", "features", "patch_embeddings", "embeddings")
"""Datasets of features, as systems name them."""


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """The features in a file.

    Attributes
    ----------
    values : array
        As stored; not checked yet.
    coordinates : Coordinates or None
        None if the file holds none.
    encoder : str
    keep : (n,) bool or None
        Rows that are no augmented copies; None for all.
    """

    values: np.ndarray = field(repr=False)
    coordinates: Coordinates | None
    encoder: str = ""
    keep: np.ndarray | None = field(default=None, repr=False)


def feature_table(path: Path, slide: SlideFacts, facts: TileFacts) -> FeatureTable:
    """Return the features in a file.

    Raises
    ------
    Unfit
        If it is damaged, holds no features of tiles, or is of another slide.
    OSError
        If it cannot be read.
    """
    container = container_of(path)
    if container == "h5":
        with opened(path) as file:
            if is_annotated(file):
                return _of_annotated(annotated(H5Store(file), "", facts), facts)
            return _of_h5(file, slide, facts)
    if container == "zarr":
        with opened_store(path) as store:
            return _of_annotated(annotated_zarr(store, slide, facts), facts)
    if container == "npy":
        return FeatureTable(read_npy(path), None)
    if container == "npz":
        return _of_arrays(read_npz(path), facts)
    if container == "torch":
        return _of_arrays(read_tensors(path), facts)
    raise Unfit(
        "is no file of features that is read; give h5, pt, npy, npz or zarr, or give scores to the "
        "command export"
    )


def _of_h5(file: h5py.File, slide: SlideFacts, facts: TileFacts) -> FeatureTable:
    stamp.refuse_embeddings(file)
    stored = _features_dataset(file, facts)
    # With --coords a file need not have its own, even if its system always writes some.
    own = h5_coordinates(file, slide, facts) if facts.coords is None or "coords" in file else None
    # Other floats than half and single become single; HDF5 converts them as they are read.
    values = read(stored, np.dtype(np.float16 if stored.dtype == np.float16 else np.float32))
    encoder = text_attribute(stored, "encoder") or text_attribute(file, "extractor") or ""
    return FeatureTable(values, own, encoder[:200], _rows_to_keep(file, len(stored)))


def _features_dataset(file: h5py.File, facts: TileFacts) -> h5py.Dataset:
    """Return the dataset of features."""
    for name in FEATURES if facts.dataset is None else (facts.dataset,):
        stored = dataset(file, name)
        if stored is None:
            continue
        if stored.size == 0:
            raise Unfit(NO_TILES)
        if stored.ndim < 2 or (stored.ndim == 2 and "coords" not in file and len(stored) == 1):
            raise Unfit(
                f"holds one vector of {stored.shape[-1:]} features, a whole slide's: maps need a "
                "row of features for each tile"
            )
        return stored
    if facts.dataset is not None:
        raise Unfit(f"has no dataset {quoted(facts.dataset)}; it has {names_in(file)}")
    raise Unfit(
        f"has no dataset of features; it has {names_in(file)}: name one with --dataset if it holds "
        "features"
    )


def _rows_to_keep(file: h5py.File, n_rows: int) -> np.ndarray | None:
    """Return marugoto's rows that are no augmented copies, (n,) bool; None if all are kept."""
    stored = dataset(file, "augmented")
    if stored is None or stored.shape != (n_rows,):
        return None
    augmented = read(stored).astype(bool)
    return ~augmented if augmented.any() else None


def _of_annotated(table: Annotated, facts: TileFacts) -> FeatureTable:
    encoder = table.prefix.rpartition("/")[2].removesuffix("_tiles")
    return FeatureTable(table.features(facts), table.coordinates, encoder)


def _of_arrays(arrays: Mapping[str, np.ndarray], facts: TileFacts) -> FeatureTable:
    """Return the features among named arrays: the one named as such, or the only one of rows."""
    coordinates = next((arrays[name] for name in COORDINATES if name in arrays), None)
    own = None if coordinates is None else array_coordinates(coordinates)
    if facts.dataset is not None:
        if facts.dataset not in arrays:
            raise Unfit(f"has no array {quoted(facts.dataset)}; it has {listed(arrays)}")
        return FeatureTable(arrays[facts.dataset], own)
    names = [name for name in FEATURES if name in arrays] or [
        name for name, values in arrays.items() if name not in COORDINATES and values.ndim > 1
    ]
    if not names:
        names = [name for name in arrays if name not in COORDINATES]
    if len(names) != 1:
        raise Unfit(f"holds several arrays: {listed(arrays)}; name the features with --dataset")
    return FeatureTable(arrays[names[0]], own)
