"""The target of a checkpoint that names no classes: from the user's facts, or by numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heatmaps_ome.models.refusals import Lacking, Unusable
from heatmaps_ome.models.target import Target, classes_target

if TYPE_CHECKING:
    from heatmaps_ome.models.model_facts import ModelFacts
    from heatmaps_ome.models.target import Task


def target_for(
    n_outputs: int,
    facts: ModelFacts,
    *,
    usual: Task | None = "classification",
    names: tuple[str, ...] = (),
    hint: str = "",
    label: str | None = None,
) -> Target:
    """Return the target of outputs.

    Parameters
    ----------
    usual : Task or None
        The task if the user gives none; None where a single output may be of any.
    names : tuple of str
        The outputs' names, if the file has them.
    hint : str
        The rule of thumb, for the question after the task.
    label : str or None
        The column of the clinical table, if the file has it.

    Raises
    ------
    Lacking
        If the task is not known.
    Unusable
        If names or task do not fit the outputs.
    """
    task = facts.task or usual
    if task is None and n_outputs > 1:
        task = "classification"
    if task is None:
        raise Lacking(
            "has a single output, which may be a class, a value or a risk; give --task "
            f"classification, regression or survival{hint}",
            task="classification",
        )
    if names and facts.class_names and names != facts.class_names:
        raise Unusable(f"names its outputs itself, {', '.join(names)}; leave out --class-names")
    return Target.of_task(task, names or facts.class_names, n_outputs, label)


def own_target(target: Target) -> Target | None:
    """Return the target for a StoredModel: None for classes with names, which need no other."""
    is_usual = len(target.outputs) > 1 and target == classes_target(target.outputs, target.label)
    return None if is_usual else target
