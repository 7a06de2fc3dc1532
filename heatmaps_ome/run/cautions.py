"""How far a slide's maps can be trusted, by its findings, and what to be warned of, in words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from heatmaps_ome.maps import curves
from heatmaps_ome.maps.artefact_evidence import (
    WARNED_FROM,
    WARNING,
    artefact_sentences,
    attention_warnings,
    cell_warnings,
)
from heatmaps_ome.maps.ensemble import agreement
from heatmaps_ome.maps.numbers import is_probability, percent
from heatmaps_ome.slides.bad_tiles import bad_tiles_sentence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from heatmaps_ome.run.outcome import Outcome

Trust = Literal["good", "fair", "low", "unknown"]
"""good: tiles as in training give the same prediction, and the map that explains it beats a random
order; fair: one of the two is so, and the other could not be measured; low: there is a warning."""


def cautions(outcome: Outcome) -> list[str]:
    """Return all that makes a slide's maps less than they seem, as sentences without full stops."""
    if outcome.status == "failed" or not outcome.prediction:
        return [*_of_pixels(outcome)]
    if all(math.isnan(value) for value in outcome.prediction.values()):
        return [*_of_pixels(outcome), "there is no prediction: no tissue was found"]
    return [
        *_of_pixels(outcome), *_of_tiles(outcome), *_of_order(outcome), *_of_artefacts(outcome),
        *_of_models(outcome),
    ]  # fmt: skip


def logged_cautions(outcome: Outcome) -> list[str]:
    """Return the cautions about a slide's pixels, which are logged while other slides follow."""
    record, name = outcome.artefacts, outcome.true_class
    on_artefacts = [*attention_warnings(record, name), *cell_warnings(record)]
    return [*_of_pixels(outcome), *on_artefacts, *_of_tiles(outcome)]


def trust(outcome: Outcome) -> Trust:
    """Return how far the maps of a slide can be trusted, in a word."""
    if cautions(outcome):
        return "low"
    known = (outcome.consistency is not None) + (explains(outcome) is True)
    return ("unknown", "fair", "good")[known]


def explains(outcome: Outcome) -> bool | None:
    """Return whether the map that explains a prediction beats a random order.

    None if that is not known, or nothing can show it: there is too little to lose.
    """
    name, target = outcome.true_class, outcome.target
    probabilities = outcome.prediction if is_probability(target) else {}
    constant = target.get("link") == "softmax" and len(outcome.prediction) == 1
    areas = outcome.faithfulness.get(name, {})
    return curves.explains(areas, probabilities, name, can_fall=not constant)


def _of_pixels(outcome: Outcome) -> Iterator[str]:
    blank = bad_tiles_sentence(outcome.bad_tiles)
    if blank:
        yield blank


def _of_tiles(outcome: Outcome) -> Iterator[str]:
    if outcome.consistency is not None and outcome.consistency.is_wide:
        yield outcome.consistency.warning()


def _of_order(outcome: Outcome) -> Iterator[str]:
    if explains(outcome) is False:
        kind = curves.explaining_kind(outcome.faithfulness[outcome.true_class])
        yield (
            f"the map of {kind} does not beat a random order, so it explains nothing of "
            f"{outcome.true_class}"
        )


def _of_artefacts(outcome: Outcome) -> Iterator[str]:
    record, name = outcome.artefacts, outcome.true_class
    warnings = [
        sentence.removeprefix(WARNING)
        for sentence in artefact_sentences(record, name)
        if sentence.startswith(WARNING)
    ]
    share = sum(record.get("cells", {}).values())
    if share > WARNED_FROM and not warnings:
        yield f"{percent(share)} of the tissue is on artefacts"
    yield from warnings


def _of_models(outcome: Outcome) -> Iterator[str]:
    models = agreement(outcome.members, outcome.true_class)
    if models is not None and len(models.votes) > 1:
        yield f"the models do not agree: they predict {', '.join(sorted(models.votes))}"
