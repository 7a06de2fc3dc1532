"""Reads plain pictures as regions of slides: PNG, JPEG, JPEG 2000, WebP, GIF and BMP."""

from __future__ import annotations

import os
import tempfile
import threading
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from heatmaps_ome.errors import SlideError
from heatmaps_ome.geometry import Shape, Window
from heatmaps_ome.slides.paths import printable
from heatmaps_ome.slides.slide_file import SlideFacts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_START_BYTES: Final = 12
_MIRAX: Final = ".mrxs"
"""Files that are JPEG pictures of their slide, whose data lie beside them."""
_KINDS: Final = {
    b"\x89PNG\r\n\x1a\n": "PNG", b"\xff\xd8\xff": "JPEG", b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000", b"GIF8": "GIF", b"BM": "BMP",
}  # fmt: skip
"""Beginnings of pictures."""
_MOST_PX: Final = 500_000_000
"""Pixels of a picture, which are decoded into a file of three times as many bytes."""
_BY_PILLOW: Final = {"BMP": "BMP", "JPEG 2000": "JPEG2000"}
"""Kinds that libvips is often built without → Pillow's name."""
_MOST_IN_MEMORY_PX: Final = 100_000_000
"""Pixels of those, which Pillow decodes in memory."""
_GREY: Final = ("b-w", "grey16")
_COLOURS: Final = ("srgb", "rgb", "rgb16", "cmyk")
_16_BIT: Final = 65535
_REMEDY: Final = (
    "make it a tiled pyramid with: vips tiffsave {name} slide.tif --tile --pyramid "
    "--compression jpeg --Q 90 --bigtiff (and give --mpp)"
)

_EMPTYING: Final = threading.Lock()


