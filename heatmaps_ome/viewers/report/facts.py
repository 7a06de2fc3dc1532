"""The report's JSON facts about a slide, beside its maps, or the reason why they are left out."""

from __future__ import annotations

import math
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from heatmaps_ome.display.colour import class_colours
from heatmaps_ome.maps.artefact_evidence import (
    WARNED_FROM,
    artefact_record,
    attention_on_artefacts,
    attention_warnings,
    cell_warnings,
    evidence_on_artefacts,
)
from heatmaps_ome.maps.curves import (
    explaining_kind,
    explains,
    has_much_to_lose,
    random_orders_of,
)
from heatmaps_ome.maps.evidence import undefined_reason
from heatmaps_ome.maps.numbers import percent, probability
from heatmaps_ome.slides.artefacts import KINDS
from heatmaps_ome.slides.bad_tiles import bad_tiles_sentence

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from heatmaps_ome.exporters.protocol import SlideResult
    from heatmaps_ome.maps.heatmap_set import HeatmapSet
    from heatmaps_ome.maps.regions import Region

_UM2_PER_MM2 = 1e6


def cohort_row(result: SlideResult) -> dict[str, Any]:
    """Return a slide's row of the cohort's table; None for unknown numbers."""
    heatmaps, name = result.heatmaps, result.true_class
    prediction = heatmaps.predicted
    areas = {curves.class_name: curves.aupc for curves in result.faithfulness}.get(name, {})
    consistency = heatmaps.consistency
    compared = heatmaps.target.link == "softmax" and len(prediction) > 0
    known = heatmaps.tissue_cells > 0 and bool(np.isfinite(heatmaps.prediction).all()) and compared
    return {
        "slide": result.slide.path.name,
        "prediction": prediction,
        "task": heatmaps.target.task,
        "predicted": max(prediction, key=prediction.__getitem__) if known else None,
        "probability": prediction.get(name),
        "tissue_mm2": _tissue_mm2(heatmaps),
        "gap": None if consistency is None else consistency.gap,
        "aupc": areas.get("contribution", areas.get("leave-one-out")),
        "aupc_random": areas.get("random"),
        "artefacts": _artefact_share(heatmaps),
        "warnings": list(_warnings(result)),
    }


def sections(result: SlideResult, tile_pictures: Sequence[str]) -> dict[str, Any]:
    """Return the sections of a slide's page by their names.

    A section that cannot be made is ``{"left_out": reason}``.

    Parameters
    ----------
    tile_pictures : sequence of str
        The picked tiles as data URIs, in their order.
    """
    heatmaps = result.heatmaps
    no_tissue = "the slide has no tissue" if heatmaps.tissue_cells == 0 else ""
    return {
        "class_colours": class_colours(heatmaps.classes),
        "evidence": _totals(result),
        "consistency": _consistency(heatmaps, result.true_class, no_tissue),
        "faithfulness": _faithfulness(result),
        "regions": _regions(result, no_tissue),
        "tiles": _tiles(result, tile_pictures, no_tissue),
        "artefacts": _artefacts(result, no_tissue),
        "models": _models(heatmaps),
    }


def _left_out(reason: str) -> dict[str, Any]:
    return {"left_out": reason}


def _tissue_mm2(heatmaps: HeatmapSet) -> float:
    """Return the area of the tissue cells."""
    cell = heatmaps.grid.um_cell
    return heatmaps.tissue_cells * cell.y * cell.x / _UM2_PER_MM2


def _artefact_share(heatmaps: HeatmapSet) -> float | None:
    """Return the share of the tissue cells that are artefacts; None if not looked for."""
    if heatmaps.artefacts is None or heatmaps.tissue_cells == 0:
        return None
    return float(np.count_nonzero(heatmaps.artefacts)) / heatmaps.tissue_cells


