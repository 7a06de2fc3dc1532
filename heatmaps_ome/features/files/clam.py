"""Coordinates in files of CLAM and TRIDENT: level-0 pixels of the tiles' top left corners.

TRIDENT states all beside the coordinates. CLAM does so in the file of patches only, not in that of
features. References: mahmoodlab/CLAM, ``wsi_core/WholeSlideImage.py`` (``process_contour``);
mahmoodlab/TRIDENT, ``wsi_objects/WSI.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from heatmaps_ome.features.files.coordinates import Coordinates
from heatmaps_ome.features.files.hdf5 import (
    attribute,
    dataset,
    number_attribute,
    opened,
    pair_attribute,
    read,
)
from heatmaps_ome.features.files.placing import require_coordinates, stride_of
from heatmaps_ome.features.files.refusals import Unfit, listed
from heatmaps_ome.features.files.same_slide import require_size

if TYPE_CHECKING:
    from pathlib import Path

    import h5py

    from heatmaps_ome.features.slide_facts import SlideFacts

_FOLDERS: Final = ("", "../patches", "patches", "../../patches", "../h5_files", "../coords")
_SUFFIXES: Final = ("", "_patches", "-patches", "_coords", "-coords")
_ENDINGS: Final = ("_features", "-features", "_feats", "-feats")


def patch_coordinates(file: h5py.File, slide: SlideFacts) -> Coordinates:
    """Return the coordinates of a file with the attributes of CLAM or TRIDENT, or without.

    Raises
    ------
    Unfit
        If there are none, or they are of another slide.
    """
    stored = dataset(file, "coords")
    if stored is None:
        raise Unfit(
            "holds no coordinates of its tiles (no dataset 'coords'); give the file that has them "
            "with --coords"
        )
    xy = read(stored)
    if xy.ndim == 3 and xy.shape[0] == 1:  # (1, n, 2), a batch of one bag
        xy = xy[0]
    if xy.size == 0:
        xy = xy.reshape(0, 2)
    require_coordinates(xy)
    if "patch_size_level0" in stored.attrs:
        return _trident(xy, stored, slide)
    if "patch_size" in stored.attrs:
        return _clam(xy, stored, slide)
    if not (xy == np.round(xy)).all() or stride_of(xy) == 1:
        return Coordinates(xy, system="HDF5")  # neither writes such pixels
    note = (
        "its coordinates are taken for level-0 px of the tiles' top left corners, as CLAM and "
        "TRIDENT write them"
    )
    return Coordinates(
        xy, system="CLAM", unit="px", origin="top-left", stride_is_side=True, notes=(note,)
    )


def has_attributes(file: h5py.File) -> bool:
    """Return whether a file states the tiles' size beside the coordinates."""
    stored = dataset(file, "coords")
    return stored is not None and "patch_size" in stored.attrs


def patches_file(path: Path, slide: SlideFacts) -> Path | None:
    """Return the file of patches that belongs to a file of features; None if there is none.

    Raises
    ------
    Unfit
        If there are several.
    """
    stem = path.stem
    for ending in _ENDINGS:
        stem = stem.removesuffix(ending)
    names = dict.fromkeys(
        f"{name}{suffix}.h5" for name in (stem, slide.name) for suffix in _SUFFIXES
    )
    for folder in _FOLDERS:
        candidates = [(path.parent / folder / name).resolve() for name in names]
        matches = [
            candidate
            for candidate in dict.fromkeys(candidates)
            if candidate.is_file() and candidate != path.resolve() and _states_patches(candidate)
        ]
        if len(matches) > 1:
            raise Unfit(
                f"may belong to several files of patches, {listed(p.name for p in matches)}; give "
                "one with --coords"
            )
        if matches:
            return matches[0]
    return None


def _states_patches(path: Path) -> bool:
    try:
        with opened(path) as file:
            return has_attributes(file)
    except (Unfit, OSError):
        return False


def _trident(xy: np.ndarray, stored: h5py.Dataset, slide: SlideFacts) -> Coordinates:
    width = number_attribute(stored, "level0_width")
    height = number_attribute(stored, "level0_height")
    if width is not None and height is not None:
        require_size(width, height, 0.5, slide)
    return Coordinates(
        xy,
        system="TRIDENT",
        unit="px",
        sides=number_attribute(stored, "patch_size_level0"),
        origin="top-left",
    )


def _clam(xy: np.ndarray, stored: h5py.Dataset, slide: SlideFacts) -> Coordinates:
    downsample = pair_attribute(stored, "downsample")
    if downsample is None:
        one = number_attribute(stored, "downsample")
        downsample = None if one is None else (one, one)
    size, level = number_attribute(stored, "patch_size"), number_attribute(stored, "patch_level")
    notes: tuple[str, ...] = ()
    if downsample is None and level is not None and 0 <= level < len(slide.downsamples):
        step = slide.downsamples[int(level)]
        downsample = (step, step)
        notes = (f"the downsample of level {level:g} is the slide's, {step:g}",)
    sides = None
    if size is not None and downsample is not None:
        sides = np.broadcast_to(size * np.array(downsample, np.float64), (len(xy), 2))
    dimensions = attribute(stored, "level_dim")
    if isinstance(dimensions, np.ndarray) and dimensions.shape == (2,) and downsample is not None:
        width, height = (float(n) * step for n, step in zip(dimensions, downsample, strict=True))
        # A level's size is rounded to whole pixels of the level, and CLAM's downsample to 0.01.
        within = 2 * max(downsample) + 0.003 * max(slide.shape) if max(downsample) > 1 else 0.5
        require_size(width, height, within, slide)
    return Coordinates(
        xy, system="CLAM", unit="px", sides=sides, origin="top-left", stride_is_side=True,
        notes=notes,
    )  # fmt: skip
