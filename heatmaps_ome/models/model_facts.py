"""Facts that results depend on and that a model's file may lack, as the user gives them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from heatmaps_ome.models.target import Task


@dataclass(frozen=True)
class ModelFacts:
    """Facts about models; None or () where the user gave none.

    Attributes
    ----------
    class_names : tuple of str
        Names of the outputs, in their order (--class-names).
    task : Task or None
        What the outputs stand for (--task).
    family : str or None
        The family, where a file fits several (--family).
    head : str or None
        The target to explain, where a model predicts several (--head).
    heads : int or None
        Attention heads of a transformer, which no tensor has (--heads).
    gate : float or None
        slideflow's ``attention_gate``, in [0, 1) (--attention-gate).
    temperature : float or None
        slideflow's softmax temperature, above 0 (--temperature).
    code : str or None
        ``module:Class`` of the user's own model, whose code is run (--model-code).
    """

    class_names: tuple[str, ...] = ()
    task: Task | None = None
    family: str | None = None
    head: str | None = None
    heads: int | None = None
    gate: float | None = None
    temperature: float | None = None
    code: str | None = None


NO_FACTS = ModelFacts()
