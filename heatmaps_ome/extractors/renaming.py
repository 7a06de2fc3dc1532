"""Renames the tensors of a published file of weights to those of a network."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping

    State = dict[str, torch.Tensor]
    Shapes = Mapping[str, tuple[int, ...]]

_JOINED = "qkv"


@dataclass(frozen=True)
class Renaming:
    """How a publisher's files name the tensors of a network.

    Tensors of other names than these keep them, so that strict loading reports them.

    Attributes
    ----------
    sign : str
        Pattern of the beginning of a name that files of this layout have, and no others that the
        same network may come in.
    renames : tuple of (str, str)
        Patterns and replacements, applied to all parts of all names in this order.
    left_out : tuple of str
        Patterns of the beginnings of published names whose tensors the network does without:
        other towers and heads, and tables that are computed here.
    queries : tuple of str
        Endings of names, without ``.weight`` and ``.bias``, of an attention's query, key and
        value, which the network has as one layer named qkv. Empty if the file has too.
    """

    sign: str
    renames: tuple[tuple[str, str], ...] = ()
    left_out: tuple[str, ...] = ()
    queries: tuple[str, ...] = ()

    def __call__(self, state: State, shapes: Shapes) -> State | None:
        """Return a file's tensors by the network's names; None if they are named otherwise."""
        del shapes
        if not any(re.match(self.sign, name) for name in state):
            return None
        renamed = {
            self._name(name): tensor
            for name, tensor in state.items()
            if not any(re.match(pattern, name) for pattern in self.left_out)
        }
        return _joined(renamed, self.queries) if self.queries else renamed

    def _name(self, name: str) -> str:
        """Return the network's name of a tensor."""
        for pattern, replacement in self.renames:
            name = re.sub(pattern, replacement, name)
        return name


def _joined(state: State, queries: tuple[str, ...]) -> State:
    """Return tensors with those of query, key and value as one; incomplete ones as they are."""
    joined = dict(state)
    for name in state:
        stem, dot, kind = name.rpartition(".")
        if not stem.endswith(queries[0]):
            continue
        root = stem.removesuffix(queries[0])
        parts = [f"{root}{query}{dot}{kind}" for query in queries]
        if all(part in state for part in parts):
            joined[f"{root}{_JOINED}{dot}{kind}"] = torch.cat([joined.pop(part) for part in parts])
    return joined
