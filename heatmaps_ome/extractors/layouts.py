"""Layouts of published weights: the names that programs give to the same tensors."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Final

from heatmaps_ome.errors import ExtractorError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import torch

    from heatmaps_ome.extractors.recipe import WeightsRecipe

    State = dict[str, torch.Tensor]
    Shapes = Mapping[str, tuple[int, ...]]

LAYOUTS: Final[dict[str, str]] = {
    "plain": "heatmaps_ome.extractors.layouts:plain",
    "swin": "heatmaps_ome.extractors.published_names:SWIN",
    "transformers": "heatmaps_ome.extractors.published_names:TRANSFORMERS",
    "transformers-registers": "heatmaps_ome.extractors.published_names:TRANSFORMERS_REGISTERS",
    "dinov2": "heatmaps_ome.extractors.published_names:DINOV2",
    "dinov2-registers": "heatmaps_ome.extractors.published_names:DINOV2_REGISTERS",
    "conch": "heatmaps_ome.extractors.published_names:CONCH",
    "conch-v1.5": "heatmaps_ome.extractors.published_names:CONCH_V1_5",
    "beit3": "heatmaps_ome.extractors.published_names:BEIT3",
    "beit3-2-scales": "heatmaps_ome.extractors.published_names:BEIT3_TWO_SCALES",
}
"""Name in recipes → ``module:function`` that takes a state dict, without prefixes and unused keys,
and the shapes of the network's tensors by name. It returns the network's state dict, or None where
the file has another layout."""

_PREFIXES: Final = (
    "module.", "_orig_mod.", "model.", "teacher.", "student.", "backbone.", "encoder.", "trunk.",
)  # fmt: skip
"""Names of wrappers that all keys of a file may begin with, or those of the trunk alone."""
_ROOTS: Final = ("teacher.backbone.", "module.backbone.", "backbone.", "module.encoder.")
"""Beginnings of the trunk's keys in files that hold heads beside it."""
_COUNTER: Final = ".num_batches_tracked"
"""Counters of training's batches, which older files have not and no inference reads."""
_SEVERAL: Final = 3


class Unfit(Exception):
    """A file's weights are not the network's; the end of a sentence."""


def plain(state: State, shapes: Shapes) -> State:
    """Return a state dict as it is, whose names are the network's own."""
    del shapes
    return state


def fitted(state: State, shapes: Shapes, weights: WeightsRecipe) -> State:
    """Return a file's state dict by the network's names, complete and of the right shapes.

    Parameters
    ----------
    state : dict of str → tensor
        As the file has it.
    shapes : mapping of str → tuple of int
        Of all tensors that the network needs.

    Raises
    ------
    Unfit
        With the first tensors that are missing or too many.
    """
    faults: list[str] | None = None
    for candidate in _without_wrappers(state):
        useful = {
            key: value
            for key, value in candidate.items()
            if key in shapes or not key.startswith(weights.unused)
        }
        for name in weights.layouts:
            translated = _layout(name)(dict(useful), shapes)
            if translated is None:
                continue
            counted = _with_counters(translated, shapes)
            problems = _faults(counted, shapes)
            if not problems:
                return counted
            if faults is None or len(problems) < len(faults):
                faults = problems
    raise Unfit("; ".join((faults or [])[:_SEVERAL]) or "its keys are of no layout known")


def _with_counters(state: State, shapes: Shapes) -> State:
    """Return a state dict with zeros for the counters that it lacks."""
    from torch import int64, zeros

    lacking = [key for key in shapes if key.endswith(_COUNTER) and key not in state]
    return state | {key: zeros((), dtype=int64) for key in lacking}


def _layout(name: str) -> Callable[[State, Shapes], State | None]:
    """Return the function of a layout."""
    if name not in LAYOUTS:
        raise ExtractorError(f"the recipe's layout {name!r} is none of {', '.join(LAYOUTS)}")
    module, function = LAYOUTS[name].split(":")
    return getattr(importlib.import_module(module), function)


def _without_wrappers(state: State) -> list[State]:
    """Return what the state dict may be without wrappers' prefixes; the whole first."""
    candidates = [state]
    for root in _ROOTS:
        inner = {k.removeprefix(root): v for k, v in state.items() if k.startswith(root)}
        if inner:
            candidates.append(inner)
    shorter = state
    while prefix := next((p for p in _PREFIXES if all(k.startswith(p) for k in shorter)), None):
        shorter = {key.removeprefix(prefix): value for key, value in shorter.items()}
        candidates.append(shorter)
    return candidates


def _faults(state: State, shapes: Shapes) -> list[str]:
    """Return sentences' ends on what a state dict lacks and has too much; empty if it fits."""
    lacking = [f"it lacks {name}" for name in shapes if name not in state]
    surplus = [f"it has {name}, which the network has not" for name in state if name not in shapes]
    misshapen = [
        f"its {name} is {_times(state[name].shape)}, not {_times(shape)}"
        for name, shape in shapes.items()
        if name in state and tuple(state[name].shape) != shape
    ]
    return lacking[:1] + surplus[:1] + misshapen[:1] + lacking[1:] + surplus[1:] + misshapen[1:]


def _times(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape)) or "one number"
