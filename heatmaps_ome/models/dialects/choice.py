"""Choose the dialect of a checkpoint by its keys and shapes; several that fit are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heatmaps_ome.models.checkpoint import keys_in_words
from heatmaps_ome.models.dialects import REGISTRY
from heatmaps_ome.models.dialects.sidecars import sidecar_of
from heatmaps_ome.models.refusals import Lacking, Unusable

if TYPE_CHECKING:
    from heatmaps_ome.models.checkpoint import Checkpoint
    from heatmaps_ome.models.dialects.dialect import Dialect
    from heatmaps_ome.models.model_facts import ModelFacts


def dialect_of(checkpoint: Checkpoint, facts: ModelFacts) -> str:
    """Return the name of the only dialect that a checkpoint is of.

    Raises
    ------
    Lacking
        If several fit; it names --family.
    Unusable
        If none fits, or not the one of --family.
    """
    shapes = checkpoint.shapes
    fitting = fitting_dialects(checkpoint)
    if facts.family is not None:
        return _chosen(facts.family, fitting, checkpoint)
    if not fitting:
        raise Unusable(
            f"holds a network of no known family; its keys are {keys_in_words(shapes)}; known are "
            f"{', '.join(REGISTRY)}, and a network of your own can be given with --model-code"
        )
    if len(fitting) > 1:
        fitting = _settled(fitting, facts, checkpoint)
    if len(fitting) > 1:
        ways = [f"--family {name} {REGISTRY[name].needs}".strip() for name in fitting]
        raise Lacking(
            f"has the keys and shapes of more than one family; give {' or '.join(ways)}",
            family=fitting[0],
        )
    return fitting[0]


def fitting_dialects(checkpoint: Checkpoint) -> list[str]:
    """Return the names of the dialects that recognise a checkpoint."""
    return [name for name, row in REGISTRY.items() if row.functions.recognises(checkpoint)]


def require_no_others_facts(dialect: Dialect, facts: ModelFacts) -> None:
    """Refuse facts that only other dialects take.

    Raises
    ------
    Unusable
        If there is one; it names the option to leave out.
    """
    for fact in {fact for row in REGISTRY.values() for fact in row.facts} - {*dialect.facts}:
        if getattr(facts, fact) is not None:
            option = {"gate": "attention-gate"}.get(fact, fact)
            raise Unusable(f"is a {dialect.title} model, which has no {fact}; leave out --{option}")


def _chosen(family: str, fitting: list[str], checkpoint: Checkpoint) -> str:
    if family not in REGISTRY:
        raise Unusable(f"is of no family {family}; --family takes {', '.join(REGISTRY)}")
    if family not in fitting:
        fit = f"those of {' and '.join(fitting)}" if fitting else keys_in_words(checkpoint.shapes)
        raise Unusable(f"has not the keys and shapes of --family {family}, but {fit}")
    return family


def _settled(fitting: list[str], facts: ModelFacts, checkpoint: Checkpoint) -> list[str]:
    """Return those for which a file beside or a fact speaks; if for none, all that are possible."""
    sure = [
        name
        for name in fitting
        if any(getattr(facts, fact) is not None for fact in REGISTRY[name].facts)
        or (
            REGISTRY[name].sidecar
            and sidecar_of(checkpoint.path, REGISTRY[name].sidecar) is not None
        )
    ]
    if sure:
        return sure
    return [name for name in fitting if facts.task in (None, *REGISTRY[name].tasks)] or fitting
