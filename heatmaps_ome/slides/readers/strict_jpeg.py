"""Decodes JPEG tiles of TIFFs and refuses damaged ones, which imagecodecs fills with grey."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np

_ADOBE: Final = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00"
"""Adobe's marker up to its last byte, the transform: 0 for RGB, 1 for YCbCr."""
_BEGIN, _END = b"\xff\xd8", b"\xff\xd9"


def is_available() -> bool:
    """Return whether libjpeg-turbo is there, by the package simplejpeg."""
    return importlib.util.find_spec("simplejpeg") is not None


class StrictJpeg:
    """A decoder of 8-bit JPEGs of three colours by libjpeg-turbo.

    Parameters
    ----------
    tables : bytes or None
        The JPEGTables of the TIFF's directory, which its tiles share.
    is_ycbcr : bool
        Whether the colours are YCbCr; else RGB. A marker in the JPEG itself goes before it.
    """

    def __init__(self, tables: bytes | None, is_ycbcr: bool) -> None:
        shared = b"" if tables is None else tables.removeprefix(_BEGIN).removesuffix(_END)
        self._head = _BEGIN + _ADOBE + bytes([is_ycbcr]) + shared

    def __call__(self, data: bytes, out: np.ndarray) -> None:
        """Decode a tile.

        Parameters
        ----------
        out : (rows, cols, 3) uint8
            Takes the RGB.

        Raises
        ------
        ValueError
            If the tile is damaged, however little, or of another size.
        """
        import simplejpeg  # pyright: ignore[reportMissingImports]

        if not data.startswith(_BEGIN):
            raise ValueError("no JPEG")
        pixels = simplejpeg.decode_jpeg(self._head + data[2:], "RGB", strict=True, buffer=out)
        if pixels.shape != out.shape:
            raise ValueError(f"invalid shape {pixels.shape}")
