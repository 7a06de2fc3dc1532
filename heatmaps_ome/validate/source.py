"""Rules that hold a result against the slide it was made from, read with OpenSlide where it can."""

from __future__ import annotations

from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import openslide
from PIL import Image

from heatmaps_ome.geometry import YX, Grid, Window
from heatmaps_ome.slides.opening import AUTO, open_slide, reader_names
from heatmaps_ome.validate.levels import spread
from heatmaps_ome.validate.problems import Rule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from heatmaps_ome.slides.opened_slide import OpenedSlide
    from heatmaps_ome.validate.ngff import Pyramid

_SIDE = 32
_PLACES = 6
_RIM = 3
_BLOCK = 4
"""Image pixels whose mean is compared: filters and JPEG differ in single pixels only."""
_GREY_LEVELS, _MOST_GREY_LEVELS = 2.5, 12.0
"""On average and in the worst window: real slides have up to 1.4 and 5, and from 2.9 and 12 where
the image is shifted by two pixels."""
_ANY_MPP = 0.25
"""Used where none is needed: the fields compared here are of pixels."""


@dataclass(frozen=True, eq=False)
class Sourced:
    """A result's record, its slide image if there is one, and the slide.

    Attributes
    ----------
    record : dict
        The result's provenance.
    slide : Path
    image : Pyramid or None
    """

    record: dict[str, Any]
    slide: Path
    image: Pyramid | None


def _same(sourced: Sourced) -> Iterator[str]:
    """Demand the size, pixel size and content that provenance records."""
    facts = sourced.record["slide"]
    slide = _as_recorded(sourced)
    try:
        if list(slide.shape) != facts["shape"]:
            yield f"the slide has {tuple(slide.shape)} pixels where {facts['shape']} are recorded"
        own = slide.own_mpp
        if own and facts["mpp_source"] == "slide" and not np.allclose(own, facts["mpp"]):
            yield f"the slide has {tuple(own)} µm per pixel where {facts['mpp']} are recorded"
        if slide.fingerprint() != facts["fingerprint"]:
            yield "the slide's content is not that of the slide the result was made from"
    finally:
        slide.close()


def _pixels(sourced: Sourced) -> Iterator[str]:
    """Demand the slide's own pixels in windows all over the image."""
    image = sourced.image
    if image is None:
        return
    l0_pixel = image.um_pixel.over(YX(*sourced.record["slide"]["mpp"]))
    # Filters reach past the slide's end, where all is white.
    rows, cols = (length - _RIM for length in image.shapes[0])
    if min(rows, cols) < _BLOCK:
        return
    off, places = [], []
    with _level_0(sourced) as region:
        for row in spread(rows, _SIDE, _PLACES):
            for col in spread(cols, _SIDE, _PLACES):
                window = (slice(row, min(row + _SIDE, rows)), slice(col, min(col + _SIDE, cols)))
                pixels = np.asarray(image.levels[0][:, window[0], window[1]])
                wanted = _read(region, (row, col), pixels.shape[1:], l0_pixel)
                off.append(_difference(np.moveaxis(pixels, 0, -1), wanted))
                places.append((row, col))
    if np.mean(off) > _GREY_LEVELS or max(off) > _MOST_GREY_LEVELS:
        worst = int(np.argmax(off))
        yield (
            f"the image differs from the slide by {np.mean(off):.1f} grey levels on average, most "
            f"({off[worst]:.0f}) near row {places[worst][0]}, column {places[worst][1]}"
        )


@contextmanager
def _level_0(sourced: Sourced) -> Iterator[Callable[[Window], Image.Image]]:
    """Enter a function that returns a window of level 0, by OpenSlide itself where it can.

    Slides that it does not open, and colours that are not its own, are read as provenance records.
    """
    facts = sourced.record["slide"]
    try:
        slide = None if facts.get("pixels") else openslide.OpenSlide(sourced.slide)
    except openslide.OpenSlideError:
        slide = None
    if slide is not None:
        with slide:
            yield lambda window: _by_openslide(slide, window)
        return
    opened = _as_recorded(sourced)
    lattice = Grid(opened.shape, YX(1, 1), YX(0, 0), opened.mpp)
    with closing(opened):
        yield lambda window: Image.fromarray(opened.read(lattice, window))


def _as_recorded(sourced: Sourced) -> OpenedSlide:
    """Return the slide opened by the reader and in the colours that provenance records."""
    facts = sourced.record["slide"]
    reader, icc = facts.get("reader"), facts.get("icc")
    return open_slide(
        sourced.slide, _ANY_MPP, "level0",
        reader=reader if reader in reader_names() else AUTO,
        icc="apply" if icc and icc["applied"] else "ignore",
    )  # fmt: skip


def _by_openslide(slide: openslide.OpenSlide, window: Window) -> Image.Image:
    """Return a window of level 0 on the slide's background colour."""
    size = (window.cols, window.rows)
    region = slide.read_region((window.col, window.row), 0, size)
    behind = slide.properties.get(openslide.PROPERTY_NAME_BACKGROUND_COLOR, "FFFFFF")
    canvas = Image.new("RGB", size, f"#{behind}")
    canvas.paste(region, mask=region.getchannel("A"))
    return canvas


def _read(
    region: Callable[[Window], Image.Image],
    place: tuple[int, int],
    shape: tuple[int, ...],
    l0_pixel: YX,
) -> np.ndarray:
    """Return the area mean of the slide's level 0 under a window of the image.

    Returns
    -------
    (rows, cols, 3) uint8; white outside the slide
    """
    (row, col), (rows, cols) = place, shape
    top, bottom = row * l0_pixel.y, (row + rows) * l0_pixel.y
    left, right = col * l0_pixel.x, (col + cols) * l0_pixel.x
    y, x = int(np.floor(top)), int(np.floor(left))
    window = Window(y, x, int(np.ceil(bottom)) - y, int(np.ceil(right)) - x)
    box = (left - x, top - y, right - x, bottom - y)
    return np.asarray(region(window).resize((cols, rows), Image.Resampling.BOX, box=box))


def _difference(pixels: np.ndarray, wanted: np.ndarray) -> float:
    """Return the mean absolute difference of the means of blocks of two images."""
    rows, cols = (max(1, length // _BLOCK) for length in pixels.shape[:2])
    means = [
        np.asarray(Image.fromarray(rgb).resize((cols, rows), Image.Resampling.BOX), np.float64)
        for rgb in (np.ascontiguousarray(pixels), wanted)
    ]
    return float(np.abs(means[0] - means[1]).mean())


SOURCE: tuple[Rule[Sourced], ...] = (
    Rule("slide-same", "the slide has the size, mpp and content recorded (--slide)", _same),
    Rule("slide-pixels", "the image shows the slide's pixels (--slide)", _pixels),
)
"""Rules for a result whose slide is given."""
