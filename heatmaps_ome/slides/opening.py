"""Open slides of every known format; the only place that constructs readers."""

from __future__ import annotations

import importlib
import re
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Final

from heatmaps_ome.errors import OptionError, SlideError
from heatmaps_ome.slides.bad_tiles import BadTiles
from heatmaps_ome.slides.opened_slide import OpenedSlide
from heatmaps_ome.slides.paths import files_of, printable, require_readable
from heatmaps_ome.slides.refusals import reason_unread
from heatmaps_ome.slides.slide_file import Unsuited

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from heatmaps_ome.slides.bad_tiles import BadTilePolicy
    from heatmaps_ome.slides.icc import Icc
    from heatmaps_ome.slides.reader import ReadFrom
    from heatmaps_ome.slides.slide_file import SlideFile

REGISTRY: Final = {
    # Its file is a TIFF, of the slide's label or overview.
    "VSI": "heatmaps_ome.slides.readers.vsi:VsiFile",
    "OME-Zarr": "heatmaps_ome.slides.readers.ome_zarr:OmeZarrFile",
    "fast TIFF": "heatmaps_ome.slides.readers.fast_tiff:FastTiff",
    "tifffile": "heatmaps_ome.slides.readers.tiff:TifffileSlide",
    "OpenSlide": "heatmaps_ome.slides.readers.openslide:OpenSlideFile",
    "CZI": "heatmaps_ome.slides.readers.czi:CziFile",
    "iSyntax": "heatmaps_ome.slides.readers.isyntax:ISyntaxFile",
    "picture": "heatmaps_ome.slides.readers.picture:PictureFile",
}
"""Display name → ``module:class`` of a SlideFile; the first one that can read a slide is used."""
AUTO: Final = "auto"
"""Stands for the first reader that reads a slide."""
BY_NAME_ONLY: Final = ("picture",)
"""Readers of files that are slides only if they are named: a folder of slides may hold pictures."""
ENTRY_POINTS: Final = "heatmaps_ome.readers"
"""Group of the entry points by which other packages add readers: ``NAME = "module:class"``."""


def open_slide(
    path: Path,
    mpp: float | None = None,
    read_from: ReadFrom = "level",
    bad_tiles: BadTilePolicy = "fail",
    reader: str = AUTO,
    icc: Icc = "ignore",
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
    reader : str
        Name of the reader to use; "auto": the first one that reads the slide.
    icc : "ignore" or "apply"
        Whether colours are as the file has them, or converted to sRGB by its profile.

    Raises
    ------
    SlideError
        If there is no such file, its format is unknown or not the reader's, or it is damaged, or
        the profile to apply is; with the case.
    OptionError
        If there is no such reader.
    PixelSizeError
        If no credible pixel size is known.
    """
    require_readable(path)
    name, file = _file_of(path) if reader == AUTO else _file_by(reader, path)
    return OpenedSlide(path, file, mpp, read_from, BadTiles(bad_tiles), name, icc)


def _file_of(path: Path) -> tuple[str, SlideFile]:
    """Return the first reader that reads a slide, by its name, and the open file."""
    names = []
    for name, kind in _readers():
        names.append(name)
        file = _opened(kind, path)
        if file is not None:
            return name, file
    # A folder, or a file without those that go with it, has a sentence of its own.
    first = files_of(path)[0]
    raise SlideError(f"{printable(path)} {reason_unread(first, ', '.join(names))}")


def reader_of(path: Path) -> str | None:
    """Return the first reader that recognises a slide, without opening it; None if there is none.

    Raises
    ------
    OSError or SlideError
        If the slide cannot be read.
    """
    if not path.exists():
        return None
    takers = (name for name, kind in _readers() if kind.can_read(path) and _is_default(kind, path))
    return next(takers, None)


def reader_names() -> tuple[str, ...]:
    """Return the names of all readers, those of other packages too, in the order of their turn."""
    return (*REGISTRY, *(entry.name for entry in entry_points(group=ENTRY_POINTS)))


def can_read(name: str, path: Path) -> bool:
    """Return whether a reader, by its name in the registry, recognises a slide's format."""
    return path.exists() and _class_of(name).can_read(path)


def known_reader(name: str) -> str:
    """Return a reader's name as the registry has it; case, spaces and hyphens do not count.

    Raises
    ------
    OptionError
        If there is none of this name.
    """
    names = {AUTO: AUTO, **{_plain(known): known for known in reader_names()}}
    known = names.get(_plain(name))
    if known is None:
        raise OptionError(
            f"there is no reader of slides {printable(name)!r}; there are {AUTO} and: "
            f"{', '.join(reader_names())}"
        )
    return known


def _plain(name: str) -> str:
    """Return a name without what does not distinguish names."""
    return re.sub(r"[\s_-]+", "-", name.strip().lower())


def _file_by(name: str, path: Path) -> tuple[str, SlideFile]:
    """Return the reader that was asked for, by its name, and the file that it opened."""
    name = known_reader(name)
    kind = _class_of(name)
    try:
        file = kind(path) if kind.can_read(path) else None
        reason = "is in no format that it reads"
    except Unsuited as unsuited:
        file, reason = None, str(unsuited) or "is read better by another"
    if file is None:
        raise SlideError(
            f"{printable(path)} cannot be read by the reader {name}: it {reason}; leave out "
            "--reader, so that the one that fits is used"
        )
    return name, file


def _class_of(name: str) -> Any:
    """Return the class of a reader, by its name as the registry has it."""
    return next(kind for known, kind in _readers() if known == name)


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
        return kind(path) if kind.can_read(path) and _is_default(kind, path) else None
    except Unsuited:
        return None


def _is_default(kind: Any, path: Path) -> bool:
    """Return whether a reader should read a file that it can read, though nobody asked for it."""
    return kind.is_default(path) if hasattr(kind, "is_default") else True
