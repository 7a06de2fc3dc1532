"""Coordinates in STAMP's feature files of all versions, and in marugoto's, its predecessor.

STAMP 2 writes µm from the slide's corner: level-0 pixels times the slide's µm per pixel along x.
STAMP 1 and marugoto write pixels of tiles that are 256 µm wide. References: KatherLab/STAMP,
``modeling/data.py`` (``get_coords``); KatherLab/marugoto, ``extract/extract.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from heatmaps_ome.features.files.coordinates import Coordinates
from heatmaps_ome.features.files.hdf5 import (
    dataset,
    number_attribute,
    read,
    text_attribute,
)
from heatmaps_ome.features.files.placing import require_coordinates, stride_of
from heatmaps_ome.features.files.refusals import Unfit, quoted
from heatmaps_ome.geometry import YX

if TYPE_CHECKING:
    import h5py

    from heatmaps_ome.features.slide_facts import SlideFacts
    from heatmaps_ome.features.tile_facts import TileFacts

_HISTORIC_UM: Final = 256.0
"""Side of the tiles of STAMP 1 and marugoto."""
_HISTORIC_PX: Final = 224


def is_stamp(file: h5py.File) -> bool:
    """Return whether a file was written by STAMP, marugoto or a fork of theirs."""
    names = ("stamp_version", "feat_type", "tile_size_um", "tile_size", "extractor")
    return any(name in file.attrs for name in names)


def refuse_embeddings(file: h5py.File) -> None:
    """Refuse features of slides and patients, which have no tiles.

    Raises
    ------
    Unfit
        With the type that the file states.
    """
    kind = text_attribute(file, "feat_type")
    if kind is not None and kind != "tile":
        raise Unfit(
            f"holds features of the type {quoted(kind)}, which have no tiles; maps need those of "
            "the type 'tile', as before their encoding"
        )


def stamp_coordinates(file: h5py.File, slide: SlideFacts, facts: TileFacts) -> Coordinates:
    """Return the coordinates of a file by STAMP or marugoto.

    Raises
    ------
    Unfit
        If there are none, or their unit is not known.
    """
    refuse_embeddings(file)
    stored = dataset(file, "coords")
    if stored is None:
        raise Unfit(
            "holds no coordinates of its tiles (no dataset 'coords'); extract the features again "
            "with coordinates, or give them with --coords"
        )
    xy = read(stored)
    require_coordinates(xy)
    side_um = number_attribute(file, "tile_size_um")
    unit = text_attribute(file, "unit")
    if side_um is None and unit in ("um", "µm"):
        side_um = number_attribute(file, "tile_size")
    if side_um is None and unit is None:
        return _historic(file, xy, facts)
    if unit not in (None, "um", "µm"):
        raise Unfit(f"has coordinates in the unit {quoted(unit)}; STAMP writes them in µm")
    version = text_attribute(file, "stamp_version")
    # STAMP takes the slide's pixel size along x for both axes, whatever --mpp is in this run.
    own = slide.own_mpp
    notes: tuple[str, ...] = ()
    if own is not None and abs(own.x - slide.mpp.x) > 1e-3 * own.x:
        notes = (f"its µm are taken at the slide's own pixel size, {own.x:g} µm, as STAMP does",)
    mpp_x = own.x if own is not None and own.x > 0 else slide.mpp.x
    return Coordinates(
        xy,
        system=f"STAMP {version}" if version else "STAMP 2",
        unit="um",
        sides=side_um,
        origin="top-left",
        um_per_px=YX(mpp_x, mpp_x),
        notes=notes,
    )


def _historic(file: h5py.File, xy: np.ndarray, facts: TileFacts) -> Coordinates:
    """Return µm of coordinates in pixels of tiles, whose side is the stride.

    They have no unit if the user gives one, or the tiles' distance is not known.
    """
    extractor = (text_attribute(file, "extractor") or "").lower()
    is_marugoto = not extractor.startswith("stamp")
    system = "marugoto" if is_marugoto else "STAMP 1"
    stride = number_attribute(file, "tile_size") or stride_of(xy)
    is_known = stride is not None and (is_marugoto or round(stride) == _HISTORIC_PX)
    if not is_known or stride is None or facts.unit is not None:
        return Coordinates(xy, system=system, origin="top-left", may_be_transposed=True)
    note = (
        f"{system} does not state a unit: its coordinates are taken for tiles of {stride:g} px "
        f"that are {_HISTORIC_UM:g} µm wide, by convention"
    )
    return Coordinates(
        xy.astype(np.float64) / stride * _HISTORIC_UM,
        system=system,
        unit="um",
        sides=_HISTORIC_UM,
        origin="top-left",
        may_be_transposed=True,
        notes=(note,),
    )
