"""Turns the samples of a TIFF into RGB of 8 bits, by stated rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from heatmaps_ome.slides.readers.tiff_segments import JPEG_2000, PALETTE, YCBCR

if TYPE_CHECKING:
    from tifffile import TiffPage

_ASSOCIATED, _UNASSOCIATED = 1, 2
"""Kinds of extra samples: alpha that colours are multiplied with, or are not."""
_LARGEST_SAMPLE = 281, 341
"""Fields of the largest sample that a picture may have."""


class Colours:
    """The rule by which the samples of a picture become RGB.

    Parameters
    ----------
    page : TiffPage
    significant_bits : int or None
        Bits of the numbers that are used, where the metadata states them.

    Attributes
    ----------
    notes : tuple of str
        The rule in words, where samples are changed.
    """

    def __init__(self, page: TiffPage, significant_bits: int | None = None) -> None:
        self.notes: tuple[str, ...] = ()
        self._scale: np.ndarray | None = None
        self._alpha: int | None = next(iter(page.extrasamples), None)
        self._is_ycbcr = page.photometric == YCBCR and page.compression in JPEG_2000
        self._palette = _palette(page) if page.photometric == PALETTE else None
        if page.bitspersample == 16:
            bits = _bits(page, significant_bits)
            self._scale = _to_8_bits(bits)
            self.notes = (
                f"16 bits per channel, of which {bits} are used, were scaled to 8: values were "
                f"multiplied by 255 / {2**bits - 1} and rounded",
            )

    def rgb(self, samples: np.ndarray) -> np.ndarray:
        """Return RGB of the samples; transparent pixels on white.

        Parameters
        ----------
        samples : (rows, cols, n) uint8 or uint16

        Returns
        -------
        (rows, cols, 3) uint8
        """
        if self._palette is not None:
            return self._palette[samples[..., 0]]
        if self._scale is not None:
            samples = self._scale[samples]
        if self._is_ycbcr:
            return _rgb_of_ycbcr(samples[..., :3])
        colours = samples[..., :3]
        if samples.shape[-1] < 4 or self._alpha not in (_ASSOCIATED, _UNASSOCIATED):
            return colours
        return _on_white(colours, samples[..., 3:4], self._alpha == _ASSOCIATED)


def _bits(page: TiffPage, significant_bits: int | None) -> int:
    """Return the bits that are used: as the metadata states them, else all 16."""
    if significant_bits is not None and 8 <= significant_bits <= 16:
        return significant_bits
    for tag in _LARGEST_SAMPLE:
        largest = page.tags.valueof(tag)
        values = largest if isinstance(largest, tuple) else (largest,)
        if all(isinstance(value, int) and 255 <= value <= 65535 for value in values):
            return max(int(value).bit_length() for value in values)
    return 16


def _to_8_bits(bits: int) -> np.ndarray:
    """Return the 8-bit value of each 16-bit value: (65536,) uint8."""
    values = np.arange(65536) * 255 / (2**bits - 1)
    return np.minimum(np.floor(values + 0.5), 255).astype(np.uint8)


def _palette(page: TiffPage) -> np.ndarray | None:
    """Return the colours of a palette, (n, 3) uint8; TIFF has them in 16 bits."""
    colours = page.colormap
    return None if colours is None else np.ascontiguousarray((colours.T >> 8).astype(np.uint8))


def _on_white(colours: np.ndarray, alpha: np.ndarray, associated: bool) -> np.ndarray:
    """Return colours with an alpha channel on white, rounded."""
    if alpha.size and alpha.min() == 255:
        return colours
    light = 255 * (255 - alpha.astype(np.uint32))
    own = colours.astype(np.uint32) * (255 if associated else alpha)
    return np.minimum((own + light + 127) // 255, 255).astype(np.uint8)


_FROM_YCBCR: Final = np.array(
    [[1, 0, 1.402], [1, -0.344136, -0.714136], [1, 1.772, 0]], np.float32
).T
"""JFIF's YCbCr of full range to RGB: ITU-T T.871, section 7."""


def _rgb_of_ycbcr(samples: np.ndarray) -> np.ndarray:
    centred = samples.astype(np.float32) - np.array([0, 128, 128], np.float32)
    return np.clip(np.rint(centred @ _FROM_YCBCR), 0, 255).astype(np.uint8)
