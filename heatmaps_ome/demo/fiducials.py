"""The fiducial self-test: results whose cells mark a slide's landmarks, and the errors to expect.

In a viewer, each marked cell must lie in the middle of its landmark. Shifts from a viewer's own
convention are computed in advance and listed in µm.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from heatmaps_ome.demo.landmarks import (
    CENTRE_PX,
    GRID,
    LANDMARKS,
    MPP,
    STRIDE_PX,
    TARGET_MPP,
    slide_pixels,
)
from heatmaps_ome.demo.slide import write_pyramid
from heatmaps_ome.display.rendering import Style
from heatmaps_ome.display.scaling import CohortScaling, Quantiles, Range
from heatmaps_ome.errors import OutputError
from heatmaps_ome.exporters import REGISTRY, load_exporters
from heatmaps_ome.exporters.protocol import Settings
from heatmaps_ome.exporters.tiff import overlay_lattice
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
    from heatmaps_ome.geometry import Grid
    from heatmaps_ome.options import DemoOptions
    from heatmaps_ome.slides.reader import SlideReader

NAME = "fiducials"
CLASSES = ("elsewhere", "landmark")
IMAGE_MPP = MPP
"""The slide's own resolution, so that its landmarks stay sharp."""

_BACKGROUND = 224.0
_SURE = 0.9


@dataclass(frozen=True)
class Expected:
    """The distance of a mark from its landmark in viewers, in µm; down and right are positive.

    Attributes
    ----------
    um_overlay : YX
        Of the overlay, in viewers where a pixel begins at its corner, as in level-0 pixels.
    um_label : YX
        Of the label in the OME-Zarr, in such viewers.
    um_centre : YX
        Of the label in viewers that put the centre of pixel (0, 0) at the origin, relative to the
        slide's image in the same OME-Zarr.
    um_cropped : YX
        Of the overlay in viewers that crop the slide to its bounds but not the map.
    """

    landmark: Landmark
    um_overlay: YX
    um_label: YX
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
    um_label, um_image = result.raster.um_cell, result.image.um_cell
    bounds, mpp = result.slide.bounds, result.slide.mpp
    shift = YX((um_image.y - um_label.y) / 2, (um_image.x - um_label.x) / 2)
    overlay = overlay_lattice(result, Settings().overlay_px)
    errors = []
    for landmark in LANDMARKS:
        of_overlay, of_label = (_off(landmark, raster) for raster in (overlay, result.raster))
        cropped = of_overlay.plus(YX(bounds.row * mpp.y, bounds.col * mpp.x))
        errors.append(Expected(landmark, of_overlay, of_label, of_label.plus(shift), cropped))
    return errors


def _off(landmark: Landmark, raster: Grid) -> YX:
    """Return how far the middle of the pixels that show a marked cell is from it, in µm."""
    middles = (
        float((np.flatnonzero(under == cell) + 0.5).mean()) * um
        for under, cell, um in zip(
            GRID.cells_under(raster), landmark.cell, raster.um_cell, strict=True
        )
    )
    um_true = landmark.l0_centre.times(GRID.mpp)
    return YX(*(middle - true for middle, true in zip(middles, um_true, strict=True)))


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
            "stride_px": STRIDE_PX, "centre_px": CENTRE_PX,
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
        target_mpp=TARGET_MPP,
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
    f"{'landmark':14}{'level-0 px (x, y)':>20}{'µm (x, y)':>18}"
    f"{'overlays':>16}{'bounds-cropped':>16}{'labels':>16}{'pixel-centre':>16}"
)

_LEGEND = """
The last four columns are the error of the map in µm (x, y; right and down are positive) for the
file and the viewer's convention. A cell is {cell:.2f} pixels of the slide wide, and files are drawn
on whole pixels of it, so edges of cells are rounded, by at most half a pixel of the file:
  overlays        *.ome.tiff in ASAP, OMERO and others where pixels begin at their corner, as in
                  OpenSlide; their pixels are {overlay:.2f} µm
  bounds-cropped  the same where the slide is cropped to its bounds and the map is not; this slide
                  is all bounds
  labels          of *.ome.zarr in Vizarr and OpenSeadragon, where pixels begin at their corner;
                  their pixels are {label:.2f} µm
  pixel-centre    the same in napari and neuroglancer, where the first pixel's centre is the origin:
                  moved by half the difference between the size of their pixels and the image's
                  ({image:.2f} µm), which doubles with each coarser level of the pyramid
QuPath's script and the raw values have every cell at its place: no error.
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
        errors = (
            expected.um_overlay, expected.um_cropped, expected.um_label, expected.um_centre
        )  # fmt: skip
        lines.append(
            f"{expected.landmark.name:14}{_pair(l0, '.1f'):>20}{_pair(um, '.1f'):>18}"
            + "".join(f"{_pair(error, '+.2f'):>16}" for error in errors)
        )
    sizes = {
        "cell": GRID.l0_cell.x,
        "overlay": overlay_lattice(result, Settings().overlay_px).um_cell.x,
        "label": result.raster.um_cell.x,
        "image": result.image.um_cell.x,
    }
    return "\n".join(lines) + "\n" + _LEGEND.format(**sizes)


def _pair(place: YX, form: str) -> str:
    """Return a pair in the viewers' order, x first, without a negative zero."""
    return f"{place.x + 0.0:{form}}, {place.y + 0.0:{form}}"
