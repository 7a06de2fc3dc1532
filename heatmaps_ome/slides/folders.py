"""Why a folder is no slide: the sentence names its kind, and the remedy."""

from __future__ import annotations

import os
from itertools import islice
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

SLIDE_ENDINGS: Final = (
    ".bif", ".czi", ".dcm", ".isyntax", ".mrxs", ".ndpi", ".qptiff", ".scn", ".svs", ".svslide",
    ".tif", ".tiff", ".vms", ".vmu", ".vsi",
)  # fmt: skip
"""Endings of the names of slides (and of other files, with TIFF's)."""
PICTURE_ENDINGS: Final = (".bmp", ".gif", ".jp2", ".jpeg", ".jpg", ".png", ".webp")
"""Endings of pictures, which are slides only if they are named."""
_RESULTS: Final = ("provenance.json", "run.json", "scaling.json", "maps.json")
_MOST_ENTRIES = 10_000


def folder_reason(folder: Path, n_dicom: int) -> str | None:
    """Return why a folder is not one slide, as the end of a sentence; None if it is one.

    Parameters
    ----------
    n_dicom : int
        Number of DICOM slides whose files lie in it.
    """
    with os.scandir(folder) as entries:
        names = {entry.name for entry in islice(entries, _MOST_ENTRIES)}
    others = [name for name in names if name.lower().endswith(SLIDE_ENDINGS) and ".dcm" not in name]
    if n_dicom == 1 and not others:
        return None
    if not names:
        return "is an empty folder; give a slide's file"
    if folder.name.endswith(".zarr"):
        return "is a zarr folder without metadata (.zattrs or zarr.json); copy it again"
    if names & set(_RESULTS):
        return (
            "is a folder of results of heatmaps-ome, not a slide; give the slide's own file (the "
            "commands view, info and validate take results)"
        )
    if "Slidedat.ini" in names:
        return f"is the data folder of a MIRAX slide; give {folder.name}.mrxs, which lies beside it"
    n_slides = n_dicom + len(others)
    if n_slides:
        return (
            f"is a folder with {n_slides} slide{'s' * (n_slides > 1)} in it, not a slide; give "
            "a slide's file (create also takes folders, for all slides in them)"
        )
    return "is a folder without a slide in it; give a slide's file"
