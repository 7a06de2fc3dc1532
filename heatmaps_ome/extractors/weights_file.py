"""Reads the weights of encoders from files, of which nothing is run."""

from __future__ import annotations

import argparse
import pickle
import struct
import zipfile
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from heatmaps_ome.errors import ExtractorError
from heatmaps_ome.storage.regular_file import require_regular

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_MAX_BYTES: Final = 32 << 30
"""Four times the largest published encoder with the state of its training."""
_WRAPPERS: Final = (
    "state_dict", "model_state_dict", "model", "teacher", "module", "student", "net", "weights",
)  # fmt: skip
"""Keys under which programs store a state dict beside the state of the training; the teacher of
a self-supervised training is the one whose features are published."""
_DEEPEST: Final = 4
_UNREADABLE = (
    pickle.UnpicklingError, SafetensorError, RuntimeError, EOFError, ValueError, LookupError,
    TypeError, AttributeError, OSError, ArithmeticError, AssertionError, MemoryError, struct.error,
    zipfile.BadZipFile, NotImplementedError,
)  # fmt: skip
"""Errors that torch and safetensors raise on files in other formats."""


def require_weights(weights: Path, where: str, n_parameters: int = 0) -> None:
    """Refuse what cannot be the weights, before gigabytes are read.

    Parameters
    ----------
    where : str
        The end of a sentence: where the weights are to be had.
    n_parameters : int
        Numbers in the encoder's weights; 0 if unknown.

    Raises
    ------
    ExtractorError
        If there is no such file, or it is none, or far too large.
    """
    try:
        n_bytes = require_regular(weights).st_size
    except FileNotFoundError as error:
        raise ExtractorError(f"{weights}: there is no such file of weights; {where}") from error
    except OSError as error:
        raise ExtractorError(
            f"{weights} cannot be read as weights ({error.strerror}); {where}"
        ) from error
    if n_bytes > _most_bytes(n_parameters):
        raise ExtractorError(
            f"{weights} has {n_bytes} bytes, too many for the encoder's weights; {where}"
        )


def _most_bytes(n_parameters: int) -> int:
    """Return the most bytes that a file of weights may have.

    Ten times those of the network in float32: the file of a training holds teacher, student and
    the state of an optimiser, of two numbers for each, and heads.
    """
    return min(_MAX_BYTES, (1 << 28) + 40 * n_parameters) if n_parameters else _MAX_BYTES


def read_state(weights: Path, where: str) -> dict[str, torch.Tensor]:
    """Return the state dict in a file: safetensors, or torch's without running code.

    Raises
    ------
    ExtractorError
        If it cannot be read as such.
    """
    try:
        if _is_safetensors(weights):
            content = load_file(weights)
        else:
            _require_unpacked(weights)
            content = _loaded(weights)
    except _UNREADABLE as error:
        raise ExtractorError(
            f"{weights} is no plain file of weights that can be read without running code from "
            f"it; {where}"
        ) from error
    state = _state_in(content)
    if state is None:
        raise ExtractorError(f"{weights} holds no state dict of tensors; {where}")
    return state


def _loaded(weights: Path) -> Any:
    """Return the content of a torch file; raise if it asks for more than plain values."""
    # The options of a training, which DINO and its followers store: names and values, no code.
    # torch 2.4 knows no such list, and refuses these files.
    listed = getattr(torch.serialization, "safe_globals", lambda _: nullcontext())
    with listed([argparse.Namespace]):
        return torch.load(weights, map_location="cpu", weights_only=True, mmap=_is_zip(weights))


def _state_in(content: Any, depth: int = 0) -> dict[str, torch.Tensor] | None:
    """Return the state dict that a file's content is, or holds beside the state of a training."""
    if not isinstance(content, dict) or depth > _DEEPEST:
        return None
    for key in _WRAPPERS:
        # Such a key may hold settings instead, beside the state under another.
        state = _state_in(content.get(key), depth + 1)
        if state is not None:
            return state
    return _tensors(content)


def _tensors(content: Mapping[Any, Any]) -> dict[str, torch.Tensor] | None:
    """Return a state dict, if a mapping is one."""
    if not content or not all(isinstance(key, str) for key in content):
        return None
    if not all(torch.is_tensor(value) for value in content.values()):
        return None
    return dict(content)


def _is_zip(path: Path) -> bool:
    return zipfile.is_zipfile(path)


def _is_safetensors(path: Path) -> bool:
    """Return whether a file is safetensors: by its start, as hubs name files by their digest."""
    with path.open("rb") as file:
        return file.read(9)[8:9] == b"{"


def _require_unpacked(weights: Path) -> None:
    """Check that an archive takes no more memory than its file has bytes; torch packs nothing.

    Raises
    ------
    ValueError, OSError
        If it might, or is damaged.
    """
    if not _is_zip(weights):
        return
    with zipfile.ZipFile(weights) as archive:
        entries = archive.infolist()
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise ValueError("entries are compressed")
    if sum(entry.file_size for entry in entries) > weights.stat().st_size:
        raise ValueError("entries are larger than the file")
