"""Runs made up for tests of ``compare``: folders of results that keep all that create promises."""

from __future__ import annotations

import zlib

from report_world import made_maps, made_slide

from heatmaps_ome.display.rendering import Style
from heatmaps_ome.display.scaling import Quantiles
from heatmaps_ome.display.scaling_fit import ScalingFit
from heatmaps_ome.exporters import load_exporters
from heatmaps_ome.exporters.protocol import Settings
from heatmaps_ome.maps.store import write_values
from heatmaps_ome.run.delivery import complete, slide_record, slide_result, write_formats
from heatmaps_ome.run.settings import Look
from heatmaps_ome.run.stopwatch import Stages

OPTIONS = {"region_hot": 0.8, "region_cold": 0.8, "top_tiles": 4, "mask_threshold": 224.0}


def write_run(
    out, sets, *, true_class=None, labels=None, model="a", options=None, formats=("ome-zarr",),
    slides=None,
):  # fmt: skip
    """Write the results of made-up maps as create does.

    Parameters
    ----------
    sets : iterable of HeatmapSet
    slides : mapping of name → FakeSlide, optional
        Slides whose pixels, and so whose fingerprints, are not those of the maps.
    """
    for heatmaps in sets:
        write_slide_results(
            out, heatmaps, (slides or {}).get(heatmaps.slide_name), true_class=true_class,
            label=(labels or {}).get(heatmaps.slide_name), model=model, options=options,
            formats=formats,
        )  # fmt: skip
    return out


def slide_of(heatmaps):
    """Return a slide for maps; of one name and size, slides are the same."""
    grid = heatmaps.grid
    slide = made_slide(made_maps(heatmaps.slide_name, grid.shape, grid.l0_cell.y), textured=False)
    slide.rgb = slide.rgb[: heatmaps.slide_shape.rows, : heatmaps.slide_shape.cols]
    slide.rgb[0, 0] = list(zlib.crc32(heatmaps.slide_name.encode()).to_bytes(4, "big")[:3])
    return slide


def write_slide_results(
    out, heatmaps, slide=None, *, true_class, label, model, options, formats
):  # fmt: skip
    """Write one slide's folder."""
    slide = slide or slide_of(heatmaps)
    folder = out / heatmaps.slide_name
    folder.mkdir(parents=True)
    fit = ScalingFit(Quantiles())
    fit.add(heatmaps)
    digest = model * 64
    scaling = fit.fit("", digest, "e" * 64)
    hot = true_class or heatmaps.classes[0]
    result = slide_result(
        slide,
        heatmaps,
        scaling,
        Look(Style(), heatmaps.classes, hot, 2.0, top_tiles=4),
        label=label,
    )
    write_values(heatmaps, folder, {})
    exporters = dict(zip(formats, load_exporters(formats, Settings()), strict=True))
    write_formats(result, exporters, folder, Stages({}))
    origin = {
        "name": slide.name, "request": digest, "basis": digest, "label": label,
        "model": {"digest": digest, "classes": list(heatmaps.classes)},
        "extractor": {"name": "made-up", "digest": "e" * 64}, "pooling": None,
        "options": {**OPTIONS, **(options or {})}, "stages": {},
    }  # fmt: skip
    complete(folder, slide_record(result, scaling, slide.fingerprint(), origin))
