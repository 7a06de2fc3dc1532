"""How much of a slide's tissue, evidence for a class and attention lies on artefacts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from heatmaps_ome.maps.evidence import evidence
from heatmaps_ome.maps.kinds import CLASS_ATTENTION
from heatmaps_ome.maps.numbers import is_next_to_nothing, percent
from heatmaps_ome.slides.artefacts import KINDS, MEASURES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from heatmaps_ome.maps.heatmap_set import HeatmapSet

WARNED_FROM: Final = 0.2
"""Share of a class's evidence or of the hottest cells, in the report also of the tissue, above
which artefacts are many."""
HOTTEST: Final = 0.01
"""Share of the tissue cells that count as hottest in attention; at least `_LEAST_HOTTEST` cells.

A rank and not a weight, so that it means the same for models whose attention is no softmax."""
_LEAST_HOTTEST: Final = 10
WARNING: Final = "warning: "
"""Begins the sentences that are warnings."""
MOST_CELLS: Final = 0.5
"""Share of the tissue above which a slide is warned of, whatever speaks for a class."""
_FLUORESCENT_BELOW: Final = 80.0
"""Median brightness of tissue cells, 0..255; stained tissue in bright light has above 100."""


def evidence_on_artefacts(heatmaps: HeatmapSet, class_name: str) -> dict[str, dict[str, float]]:
    """Return the shares of the tissue, and of the evidence for a class, that lie on artefacts.

    Returns
    -------
    dict of kind → {"cells": …, "evidence": …}
        Shares in [0, 1] of the tissue cells and of the positive evidence (`evidence`), the
        latter NaN where it is not known, or next to nothing beside the evidence against the
        class; empty where artefacts are not known or there is no tissue.
    """
    artefacts, tissue = heatmaps.artefacts, heatmaps.tissue
    if artefacts is None or not tissue.any():
        return {}
    kinds, logits = artefacts[tissue], evidence(heatmaps, class_name)
    weights = np.full(kinds.shape, np.nan) if logits is None else logits[tissue].astype(np.float64)
    cells = np.bincount(kinds, minlength=len(KINDS) + 1) / len(kinds)
    weighed = np.bincount(kinds, np.maximum(weights, 0), minlength=len(KINDS) + 1)
    total, against = weighed.sum(), np.maximum(-weights, 0).sum()
    known = total < np.inf and not is_next_to_nothing(total, against)
    shares = weighed / total if known else np.full(len(weighed), np.nan)
    return {
        kind: {"cells": float(cells[number]), "evidence": float(shares[number])}
        for number, kind in enumerate(KINDS, start=1)
    }


def attention_on_artefacts(heatmaps: HeatmapSet, class_name: str) -> dict[str, float]:
    """Return the shares of the cells hottest in attention that are artefacts, by their kinds.

    The hottest are ``HOTTEST`` of the tissue cells; cells of one attention share the last places.

    Returns
    -------
    dict of kind → share, in [0, 1]
        Empty where artefacts or attention are not known, or there is no tissue.
    """
    artefacts, tissue = heatmaps.artefacts, heatmaps.tissue
    own = heatmaps.attention
    attention = heatmaps.map(CLASS_ATTENTION, class_name) if own is None else own
    if artefacts is None or attention is None or not tissue.any():
        return {}
    values, kinds = attention[tissue], artefacts[tissue]
    if np.isnan(values).any():
        return {}
    count = min(len(values), max(_LEAST_HOTTEST, round(HOTTEST * len(values))))
    last = np.partition(values, len(values) - count)[len(values) - count]
    above, equal = values > last, values == last
    weights = above + equal * ((count - above.sum()) / equal.sum())
    shares = np.bincount(kinds, weights, minlength=len(KINDS) + 1) / count
    return {kind: float(shares[number]) for number, kind in enumerate(KINDS, start=1)}


def artefact_record(heatmaps: HeatmapSet) -> dict[str, Any] | None:
    """Return the record of a slide's artefacts as plain JSON values, None if they are not known.

    Returns
    -------
    dict or None
        ``cells``: kind → share of the tissue cells; ``evidence``: class → kind → share of the
        evidence for it, None where that is not known; ``attention``: class → kind → share of the
        cells hottest in attention (for the class), empty where that is not known; ``excluded``:
        kind → number of cells that were taken out of the tissue; ``brightness``: median of the
        tissue cells, 0..255; ``measures``: where artefacts begin.
    """
    if heatmaps.artefacts is None:
        return None
    shares_of = {name: evidence_on_artefacts(heatmaps, name) for name in heatmaps.classes}
    return {
        "cells": {kind: share["cells"] for kind, share in shares_of[heatmaps.classes[0]].items()},
        "evidence": {
            name: {
                kind: None if math.isnan(share["evidence"]) else share["evidence"]
                for kind, share in shares.items()
            }
            for name, shares in shares_of.items()
        },
        "attention": {name: attention_on_artefacts(heatmaps, name) for name in heatmaps.classes},
        "excluded": dict(heatmaps.excluded),
        "brightness": heatmaps.brightness,
        "measures": dict(MEASURES),
    }


def artefact_sentences(record: Mapping[str, Any], class_name: str) -> list[str]:
    """Return sentences for people about a slide's artefacts: their shares, and a warning.

    Parameters
    ----------
    record : mapping
        The slide's `artefact_record`; maybe empty.
    """
    warnings = [*attention_warnings(record, class_name), *cell_warnings(record)]
    marked = [f"{WARNING}{warning}" for warning in warnings]
    return [*_excluded(record), *_on_artefacts(record, class_name), *marked]


def attention_warnings(record: Mapping[str, Any], class_name: str) -> list[str]:
    """Return a warning if many of the cells hottest in attention are artefacts.

    Parameters
    ----------
    record : mapping
        The slide's `artefact_record`; maybe empty.
    class_name : str
        The class drawn hot: some models have an attention for each class.
    """
    shares = record.get("attention", {}).get(class_name) or {}
    if not sum(shares.values()) > WARNED_FROM:
        return []
    return [
        f"{hottest_text(shares)}, so the model may have looked at these rather than at the tissue; "
        "look at the map of artefacts before you trust the others"
    ]


def hottest_text(shares: Mapping[str, float]) -> str:
    """Return the share of the hottest cells that are artefacts: "63 % of … (pen 60 %, …)"."""
    kinds = ", ".join(f"{kind} {percent(share)}" for kind, share in shares.items() if share)
    total = percent(sum(shares.values()))
    return f"{total} of the cells hottest in attention look like artefacts ({kinds})"


def cell_warnings(record: Mapping[str, Any]) -> list[str]:
    """Return warnings of a slide whose cells are mostly artefacts, or as dark as no H&E is.

    Parameters
    ----------
    record : mapping
        The slide's `artefact_record`; maybe empty.
    """
    warnings = []
    share = sum(record.get("cells", {}).values())
    if share > MOST_CELLS:
        warnings.append(
            f"{percent(share)} of the cells look like artefacts, so the slide may not be what the "
            "model was made for: look at it before you trust any of its maps"
        )
    brightness = record.get("brightness")
    if brightness is not None and brightness < _FLUORESCENT_BELOW:
        warnings.append(
            f"the tissue is as dark as fluorescence (median brightness {brightness:.0f} of 255); "
            "models of H&E slides mean nothing on it"
        )
    return warnings


def _excluded(record: Mapping[str, Any]) -> list[str]:
    """Return the sentence about cells that were left out, if any were to be."""
    counts = record.get("excluded")
    if not counts:
        return []
    kinds = ", ".join(f"{kind} {count:,}" for kind, count in counts.items())
    return [f"artefacts left out of maps and prediction: {kinds} cells"]


def _on_artefacts(record: Mapping[str, Any], class_name: str) -> list[str]:
    """Return sentences about the shares of cells and evidence on artefacts."""
    cells = record.get("cells", {})
    if not cells:
        return []
    if not any(cells.values()):
        return ["artefacts: on none of the cells"]
    kinds = ", ".join(f"{kind} {percent(share)}" for kind, share in cells.items() if share)
    sentence = f"artefacts: {percent(sum(cells.values()))} of the cells ({kinds})"
    shares = record["evidence"].get(class_name, {}).values()
    if not shares or None in shares:
        return [sentence]
    carried = sum(shares)
    sentences = [f"{sentence} carry {percent(carried)} of the evidence for {class_name}"]
    if carried > WARNED_FROM:
        sentences.append(
            f"{WARNING}more than {percent(WARNED_FROM)} of the evidence for {class_name} lies on "
            "artefacts; look at the map of artefacts before you trust the others"
        )
    return sentences
