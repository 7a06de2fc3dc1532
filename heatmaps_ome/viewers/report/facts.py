"""Says in JSON what is known of a slide beside its maps, or why it is not, for the report."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from heatmaps_ome.display.colour import class_colours
from heatmaps_ome.maps.artefact_evidence import WARNED_FROM, evidence_on_artefacts
from heatmaps_ome.maps.evidence import undefined_reason
from heatmaps_ome.maps.faithfulness import RANDOM_ORDERS
from heatmaps_ome.slides.artefacts import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from heatmaps_ome.export.protocol import SlideResult
    from heatmaps_ome.maps.heatmap_set import HeatmapSet
    from heatmaps_ome.maps.regions import Region

_LITTLE_TO_LOSE: Final = 0.05
"""Probability of a class below which no map can show by its fall that it is faithful."""
_UM2_PER_MM2 = 1e6


def cohort_row(result: SlideResult) -> dict[str, Any]:
    """Return a slide's row of the cohort's table; None where a number is not known."""
    heatmaps, name = result.heatmaps, result.true_class
    prediction = dict(zip(heatmaps.classes, heatmaps.prediction.tolist(), strict=True))
    areas = {each.class_name: each.aupc for each in result.faithfulness}.get(name, {})
    said = heatmaps.consistency
    known = heatmaps.tissue_cells > 0 and bool(np.isfinite(heatmaps.prediction).all())
    return {
        "slide": result.slide.path.name,
        "prediction": prediction,
        "predicted": max(prediction, key=prediction.__getitem__) if known else None,
        "probability": prediction[name],
        "tissue_mm2": _tissue_mm2(heatmaps),
        "gap": None if said is None else said.gap,
        "aupc": areas.get("contribution"),
        "aupc_random": areas.get("random"),
        "artefacts": _artefact_share(heatmaps),
        "warnings": list(_warnings(result)),
    }


def sections(result: SlideResult, tile_pictures: Sequence[str]) -> dict[str, Any]:
    """Return the sections of a slide's page by their names.

    One that cannot be made is ``{"left_out": why}``.

    Parameters
    ----------
    tile_pictures : sequence of str
        The picked tiles as data URIs, in their order.
    """
    heatmaps = result.heatmaps
    no_tissue = "the slide has no tissue" if heatmaps.tissue_cells == 0 else ""
    return {
        "class_colours": class_colours(heatmaps.classes),
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
    """Return the share of the tissue cells that are artefacts; None where nobody looked."""
    if heatmaps.artefacts is None or heatmaps.tissue_cells == 0:
        return None
    return float(np.count_nonzero(heatmaps.artefacts)) / heatmaps.tissue_cells


def _warnings(result: SlideResult) -> Iterator[str]:
    """Yield what one must know before one trusts the slide's maps, a sentence each."""
    heatmaps = result.heatmaps
    if heatmaps.tissue_cells == 0:
        yield "No tissue was found, so there is no prediction."
        return
    if not np.isfinite(heatmaps.prediction).all():
        yield "The model's answer is not a number."
    said = heatmaps.consistency
    if said is not None and said.is_wide:
        yield (
            "Maps and tiles as in training do not agree on the prediction: "
            f"{said.sentence(result.true_class).rstrip('.')}."
        )
    yield from _unfaithful(result)
    yield from _artefact_warnings(result)
    answers = {heatmaps.classes[int(np.argmax(each.prediction))] for each in heatmaps.members}
    if len(answers) > 1:
        yield f"The models do not agree: they say {', '.join(sorted(answers))}."


def _unfaithful(result: SlideResult) -> Iterator[str]:
    """Yield that the contribution map explains nothing of the true class, if that is so."""
    heatmaps, name = result.heatmaps, result.true_class
    likely = heatmaps.prediction[heatmaps.classes.index(name)] >= _LITTLE_TO_LOSE
    for each in result.faithfulness:
        beaten = each.aupc["contribution"] >= each.aupc["random"]
        if each.class_name == name and beaten and likely and len(heatmaps.classes) > 1:
            yield (
                f"Removing what the contribution map shows as hot lowers the probability of {name} "
                "no faster than removing cells at random."
            )


