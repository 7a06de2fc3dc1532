"""The target of a STAMP model by its hyper-parameters and the user's facts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from heatmaps_ome.models.refusals import Unusable
from heatmaps_ome.models.target import TASKS, Target

if TYPE_CHECKING:
    from collections.abc import Mapping

    from heatmaps_ome.models.model_facts import ModelFacts
    from heatmaps_ome.models.target import Task


def stamp_target(hyper_parameters: Mapping[str, Any], facts: ModelFacts, n_outputs: int) -> Target:
    """Return the target of a model with one.

    Raises
    ------
    Unusable
        If a single output is without a task, or facts, file and outputs do not fit.
    """
    label = hyper_parameters.get("ground_truth_label")
    known = label if isinstance(label, str) else None
    if facts.head not in (None, known):
        raise Unusable(f"has a single target, and --head is {facts.head}; leave it out")
    task = task_of(hyper_parameters, facts, n_outputs)
    if task == "classification":
        return class_target(hyper_parameters, facts, n_outputs, known)
    target = Target.of_task(task, facts.class_names, n_outputs, known)
    median = hyper_parameters.get("train_pred_median")
    return replace(target, middle=median) if type(median) is float else target


def class_target(
    hyper_parameters: Mapping[str, Any], facts: ModelFacts, n_outputs: int, label: str | None
) -> Target:
    """Return the target of classes: the user's names, the file's, or numbers.

    Raises
    ------
    Unusable
        If the user's names are the file's in another order, or are not one for each output.
    """
    categories = hyper_parameters.get("categories")
    if isinstance(categories, dict):
        categories = categories.get(label)
    stored = tuple(map(str, categories)) if isinstance(categories, list) else ()
    given = facts.class_names
    if given not in ((), stored) and set(given) == set(stored):
        raise Unusable(
            f"has its classes in the order {', '.join(stored)}, and --class-names in another; "
            "leave it out"
        )
    return Target.of_task("classification", given or stored, n_outputs, label)


def task_of(hyper_parameters: Mapping[str, Any], facts: ModelFacts, n_outputs: int) -> Task:
    """Return the file's task, else the user's, else classification where it is certain.

    Raises
    ------
    Unusable
        If the user's differs from the file's, or neither is known for one output.
    """
    stored = hyper_parameters.get("task")
    if stored is None and hyper_parameters.get("categories"):
        stored = "classification"  # STAMP before 2.4 has nothing else
    if stored not in TASKS:
        if facts.task is None and n_outputs == 1:
            raise Unusable(
                "has a single output and no record of its meaning; give --task classification, "
                "regression or survival"
            )
        return facts.task or "classification"
    if facts.task not in (None, stored):
        raise Unusable(f"is a model of {stored}, and --task is {facts.task}; leave it out")
    return cast("Task", stored)
