"""Reads Philips iSyntax slides by pyisyntax (libisyntax), which is an optional package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from heatmaps_ome.errors import SlideError
from heatmaps_ome.geometry import YX, Shape, Window
from heatmaps_ome.slides.damage import damaged_tile, l0_place_of
from heatmaps_ome.slides.paths import printable
from heatmaps_ome.slides.readers.probing import crashes
from heatmaps_ome.slides.slide_file import SlideFacts

if TYPE_CHECKING:
    from pathlib import Path

_START_BYTES: Final = 4096
_MARK: Final = b'ObjectType="DPUfsImport"'
"""What the XML at the beginning states; Philips's TIFFs have it too, but begin otherwise."""
_CACHED_TILES: Final = 1000
"""Tiles of wavelet coefficients that libisyntax keeps, of 256 × 256 pixels in 4 channels."""


class ISyntaxFile:
    """A SlideFile of an iSyntax slide.

    Raises
    ------
    SlideError
        If pyisyntax is missing, or cannot open the file or must not.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        kind = _library(path)
        reason = crashes(path, (path,), "isyntax")
        if reason is not None:
            raise SlideError(
                f"{printable(path)} {reason}, which no slide does; the file is damaged: copy it "
                "again"
            )
        # libisyntax gives no reasons, and its errors have classes of a module without a promise.
        try:
            self._slide = kind.open(path, cache_size=_CACHED_TILES)
        except Exception as error:
            raise SlideError(
                f"{printable(path)} cannot be opened as an iSyntax slide; is the copy complete?"
            ) from error
        # Made here, as threads would make one each.
        self._slide.get_cache()
        self.facts = _facts(self._slide)

    @staticmethod
    def can_read(path: Path) -> bool:
        """Return whether a file begins with the XML of an iSyntax slide."""
        if not path.is_file():
            return False
        with path.open("rb") as file:
            start = file.read(_START_BYTES)
        return start.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"<") and _MARK in start

    def files(self) -> list[Path]:
        """Return the file."""
        return [self._path]

    def read_tile(self, level: int, tile: Window) -> np.ndarray:
        """Return the part of a tile that lies on a level; white where nothing was scanned."""
        inside = tile.common(Window(0, 0, *self.facts.level_shapes[level]))
        try:
            rgba = self._slide.read_region(
                inside.col, inside.row, inside.cols, inside.rows, level=level
            )
        except Exception as error:
            place = l0_place_of(self.facts.level_shapes, level, inside)
            raise damaged_tile(self._path, place) from error
        return np.ascontiguousarray(rgba[..., :3])

    def close(self) -> None:
        """Close the file."""
        self._slide.close()


def _library(path: Path) -> Any:
    try:
        from isyntax import ISyntax
    except ImportError as error:
        raise SlideError(
            f"{printable(path)} is a Philips iSyntax slide, which needs pyisyntax: pip install "
            "'heatmaps-ome[isyntax]'"
        ) from error
    return ISyntax


def _facts(slide: Any) -> SlideFacts:
    """Return the facts that libisyntax finds in a slide."""
    shapes = tuple(Shape(rows, cols) for cols, rows in slide.level_dimensions if rows and cols)
    mpp = YX(float(slide.mpp_y), float(slide.mpp_x))
    known = mpp if min(mpp) > 0 else None
    profile = slide.read_icc_profile()
    return SlideFacts(
        format="isyntax",
        level_shapes=shapes,
        bounds=Window(0, 0, *shapes[0]) if shapes else Window(0, 0, 0, 0),
        mpp=known,
        # The levels' own tiles begin off the slide, by the reach of the wavelets.
        tile_shapes=(),
        mpp_origin="" if known is None else "units of the iSyntax's XML",
        icc_profile=None if profile is None else bytes(profile),
        pixels="libisyntax",
    )