def _warnings(result: SlideResult) -> Iterator[str]:
    """Yield the warnings to read before trusting the slide's maps, as sentences."""
    heatmaps = result.heatmaps
    blank = bad_tiles_sentence(result.slide.bad_tiles.record())
    if blank:
        yield f"{blank}."
    if heatmaps.tissue_cells == 0:
        yield "No tissue was found, so there is no prediction."
        return
    if heatmaps.target.task == "none":
        return
    if not np.isfinite(heatmaps.prediction).all():
        yield "The model's answer is not a number."
    consistency = heatmaps.consistency
    if consistency is not None and consistency.is_wide:
        yield (
            "Maps and tiles as in training do not agree on the prediction: "
            f"{consistency.sentence(result.true_class).rstrip('.')}."
        )
    yield from _unfaithful(result)
    yield from _artefact_warnings(result)
    answers = {heatmaps.classes[int(np.argmax(member.prediction))] for member in heatmaps.members}
    if len(answers) > 1:
        yield f"The models do not agree: they predict {', '.join(sorted(answers))}."


def _unfaithful(result: SlideResult) -> Iterator[str]:
    """Yield a warning if the contribution map does not explain the true class."""
    heatmaps, name = result.heatmaps, result.true_class
    target, unit = heatmaps.target, heatmaps.unit_name
    probable = heatmaps.predicted if target.has_classes else {}
    quantity = f"probability of {name}" if target.has_classes else name
    for curves in result.faithfulness:
        if curves.class_name != name:
            continue
        kind = explaining_kind(curves.aupc)
        if explains(curves.aupc, probable, name, can_fall=target.can_fall) is False:
            yield (
                f"Removing the hot {unit}s of the {kind} map lowers the {quantity} no faster than "
                f"removing {unit}s at random."
            )


def _artefact_warnings(result: SlideResult) -> Iterator[str]:
    """Yield the share of tissue and evidence on artefacts, if either is large."""
    share = _artefact_share(result.heatmaps)
    if share is None:
        return
    shares = evidence_on_artefacts(result.heatmaps, result.true_class)
    evidence = sum(entry["evidence"] for entry in shares.values())
    carries = f", with {percent(evidence)} of the evidence for {result.true_class}"
    # Unknown evidence is NaN, and no comparison with NaN is true.
    if share > WARNED_FROM or evidence > WARNED_FROM:
        known = "" if math.isnan(evidence) else carries
        yield f"{percent(share)} of the tissue is on artefacts{known}."
    record = artefact_record(result.heatmaps) or {}
    for warning in [*attention_warnings(record, result.true_class), *cell_warnings(record)]:
        yield f"{warning[0].upper()}{warning[1:]}."


def _consistency(heatmaps: HeatmapSet, class_name: str, no_tissue: str) -> dict[str, Any]:
    """Return how the tile-by-tile prediction agrees with the map's."""
    consistency = heatmaps.consistency
    if consistency is None:
        return _left_out(
            no_tissue or "no tiles were put through the network one by one in this run"
        )
    return {
        "sentence": consistency.sentence(class_name),
        "is_wide": consistency.is_wide,
        "gap": consistency.gap,
        "n_tiles": consistency.n_tiles,
        "n_tissue_tiles": consistency.n_tissue_tiles,
        "classes": list(consistency.classes),
        "dense": list(consistency.dense),
        "plain": list(consistency.plain),
    }


def _faithfulness(result: SlideResult) -> dict[str, Any]:
    """Return the perturbation curves of the drawn classes."""
    heatmaps = result.heatmaps
    reason = undefined_reason(heatmaps)
    if reason:
        return _left_out(reason)
    return {
        "random_orders": random_orders_of(result.faithfulness),
        "unit": heatmaps.unit_name,
        "ends": _ends(result),
        "classes": [
            {
                "class": curves.class_name,
                "nothing": _nothing_to_measure(heatmaps, curves.class_name),
                **curves.record(),
            }
            for curves in result.faithfulness
        ],
    }  # fmt: skip


def _nothing_to_measure(heatmaps: HeatmapSet, class_name: str) -> str:
    """Return why a class's probability cannot fall enough to judge its maps, "" if it can."""
    probable = heatmaps.predicted if heatmaps.target.has_classes else {}
    if has_much_to_lose(probable, class_name):
        return ""
    return (
        f"Nothing to measure: the slide's probability of {class_name} is "
        f"{probability(probable[class_name])}, too little to lose for the curves to tell maps "
        "apart."
    )


