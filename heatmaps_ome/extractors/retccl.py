"""RetCCL: a ResNet-50 whose 2048-channel last map, averaged over a tile, is the tile's feature.

Wang et al., Medical Image Analysis 83 (2023) 102645. The user provides the authors' weights.
"""

from __future__ import annotations

import logging
import pickle
import struct
import zipfile
from functools import partial
from typing import TYPE_CHECKING, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from heatmaps_ome.errors import ExtractorError
from heatmaps_ome.extractors.dense import DenseExtractor
from heatmaps_ome.extractors.resnet50 import ResNet50
from heatmaps_ome.storage.digests import file_digest
from heatmaps_ome.storage.regular_file import require_regular

if TYPE_CHECKING:
    from pathlib import Path

logger = logging.getLogger(__name__)

PUBLISHED_SHA256: Final = "931956f31d3f1a3f6047f3172b9e59ee3460d29f7c0c2bb219cbc8e9207795ff"
"""Digest of the authors' ``best_ckpt.pth`` (as marugoto and its successors check it)."""

WHERE: Final = (
    "download best_ckpt.pth from the RetCCL authors (github.com/Xiyue-Wang/RetCCL) and give it "
    "with --extractor-weights"
)


_MAX_BYTES: Final = 1 << 30
"""Ten times the published file, which holds a classifier too."""
_UNREADABLE = (
    pickle.UnpicklingError, SafetensorError, RuntimeError, EOFError, ValueError, LookupError,
    TypeError, AttributeError, OSError, ArithmeticError, AssertionError, MemoryError, struct.error,
    zipfile.BadZipFile, NotImplementedError,
)  # fmt: skip
"""Errors that torch and safetensors raise on files in other formats."""


def load(weights: Path | None, device: str, precision: str) -> DenseExtractor:
    """Return RetCCL with weights from ``best_ckpt.pth`` or a safetensors file.

    Raises
    ------
    ExtractorError
        If the weights are missing. Building the network raises it too, if they are unreadable or
        not those of a ResNet-50.
    """
    if weights is None:
        raise ExtractorError(f"the extractor retccl needs its weights: {WHERE}")
    _require_file(weights)
    digest = file_digest(weights)
    if digest != PUBLISHED_SHA256:
        logger.warning("%s is not the published RetCCL file (sha256 %s)", weights.name, digest)
    return DenseExtractor(
        name="retccl",
        build=partial(_built, weights),
        device=device,
        precision=precision,
        weights_digest=digest,
        channels=2048,
        float32_bytes_per_px=240,
    )


def _require_file(weights: Path) -> None:
    """Refuse what cannot be the weights, before gigabytes are read.

    Raises
    ------
    ExtractorError
        If there is no such file, or it is none, or far too large.
    """
    try:
        n_bytes = require_regular(weights).st_size
    except FileNotFoundError as error:
        raise ExtractorError(f"{weights}: there is no such file of weights; {WHERE}") from error
    except OSError as error:
        raise ExtractorError(
            f"{weights} cannot be read as weights ({error.strerror}); {WHERE}"
        ) from error
    if n_bytes > _MAX_BYTES:
        raise ExtractorError(
            f"{weights} has {n_bytes} bytes, too many for a ResNet-50's weights; {WHERE}"
        )


def _built(weights: Path) -> nn.Module:
    """Return the network with its weights."""
    state = _read_state(weights)
    # On "meta" the network takes no memory of its own: the weights are assigned below.
    with torch.device("meta"):
        resnet = ResNet50()
    try:
        resnet.load_state_dict(state, strict=True, assign=True)
    except RuntimeError as error:
        raise ExtractorError(
            f"{weights} does not hold the weights of a ResNet-50 (its {len(state)} tensors do not "
            f"fit); {WHERE}"
        ) from error
    return resnet.eval()


def _require_unpacked(weights: Path) -> None:
    """Check that an archive takes no more memory than its file has bytes; torch packs nothing.

    Raises
    ------
    ValueError, OSError
        If it might, or is damaged.
    """
    if not zipfile.is_zipfile(weights):
        return
    with zipfile.ZipFile(weights) as archive:
        entries = archive.infolist()
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise ValueError("entries are compressed")
    if sum(entry.file_size for entry in entries) > weights.stat().st_size:
        raise ValueError("entries are larger than the file")


def _read_state(weights: Path) -> dict[str, torch.Tensor]:
    """Return the state dict in a file, without its classifier."""
    try:
        if weights.suffix == ".safetensors":
            state = load_file(weights)
        else:
            _require_unpacked(weights)
            state = torch.load(weights, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        raise ExtractorError(
            f"{weights} is no plain file of weights that can be read without running code from "
            f"it; {WHERE}"
        ) from error
    if not isinstance(state, dict) or not all(torch.is_tensor(v) for v in state.values()):
        raise ExtractorError(f"{weights} holds no state dict of tensors; {WHERE}")
    # The classifier on top is not part of the trunk.
    return {key: value for key, value in state.items() if not key.startswith("fc.")}
