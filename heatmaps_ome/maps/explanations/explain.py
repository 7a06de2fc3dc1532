"""The right explanation for each model: exact where it has one, by forward passes elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from heatmaps_ome.errors import OptionError
from heatmaps_ome.maps.explanations.drop_one import drop_one
from heatmaps_ome.maps.explanations.explanation import Explain, Explanation
from heatmaps_ome.maps.explanations.forwards import Forwards
from heatmaps_ome.maps.explanations.gradients import PROMISE, integrated_gradients
from heatmaps_ome.maps.explanations.pooled import Pooled, read_pooled

if TYPE_CHECKING:
    from collections.abc import Callable

    from heatmaps_ome.features.bag import Bag
    from heatmaps_ome.models.protocol import MilModel

    Progress = Callable[[int, int], None]

_SINGLE_NOTE = (
    "a bag of one tile is unlike the bags that this model was trained on, so that scores of single "
    "tiles may mean little"
)


def explain(
    model: MilModel,
    bag: Bag,
    how: Explain = "auto",
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Explanation:
    """Return a model's prediction from a bag, and the part that each tile has in it.

    Parameters
    ----------
    how : Explain
        "auto" gives a pooled model exact contributions and leave-one-out; one that pools given a
        choice of tiles exact contributions and drop-one; any other drop-one.
    progress : callable
        Gets (steps done, steps in all) of the work under way.

    Raises
    ------
    OptionError
        If contributions are asked for that the model does not have.
    ModelError
        If a model does not pool its tiles as it claims.
    """
    forwards = Forwards(model, bag)
    if model.additivity == "pooled" and how in ("auto", "contributions", "drop-one"):
        return _pooled(forwards, progress)
    if how == "contributions" and model.additivity == "none":
        raise OptionError(
            f"a {model.family} model has no exact contributions; use --explain drop-one for "
            "predictions without each tile, or --explain ig for integrated gradients"
        )
    if how == "ig":
        return _by_gradients(forwards, progress)
    if how == "single":
        return _single(forwards, progress)
    if how == "contributions":
        return _shares_alone(forwards)
    return _by_forwards(forwards, progress)


def _pooled(forwards: Forwards, progress: Progress) -> Explanation:
    """Return exact contributions and leave-one-out of a model that averages its tiles' logits."""
    attention, tile_logits = read_pooled(forwards, progress)
    tiles = Pooled.of(attention, tile_logits)
    contributions = tiles.contributions
    logits, without = contributions.sum(axis=1), tiles.without_each()
    return Explanation(
        logits=logits,
        prediction=forwards.model.target.predictions(logits),
        method="exact contributions and leave-one-out",
        attention=attention,
        tile_logits=tile_logits,
        contributions=contributions.astype(np.float32),
        without=without,
        fall=_fall(forwards, logits, without),
        forwards=forwards.count,
    )


def _shares_alone(forwards: Forwards) -> Explanation:
    """Return the exact contributions of a model that pools given a choice of tiles."""
    logits, attention = forwards.logits(), forwards.attention()
    return Explanation(
        logits=logits,
        prediction=forwards.model.target.predictions(logits),
        method="exact contributions",
        attention=attention,
        contributions=forwards.contributions(),
        forwards=forwards.count,
    )


def _by_forwards(forwards: Forwards, progress: Progress) -> Explanation:
    """Return drop-one by forward passes and, where they are exact, contributions."""
    model = forwards.model
    logits, attention = forwards.logits(), forwards.attention()
    contributions = None if model.additivity == "none" else forwards.contributions()
    tile_logits = forwards.tile_logits(lambda *_: None) if model.knows_single_tiles else None
    dropped = drop_one(forwards, progress)
    return Explanation(
        logits=logits,
        prediction=model.target.predictions(logits),
        method="exact contributions; " * (contributions is not None) + dropped.method,
        attention=attention,
        tile_logits=tile_logits,
        contributions=contributions,
        without=dropped.without,
        fall=_fall(forwards, logits, dropped.without, dropped.regions.sizes),
        regions=dropped.regions.side,
        forwards=forwards.count,
        notes=dropped.notes,
    )


def _by_gradients(forwards: Forwards, progress: Progress) -> Explanation:
    """Return integrated gradients as contributions."""
    logits, attention = forwards.logits(), forwards.attention()
    result = integrated_gradients(forwards, logits, progress)
    notes = [
        f"contributions are integrated gradients from {result.baseline} in {result.steps} steps; "
        f"they sum to the logits within {100 * result.residual:.2g} %; the logits of that tile "
        "are shared equally by all tiles"
    ]
    if result.residual > PROMISE:
        other = "drop-one" if forwards.model.additivity == "none" else "contributions"
        notes.append(
            f"the logits change abruptly along the path, so that more than {100 * PROMISE:g} % of "
            f"them are missing; --explain {other} does not depend on a path"
        )
    return Explanation(
        logits=logits,
        prediction=forwards.model.target.predictions(logits),
        method=f"integrated gradients in {result.steps} steps",
        attention=attention,
        contributions=result.contributions,
        residual=result.residual,
        forwards=forwards.count,
        notes=tuple(notes),
    )


def _single(forwards: Forwards, progress: Progress) -> Explanation:
    """Return the logits of each tile as a bag of its own."""
    logits, attention = forwards.logits(), forwards.attention()
    return Explanation(
        logits=logits,
        prediction=forwards.model.target.predictions(logits),
        method="each tile as a bag of its own",
        attention=attention,
        tile_logits=forwards.tile_logits(progress),
        forwards=forwards.count,
        notes=() if forwards.model.knows_single_tiles else (_SINGLE_NOTE,),
    )


def _fall(
    forwards: Forwards, logits: np.ndarray, without: np.ndarray, sizes: np.ndarray | None = None
) -> np.ndarray:
    """Return by how much the prediction falls without each tile, (C, n) float32."""
    predictions = forwards.model.target.predictions
    fall = predictions(logits)[:, None] - predictions(without)
    return (fall if sizes is None else fall / sizes).astype(np.float32)
