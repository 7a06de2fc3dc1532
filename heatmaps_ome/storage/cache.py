"""Where things lie in a cache, found again by all that they were made from."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from zarr.core.array_spec import ArrayConfigParams

WHOLE_CHUNKS: Final[ArrayConfigParams] = {"write_empty_chunks": True}
"""How zarr opens what it caches: to find out that a chunk is not empty takes it longer than to
compress it, as numpy looks for NaN first, in bytes too."""


def folder_of(
    cache: Path,
    kind: Literal["pixels", "features", "tiles", "maps", "pictures"],
    identity: Mapping[str, object],
) -> Path:
    """Return the cache folder for an identity, which is plain JSON values."""
    text = json.dumps(identity, sort_keys=True)
    return cache / kind / hashlib.sha256(text.encode()).hexdigest()[:32]
