"""Writes pictures: PNG without loss, PNG of a few colours, and JPEG.

Photographs of tissue hardly compress without loss: half of their bytes are the noise of the slide's
own JPEG. As PNG of 128 colours they have a fifth of the bytes and look the same beside each other.
Only pixels and their size are stored: the same drawing gives the same bytes whatever wrote it.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from heatmaps_ome.exporters.figures.layout import DPI
from heatmaps_ome.geometry import Window

if TYPE_CHECKING:
    from pathlib import Path

_MM_PER_INCH = 25.4
_PHOTO_QUALITY = 50
"""libvips quantises to some 130 colours."""
_MOST_OF_PHOTO = 160
_FRAME_EXACT = 24
"""The most frequent colours around a photograph, such as those of a legend, stay as they are."""
_MOST_COLOURS = 256
_SAMPLE_PX = 120_000
_BITS = 5
"""Leading bits of a red, green or blue that decide a colour's place in the palette; the others are
noise."""
_WHITE = 0xFFFFFF
_EFFORT = 6
_JPEG_QUALITY = 90


def save_png(rgb: np.ndarray, path: Path) -> None:
    """Write a drawing, (rows, cols, 3) uint8, as a PNG without loss."""
    from pyvips.enums import ForeignKeep, ForeignPngFilter

    data = _image(rgb).pngsave_buffer(
        compression=_EFFORT, filter=ForeignPngFilter.UP, keep=ForeignKeep.NONE
    )
    path.write_bytes(data)


def save_jpeg(rgb: np.ndarray, path: Path) -> None:
    """Write a photograph with text, (rows, cols, 3) uint8, as a JPEG with all of its colour."""
    from pyvips.enums import ForeignKeep, ForeignSubsample

    data = _image(rgb).jpegsave_buffer(
        Q=_JPEG_QUALITY, subsample_mode=ForeignSubsample.OFF, optimize_coding=True,
        keep=ForeignKeep.NONE,
    )  # fmt: skip
    path.write_bytes(data)


def save_few_colours(rgb: np.ndarray, path: Path, box: Window | None = None) -> None:
    """Write a photograph as a PNG with a palette, without dithering, which would be noise again.

    Parameters
    ----------
    rgb : (rows, cols, 3) uint8
    box : Window or None
        Where the photograph lies in a frame, which has colours of its own; None: everywhere.
    """
    from PIL import Image

    photograph = box or Window(0, 0, *rgb.shape[:2])
    index, palette = few_colours(rgb, photograph)
    picture = Image.fromarray(index, "P")
    picture.putpalette(palette.tobytes())
    stored = io.BytesIO()
    picture.save(stored, "png", compress_level=_EFFORT, dpi=(DPI, DPI))
    path.write_bytes(stored.getvalue())


def few_colours(rgb: np.ndarray, photograph: Window) -> tuple[np.ndarray, np.ndarray]:
    """Return a picture in at most 256 colours: those of the photograph, and those around it.

    Returns
    -------
    (rows, cols) uint8 and (n, 3) uint8
        Indices, and the palette.
    """
    index, pixels = np.empty(rgb.shape[:2], np.uint8), rgb[photograph.slices]
    inner = _palette(_sample(pixels))
    index[photograph.slices] = _nearest_roughly(pixels, inner)
    around = np.ones(rgb.shape[:2], bool)
    around[photograph.slices] = False
    frame, outer = _frame(rgb[around], _MOST_COLOURS - len(inner))
    index[around] = frame + len(inner)
    return index, np.concatenate([inner, outer])


def _image(rgb: np.ndarray) -> Any:
    """Return pixels with their size, for libvips."""
    import pyvips

    per_mm = DPI / _MM_PER_INCH
    image = pyvips.Image.new_from_array(np.ascontiguousarray(rgb))
    return image.copy(xres=per_mm, yres=per_mm, interpretation="srgb")


def _sample(rgb: np.ndarray) -> np.ndarray:
    """Return evenly spread pixels, whose colours stand for all."""
    step = max(1, round((rgb.shape[0] * rgb.shape[1] / _SAMPLE_PX) ** 0.5))
    return np.ascontiguousarray(rgb[::step, ::step])


def _palette(rgb: np.ndarray) -> np.ndarray:
    """Return the colours that libvips chooses for a photograph, (n, 3) uint8."""
    import pyvips
    from PIL import Image

    data = pyvips.Image.new_from_array(rgb).pngsave_buffer(
        palette=True, Q=_PHOTO_QUALITY, dither=0, effort=1, compression=0
    )
    with Image.open(io.BytesIO(data)) as small:
        colours = np.array(small.getpalette("RGB"), np.uint8).reshape(-1, 3)
    # Entries may be there twice, or be missing in the picture, which does no harm.
    colours = np.unique(colours, axis=0)
    # Noise gets more colours from libvips than photographs do.
    few = min(len(colours), _MOST_OF_PHOTO)
    return colours[np.linspace(0, len(colours) - 1, few).astype(int)]


def _nearest_roughly(rgb: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Return the place in a palette of each pixel, decided by its leading bits."""
    lost = 8 - _BITS
    red, green, blue = (rgb[..., band].astype(np.int32) >> lost for band in range(3))
    code = (red << 2 * _BITS) | (green << _BITS) | blue
    used = np.flatnonzero(np.bincount(code.ravel(), minlength=1 << 3 * _BITS))
    parts = np.stack([used >> 2 * _BITS, used >> _BITS, used], axis=1) & ((1 << _BITS) - 1)
    middle = (parts << lost) + ((1 << lost) - 1) / 2
    places = np.zeros(1 << 3 * _BITS, np.uint8)
    places[used] = _nearest(middle, palette)
    return places[code]


