"""Open slides of every known format; the only place that constructs readers."""

from __future__ import annotations

import importlib
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Final

from heatmaps_ome.errors import SlideError
from heatmaps_ome.slides.bad_tiles import BadTiles
from heatmaps_ome.slides.opened_slide import OpenedSlide
from heatmaps_ome.slides.paths import files_of, printable, require_readable
from heatmaps_ome.slides.refusals import reason_unread
from heatmaps_ome.slides.slide_file import Unsuited

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from heatmaps_ome.slides.bad_tiles import BadTilePolicy
    from heatmaps_ome.slides.reader import ReadFrom
    from heatmaps_ome.slides.slide_file import SlideFile

REGISTRY: Final = {
    "fast TIFF": "heatmaps_ome.slides.readers.fast_tiff:FastTiff",
    "tifffile": "heatmaps_ome.slides.readers.tiff:TifffileSlide",
    "OpenSlide": "heatmaps_ome.slides.readers.openslide:OpenSlideFile",
}
"""Display name → ``module:class`` of a SlideFile; the first one that can read a slide is used."""
ENTRY_POINTS: Final = "heatmaps_ome.readers"
"""Group of the entry points by which other packages add readers: ``NAME = "module:class"``."""


def open_slide(
    path: Path,
    mpp: float | None = None,
    read_from: ReadFrom = "level",
    bad_tiles: BadTilePolicy = "fail",
) -> OpenedSlide:
    """Return an open slide.

    Parameters
    ----------
    path : Path
        The slide's file; for DICOM any of its files, or the folder that holds them alone.
    mpp : float or None
        µm per level-0 pixel, used instead of the slide's own; None: the slide's own.
    read_from : "level" or "level0"
        Whether pixels come from the coarsest level that is fine enough, or always from level 0.
    bad_tiles : "fail" or "blank"
        Whether a damaged tile is an error, or is left white and recorded.

    Raises
    ------
    SlideError
        If there is no such file, its format is unknown, or it is damaged; with the case.
    PixelSizeError
        If no credible pixel size is known.
    """
    require_readable(path)
    names = []
    for name, kind in _readers():
        names.append(name)
        file = _opened(kind, path)
        if file is not None:
            return OpenedSlide(path, file, mpp, read_from, BadTiles(bad_tiles), name)
    # A folder, or a file without those that go with it, has a sentence of its own.
    first = files_of(path)[0]
    raise SlideError(f"{printable(path)} {reason_unread(first, ' or '.join(names))}")


def _readers() -> Iterator[tuple[str, Any]]:
    """Yield the display name and the class of each reader: our own, then those of others."""
    for name, row in REGISTRY.items():
        module, kind = row.split(":")
        yield name, getattr(importlib.import_module(module), kind)
    for entry in entry_points(group=ENTRY_POINTS):
        yield entry.name, entry.load()


def _opened(kind: Any, path: Path) -> SlideFile | None:
    """Return an open file of a reader; None if it leaves the slide to others."""
    try:
        return kind(path) if kind.can_read(path) else None
    except Unsuited:
        return None
