"""The reason of a slide's failure in one sentence, whatever was raised."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Final

from heatmaps_ome.errors import HeatmapsError
from heatmaps_ome.storage.disk import disk_error

DISK: Final = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""Errors of the disk that is written to, whatever the slide."""


def reason_of(error: Exception, slide: Path, output: Path | None = None, origin: str = "") -> str:
    """Return why a slide failed.

    Parameters
    ----------
    output : Path or None
        The folder that was being written to, if any.
    origin : str
        Where the slide is named, which the reason begins with.
    """
    reason = _reason(error, slide, output)
    return reason if reason.startswith(origin) else f"{origin}: {reason}"


def _reason(error: Exception, slide: Path, output: Path | None) -> str:
    if isinstance(error, HeatmapsError):
        return str(error)
    if isinstance(error, MemoryError):
        return (
            f"{slide.name}: memory ran out; close other programs, or lower --max-memory or "
            "--block-size"
        )
    if isinstance(error, OSError) and error.errno in DISK:
        written = error.filename if isinstance(error.filename, str) else None
        place = output if written is None else Path(written)
        if place is not None:
            return f"{slide.name}: {disk_error(place, error)}"
    detail = str(error).strip().splitlines()
    return f"{slide.name}: {type(error).__name__}{f': {detail[0]}' if detail else ''}"
