"""Reads the scores of a slide's tiles from a file of any known system."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from heatmaps_ome.features.bag import TileScores
from heatmaps_ome.features.files.annotated import annotated, annotated_zarr
from heatmaps_ome.features.files.arrays import read_npy, read_npz
from heatmaps_ome.features.files.columns import Columns, coordinates_in, rows_of, score_columns
from heatmaps_ome.features.files.containers import container_of
from heatmaps_ome.features.files.coordinate_files import (
    COORDINATES,
    array_coordinates,
    coordinates_of_rows,
    h5_coordinates,
)
from heatmaps_ome.features.files.feature_tables import FEATURES
from heatmaps_ome.features.files.geojson import read_geojson
from heatmaps_ome.features.files.given_maps import maps_of
from heatmaps_ome.features.files.h5_stores import H5Store, is_annotated
from heatmaps_ome.features.files.hdf5 import dataset, names_in, numeric_names, opened, read
from heatmaps_ome.features.files.numbers import digest_of_arrays
from heatmaps_ome.features.files.parquet import parquet_coordinates, read_parquet
from heatmaps_ome.features.files.placing import placed
from heatmaps_ome.features.files.refusals import NO_TILES, Unfit, listed, naming, quoted
from heatmaps_ome.features.files.text_tables import read_text_table
from heatmaps_ome.features.files.torch_tensors import read_tensors
from heatmaps_ome.features.files.zarr_stores import opened_store
from heatmaps_ome.features.tile_facts import NO_FACTS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import h5py
    import numpy as np

    from heatmaps_ome.features.files.annotated import Annotated
    from heatmaps_ome.features.files.containers import Container
    from heatmaps_ome.features.files.coordinates import Coordinates
    from heatmaps_ome.features.slide_facts import SlideFacts
    from heatmaps_ome.features.tile_facts import TileFacts

_MOST_COLUMNS = 32
"""Columns of a dataset of scores; one with more is taken for features, unless it is named."""


@dataclass(frozen=True, eq=False)
class ScoreTable:
    """The scores in a file.

    Attributes
    ----------
    columns : mapping
        Name → (n,) numbers.
    coordinates : Coordinates or None
        None if the file holds none.
    n_rows : int
    """

    columns: Mapping[str, np.ndarray] = field(repr=False)
    coordinates: Coordinates | None
    n_rows: int


def read_scores(path: Path, slide: SlideFacts, facts: TileFacts = NO_FACTS) -> TileScores:
    """Return the scores of a slide's tiles with their places.

    Parameters
    ----------
    path : Path
        A file of scores, or a zarr store.
    slide : SlideFacts
    facts : TileFacts
        The user's, where the file states less.

    Raises
    ------
    FeaturesError
        If it cannot be read, is damaged, has no tiles, no places or no scores, or is of another
        slide.
    """
    with naming(path):
        table = score_table(path, slide, facts)
        coordinates = coordinates_of_rows(table.coordinates, path, table.n_rows, slide, facts)
        maps, notes = maps_of(table.columns, facts)
        place = placed(coordinates, facts, slide)
    return TileScores(
        l0_places=place.l0_places,
        system=coordinates.system,
        notes=(*place.notes, *notes),
        digest=digest_of_arrays(place.l0_places, *(given.values for given in maps)),
        maps=maps,
    )


def score_table(path: Path, slide: SlideFacts, facts: TileFacts) -> ScoreTable:
    """Return the scores in a file.

    Raises
    ------
    Unfit
        If it is damaged, holds no scores of tiles, or is of another slide.
    OSError
        If it cannot be read.
    """
    container = container_of(path)
    if container == "h5":
        with opened(path) as file:
            if is_annotated(file):
                return _annotated_table(annotated(H5Store(file), "", facts))
            return _h5_table(file, slide, facts)
    if container == "zarr":
        with opened_store(path) as store:
            return _annotated_table(annotated_zarr(store, slide, facts))
    if container == "geojson":
        coordinates, columns, n_rows = read_geojson(path)
        return ScoreTable(columns, coordinates, n_rows)
    if container == "table":
        return _columns_table(rows_of(read_text_table(path), slide), facts)
    if container == "parquet":
        table = read_parquet(path)
        if table.boxes is None:
            return _columns_table(rows_of(table.columns, slide), facts)
        coordinates, columns = parquet_coordinates(table, slide)
        return ScoreTable(columns, coordinates, len(coordinates.xy))
    return _arrays_table(path, container, facts)


def _columns_table(columns: Columns, facts: TileFacts) -> ScoreTable:
    if columns.n_rows == 0:
        raise Unfit(NO_TILES)
    if facts.dataset is not None and facts.dataset not in columns.numbers:
        raise Unfit(
            f"has no column of numbers {quoted(facts.dataset)}; it has {listed(columns.numbers)}"
        )
    if facts.coords is not None:
        return ScoreTable(score_columns(columns, ()), None, columns.n_rows)
    coordinates, used = coordinates_in(columns)
    return ScoreTable(score_columns(columns, used), coordinates, columns.n_rows)


def _annotated_table(table: Annotated) -> ScoreTable:
    columns = Columns(tuple(table.columns), table.columns, table.n_rows)
    return ScoreTable(score_columns(columns, ()), table.coordinates, table.n_rows)


def _arrays_table(path: Path, container: Container, facts: TileFacts) -> ScoreTable:
    """Return the scores in NumPy's and torch's files."""
    if container == "npy":
        arrays = {"scores": read_npy(path)}
    else:
        arrays = read_npz(path) if container == "npz" else read_tensors(path)
    arrays = {name or "scores": values for name, values in arrays.items()}
    stored = next((arrays[name] for name in COORDINATES if name in arrays), None)
    coordinates = None if stored is None else array_coordinates(stored)
    n_tiles = None if coordinates is None else len(coordinates.xy)
    if facts.dataset is not None and facts.dataset not in arrays:
        raise Unfit(f"has no array {quoted(facts.dataset)}; it has {listed(arrays)}")
    columns: dict[str, np.ndarray] = {}
    for name, values in arrays.items():
        wanted = name == facts.dataset if facts.dataset else _may_be_scores(
            name, values.shape, n_tiles
        )  # fmt: skip
        if wanted:
            columns |= _split(name, values, n_tiles)
    _require_columns(columns, listed(arrays))
    return ScoreTable(columns, coordinates, len(next(iter(columns.values()))))


def _require_columns(columns: dict[str, np.ndarray], names: str) -> None:
    """Refuse a file without scores, or with scores of different numbers of tiles."""
    if not columns:
        raise Unfit(
            f"has no dataset with a score for each of its tiles; it has {names}: name one with "
            "--dataset"
        )
    if len({len(values) for values in columns.values()}) > 1:
        raise Unfit(f"has scores of different numbers of tiles: {names}; name one with --dataset")


def _h5_table(file: h5py.File, slide: SlideFacts, facts: TileFacts) -> ScoreTable:
    coordinates = None
    if facts.coords is None or "coords" in file:
        coordinates = h5_coordinates(file, slide, facts)
    n_tiles = None if coordinates is None else len(coordinates.xy)
    if facts.dataset is not None:
        stored = dataset(file, facts.dataset)
        if stored is None:
            raise Unfit(f"has no dataset {quoted(facts.dataset)}; it has {names_in(file)}")
        columns = _split(facts.dataset, read(stored), n_tiles)
    else:
        columns = {}
        for name in numeric_names(file):
            stored = dataset(file, name)
            if stored is not None and _may_be_scores(name, stored.shape, n_tiles):
                columns |= _split(name, read(stored), n_tiles)
    _require_columns(columns, names_in(file))
    return ScoreTable(columns, coordinates, len(next(iter(columns.values()))))


def _may_be_scores(name: str, shape: tuple[int, ...], n_tiles: int | None) -> bool:
    """Return whether a dataset has a few numbers for each tile."""
    if name in COORDINATES or name.rpartition("/")[2] in FEATURES or not 1 <= len(shape) <= 2:
        return False
    if n_tiles is None:
        return len(shape) == 1 or shape[1] <= _MOST_COLUMNS
    rest = shape[1:] if shape[0] == n_tiles else shape[:1]
    return n_tiles in shape and (len(shape) == 1 or rest[0] <= _MOST_COLUMNS)


def _split(name: str, values: np.ndarray, n_tiles: int | None) -> dict[str, np.ndarray]:
    """Return a dataset's columns by name: the dataset's own, with numbers if there are several."""
    own = name.rpartition("/")[2]
    if values.ndim == 2 and values.shape[0] != n_tiles and n_tiles in (values.shape[1], None):
        values = values.T if n_tiles is not None or values.shape[0] == 1 else values
    if values.ndim == 1:
        return {own: values}
    if values.ndim != 2:
        raise Unfit(
            f"has a dataset {quoted(name)} of the shape {values.shape}; a row a tile is needed"
        )
    if values.shape[1] == 1:
        return {own: values[:, 0]}
    return {f"{own}_{place}": values[:, place] for place in range(values.shape[1])}