def _ends(result: SlideResult) -> list[float]:
    """Return the ends of the axis of curves: 0 and 1 for probabilities."""
    if result.heatmaps.target.has_classes:
        return [0.0, 1.0]
    values = [curve for one in result.faithfulness for curve in one.curves.values()]
    low, high = (float(f([f(curve) for curve in values])) for f in (np.min, np.max))
    return [low, high if high > low else low + 1.0]


def _totals(result: SlideResult) -> dict[str, Any] | None:
    """Return all evidence for the class drawn hot, and all against it; None if it is not known."""
    regions = result.regions
    if regions is None or math.isnan(regions.hot_total):
        return None
    return {
        "class": regions.class_name,
        "unit": regions.unit,
        "for": regions.hot_total,
        "against": regions.cold_total,
    }


def _regions(result: SlideResult, no_tissue: str) -> dict[str, Any]:
    """Return the regions with their outlines in level-0 pixels."""
    regions = result.regions
    if regions is None:
        return _left_out(no_tissue or "no regions were looked for in this run")
    return {
        "class": regions.class_name,
        "sentence": regions.sentence(),
        "quantity": regions.quantity,
        "hot_from": regions.hot_from,
        "cold_to": regions.cold_to,
        "left_out_regions": regions.left_out,
        "regions": [
            {
                "name": region.name,
                "kind": region.kind,
                "cells": region.cells,
                "area_mm2": region.area_mm2,
                "share_of_tissue": region.share_of_tissue,
                "mean_score": region.mean_score,
                "contribution": region.contribution,
                "share_of_evidence": region.share_of_evidence,
                "l0_rings": list(_rings(region)),
            }
            for region in regions.regions
        ],
    }


def _rings(region: Region) -> Iterator[list[float]]:
    """Yield a region's outlines, holes too, as x, y, x, y .. in level-0 pixels."""
    import shapely

    for polygon in shapely.get_parts(region.l0_polygon).tolist():
        for ring in (polygon.exterior, *polygon.interiors):
            places = np.asarray(ring.coords, np.float64)[:-1, :2]
            yield list(chain.from_iterable(_short(x, y) for x, y in places.tolist()))


def _short(x: float, y: float) -> tuple[float, float]:
    """Return a position to a tenth of a pixel, whole numbers without a decimal point."""
    x, y = round(x, 1), round(y, 1)
    return (int(x) if x.is_integer() else x), (int(y) if y.is_integer() else y)


def _tiles(result: SlideResult, pictures: Sequence[str], no_tissue: str) -> dict[str, Any]:
    """Return the picked tiles with their pictures."""
    if not result.tiles:
        return _left_out(no_tissue or "no tiles were picked in this run")
    return {
        "class": result.true_class,
        "unit": result.heatmaps.unit_name,
        "tiles": [
            {
                "kind": tile.kind,
                "rank": tile.rank,
                "l0_window": dict(
                    zip(("y", "x", "rows", "cols"), map(float, tile.l0_window), strict=True)
                ),
                "score": tile.score,
                "contribution": tile.contribution,
                "share": tile.share,
                "jpeg": picture,
            }
            for tile, picture in zip(result.tiles, pictures, strict=True)
        ],
    }


def _artefacts(result: SlideResult, no_tissue: str) -> dict[str, Any]:
    """Return the share of the tissue and of the evidence on each kind of artefact."""
    if result.heatmaps.artefacts is None:
        return _left_out(no_tissue or "artefacts were not looked for in this run")
    shares = evidence_on_artefacts(result.heatmaps, result.true_class)
    hottest = attention_on_artefacts(result.heatmaps, result.true_class)
    return {
        "class": result.true_class,
        "kinds": [
            {"kind": kind, **shares[kind], "hottest": hottest.get(kind)}
            for kind in KINDS
            if kind in shares
        ],
        "excluded": dict(result.heatmaps.excluded),
    }


def _models(heatmaps: HeatmapSet) -> dict[str, Any]:
    """Return the prediction of each model, if the run has several."""
    if not heatmaps.members:
        return _left_out("the run has one model")
    return {
        "models": [
            {"name": member.name, "digest": member.digest, "prediction": list(member.prediction)}
            for member in heatmaps.members
        ]
    }
