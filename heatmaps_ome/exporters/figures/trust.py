"""How far to trust a slide's maps, in sentences for figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heatmaps_ome.maps.artefact_evidence import artefact_record, artefact_sentences
from heatmaps_ome.maps.curves import explaining_kind, explains
from heatmaps_ome.maps.ensemble import agreement, records
from heatmaps_ome.maps.evidence import undefined_reason
from heatmaps_ome.slides.bad_tiles import bad_tiles_sentence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from heatmaps_ome.exporters.protocol import SlideResult


def trust_sentences(result: SlideResult) -> Iterator[str]:
    """Yield what was measured of the maps of the class drawn hot, and all warnings."""
    heatmaps, name = result.heatmaps, result.true_class
    if heatmaps.tissue_cells == 0:
        yield "no tissue was found, so there is nothing to trust or to doubt"
        return
    if heatmaps.consistency is not None:
        yield f"consistency: {heatmaps.consistency.sentence(name)}"
    models = agreement(records(heatmaps), name) if heatmaps.members else None
    if models is not None:
        yield models.sentence()
    yield from _faithfulness(result)
    if result.regions is not None:
        yield f"regions: {result.regions.sentence()}"
    yield from artefact_sentences(artefact_record(heatmaps) or {}, name)
    blank = bad_tiles_sentence(result.slide.bad_tiles.record())
    if blank:
        yield f"warning: {blank}"


def _faithfulness(result: SlideResult) -> Iterator[str]:
    """Yield the areas under the curves of the explaining map and of a random order."""
    left_out = undefined_reason(result.heatmaps)
    if left_out:
        yield f"faithfulness: left out, as {left_out}"
    target, name = result.heatmaps.target, result.true_class
    probable = result.heatmaps.predicted if target.has_classes else {}
    for curves in result.faithfulness:
        if curves.class_name != name:
            continue
        kind = explaining_kind(curves.aupc)
        areas = [f"{one} {curves.aupc[one]:.3g}" for one in (kind, "random") if one in curves.aupc]
        yield f"faithfulness (AUPC of {name}, lower is better): {', '.join(areas)}"
        if explains(curves.aupc, probable, name, can_fall=target.can_fall) is False:
            yield f"warning: the {kind} map does not beat a random order"