def _artefact_warnings(result: SlideResult) -> Iterator[str]:
    """Yield how much is on artefacts, if it is much."""
    share = _artefact_share(result.heatmaps)
    if share is None:
        return
    found = evidence_on_artefacts(result.heatmaps, result.true_class)
    evidence = sum(each["evidence"] for each in found.values())
    carries = f", with {evidence:.0%} of the evidence for {result.true_class}"
    # The evidence is not a number where none is known, which no comparison finds large.
    if share > WARNED_FROM or evidence > WARNED_FROM:
        yield f"{share:.0%} of the tissue is on artefacts{'' if evidence != evidence else carries}."


def _consistency(heatmaps: HeatmapSet, class_name: str, no_tissue: str) -> dict[str, Any]:
    """Return how plain tiles agree with the dense map."""
    said = heatmaps.consistency
    if said is None:
        return _left_out(no_tissue or "plain tiles were not put through the network in this run")
    return {
        "sentence": said.sentence(class_name),
        "is_wide": said.is_wide,
        "gap": said.gap,
        "n_tiles": said.n_tiles,
        "n_tissue_tiles": said.n_tissue_tiles,
        "classes": list(said.classes),
        "dense": list(said.dense),
        "plain": list(said.plain),
    }


def _faithfulness(result: SlideResult) -> dict[str, Any]:
    """Return the perturbation curves of the classes drawn."""
    reason = undefined_reason(result.heatmaps)
    if reason:
        return _left_out(reason)
    return {
        "random_orders": RANDOM_ORDERS,
        "classes": [
            {"class": each.class_name, **each.record()} for each in result.faithfulness
        ],
    }  # fmt: skip


def _regions(result: SlideResult, no_tissue: str) -> dict[str, Any]:
    """Return the regions with their outlines in level-0 pixels."""
    found = result.regions
    if found is None:
        return _left_out(no_tissue or "no regions were looked for in this run")
    return {
        "class": found.class_name,
        "sentence": found.sentence(),
        "quantity": found.quantity,
        "hot_from": found.hot_from,
        "cold_to": found.cold_to,
        "left_out_regions": found.left_out,
        "regions": [
            {
                "name": each.name,
                "kind": each.kind,
                "cells": each.cells,
                "area_mm2": each.area_mm2,
                "share_of_tissue": each.share_of_tissue,
                "mean_score": each.mean_score,
                "contribution": each.contribution,
                "share_of_evidence": each.share_of_evidence,
                "l0_rings": list(_rings(each)),
            }
            for each in found.regions
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
    """Return a place to a tenth of a pixel, without a point where it needs none."""
    x, y = round(x, 1), round(y, 1)
    return (int(x) if x.is_integer() else x), (int(y) if y.is_integer() else y)


def _tiles(result: SlideResult, pictures: Sequence[str], no_tissue: str) -> dict[str, Any]:
    """Return the picked tiles with their pictures."""
    if not result.tiles:
        return _left_out(no_tissue or "no tiles were picked in this run")
    return {
        "class": result.true_class,
        "tiles": [
            {
                "kind": each.kind,
                "rank": each.rank,
                "l0_window": dict(
                    zip(("y", "x", "rows", "cols"), map(float, each.l0_window), strict=True)
                ),
                "score": each.score,
                "contribution": each.contribution,
                "share": each.share,
                "jpeg": picture,
            }
            for each, picture in zip(result.tiles, pictures, strict=True)
        ],
    }


def _artefacts(result: SlideResult, no_tissue: str) -> dict[str, Any]:
    """Return how much of the tissue and of the evidence each kind of artefact has."""
    if result.heatmaps.artefacts is None:
        return _left_out(no_tissue or "artefacts were not looked for in this run")
    found = evidence_on_artefacts(result.heatmaps, result.true_class)
    return {
        "class": result.true_class,
        "kinds": [{"kind": kind, **found[kind]} for kind in KINDS if kind in found],
    }


def _models(heatmaps: HeatmapSet) -> dict[str, Any]:
    """Return what each of several models says."""
    if not heatmaps.members:
        return _left_out("the run has one model")
    return {
        "models": [
            {"name": each.name, "digest": each.digest, "prediction": list(each.prediction)}
            for each in heatmaps.members
        ]
    }
