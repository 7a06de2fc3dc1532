"""The parts of reading that dialects of transformers share: prefixes, counts, renamed tensors."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from heatmaps_ome.models.checkpoint import keys_in_words
from heatmaps_ome.models.refusals import Lacking, Unusable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from heatmaps_ome.models.checkpoint import Checkpoint, CheckpointTensor

    Tensors = dict[str, np.ndarray[Any, Any]]


class _WatchedTensors(Mapping[str, "CheckpointTensor"]):
    """Tensors that remember which of them were asked for."""

    def __init__(self, tensors: Mapping[str, CheckpointTensor]) -> None:
        self._tensors = tensors
        self.used: set[str] = set()

    def __getitem__(self, key: str) -> CheckpointTensor:
        tensor = self._tensors[key]
        self.used.add(key)
        return tensor

    def __contains__(self, key: object) -> bool:
        return key in self._tensors

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)


def part_with(
    checkpoint: Checkpoint, prefixes: Iterable[str], keys: Iterable[str]
) -> Checkpoint | None:
    """Return the part of a checkpoint below the first prefix under which it has all keys."""
    for prefix in prefixes:
        if all(f"{prefix}{key}" in checkpoint.tensors for key in keys):
            return checkpoint.under(prefix)
    return None


@contextmanager
def reading_all(checkpoint: Checkpoint, besides: str = "(?!)") -> Iterator[Checkpoint]:
    """Give a checkpoint to read, and refuse it at the end if a tensor was not asked for.

    A network with more layers than ours has would give other results.

    Parameters
    ----------
    besides : str
        A regular expression of keys that need not be read.

    Raises
    ------
    Unusable
        If tensors are left.
    """
    tensors = _WatchedTensors(checkpoint.tensors)
    yield replace(checkpoint, tensors=tensors)
    others = [key for key in tensors if key not in tensors.used and not re.match(besides, key)]
    if others:
        raise Unusable(
            "has tensors that the networks of its kind do not have "
            f"({keys_in_words(others)}); it cannot be computed faithfully"
        )


def count_of(checkpoint: Checkpoint, pattern: str) -> int:
    """Return the number of layers: one more than the highest number in keys like "layers.(N).".

    Raises
    ------
    Unusable
        If there is none, or one is missing.
    """
    matches = (re.match(pattern, key) for key in checkpoint.tensors)
    numbers = {int(match[1]) for match in matches if match is not None}
    if not numbers or numbers != set(range(len(numbers))):
        raise Unusable("is damaged: it lacks a layer")
    return len(numbers)


def shape_of(checkpoint: Checkpoint, key: str, n_axes: int) -> tuple[int, ...]:
    """Return the shape of a tensor.

    Raises
    ------
    Unusable
        If it is missing, or has another number of axes.
    """
    tensor = checkpoint.tensors.get(key)
    if tensor is None or len(tensor.shape) != n_axes:
        raise Unusable(f"is damaged: it lacks the tensor {key}, or it has another shape")
    return tensor.shape


def renamed(checkpoint: Checkpoint, names: Mapping[str, str]) -> Tensors:
    """Return weight and bias of layers, each (ours → theirs), and single tensors."""
    tensors: Tensors = {}
    for ours, theirs in names.items():
        if theirs in checkpoint.tensors:
            tensors[ours] = checkpoint.values(theirs)
            continue
        tensors[f"{ours}.weight"] = checkpoint.values(f"{theirs}.weight")
        if f"{theirs}.bias" in checkpoint.tensors:
            tensors[f"{ours}.bias"] = checkpoint.values(f"{theirs}.bias")
    return tensors


def packed_attention(checkpoint: Checkpoint, ours: str, theirs: str) -> Tensors:
    """Return the tensors of our attention from those of torch's MultiheadAttention."""
    return {
        f"{ours}.qkv.weight": checkpoint.values(f"{theirs}.in_proj_weight"),
        f"{ours}.qkv.bias": checkpoint.values(f"{theirs}.in_proj_bias"),
        **renamed(checkpoint, {f"{ours}.out": f"{theirs}.out_proj"}),
    }


def joined(parts: Sequence[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    """Return tensors one after the other, along the first axis.

    Raises
    ------
    Unusable
        If their shapes do not fit.
    """
    if not parts or not parts[0].shape or len({part.shape[1:] for part in parts}) > 1:
        raise Unusable("is damaged: tensors of its attention heads have different shapes")
    return np.concatenate(parts)


def heads_from(facts_heads: int | None, stored: Any, width: int, name: str) -> int:
    """Return the number of attention heads, which no tensor of a packed attention has.

    Parameters
    ----------
    facts_heads : int or None
        As the user gave it.
    stored : number or None
        As the file has it.
    width : int
        Of a token, to be divided among the heads.
    name : str
        The file's name for it.

    Raises
    ------
    Lacking
        If neither is known.
    Unusable
        If they differ, or one does not divide the width.
    """
    if stored is None and facts_heads is None:
        raise Lacking(
            f"lacks the number of its attention heads ({name}), on which results depend; "
            "give it with --heads",
            heads=1,
        )
    if stored is not None and facts_heads is not None and stored != facts_heads:
        raise Unusable(f"has {stored} attention heads, and --heads is {facts_heads}; leave it out")
    heads = stored if facts_heads is None else facts_heads
    if type(heads) is not int or heads < 1 or width % heads:
        raise Unusable(
            f"has tokens of {width} numbers, which {heads} attention heads cannot divide; "
            "give the number of heads of its training with --heads"
        )
    return heads
