"""The kinds of maps: the one table that values, scaling, colours, files and viewers go by.

A new kind of quantity is a row here and, if it follows from other maps, a function in `formulas`.
"""

from __future__ import annotations

from typing import Final

from heatmaps_ome.maps.formulas import evidence, leave_one_out
from heatmaps_ome.maps.map_kind import MapKind
from heatmaps_ome.maps.winner import margins, winners

ATTENTION: Final = "attention"
CLASS_ATTENTION: Final = "class-attention"
SCORE: Final = "score"
PREDICTION: Final = "prediction"
VALUE: Final = "value"
AS_STAMP: Final = "as-stamp"
AS_CLAM: Final = "as-clam"
CONTRIBUTION: Final = "contribution"
LEAVE_ONE_OUT: Final = "leave-one-out"
EVIDENCE: Final = "evidence"
SCORE_SPREAD: Final = "sd-score"
TISSUE: Final = "tissue"
WINNER: Final = "winner"
MARGIN: Final = "margin"
ARTEFACTS: Final = "artefacts"
DIFFERENCE: Final = "difference"

_KINDS = (
    MapKind(
        key=ATTENTION,
        title="Attention",
        map_title="Attention",
        quantity="attention (logit)",
        unit="logit",
        scale="quantiles",
        palette="attention",
        drawn="once",
        stored=True,
        evenly_spread=True,
        means=("attention (log of weight over mean weight)", "log ratio"),
        of_given=("Attention", "attention"),
    ),
    MapKind(
        key=CLASS_ATTENTION,
        title="Attention for a class",
        map_title="Attention for {name}",
        quantity="attention for {name} (logit)",
        unit="logit",
        scale="quantiles",
        palette="attention",
        drawn="every class",
        stored=True,
        evenly_spread=True,
        of_given=("Attention: {name}", "attention: {name}"),
    ),
    MapKind(
        key=SCORE,
        title="Score",
        map_title="Score of {name}",
        quantity="probability of {name}",
        unit="probability",
        scale="around chance",
        palette="score",
        drawn="every class",
        stored=True,
        levels=(0.0, 1.0),
        fades=True,
        evenly_spread=True,
    ),
    MapKind(
        key=PREDICTION,
        title="Prediction",
        map_title="Prediction of {name}",
        quantity="{name} of the tile alone",
        unit="",
        scale="around the middle",
        palette="score",
        drawn="every class",
        stored=True,
        fades=True,
        evenly_spread=True,
        of_values="{name} of the tile alone",
    ),
    MapKind(
        key=VALUE,
        title="Value",
        map_title="{name}",
        quantity="{name}",
        unit="",
        scale="quantiles",
        palette="spread",
        drawn="every class",
        stored=True,
        evenly_spread=True,
    ),
    MapKind(
        key=CONTRIBUTION,
        title="Contribution",
        map_title="Contribution to {name}",
        quantity="slide's {name} logit if all {unit}s were like this one",
        unit="logit",
        scale="around zero",
        palette="contribution",
        drawn="every class",
        stored=True,
        ends=("against {name}", "for {name}"),
        fades=True,
        of_values="slide's {name} if all {unit}s were like this one",
        of_given=("Contribution: {name}", "contribution: {name}"),
        summed=True,
        raw=("share of the slide's {name} logit", "share of the slide's {name}"),
    ),
    MapKind(
        key=LEAVE_ONE_OUT,
        title="Leave-one-out",
        map_title="Leave-one-out of {name}",
        quantity="fall of the slide's {name} probability without the {unit}",
        unit="probability",
        scale="around zero",
        palette="contribution",
        drawn="on request",
        stored=True,
        needs=(TISSUE, ATTENTION, SCORE, CONTRIBUTION),
        formula=leave_one_out,
        ends=("against {name}", "for {name}"),
        fades=True,
        of_softmax=True,
        of_values="fall of the slide's {name} without the tile",
    ),
    MapKind(
        key=EVIDENCE,
        title="Evidence",
        map_title="Evidence for {name}",
        quantity="slide's evidence for {name} if all {unit}s were like this one",
        unit="logit",
        scale="around zero",
        palette="contribution",
        drawn="every class",
        stored=True,
        needs=(CONTRIBUTION,),
        formula=evidence,
        least_classes=2,
        ends=("against {name}", "for {name}"),
        fades=True,
        of_softmax=True,
        summed=True,
        raw=("contribution to {name} less the classes' mean", ""),
    ),
    MapKind(
        key=AS_STAMP,
        title="As STAMP draws it",
        map_title="{name} as STAMP draws it",
        quantity="support of {name} × attention, as STAMP draws it",
        unit="",
        scale="around zero",
        palette="score",
        drawn="every class",
        stored=True,
        levels=(-1.0, 1.0),
        evenly_spread=True,
        of_values="gradients of {name}, as STAMP draws them",
    ),
    MapKind(
        key=AS_CLAM,
        title="As CLAM draws it",
        map_title="Attention as CLAM draws it",
        quantity="percentile of attention",
        unit="%",
        scale="quantiles",
        palette="attention",
        drawn="once",
        stored=True,
        levels=(0.0, 100.0),
        evenly_spread=True,
    ),
    MapKind(
        key=SCORE_SPREAD,
        title="Spread of score",
        map_title="Spread of score of {name}",
        quantity="standard deviation of the probability of {name}",
        unit="probability",
        scale="from zero",
        palette="spread",
        drawn="every class",
        spread_of=SCORE,
        fades=True,
    ),
    MapKind(
        key=TISSUE,
        title="Tissue",
        map_title="Tissue",
        quantity="tissue",
        unit="",
        scale="categories",
        palette="categories",
        drawn="once",
        pictured=False,
    ),
    MapKind(
        key=WINNER,
        title="Winner",
        map_title="Winner",
        quantity="class with the highest score",
        unit="",
        scale="categories",
        palette="categories",
        drawn="once",
        needs=(SCORE,),
        formula=winners,
        least_classes=2,
        most_classes=255,
        of_softmax=True,
    ),
    MapKind(
        key=MARGIN,
        title="Margin",
        map_title="Margin of {name}",
        quantity="score of {name} minus its strongest rival's",
        unit="probability",
        scale="around zero",
        palette="score",
        drawn="true class",
        needs=(SCORE,),
        formula=margins,
        least_classes=3,
        too_few="of two classes it would be the same picture as the score",
        levels=(-1.0, 1.0),
        ends=("{rivals}", "{name}"),
        fades=True,
        evenly_spread=True,
        of_softmax=True,
    ),
    MapKind(
        key=ARTEFACTS,
        title="Artefacts",
        map_title="Artefacts",
        quantity="kind of artefact",
        unit="",
        scale="categories",
        palette="categories",
        drawn="once",
        pictured=False,
    ),
    MapKind(
        key=DIFFERENCE,
        title="Difference",
        map_title="{name}, B \u2212 A",
        quantity="{name}, B \u2212 A",
        unit="",
        scale="around zero",
        palette="score",
        drawn="every class",
        stored=True,
        ends=("A is higher", "B is higher"),
        evenly_spread=True,
    ),
)

KINDS: Final[dict[str, MapKind]] = {kind.key: kind for kind in _KINDS}
"""All kinds by their keys, in the order in which files and viewers list them."""


def stored_kinds() -> tuple[MapKind, ...]:
    """Return the kinds that the raw values have channels of, in the channels' order."""
    return tuple(kind for kind in KINDS.values() if kind.stored)


def left_out_reasons(n_classes: int) -> dict[str, str]:
    """Return why a model of so many classes lacks kinds of maps, by kind; empty if it has all."""
    reasons = {key: kind.left_out(n_classes) for key, kind in KINDS.items()}
    return {key: reason for key, reason in reasons.items() if reason}
