"""Runs on position slides, and the checks that every output states the right place."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import independent_readers as readers
import numpy as np
import pytest
from model_files import write_export
from position_slides import (
    CLASSES,
    EXTRACTORS,
    position_parts,
    um_of_attention,
    um_of_colour,
    um_of_score,
    um_size,
    write_position_slide,
)

from heatmaps_ome import extractors
from heatmaps_ome.geometry import YX, Shape, Window
from heatmaps_ome.options import CreateOptions
from heatmaps_ome.run.pipeline import create
from heatmaps_ome.run.progress import silent

if TYPE_CHECKING:
    from pathlib import Path

TARGET_MPP = 256 / 224
QUARTER = 0.25


@dataclass(frozen=True)
class Case:
    """A slide, and what looks at it.

    Attributes
    ----------
    border_px : float
        Network pixels of the slide's border that are not held to anything: what lies beyond the
        slide is white, and resampling mixes it in.
    """

    shape: Shape
    mpp: YX
    level_shapes: tuple[Shape, ...] = ()
    transparent: Window | None = None
    extractor: str = "position-resnet"
    block_size: int = 256
    border_px: float = 4
    options: dict = field(default_factory=dict)

    @property
    def stride_px(self):
        return 24 if self.extractor == "position-fine" else 32

    @property
    def um_cell(self):
        return self.stride_px * TARGET_MPP

    @property
    def um_size(self):
        return um_size(self.shape, self.mpp)


def run(case, folder: Path, slide=None):
    """Run the whole pipeline on a case and return the slide's folder of results."""
    if slide is None:
        slide = write_position_slide(
            folder / "slide.tiff", case.shape, case.mpp, case.level_shapes, case.transparent
        )
    write_export(folder / "export.pkl", parts=position_parts(), classes=CLASSES)
    given = {
        "slides": (slide,), "model_path": folder / "export.pkl", "output_path": folder / "out",
        "true_class": "right", "extractor": case.extractor, "block_size": case.block_size,
        "no_pool": True, "formats": ("ome-zarr", "ome-tiff"), "att_lower_threshold": 0.0,
        "score_threshold": 1.0,
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        for name, where in EXTRACTORS.items():
            patch.setitem(extractors.REGISTRY, name, where)
        (outcome,) = create(CreateOptions(**(given | case.options)), silent)
    assert outcome.status == "done", outcome.message
    assert outcome.folder is not None
    return outcome.folder


MAPS = (("attention", 0, um_of_attention), ("score-right", 1, um_of_score))
"""Map, axis along which it states places, and how."""


def _check_maps(reader, cells_off, case, folder):
    for name, axis, um_of in MAPS:
        for reading in reader(folder, name):
            places = um_of(reading.values, case.um_size[axis])
            check_places(f"{name} by {reading.reader}", places, reading, axis, case, cells_off)


def check_places(what, um_stated, reading, axis, case, cells_off):
    """Assert that each pixel lies within so many cells of where its value says it is.

    Parameters
    ----------
    um_stated : (rows, cols) float64
        Place along ``axis`` that each value states; NaN where there is none.
    cells_off : float
        How far pixels may be from the stated place.
    """
    own = (reading.um_y, reading.um_x)
    margin = (case.border_px + case.stride_px / 2) * TARGET_MPP if case.border_px else 0.0
    inside = [
        (um > margin) & (um < size - margin) for um, size in zip(own, case.um_size, strict=True)
    ]
    where = inside[0][:, None] & inside[1][None, :] & ~np.isnan(um_stated)
    assert where.any(), f"{what}: no value to check"
    um_own = own[axis][:, None] if axis == 0 else own[axis][None, :]
    off = ((um_stated - um_own) / case.um_cell)[where]
    if reading.is_mean:
        cells_off += abs(own[axis][1] - own[axis][0]) / 2 / case.um_cell
    along = "yx"[axis]
    assert np.abs(off).max() <= cells_off, f"{what}: {np.abs(off).max():.2f} cells off in {along}"


def check_values(case, folder):
    """Raw values: a cell's centre is where its evidence is, to a twentieth of a cell."""
    _check_maps(readers.raw_values, 0.05, case, folder)


# A pixel may be half a cell from its cell's centre; so a cell a quarter off is found out.
def check_labels(case, folder):
    """Labels by ome-zarr-py, at every level."""
    _check_maps(readers.label, 0.5 + QUARTER, case, folder)


def check_tifffile(case, folder):
    """Overlays by tifffile, at every level."""
    _check_maps(readers.overlay_by_tifffile, 0.5 + QUARTER, case, folder)


def check_openslide(case, folder):
    """Overlays by OpenSlide, at every level."""
    _check_maps(readers.overlay_by_openslide, 0.5 + QUARTER, case, folder)


def check_bioformats(case, folder):
    """Overlays by Bio-Formats."""
    _check_maps(
        partial(readers.overlay_by_bioformats, scratch=folder.parent), 0.5 + QUARTER, case, folder
    )


def check_image(case, folder):
    """The slide's own image in the OME-Zarr: colours themselves state places."""
    for channel, um_size_of_axis in enumerate(case.um_size):
        for reading in readers.slide_image(folder, channel):
            um_stated = um_of_colour(reading.values, um_size_of_axis)
            if case.transparent is not None:
                um_stated[_under(case.transparent, case.mpp, reading)] = np.nan
            check_places(f"{reading.reader}", um_stated, reading, channel, case, QUARTER)


def check_transparent(case, folder):
    """Nothing is stated where the slide is transparent, and something all round."""
    for reader in (readers.label, readers.overlay_by_tifffile):
        reading = reader(folder, "attention")[0]
        empty = np.isnan(reading.values)
        half = case.um_cell / 2
        hole = _under(case.transparent, case.mpp, reading, -half)
        assert empty[hole].all(), f"{reading.reader}: a value where the slide is transparent"
        assert not empty[~_under(case.transparent, case.mpp, reading, half)].all()


def _under(window, mpp, reading, um_margin=8.0):
    """Return which pixels lie in a level-0 window and a margin round it."""
    y = (reading.um_y > window.row * mpp.y - um_margin) & (
        reading.um_y < window.row_stop * mpp.y + um_margin
    )
    x = (reading.um_x > window.col * mpp.x - um_margin) & (
        reading.um_x < window.col_stop * mpp.x + um_margin
    )
    return y[:, None] & x[None, :]


def stated_bounds(folder):
    """Return the bounds that a label states, and its slide's µm per pixel."""
    path = folder / f"{folder.name}.ome.zarr" / "labels" / "attention" / ".zattrs"
    slide = json.loads(path.read_text())["image-label"]["heatmaps_ome"]["slide"]
    return Window(**slide["bounds"]), YX(**slide["mpp"])


def check_cropped_viewer(case, folder, crop):
    """In a viewer that shows the bounds only, each value lies on the pixels that it states.

    Parameters
    ----------
    crop : (rows, cols, 3) uint8
        What such a viewer shows: QuPath's pixel (0, 0) is the first one of the bounds.
    """
    bounds, mpp = stated_bounds(folder)
    (reading,) = readers.overlay_by_tifffile(folder, "attention")[:1]
    rows = np.floor(reading.um_y / mpp.y).astype(int) - bounds.row
    cols = np.floor(reading.um_x / mpp.x).astype(int) - bounds.col
    margin = round(case.um_cell / max(mpp))
    inside_y = (rows >= margin) & (rows < crop.shape[0] - margin)
    inside_x = (cols >= margin) & (cols < crop.shape[1] - margin)
    red = crop[np.ix_(rows[inside_y], cols[inside_x])][..., 0].astype(np.float64)
    stated = um_of_attention(reading.values, case.um_size.y)[np.ix_(inside_y, inside_x)]
    off = (stated - um_of_colour(red, case.um_size.y)) / case.um_cell
    assert np.isfinite(off).any()
    assert np.nanmax(np.abs(off)) <= 0.5 + QUARTER, f"{np.nanmax(np.abs(off)):.2f} cells off"


CHECKS = {
    "values": check_values,
    "labels": check_labels,
    "tifffile": check_tifffile,
    "openslide": check_openslide,
    "image": check_image,
}
"""What holds for every case."""
