"""Files that hold or describe the coordinates of other files' tiles: ``--coords``, and siblings."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from heatmaps_ome.features.files import clam, stamp
from heatmaps_ome.features.files.annotated import annotated_zarr
from heatmaps_ome.features.files.arrays import read_npy, read_npz
from heatmaps_ome.features.files.columns import coordinates_in, rows_of
from heatmaps_ome.features.files.containers import container_of
from heatmaps_ome.features.files.coordinates import Coordinates
from heatmaps_ome.features.files.geojson import read_geojson
from heatmaps_ome.features.files.hdf5 import dataset, opened, read
from heatmaps_ome.features.files.parquet import parquet_coordinates, read_parquet
from heatmaps_ome.features.files.refusals import Unfit, naming
from heatmaps_ome.features.files.slideflow import index_of, slideflow_coordinates
from heatmaps_ome.features.files.text_tables import read_text_table
from heatmaps_ome.features.files.torch_tensors import read_tensors
from heatmaps_ome.features.files.zarr_stores import opened_store

if TYPE_CHECKING:
    from pathlib import Path

    import h5py

    from heatmaps_ome.features.files.containers import Container
    from heatmaps_ome.features.slide_facts import SlideFacts
    from heatmaps_ome.features.tile_facts import TileFacts

COORDINATES: Final = ("coords", "coordinates", "locations", "places", "xy", "coord")
"""Arrays of coordinates, as systems name them."""


def h5_coordinates(file: h5py.File, slide: SlideFacts, facts: TileFacts) -> Coordinates | None:
    """Return the coordinates in a file of STAMP, marugoto, CLAM or TRIDENT; None without any.

    Raises
    ------
    Unfit
        If they are of another slide, or the system always writes some.
    """
    if stamp.is_stamp(file) and not clam.has_attributes(file):
        return stamp.stamp_coordinates(file, slide, facts)
    if dataset(file, "coords") is not None:
        return clam.patch_coordinates(file, slide)
    stored = next((dataset(file, name) for name in COORDINATES if name in file), None)
    return None if stored is None else array_coordinates(read(stored))


def array_coordinates(values: np.ndarray) -> Coordinates:
    """Return the coordinates in an array: x and y, or a rectangle, in each row.

    Raises
    ------
    Unfit
        If it has another shape.
    """
    if values.ndim == 3 and values.shape[0] == 1:  # a batch of one bag
        values = values[0]
    if values.ndim == 2 and values.shape[1] == 4:
        return _rectangles(values)
    if values.ndim != 2 or values.shape[1] != 2:
        raise Unfit(
            f"has coordinates of the shape {values.shape}; a row of x and y a tile is needed"
        )
    return Coordinates(values, system="NumPy")


def coordinates_from(path: Path, slide: SlideFacts, facts: TileFacts) -> Coordinates:
    """Return the coordinates in a file of any kind that holds some.

    Raises
    ------
    FeaturesError
        If it cannot be read, or holds none.
    """
    with naming(path):
        container = container_of(path)
        if container == "h5":
            with opened(path) as file:
                own = h5_coordinates(file, slide, facts)
        elif container in ("table", "parquet", "geojson"):
            return _of_rows(path, container, slide)
        elif container == "npy":
            return array_coordinates(read_npy(path))
        elif container == "zarr":
            with opened_store(path) as store:
                own = annotated_zarr(store, slide, facts).coordinates
        else:
            arrays = read_npz(path) if container == "npz" else read_tensors(path)
            names = [name for name in COORDINATES if name in arrays] or list(arrays)
            own = array_coordinates(arrays[names[0]]) if len(names) == 1 else None
        if own is None:
            raise Unfit("holds no coordinates; name the file that does with --coords")
        return own


def _of_rows(path: Path, container: Container, slide: SlideFacts) -> Coordinates:
    if container == "geojson":
        return read_geojson(path)[0]
    if container == "table":
        return coordinates_in(rows_of(read_text_table(path), slide))[0]
    return parquet_coordinates(read_parquet(path), slide)[0]


def _rectangles(values: np.ndarray) -> Coordinates:
    """Return the coordinates of rows of four: corners, or a corner and the sides.

    Raises
    ------
    Unfit
        If they may be either.
    """
    xy, rest = values[:, :2].astype(np.float64), values[:, 2:].astype(np.float64)
    are_corners = bool((rest > xy).all()) and len(values) > 0
    # Tiles of one size at several places: their sides do not change, their corners do.
    are_sides = bool((rest == rest[:1]).all() and (rest > 0).all())
    if are_corners and len(values) > 1 and not are_sides:
        differences = rest - xy
        if np.ptp(differences, axis=0).max() < 1:
            note = "its rows are x0, y0, x1 and y1, as only so the tiles have one size"
            return Coordinates(
                xy, system="NumPy", sides=differences, origin="top-left", notes=(note,)
            )
    if are_sides and len(values) > 1:
        note = "its rows are x, y, width and height, as the last two do not change"
        return Coordinates(xy, system="NumPy", sides=rest, origin="top-left", notes=(note,))
    raise Unfit(
        "has rows of four coordinates that may be corners or sides; give x and y, and --tile-size"
    )


def coordinates_of_rows(
    own: Coordinates | None, path: Path, n_rows: int, slide: SlideFacts, facts: TileFacts
) -> Coordinates:
    """Return the coordinates of a file's rows: its own, those of --coords or those beside it.

    Parameters
    ----------
    own : Coordinates or None
        Those that the file holds itself.
    path : Path
        That file.
    n_rows : int
        Its rows of features or scores.

    Raises
    ------
    Unfit, FeaturesError
        If there are none, or of another number.
    """
    if facts.coords is not None:
        return combined(own, coordinates_from(facts.coords, slide, facts), facts.coords, n_rows)
    if own is None:
        own = _beside(path, n_rows, slide, facts)
    if len(own.xy) != n_rows:
        raise Unfit(
            f"has {n_rows} rows and {len(own.xy)} coordinates; write it again, or give the "
            "coordinates of these very tiles with --coords"
        )
    return described(own, path, slide, facts)


def _beside(path: Path, n_rows: int, slide: SlideFacts, facts: TileFacts) -> Coordinates:
    """Return the coordinates in a file beside one that has none, as systems lay them.

    Raises
    ------
    Unfit
        If there is no such file.
    """
    index = index_of(path)
    if index is not None:
        return slideflow_coordinates(path, index, slide)
    stem, patches = path.stem, clam.patches_file(path, slide)
    for beside in (
        *([] if patches is None else [patches]),  # TRIDENT's, beside the folder of features
        path.parent.parent / "h5_files" / f"{stem}.h5",  # CLAM's, beside pt_files
        path.with_suffix(".h5"),
        path.parent.parent / "coords" / f"{stem}.npy",  # torchmil's
        path.with_name(f"{stem}_coords.npy"),
        path.with_name(f"{stem}-coords.npy"),
    ):
        if beside != path and beside.is_file():
            own = coordinates_from(beside, slide, facts)
            own = described(own, beside, slide, facts)
            note = f"its coordinates are those of {beside.name} in {beside.parent.name}"
            if len(own.xy) == n_rows:
                return replace(own, notes=(*own.notes, note))
    raise Unfit(
        "holds no coordinates of its tiles, as CLAM's and TRIDENT's pt files; give the h5 file of "
        "the same tiles, or the file that has them with --coords"
    )


def described(own: Coordinates, path: Path, slide: SlideFacts, facts: TileFacts) -> Coordinates:
    """Return a file's coordinates with the facts that the file of its patches states.

    Parameters
    ----------
    own : Coordinates
        Those that a file of features or scores holds itself.
    path : Path
        That file.
    """
    if own.sides is not None or facts.tile_size is not None:
        return own
    beside = clam.patches_file(path, slide)
    if beside is None:
        return own
    stated = coordinates_from(beside, slide, facts)
    if not _contains(stated.xy, own.xy):
        note = f"{beside.name} beside it is of other tiles, and is not used"
        return replace(own, notes=(*own.notes, note))
    return _with_facts_of(own, stated, beside)


def combined(own: Coordinates | None, given: Coordinates, path: Path, count: int) -> Coordinates:
    """Return the coordinates of a file's rows, of those that it holds and those of ``--coords``.

    Parameters
    ----------
    own : Coordinates or None
        Those that the file holds itself.
    given : Coordinates
        Those of ``--coords``.
    path : Path
        The file of ``--coords``.
    count : int
        Rows of the file.

    Raises
    ------
    Unfit
        If the numbers of rows differ.
    """
    if own is not None and len(own.xy) == count and _contains(given.xy, own.xy):
        return _with_facts_of(own, given, path)
    if len(given.xy) != count:
        raise Unfit(
            f"has {count} rows, and {path.name} has {len(given.xy)} coordinates; give the "
            "coordinates of these very tiles"
        )
    return given


def _with_facts_of(own: Coordinates, stated: Coordinates, path: Path) -> Coordinates:
    """Return a file's own coordinates with the facts of the file that describes them."""
    sides, xy = stated.sides, own.xy
    if isinstance(sides, np.ndarray):
        if len(np.unique(sides, axis=0)) > 1:
            return own
        sides = np.broadcast_to(sides[0], (len(xy), 2))
    note = f"the tiles' size is that of {path.name}"
    return replace(stated, xy=xy, sides=sides, notes=(*stated.notes, note))


def _contains(all_xy: np.ndarray, xy: np.ndarray) -> bool:
    """Return whether all coordinates are among others."""
    pairs = {(float(x), float(y)) for x, y in all_xy.tolist()}
    return all((float(x), float(y)) in pairs for x, y in xy.tolist())
