"""Files that hold or describe the coordinates of other files' tiles: ``--coords``, and siblings."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from heatmaps_ome.features.files import clam, stamp
from heatmaps_ome.features.files.containers import container_of
from heatmaps_ome.features.files.hdf5 import opened
from heatmaps_ome.features.files.refusals import Unfit, naming

if TYPE_CHECKING:
    from pathlib import Path

    import h5py

    from heatmaps_ome.features.files.coordinates import Coordinates
    from heatmaps_ome.features.slide_facts import SlideFacts
    from heatmaps_ome.features.tile_facts import TileFacts


def h5_coordinates(file: h5py.File, slide: SlideFacts) -> Coordinates:
    """Return the coordinates in a file of STAMP, marugoto, CLAM or TRIDENT.

    Raises
    ------
    Unfit
        If there are none, or they are of another slide.
    """
    is_stamp = stamp.is_stamp(file) and not clam.has_attributes(file)
    return stamp.stamp_coordinates(file, slide) if is_stamp else clam.patch_coordinates(file, slide)


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
                return h5_coordinates(file, slide)
        raise Unfit("is no file of coordinates that can be read")


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
    return replace(stated, xy=xy, sides=sides, notes=(*own.notes, *stated.notes, note))


def _contains(all_xy: np.ndarray, xy: np.ndarray) -> bool:
    """Return whether all coordinates are among others."""
    pairs = {(float(x), float(y)) for x, y in all_xy.tolist()}
    return all((float(x), float(y)) in pairs for x, y in xy.tolist())
