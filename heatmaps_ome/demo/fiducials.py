"""The fiducial self-test: results whose cells mark a slide's landmarks, and the errors to expect.

In a viewer, each marked cell must lie in the middle of its landmark. Shifts from a viewer's own
convention are computed in advance and listed in µm.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from heatmaps_ome.demo.landmarks import GRID, LANDMARKS, MPP, slide_pixels
from heatmaps_ome.demo.slide import write_pyramid
from heatmaps_ome.display.rendering import Style
from heatmaps_ome.display.scaling import CohortScaling, Quantiles, Range
from heatmaps_ome.errors import OutputError
from heatmaps_ome.exporters import REGISTRY, load_exporters
from heatmaps_ome.exporters.protocol import Settings
from heatmaps_ome.geometry import YX
from heatmaps_ome.maps.heatmap_set import HeatmapSet
from heatmaps_ome.maps.kinds import ATTENTION, SCORE
from heatmaps_ome.maps.store import write_values
from heatmaps_ome.options import CreateOptions
from heatmaps_ome.run.delivery import complete, slide_record, slide_result, write_formats
from heatmaps_ome.run.provenance import effective_options
from heatmaps_ome.run.settings import Look
from heatmaps_ome.run.stopwatch import Stages
from heatmaps_ome.slides.opening import open_slide
from heatmaps_ome.slides.tissue import tissue_cells
from heatmaps_ome.storage.digests import digest_of
from heatmaps_ome.storage.private import replacing
from heatmaps_ome.storage.result_folder import ResultFolder, require_writable
from heatmaps_ome.viewers.desktop import write_viewers
from heatmaps_ome.viewers.qupath_project import ProjectSlide

if TYPE_CHECKING:
    from pathlib import Path

    from heatmaps_ome.demo.landmarks import Landmark
    from heatmaps_ome.exporters.protocol import SlideResult
    from heatmaps_ome.options import DemoOptions
    from heatmaps_ome.slides.reader import SlideReader

NAME = "fiducials"
CLASSES = ("elsewhere", "landmark")
IMAGE_MPP = MPP
"""The slide's own resolution, so that its landmarks stay sharp."""

_NETWORK_PX = 16
"""Recorded side of a cell in network pixels of 0.5 µm; there is no network."""
_BACKGROUND = 224.0
_SURE = 0.9


@dataclass(frozen=True)
class Expected:
    """The distance of a mark from its landmark in viewers, in µm; down and right are positive.

    Attributes
    ----------
    um_corner : YX
        In viewers where a pixel begins at its corner, and in level-0 pixels.
    um_centre : YX
        In viewers that put the centre of pixel (0, 0) at the origin, relative to the slide's
        image in the same OME-Zarr.
    um_cropped : YX
        In viewers that crop the slide to its bounds but not the map.
    """

    landmark: Landmark
    um_corner: YX
    um_centre: YX
    um_cropped: YX


