"""The families of model files: the one list that reading goes by.

A new family is a module with the two functions of `Family`, and a row.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, cast

from heatmaps_ome.storage.regular_file import open_regular

if TYPE_CHECKING:
    from pathlib import Path

    from heatmaps_ome.models.model_facts import ModelFacts
    from heatmaps_ome.models.stored import StoredModel
    from heatmaps_ome.models.stored_network import StoredNetwork

REGISTRY: Final = {
    # The length of its header may give a safetensors file the first byte of a pickle.
    "heatmaps-ome safetensors": "heatmaps_ome.models.converted",
    "checkpoint": "heatmaps_ome.models.checkpoint_family",
}
"""Name, for people → module; the first that recognises a file reads it."""
_START_BYTES = 16


@dataclass(frozen=True, eq=False)
class ModelFile:
    """What a model file holds.

    Attributes
    ----------
    model : StoredModel or StoredNetwork
    kind : str
        The family for people, where a reader reads several; "" for the reader's own name.
    suspicious_globals : tuple of str
        Names in its pickle that no ordinary export asks for.
    n_private_bags : int
        Training and validation bags whose files (and so patients) it names.
    """

    model: StoredModel | StoredNetwork
    suspicious_globals: tuple[str, ...] = ()
    n_private_bags: int = 0
    kind: str = ""


class Family(Protocol):
    """The module of a family; it neither runs code from a file nor imports torch."""

    @staticmethod
    def recognises(path: Path, start: bytes) -> bool:
        """Return whether a file is of this family, cheaply: ``start`` is its first 16 bytes.

        Raises
        ------
        OSError
            If the file cannot be read.
        """
        ...

    @staticmethod
    def read_file(path: Path, facts: ModelFacts) -> ModelFile:
        """Read a file of this family; ``facts`` are those that it may lack.

        Raises
        ------
        UnsafeModelError
            It needs something that the safe reader refuses, though --allow-pickle may read it.
        ModelError
            It is no usable model, or is damaged.
        """
        ...


def family_of(path: Path) -> tuple[str, Family] | None:
    """Return the name and the module of the family that a file is of; None if of none.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    with open_regular(path) as file:
        start = file.read(_START_BYTES)
    for name, module in REGISTRY.items():
        family = cast("Family", importlib.import_module(module))
        if family.recognises(path, start):
            return name, family
    return None