class PictureFile:
    """A SlideFile of one level, decoded at the first read.

    A picture is turned by its EXIF orientation. Transparent pixels lie on white, 16 bits per
    channel are divided by 257, palettes and CMYK become RGB. Dots per inch are those of a print,
    and count for nothing.

    Raises
    ------
    SlideError
        If it is damaged, grey, too large, or several pictures.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()
        self._pixels: np.ndarray | None = None
        self._kind = _kind_of(path) or "plain"
        with _no_cache(), path.open("rb") as file:
            picture = self._opened(file.fileno())
            shape = Shape(picture.height, picture.width)
            self._refuse_unfit(picture, shape)
            turned = picture.autorot() if _orientation(picture) > 1 else picture
            shape = Shape(turned.height, turned.width)
            profile = picture.get("icc-profile-data") if _has(picture, "icc-profile-data") else None
        self.facts = SlideFacts(
            format=f"{self._kind} picture",
            level_shapes=(shape,),
            bounds=Window(0, 0, *shape),
            mpp=None,
            mpp_hint=" (dots per inch of a picture are those of a print)",
            icc_profile=None if profile is None else bytes(profile),
            pixels="picture",
            notes=tuple(_notes(picture)),
        )

    @staticmethod
    def can_read(path: Path) -> bool:
        """Return whether a file begins like a picture, and is no part of a MIRAX slide."""
        is_mirax = path.suffix.lower() == _MIRAX
        return not is_mirax and path.is_file() and _kind_of(path) is not None

    def files(self) -> list[Path]:
        """Return the file."""
        return [self._path]

    def read_tile(self, level: int, tile: Window) -> np.ndarray:
        """Return the part of a tile that lies on the only level; see SlideFile."""
        del level
        with self._lock:
            if self._pixels is None:
                self._pixels = self._decoded()
            pixels = self._pixels
        return np.array(pixels[tile.slices])

    def close(self) -> None:
        """Forget the pixels, whose file goes with them."""
        with self._lock:
            self._pixels = None

    def _opened(self, descriptor: int) -> Any:
        """Return the picture, of which only the head has been read."""
        import pyvips

        try:
            if self._kind in _BY_PILLOW:
                return self._opened_by_pillow()
            # A name could hold options in brackets, or no UTF-8.
            source = pyvips.Source.new_from_descriptor(descriptor)
            return pyvips.Image.new_from_source(
                source, "", access="sequential", fail_on="truncated"
            )
        except (pyvips.Error, ValueError, OSError) as error:
            raise self._damaged(error) from error

    def _opened_by_pillow(self) -> Any:
        """Return a picture of a kind that libvips may not read, decoded."""
        import pyvips
        from PIL import Image

        with warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning):
            try:
                with Image.open(self._path, formats=[_BY_PILLOW[self._kind]]) as picture:
                    if picture.width * picture.height > _MOST_IN_MEMORY_PX:
                        raise SlideError(self._too_large(Shape(picture.height, picture.width)))
                    if picture.mode not in ("RGB", "RGBA", "P", "PA", "CMYK"):
                        raise SlideError(self._grey())
                    has_alpha = picture.mode in ("RGBA", "PA")
                    values = np.asarray(picture.convert("RGBA" if has_alpha else "RGB"))
                    profile = picture.info.get("icc_profile")
            except Image.DecompressionBombError as error:
                raise self._damaged(error) from error
        image = pyvips.Image.new_from_array(values).copy(interpretation="srgb")
        if profile:
            image.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
        return image

    def _refuse_unfit(self, picture: Any, shape: Shape) -> None:
        """Refuse what is too large, no picture in colour, or several."""
        name, kind = printable(self._path), picture.interpretation
        if shape.rows * shape.cols > _MOST_PX:
            raise SlideError(self._too_large(shape))
        if kind in _GREY:
            raise SlideError(self._grey())
        n_pages = picture.get("n-pages") if _has(picture, "n-pages") else 1
        if n_pages > 1:
            raise SlideError(f"{name} holds {n_pages} pictures; give a file of one")
        n_colours = 4 if kind == "cmyk" else 3
        n_bands = picture.bands
        if kind not in _COLOURS or n_bands not in (n_colours, n_colours + 1):
            raise SlideError(
                f"{name} is a {self._kind} picture of {n_bands} channels ({kind}), not of RGB; "
                "save it as RGB"
            )

    def _too_large(self, shape: Shape) -> str:
        return (
            f"{printable(self._path)} is a picture of {shape.cols} × {shape.rows} pixels, more "
            f"than are decoded at once; {_REMEDY.format(name=printable(self._path.name))}"
        )

    def _grey(self) -> str:
        return (
            f"{printable(self._path)} is a {self._kind} picture in grey, not of RGB; give a region "
            "of a brightfield slide in colour"
        )

    def _damaged(self, error: Exception) -> SlideError:
        reason = " ".join(str(error).split())
        return SlideError(
            f"{printable(self._path)} is a {self._kind} picture that cannot be decoded ({reason}); "
            "copy it again"
        )

    def _decoded(self) -> np.ndarray:
        """Return the pixels, (rows, cols, 3) uint8, in a file without a name."""
        import pyvips

        shape = self.facts.level_shapes[0]
        with (
            _no_cache(),
            tempfile.TemporaryFile(prefix="heatmaps-ome-") as scratch,
            self._path.open("rb") as file,
        ):
            picture = _as_rgb(self._opened(file.fileno()))
            try:
                target = pyvips.Target.new_to_descriptor(scratch.fileno())
                picture.rawsave_target(target)
            except pyvips.Error as error:
                raise self._damaged(error) from error
            n_bytes = 3 * shape.rows * shape.cols
            if os.fstat(scratch.fileno()).st_size != n_bytes:
                raise SlideError(
                    f"{printable(self._path)} was replaced by another picture while it was read; "
                    "start again"
                )
            return np.memmap(scratch, np.uint8, "r", shape=(*shape, 3))


@contextmanager
def _no_cache() -> Iterator[None]:
    """Let libvips forget its last operations in the end: they keep the pictures' files open."""
    import pyvips

    try:
        yield
    finally:
        with _EMPTYING:
            n_operations = pyvips.cache_get_max()
            pyvips.cache_set_max(0)
            pyvips.cache_set_max(n_operations)


def _kind_of(path: Path) -> str | None:
    """Return the kind of a picture by its first bytes; None if it is none."""
    with path.open("rb") as file:
        start = file.read(_START_BYTES)
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "WebP"
    return next((kind for magic, kind in _KINDS.items() if start.startswith(magic)), None)


def _has(picture: Any, field: str) -> bool:
    return picture.get_typeof(field) != 0


def _orientation(picture: Any) -> int:
    return int(picture.get("orientation")) if _has(picture, "orientation") else 1


def _notes(picture: Any) -> list[str]:
    """Return what is done to the pixels, in sentences."""
    notes = []
    if _orientation(picture) > 1:
        notes.append("the picture was turned as its EXIF orientation says")
    if picture.format == "ushort":
        notes.append("16 bits per channel were divided by 257")
    if picture.hasalpha():
        notes.append("transparent pixels were laid on white")
    if picture.interpretation == "cmyk":
        notes.append("CMYK became RGB by the profile of the picture, or a usual one of print")
    return notes


def _as_rgb(picture: Any) -> Any:
    """Return a picture as three bands of bytes, RGB, as it is to stand."""
    if picture.hasalpha():
        picture = picture.flatten(background=_16_BIT if picture.format == "ushort" else 255)
    if picture.interpretation == "cmyk":
        picture = picture.icc_import(embedded=True, input_profile="cmyk").colourspace("srgb")
    if picture.format == "ushort":
        picture = (picture / 257).rint().cast("uchar")
    return picture.autorot().copy(interpretation="srgb")
