"""The lines about a slide at the end of a run: its row of the table, and all its findings."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from heatmaps_ome.maps.artefact_evidence import artefact_sentences
from heatmaps_ome.maps.curves import beaten_by_chance, has_much_to_lose
from heatmaps_ome.maps.ensemble import agreement
from heatmaps_ome.maps.numbers import is_probability, number, percent, predicted_text, probability
from heatmaps_ome.run.cautions import cautions, trust

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from heatmaps_ome.run.outcome import Outcome

_LEAST_PROBABLE = 0.5
"""Of independent outputs, those that are at least so probable are predicted."""


def failure(outcome: Outcome) -> str:
    """Return why a slide failed, with its name."""
    if outcome.slide in outcome.message:
        return outcome.message
    return f"{outcome.slide}: {outcome.message}"


def table_row(outcome: Outcome) -> tuple[str, ...]:
    """Return slide, prediction, P, ground truth, trust and the number of warnings."""
    truth = outcome.label or ""
    if outcome.status == "failed":
        return (outcome.slide, "failed", "", truth, "", "")
    warnings = len(cautions(outcome))
    answer = ("", "")
    if outcome.prediction:
        answer = _answer(outcome)
    return (outcome.slide, *answer, truth, trust(outcome), str(warnings or ""))


def _answer(outcome: Outcome) -> tuple[str, str]:
    """Return what a model predicts, and with which probability; or the value or risk."""
    prediction, target = outcome.prediction, outcome.target
    if any(math.isnan(value) for value in prediction.values()):
        return "no tissue", ""
    name = max(prediction, key=prediction.__getitem__)
    value = predicted_text(prediction[name], target)
    if not is_probability(target):
        return name, f"{value} {target.get('unit', '')}".rstrip()
    if target.get("link") != "sigmoid":
        return name, value
    likely = [output for output, p in prediction.items() if p >= _LEAST_PROBABLE]
    return (", ".join(likely) or f"not {name}", value)


def details(outcome: Outcome) -> list[str]:
    """Return all findings of a slide as lines."""
    lines = [f"{outcome.slide}: {outcome.status}{_prediction(outcome)}"]
    if outcome.status == "failed":
        return [*lines, f"  {outcome.message}"]
    if outcome.folder is None:
        return lines
    facts = list(_facts(outcome))
    warnings = [f"warning: {caution}" for caution in cautions(outcome)]
    return [*lines, *(f"  {text}" for text in [*facts, *(w for w in warnings if w not in facts)])]


def _facts(outcome: Outcome) -> Iterator[str]:
    """Yield the findings of a slide, from the prediction to the artefacts."""
    name = outcome.true_class
    if name and outcome.prediction:
        yield f"drawn hot: {name}"
    if outcome.label is not None:
        yield f"ground truth: {outcome.label}"
    if outcome.consistency is not None:
        yield f"consistency: {outcome.consistency.sentence(name)}"
    models = agreement(outcome.members, name)
    if models is not None:
        yield models.sentence()
    yield from _tiles(outcome)
    yield from _faithfulness(outcome, name)
    if outcome.regions:
        yield f"regions: {outcome.regions['sentence']}"
    yield from artefact_sentences(outcome.artefacts, name)


def _prediction(outcome: Outcome) -> str:
    """Return the class probabilities, largest first, or the value or risk."""
    prediction = outcome.prediction
    if not prediction:
        return ""
    if any(value != value for value in prediction.values()):
        return " (no tissue found, so no prediction)"
    ranked = sorted(prediction.items(), key=lambda item: -item[1])
    unit = outcome.target.get("unit", "")
    texts = [f"{name} {predicted_text(value, outcome.target)}" for name, value in ranked]
    return f" ({', '.join(texts)}{' ' * bool(unit)}{unit})"


def _tiles(outcome: Outcome) -> Iterator[str]:
    """Yield the facts on tiles that were made elsewhere, and all that was inferred of them."""
    if outcome.tiles:
        count = outcome.tiles.get("count", 0)
        yield f"tiles: {count:,} of {outcome.tiles.get('system')}"
        yield from (f"  {note}" for note in outcome.tiles.get("notes", ()))
        finer = outcome.tiles.get("refine")
        if finer:
            yield (
                f"  {finer['count']:,} finer tiles, {finer['stride_px']:.4g} px apart, around the "
                f"{finer['around']:,} with the largest contributions to {finer['class']}; they are "
                "in the maps alone"
            )
    method = outcome.explanation.get("method")
    if method:
        residual = outcome.explanation.get("residual")
        rest = "" if residual is None else f"; their sums miss the logits by {percent(residual)}"
        yield f"explanation: {method}{rest}"
    known = set(outcome.tiles.get("notes", ()))
    yield from (f"  {note}" for note in outcome.explanation.get("notes", ()) if note not in known)
    if outcome.target.get("numbered"):
        yield (
            "classes: the model's file does not name them, so they have its outputs' numbers; name "
            "them with --class-names"
        )


def _faithfulness(outcome: Outcome, true_class: str) -> Iterator[str]:
    """Yield how faithful the maps of the class drawn hot are, or the reason why it is left out."""
    if outcome.faithfulness_left_out:
        yield f"faithfulness: left out, as {outcome.faithfulness_left_out}"
    elif true_class in outcome.faithfulness:
        by_map = outcome.faithfulness[true_class]
        areas = ", ".join(f"{name} {number(area)}" for name, area in by_map.items())
        yield f"faithfulness (AUPC of {true_class}, lower is better): {areas}"
        beaten = beaten_by_chance(by_map)
        probabilities = outcome.prediction if is_probability(outcome.target) else {}
        if not has_much_to_lose(probabilities, true_class):
            probable = probability(probabilities[true_class])
            yield (
                f"  nothing to measure: {true_class} has a probability of {probable}, too little "
                "to lose for these areas to tell maps apart"
            )
        elif beaten:
            maps, do = ("maps", "do") if len(beaten) > 1 else ("map", "does")
            yield f"  the {maps} of {' and of '.join(beaten)} {do} not beat a random order"


def prediction_text(record: Mapping[str, Any]) -> str:
    """Return the class probabilities, values or risks in a record as a text."""
    target = record.get("target") or {}
    texts = {
        name: "none" if value is None else predicted_text(value, target)
        for name, value in record["prediction"].items()
    }
    return ", ".join(f"{name} {text}" for name, text in texts.items())
