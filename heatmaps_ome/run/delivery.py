"""From a slide's raw maps to its finished folder: draw maps, write files, record provenance."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from heatmaps_ome.display.rendering import display_maps, with_notes
from heatmaps_ome.exporters.earlier import PreviousResults
from heatmaps_ome.exporters.manifest import MANIFEST, manifest
from heatmaps_ome.exporters.protocol import SlideResult
from heatmaps_ome.geometry import network_pixels, raster_pixels
from heatmaps_ome.maps.artefact_evidence import artefact_record
from heatmaps_ome.maps.curves import random_orders_of
from heatmaps_ome.maps.ensemble import prediction_sd, records
from heatmaps_ome.maps.evidence import undefined_reason
from heatmaps_ome.maps.faithfulness import faithfulness_of
from heatmaps_ome.maps.kinds import left_out_reasons
from heatmaps_ome.maps.regions import find_regions
from heatmaps_ome.maps.top_tiles import picked_tiles
from heatmaps_ome.memory.limits import usable_cores
from heatmaps_ome.ome.ngff import json_ready
from heatmaps_ome.run.provenance import versions
from heatmaps_ome.storage.digests import file_digests, finite, now, with_digest, write_json
from heatmaps_ome.storage.result_folder import PROVENANCE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from heatmaps_ome.display.scaling import CohortScaling
    from heatmaps_ome.exporters.protocol import Exporter
    from heatmaps_ome.maps.heatmap_set import HeatmapSet
    from heatmaps_ome.run.settings import Look
    from heatmaps_ome.run.stopwatch import Stages
    from heatmaps_ome.slides.reader import SlideReader

FORMAT = "heatmaps-ome result 1"
_NONE = PreviousResults()
_NO_RANGE = "the scaling is of an earlier version and has no range for it"


def slide_result(
    slide: SlideReader,
    heatmaps: HeatmapSet,
    scaling: CohortScaling,
    look: Look,
    parts: Sequence[HeatmapSet] = (),
    earlier: PreviousResults = _NONE,
    label: str | None = None,
) -> SlideResult:
    """Return a slide's result, the input of the exporters.

    Parameters
    ----------
    parts : sequence of HeatmapSet
        Maps of each model if there are several, with the classes in the order of ``heatmaps``.
    earlier : PreviousResults
        The results being replaced; usually none.
    label : str or None
        Ground truth, if the user gave it.
    """
    maps = display_maps(heatmaps, scaling, look.style, look.classes, look.true_class)
    faithfulness = faithfulness_of(heatmaps, look.classes, parts)
    maps = with_notes(maps, faithfulness, heatmaps)
    regions = find_regions(heatmaps, look.true_class, look.region_hot, look.region_cold)
    return SlideResult(
        slide=slide,
        heatmaps=heatmaps,
        maps=maps,
        true_class=look.true_class,
        # An image finer than the slide itself would only take more bytes.
        image=network_pixels(slide.shape, slide.mpp, max(look.image_mpp, *slide.mpp)),
        raster=raster_pixels(slide.shape, slide.mpp, heatmaps.grid.l0_cell),
        faithfulness=faithfulness,
        regions=regions,
        tiles=picked_tiles(heatmaps, look.true_class, look.top_tiles),
        earlier=earlier.beside(heatmaps, maps, regions),
        label=label,
    )


def write_formats(
    result: SlideResult,
    exporters: Mapping[str, Exporter],
    folder: Path,
    stages: Stages,
) -> None:
    """Write every format into a folder, several at a time, and the manifest for viewers.

    Parameters
    ----------
    exporters : mapping of format → Exporter
    stages : Stages
        Entered once for all formats together, and once per format while others run beside it.
    """

    def write(name: str) -> None:
        with stages.beside(name, forget=result.slide):
            exporters[name].write(result, folder)

    with stages("files") as progress:
        progress(0, len(exporters))
        with ThreadPoolExecutor(usable_cores(), thread_name_prefix="format") as pool:
            for done, _ in enumerate(pool.map(write, exporters), 1):
                progress(done, len(exporters))
        write_json(folder / MANIFEST, manifest(result, folder))


def slide_record(
    result: SlideResult, scaling: CohortScaling, fingerprint: str, origin: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a slide's provenance.

    Parameters
    ----------
    fingerprint : str
        Fingerprint of the slide's content.
    origin : mapping
        Origin of the maps: request, model, extractor, pooling, options, stages.
    """
    heatmaps, slide = result.heatmaps, result.slide
    return {
        "format": FORMAT,
        "created": now(),
        "versions": versions(),
        "slide": {
            "name": slide.path.name,
            "fingerprint": fingerprint,
            "shape": list(slide.shape),
            "mpp": list(slide.mpp),
            "mpp_source": slide.mpp_source,
            "own_mpp": None if slide.own_mpp is None else list(slide.own_mpp),
            "pixels": slide.pixels,
            **slide.decoding,
        },
        "grid": asdict(heatmaps.grid),
        "parts": dict(result.earlier.now),
        "tissue_cells": heatmaps.tissue_cells,
        "true_class": result.true_class,
        "prediction": {name: finite(value) for name, value in heatmaps.predicted.items()},
        "target": heatmaps.target.record(),
        "explanation": dict(heatmaps.explanation),
        "consistency": None if heatmaps.consistency is None else heatmaps.consistency.record(),
        **_models_record(heatmaps),
        "faithfulness": {
            "left_out": undefined_reason(heatmaps),
            "random_orders": random_orders_of(result.faithfulness),
            "classes": {curves.class_name: curves.record() for curves in result.faithfulness},
        },
        "regions": None if result.regions is None else result.regions.record(),
        "artefacts": artefact_record(heatmaps),
        "bad_tiles": slide.bad_tiles.record(),
        "maps_left_out": {
            **left_out_reasons(len(heatmaps.classes)),
            **dict.fromkeys(scaling.lacking(heatmaps), _NO_RANGE),
        },
        "scaling": scaling.record(),
        **origin,
    }


def _models_record(heatmaps: HeatmapSet) -> dict[str, Any]:
    """Return each model's prediction and the SD over the models; {} for a single model."""
    if not heatmaps.members:
        return {}
    sd = prediction_sd(heatmaps).items()
    return {
        "prediction_sd": {name: finite(value) for name, value in sd},
        "members": records(heatmaps),
    }


def complete(folder: Path, record: Mapping[str, Any]) -> None:
    """Add the provenance, with the digests of all files, to a folder of results."""
    whole = with_digest(json_ready({**record, "files": file_digests(folder)}))
    write_json(folder / PROVENANCE, whole)
