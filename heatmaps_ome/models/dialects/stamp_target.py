"""The target of a STAMP model by its hyper-parameters and the user's facts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from heatmaps_ome.models.dialects.targets import target_for
from heatmaps_ome.models.refusals import Unusable
from heatmaps_ome.models.target import TASKS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from heatmaps_ome.models.model_facts import ModelFacts
    from heatmaps_ome.models.target import Target, Task


def stamp_target(hyper_parameters: Mapping[str, Any], facts: ModelFacts, n_outputs: int) -> Target:
    """Return the target of a model with one.

    Raises
    ------
    Lacking
        If neither the file nor the user gives the task of a single output.
    Unusable
        If facts, file and outputs do not fit.
    """
    label = hyper_parameters.get("ground_truth_label")
    known = label if isinstance(label, str) else None
    if facts.head not in (None, known):
        raise Unusable(f"has a single target, and --head is {facts.head}; leave it out")
    names = names_in(hyper_parameters.get("categories"))
    task = _task(hyper_parameters, names)
    if task is not None and facts.task not in (None, task):
        raise Unusable(f"is a model of {task}, and --task is {facts.task}; leave it out")
    target = target_for(n_outputs, facts, usual=task, names=names, label=known)
    median = hyper_parameters.get("train_pred_median")
    has_middle = target.task == "survival" and type(median) is float
    return replace(target, middle=median) if has_middle else target


def names_in(categories: Any) -> tuple[str, ...]:
    """Return the names of classes in a list of categories; () if it is none."""
    return tuple(map(str, categories)) if isinstance(categories, list) else ()


def _task(hyper_parameters: Mapping[str, Any], names: tuple[str, ...]) -> Task | None:
    """Return the task that a file records; STAMP before 2.4 has nothing but classification."""
    stored = hyper_parameters.get("task")
    if stored in TASKS:
        return cast("Task", stored)
    return "classification" if names else None
