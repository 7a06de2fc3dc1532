"""Chooses what QuPath opens a slide with: OpenSlide, Bio-Formats, or Java's own pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from heatmaps_ome.errors import SlideError
from heatmaps_ome.slides.opening import can_read, reader_of
from heatmaps_ome.slides.paths import files_of
from heatmaps_ome.slides.zarr_tree import is_zarr_folder

if TYPE_CHECKING:
    from pathlib import Path

_PACKAGE: Final = "qupath.lib.images.servers"
OPENSLIDE: Final = f"{_PACKAGE}.openslide.OpenslideServerBuilder"
BIO_FORMATS: Final = f"{_PACKAGE}.bioformats.BioFormatsServerBuilder"
IMAGE_IO: Final = f"{_PACKAGE}.ImageIoImageServerBuilder"
_BY_READER: Final = {
    "CZI": BIO_FORMATS, "OME-Zarr": BIO_FORMATS, "VSI": BIO_FORMATS, "picture": IMAGE_IO,
    "tifffile": BIO_FORMATS,
}  # fmt: skip
"""Our readers of what OpenSlide does not read → the class of QuPath that does."""
_WHOLE: Final = ("--no-crop",)
"""Otherwise QuPath crops OpenSlide's slides to their bounds, which moves (0, 0)."""
_OPENSLIDES: Final = (
    ".bif", ".dcm", ".mrxs", ".ndpi", ".scn", ".svs", ".svslide", ".vms", ".vmu",
)  # fmt: skip
"""Endings that only OpenSlide's formats have: a cohort's slides need not be looked into."""
_JPEG_2000: Final = (".j2k", ".jp2", ".jpf", ".jpx")
"""Endings of pictures that Java does not read, but Bio-Formats does."""


def server_of(path: Path) -> tuple[str, list[str]]:
    """Return the class that builds QuPath's server of a slide, and its arguments.

    A slide that is not there counts as one of OpenSlide's.
    """
    if path.suffix.lower() in _OPENSLIDES:
        return OPENSLIDE, list(_WHOLE)
    try:
        # Bio-Formats reads all of them, and OpenSlide, in late versions, simple ones.
        reader = "CZI" if can_read("CZI", path) else reader_of(path)
    except (OSError, SlideError):
        reader = None
    provider = _BY_READER.get(reader or "", OPENSLIDE)
    if provider == IMAGE_IO and path.suffix.lower() in _JPEG_2000:
        provider = BIO_FORMATS
    return provider, list(_WHOLE) if provider == OPENSLIDE else []


def opened_path(path: Path) -> Path:
    """Return what QuPath opens of a slide: the folder of an OME-Zarr, a file of a DICOM slide.

    Bio-Formats reads any folder as a zarr store, and QuPath itself names the folder where a file
    in it is chosen (``BioFormatsImageServer.cleanUri``).
    """
    return path if not path.is_dir() or is_zarr_folder(path) else files_of(path)[0]
