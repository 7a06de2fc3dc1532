"""Checks of the numbers of tiles, a block of rows at a time: no second copy of a bag is made."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

import numpy as np

from heatmaps_ome.features.files.refusals import Unfit

if TYPE_CHECKING:
    from collections.abc import Iterator

_BLOCK_BYTES: Final = 32 << 20
MOST_FEATURES: Final = 65_536


def plain_features(values: np.ndarray) -> np.ndarray:
    """Return features as a bag has them: float16 and float32 as they are, others as float32.

    Raises
    ------
    Unfit
        If they are not a row of numbers a tile, or not finite.
    """
    if values.ndim == 3 and values.shape[0] == 1:  # (1, n, d), a batch of one bag
        values = values[0]
    if values.ndim == 1:
        raise Unfit(
            f"holds one vector of {len(values)} features, a whole slide's: maps need a row of "
            "features for each tile"
        )
    if values.ndim != 2 or values.dtype.kind not in "iufb":
        raise Unfit(f"has features of the shape {values.shape}; a row for each tile is needed")
    if not 1 <= values.shape[1] <= MOST_FEATURES:
        raise Unfit(f"has {values.shape[1]} features for each tile")
    if values.dtype not in (np.float16, np.float32):
        with np.errstate(over="ignore"):  # infinities are refused below
            values = values.astype(np.float32)
    require_finite(values, "features")
    return values


def require_finite(values: np.ndarray, name: str) -> None:
    """Refuse values that are NaN or infinite.

    Raises
    ------
    Unfit
        With the first such row.
    """
    first = 0
    for block in _blocks(values):
        finite = np.isfinite(block).reshape(len(block), -1).all(axis=1)
        if not finite.all():
            raise Unfit(
                f"has {name} that are NaN or infinite, first in row "
                f"{first + int(finite.argmin()) + 1}; compute them again"
            )
        first += len(block)


def digest_of_arrays(*arrays: np.ndarray) -> str:
    """Return the sha256 of arrays' types, shapes and values, in hex."""
    digest = hashlib.sha256()
    for values in arrays:
        digest.update(f"{values.dtype.str}{values.shape}".encode())
        for block in _blocks(values):
            digest.update(np.ascontiguousarray(block).data)
    return digest.hexdigest()


def _blocks(values: np.ndarray) -> Iterator[np.ndarray]:
    """Yield rows of an array, few enough at a time."""
    row_bytes = max(1, values.nbytes // max(1, len(values)))
    step = max(1, _BLOCK_BYTES // row_bytes)
    for start in range(0, len(values), step):
        yield values[start : start + step]
