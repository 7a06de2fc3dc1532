"""A slide's folder as `create` leaves it, of random maps on a made-up slide, for viewers' tests."""

from dataclasses import replace

import numpy as np
from fakes import FakeSlide, heatmap_set, noise_rgb

from heatmaps_ome.display.rendering import Style
from heatmaps_ome.display.scaling import CohortScaling, Quantiles, Range
from heatmaps_ome.exporters import load_exporters
from heatmaps_ome.exporters.protocol import Settings
from heatmaps_ome.maps.store import write_values
from heatmaps_ome.run.delivery import slide_result, write_formats
from heatmaps_ome.run.settings import Look
from heatmaps_ome.run.stopwatch import Stages

CLASSES = ("MSIH", "nonMSIH")


def _ranges(n_classes):
    return {
        "attention": (Range(-2.0, 2.0),),
        "score": (Range(0.0, 1.0),) * n_classes,
        "contribution": (Range(-2.0, 2.0),) * n_classes,
        "evidence": (Range(-2.0, 2.0),) * n_classes,
    }


SCALING = CohortScaling(
    cohort="", model_digest="", extractor_digest="", quantiles=Quantiles(), classes=CLASSES,
    ranges=_ranges(2), slides=1, cells=1,
)  # fmt: skip
"""Of a cohort whose random maps fill all colours."""


def write_results(
    out, shape, mpp, grid, *, name="slide", formats=("ome-zarr", "ome-tiff"), settings=None,
    classes=CLASSES,
):  # fmt: skip
    """Write the folder and return it with the result it shows; with artefacts of three classes."""
    slide = FakeSlide(noise_rgb(shape), mpp, name)
    heatmaps = heatmap_set(grid, shape, classes, slide_name=name)
    if len(classes) > 2:
        kinds = np.random.default_rng(0).integers(0, 5, grid.shape)
        kinds = np.where(heatmaps.tissue, kinds, 0).astype(np.uint8)
        heatmaps = replace(heatmaps, artefacts=kinds)
    scaling = replace(SCALING, classes=classes, ranges=_ranges(len(classes)))
    look = Look(Style(), classes, classes[0], image_mpp=1.0)
    result = slide_result(slide, heatmaps, scaling, look)
    return write_result(out, result, formats, settings or Settings()), result


def write_result(out, result, formats, settings):
    """Write the folder of a result and return it."""
    folder = out / result.slide.name
    folder.mkdir(parents=True)
    write_values(result.heatmaps, folder, {}, settings.ngff)
    exporters = dict(zip(formats, load_exporters(formats, settings), strict=True))
    write_formats(result, exporters, folder, Stages({}))
    (folder / "provenance.json").write_text("{}")
    return folder
