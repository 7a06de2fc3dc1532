"""Renames the tensors of a published file of weights to those of a network."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from heatmaps_ome.extractors.positions import Positions

    State = dict[str, torch.Tensor]
    Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Renaming:
    """How a publisher's files name and divide the tensors of a network.

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
    joined : tuple of (tuple of str, str)
        Endings of new names whose tensors, one below the other, are one tensor of the network,
        and the ending of its name. Endings are without ``.weight`` and ``.bias``.
    split : tuple of (str, tuple of str)
        Endings of new names whose tensors are several of the network, of equal rows, and theirs.
    first_rows : tuple of (str, int)
        New names, and how many first rows of their tensors nothing uses. The others become a
        batch of one.
    positions : Positions or None
        How the table of positions is fitted to another grid; None if it is not.
    """

    sign: str
    renames: tuple[tuple[str, str], ...] = ()
    left_out: tuple[str, ...] = ()
    joined: tuple[tuple[tuple[str, ...], str], ...] = ()
    split: tuple[tuple[str, tuple[str, ...]], ...] = ()
    first_rows: tuple[tuple[str, int], ...] = ()
    positions: Positions | None = None

    def __call__(self, state: State, shapes: Shapes) -> State | None:
        """Return a file's tensors by the network's names; None if they are named otherwise."""
        if not any(re.match(self.sign, name) for name in state):
            return None
        renamed = {
            self._name(name): tensor
            for name, tensor in state.items()
            if not any(re.match(pattern, name) for pattern in self.left_out)
        }
        for parts, whole in self.joined:
            renamed = _joined(renamed, parts, whole)
        for whole, parts in self.split:
            renamed = _split(renamed, whole, parts)
        for name, rows in self.first_rows:
            if name in renamed and renamed[name].ndim == 2:
                renamed[name] = renamed[name][None, rows:]
        return renamed if self.positions is None else self.positions.fitted(renamed, shapes)

    def _name(self, name: str) -> str:
        """Return the network's name of a tensor."""
        for pattern, replacement in self.renames:
            name = re.sub(pattern, replacement, name)
        return name


def _joined(state: State, parts: tuple[str, ...], whole: str) -> State:
    """Return tensors with those of some endings as one; other sets stay as they are."""
    joined = dict(state)
    for name in state:
        root, kind = _root(name, parts[0])
        if root is None:
            continue
        names = [f"{root}{part}{kind}" for part in parts]
        if all(part in state and _can_be_below(state[part], state[name]) for part in names):
            joined[f"{root}{whole}{kind}"] = torch.cat([joined.pop(part) for part in names])
    return joined


def _can_be_below(tensor: torch.Tensor, other: torch.Tensor) -> bool:
    """Return whether two tensors differ in their number of rows only."""
    return tensor.ndim > 0 and tensor.shape[1:] == other.shape[1:] and other.ndim > 0


def _split(state: State, whole: str, parts: tuple[str, ...]) -> State:
    """Return tensors with those of one ending as several of equal rows, where they divide."""
    split = dict(state)
    for name, tensor in state.items():
        root, kind = _root(name, whole)
        if root is not None and tensor.ndim and len(tensor) % len(parts) == 0:
            rows = len(tensor) // len(parts)
            del split[name]
            for part, piece in zip(parts, tensor.split(rows), strict=True):
                split[f"{root}{part}{kind}"] = piece
    return split


def _root(name: str, ending: str) -> tuple[str | None, str]:
    """Return a name before an ending, None if it has another one, and ".weight" or the like."""
    stem, dot, kind = name.rpartition(".")
    for text, rest in ((stem, f"{dot}{kind}"), (name, "")):
        if text == ending or text.endswith(f".{ending}"):
            return text.removesuffix(ending), rest
    return None, ""
