"""Reads the scores of a slide's tiles from a file of any known system."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from heatmaps_ome.features.bag import TileScores
from heatmaps_ome.features.files.columns import coordinates_in, score_columns
from heatmaps_ome.features.files.containers import container_of
from heatmaps_ome.features.files.coordinate_files import (
    combined,
    coordinates_from,
    described,
    h5_coordinates,
)
from heatmaps_ome.features.files.given_maps import maps_of
from heatmaps_ome.features.files.hdf5 import dataset, names_in, numeric_names, opened, read
from heatmaps_ome.features.files.numbers import digest_of_arrays
from heatmaps_ome.features.files.placing import placed
from heatmaps_ome.features.files.refusals import Unfit, naming, quoted
from heatmaps_ome.features.files.text_tables import read_text_table
from heatmaps_ome.features.tile_facts import NO_FACTS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import h5py
    import numpy as np

    from heatmaps_ome.features.files.coordinates import Coordinates
    from heatmaps_ome.features.slide_facts import SlideFacts
    from heatmaps_ome.features.tile_facts import TileFacts

_FEATURES = frozenset({"feats", "features", "patch_embeddings", "embeddings"})
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
        table = _table(path, slide, facts)
        coordinates = _coordinates(table, path, slide, facts)
        maps, notes = maps_of(table.columns, facts)
        place = placed(coordinates, facts, slide)
    return TileScores(
        l0_places=place.l0_places,
        system=coordinates.system,
        notes=(*place.notes, *notes),
        digest=digest_of_arrays(place.l0_places, *(given.values for given in maps)),
        maps=maps,
    )


def _table(path: Path, slide: SlideFacts, facts: TileFacts) -> ScoreTable:
    container = container_of(path)
    if container == "h5":
        with opened(path) as file:
            return _h5_table(file, slide, facts)
    if container == "table":
        columns = read_text_table(path)
        if facts.coords is not None:
            return ScoreTable(score_columns(columns, ()), None, columns.n_rows)
        coordinates, used = coordinates_in(columns)
        return ScoreTable(score_columns(columns, used), coordinates, columns.n_rows)
    raise Unfit("holds no scores that can be read")


def _coordinates(table: ScoreTable, path: Path, slide: SlideFacts, facts: TileFacts) -> Coordinates:
    """Return the coordinates of a table's rows."""
    if facts.coords is not None:
        given = coordinates_from(facts.coords, slide, facts)
        return combined(table.coordinates, given, facts.coords, table.n_rows)
    if table.coordinates is None:
        raise Unfit("holds no coordinates of its tiles; give them with --coords")
    if len(table.coordinates.xy) != table.n_rows:
        raise Unfit(
            f"has {table.n_rows} rows of scores and {len(table.coordinates.xy)} coordinates; write "
            "it again"
        )
    return described(table.coordinates, path, slide, facts)


def _h5_table(file: h5py.File, slide: SlideFacts, facts: TileFacts) -> ScoreTable:
    coordinates = None
    if facts.coords is None or dataset(file, "coords") is not None:
        coordinates = h5_coordinates(file, slide)
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
    if not columns:
        raise Unfit(
            f"has no dataset with a score for each of its tiles; it has {names_in(file)}: name one "
            "with --dataset"
        )
    return ScoreTable(columns, coordinates, len(next(iter(columns.values()))))


def _may_be_scores(name: str, shape: tuple[int, ...], n_tiles: int | None) -> bool:
    """Return whether a dataset has a few numbers for each tile."""
    if name == "coords" or name.rpartition("/")[2] in _FEATURES or not 1 <= len(shape) <= 2:
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
