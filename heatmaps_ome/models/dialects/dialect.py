"""A dialect of checkpoints: its row in the registry, and the functions of its module."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

from heatmaps_ome.models.target import TASKS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from heatmaps_ome.models.checkpoint import Checkpoint
    from heatmaps_ome.models.model_facts import ModelFacts
    from heatmaps_ome.models.stored import StoredModel
    from heatmaps_ome.models.stored_network import StoredNetwork
    from heatmaps_ome.models.target import Task

    Shapes = Mapping[str, tuple[int, ...]]


class DialectModule(Protocol):
    """The module of a dialect; it does not import torch."""

    @staticmethod
    def recognises(checkpoint: Checkpoint) -> bool:
        """Return whether keys and shapes are those of this dialect."""
        ...

    @staticmethod
    def read(checkpoint: Checkpoint, facts: ModelFacts) -> StoredModel | StoredNetwork:
        """Return the model in a checkpoint of this dialect.

        Raises
        ------
        Lacking
            If a result depends on a fact that neither the file nor the user gives.
        Unusable
            If it is no model of bags of tiles, or facts contradict the file.
        """
        ...


@dataclass(frozen=True)
class Dialect:
    """A row of the registry.

    Attributes
    ----------
    title : str
        For people.
    module : str
        Dotted path of a `DialectModule`.
    needs : str
        The options that a file of it may need, for the sentence that names several dialects.
    sidecar : str
        A file beside the checkpoint, or one folder up, that only this dialect has.
    facts : tuple of str
        Fields of ModelFacts that only this dialect takes.
    tasks : tuple of Task
        The tasks that it is trained for.
    """

    title: str
    module: str
    needs: str = ""
    sidecar: str = ""
    facts: tuple[str, ...] = ()
    tasks: tuple[Task, ...] = TASKS

    @property
    def functions(self) -> DialectModule:
        """The dialect's functions."""
        return cast("DialectModule", importlib.import_module(self.module))