def make_fiducials(options: DemoOptions) -> str:
    """Write the slide and its results, and return the errors to expect in viewers, for people.

    Raises
    ------
    OutputError
        If the folder cannot be written, or holds other results.
    """
    output = options.output_path
    require_writable(output)
    output.mkdir(parents=True, exist_ok=True)
    path = output / f"{NAME}.svs"
    if not path.exists():
        with replacing(path) as partial:
            write_pyramid(slide_pixels(), partial, MPP, lossless=True)
    slide = open_slide(path)
    try:
        result = _deliver(slide, ResultFolder(output, NAME), overwrite=options.overwrite)
        entry = ProjectSlide(path, NAME, {}, CLASSES[1])
        write_viewers(output, [entry], CLASSES, time.time_ns() // 1_000_000)
        return _report(result, output)
    finally:
        slide.close()


def marked_maps(slide: SlideReader) -> HeatmapSet:
    """Return maps that are 1 in cells with a landmark and 0 in all other cells of tissue."""
    tissue = tissue_cells(slide, GRID, _BACKGROUND)
    marked = np.zeros(GRID.shape, bool)
    for landmark in LANDMARKS:
        marked[landmark.cell] = True
    tissue |= marked
    attention = np.where(tissue, marked, np.nan).astype(np.float32)
    score = np.where(marked, _SURE, 1 - _SURE)
    scores = np.where(tissue, np.stack([1 - score, score]), np.nan).astype(np.float32)
    return HeatmapSet(
        slide_name=slide.name,
        slide_shape=slide.shape,
        grid=GRID,
        classes=CLASSES,
        tissue=tissue,
        maps={ATTENTION: attention, SCORE: scores},
        logits=np.zeros(len(CLASSES)),
        prediction=np.full(len(CLASSES), 1 / len(CLASSES)),
    )


def expected_errors(result: SlideResult) -> list[Expected]:
    """Return the errors in viewers, computed from the lattices of the written files."""
    rows, cols = GRID.cells_under(result.raster)
    um_label, um_image = result.raster.um_cell, result.image.um_cell
    bounds, mpp = result.slide.bounds, result.slide.mpp
    shift = YX((um_image.y - um_label.y) / 2, (um_image.x - um_label.x) / 2)
    errors = []
    for landmark in LANDMARKS:
        um_true = landmark.l0_centre.times(mpp)
        um_corner = YX(
            _middle(rows, landmark.cell[0], um_label.y) - um_true.y,
            _middle(cols, landmark.cell[1], um_label.x) - um_true.x,
        )
        cropped = YX(um_corner.y + bounds.row * mpp.y, um_corner.x + bounds.col * mpp.x)
        errors.append(Expected(landmark, um_corner, um_corner.plus(shift), cropped))
    return errors


def _middle(cell_of_pixel: np.ndarray, cell: int, um_pixel: float) -> float:
    """Return the middle in µm of the raster pixels that show a cell, along one axis."""
    return float((np.flatnonzero(cell_of_pixel == cell) + 0.5).mean()) * um_pixel


def _deliver(slide: SlideReader, folder: ResultFolder, *, overwrite: bool) -> SlideResult:
    """Write the results like ``create``, unless they exist already."""
    origin = _origin(slide)
    scaling = _scaling(origin)
    look = Look(Style(), CLASSES, CLASSES[1], IMAGE_MPP, top_tiles=8)
    result = slide_result(slide, marked_maps(slide), scaling, look)
    record = folder.provenance()
    if record is not None and record.get("request") == origin["request"]:
        return result
    if record is not None and not overwrite:
        raise OutputError(
            f"{folder.path} holds other results; add --overwrite to replace them, or choose "
            "another --output-path"
        )
    partial = folder.start()
    write_values(result.heatmaps, partial, {"request": origin["request"]})
    exporters = dict(zip(REGISTRY, load_exporters(tuple(REGISTRY), Settings()), strict=True))
    write_formats(result, exporters, partial, Stages({}))
    complete(partial, slide_record(result, scaling, slide.fingerprint(), origin))
    folder.finish(partial, (record or {}).get("request"))
    return result


def _origin(slide: SlideReader) -> dict[str, Any]:
    """Return the origin of the maps for the provenance; there is no network."""
    landmarks = [[landmark.name, *landmark.cell] for landmark in LANDMARKS]
    digest = digest_of({NAME: landmarks})
    basis = digest_of({NAME: digest, "slide": slide.fingerprint()})
    return {
        "name": NAME,
        "request": basis,
        "basis": basis,
        "label": None,
        "model": {
            "digest": digest, "classes": list(CLASSES), "target_label": None, "features": 0,
        },
        "extractor": {
            "name": NAME, "digest": digest, "weights_sha256": None, "channels": 0,
            "stride_px": _NETWORK_PX, "centre_px": _NETWORK_PX / 2,
        },
        "pooling": {"kind": "none", "cells": 1},
        "options": effective_options(_as_if_asked(slide.path)),
        "stages": {},
    }  # fmt: skip


def _as_if_asked(slide: Path) -> CreateOptions:
    """Return the options for which ``create`` writes such results."""
    return CreateOptions(
        slides=(slide,),
        model_path=slide,
        output_path=slide.parent,
        true_class=CLASSES[1],
        extractor=NAME,
        target_mpp=GRID.um_cell.x / _NETWORK_PX,
        no_pool=True,
        mask_threshold=_BACKGROUND,
        image_mpp=IMAGE_MPP,
    )


def _scaling(origin: dict[str, Any]) -> CohortScaling:
    """Return the colours' ranges: 0 and 1 are the ends of both maps."""
    digest = origin["model"]["digest"]
    return CohortScaling(
        cohort=origin["request"],
        model_digest=digest,
        extractor_digest=digest,
        quantiles=Quantiles(),
        classes=CLASSES,
        ranges={ATTENTION: (Range(0.0, 1.0),), SCORE: (Range(0.0, 1.0),) * len(CLASSES)},
        slides=1,
        cells=len(LANDMARKS),
    )


_HEAD = (
    f"{'landmark':14}{'level-0 px (x, y)':>20}{'µm (x, y)':>20}"
    f"{'level 0, corner':>18}{'bounds-cropped':>18}{'pixel-centre':>18}"
)

_LEGEND = """
The last three columns are the error of the map in µm (x, y; right and down are positive) for the
viewer's convention:
  level 0, corner  pixels begin at their corner: QuPath, OpenSlide, ASAP, Vizarr, OpenSeadragon
  bounds-cropped   the slide is cropped to its bounds and the map is not; this slide is all bounds
  pixel-centre     the first pixel's centre is the origin: napari, neuroglancer; the error of
                   the labels is half the difference between the size of their pixels
                   ({label:g} µm) and the image's ({image:g} µm), and doubles with each coarser
                   level of the pyramid
More than that, or anything that grows from one corner to the other, is an error: please report it.
"""


def _report(result: SlideResult, output: Path) -> str:
    """Return the table of landmarks, with the files to open and the marks to look for."""
    lines = [
        f"Slide:    {output / NAME}.svs",
        f"Results:  {output / NAME}",
        "Open both in your viewer: the marked cells (yellow in attention, red in score-landmark)",
        f"are {GRID.um_cell.x:g} µm wide and lie in the middle of the black crosses and rings.",
        "",
        _HEAD,
    ]
    for expected in expected_errors(result):
        l0 = expected.landmark.l0_centre
        um = l0.times(result.slide.mpp)
        errors = (expected.um_corner, expected.um_cropped, expected.um_centre)
        lines.append(
            f"{expected.landmark.name:14}{_pair(l0, '.0f'):>20}{_pair(um, '.1f'):>20}"
            + "".join(f"{_pair(error, '+.2f'):>18}" for error in errors)
        )
    sizes = {"label": result.raster.um_cell.x, "image": result.image.um_cell.x}
    return "\n".join(lines) + "\n" + _LEGEND.format(**sizes)


def _pair(place: YX, form: str) -> str:
    """Return a pair in the viewers' order, x first, without a negative zero."""
    return f"{place.x + 0.0:{form}}, {place.y + 0.0:{form}}"