def _nearest(colours: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Return the place in a palette nearest to each of some thousand colours."""
    # The square of a colour itself is the same for all places.
    reach = (palette.astype(np.float32) ** 2).sum(axis=1)
    return (reach - 2 * colours.astype(np.float32) @ palette.T.astype(np.float32)).argmin(axis=1)


def _frame(rgb: np.ndarray, limit: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the colours of a drawing.

    Parameters
    ----------
    rgb : (n, 3) uint8
    limit : int
        Number of colours at most.

    Returns
    -------
    (n,) uint8 and (m, 3) uint8
        Indices, and the palette, which begins with white.
    """
    code = (rgb[:, 0].astype(np.int32) << 16) | (rgb[:, 1].astype(np.int32) << 8) | rgb[:, 2]
    index = np.zeros(len(code), np.uint8)
    ink = np.flatnonzero(code != _WHITE)
    codes, inverse, counts = np.unique(code[ink], return_inverse=True, return_counts=True)
    colours = np.stack([codes >> 16, codes >> 8, codes], axis=1) & 255
    chosen = _spread(colours, np.argsort(-counts, kind="stable")[:_FRAME_EXACT], limit - 1)
    palette = np.concatenate([[[255, 255, 255]], colours[chosen]])
    if ink.size:
        index[ink] = _nearest(colours, palette)[inverse]
    return index, palette.astype(np.uint8)


def _spread(colours: np.ndarray, chosen: np.ndarray, limit: int) -> list[int]:
    """Return the places of colours near which all others lie, those already chosen among them.

    Each next one is the farthest from those before
    (Gonzalez 1985, doi:10.1016/0304-3975(85)90224-5),
    so that the steps of a colour bar are even.

    Parameters
    ----------
    colours : (n, 3) int
    chosen : (k,) int
    """
    # Squares of whole numbers up to 255 are exact in float32, whose products are the fastest.
    space = colours.astype(np.float32)
    squares = (space**2).sum(axis=1)

    def distance_from(place: int) -> np.ndarray:
        return squares + squares[place] - 2 * (space @ space[place])

    places, distance = chosen.tolist(), np.full(len(colours), np.inf, np.float32)
    for place in places:
        np.minimum(distance, distance_from(place), out=distance)
    while len(places) < limit and distance.any():
        places.append(int(distance.argmax()))
        np.minimum(distance, distance_from(places[-1]), out=distance)
    return places
