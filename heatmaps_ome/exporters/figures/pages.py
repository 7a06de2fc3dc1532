"""Pages of pictures with words and scale bars between them, none over a picture."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from heatmaps_ome.exporters.figures.captions import drawable, width_px, wrapped
from heatmaps_ome.exporters.figures.layout import (
    DPI,
    FAINT,
    INK,
    Layout,
    Line,
    draw_scale_bar,
    pixels_of,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BORDER = 0xAD
_LINE = 1.4
"""Height of a line, in sizes of its text."""


class Page:
    """A white page that grows downwards.

    Parameters
    ----------
    width : int
        In px, margins included.
    margin : int
    unit : float
        Size of its text in px.
    """

    def __init__(self, width: int, margin: int, unit: float) -> None:
        self._width, self.margin, self.unit = width, margin, unit
        self.bottom = float(margin)
        """Top of the free part of the page, in px."""
        self._texts: list[tuple[float, float, Line]] = []
        self._bars: list[tuple[float, float, float, float]] = []
        self._pictures: list[tuple[int, int, np.ndarray]] = []

    @property
    def room(self) -> int:
        """Width between the margins."""
        return self._width - 2 * self.margin

    def write(
        self, text: str, size: float = 1.0, *, bold: bool = False, faint: bool = False
    ) -> None:
        """Write text from margin to margin, in as many lines as it takes; its size in units."""
        px = size * self.unit
        self.bottom = self.write_at((self.margin, self.bottom), (text,), self.room, px, bold, faint)

    def write_at(
        self, place: tuple[float, float], texts: tuple[str, ...], room: float, px: float,
        bold: bool = False, faint: bool = False,
    ) -> float:  # fmt: skip
        """Write texts below one another at a (left, top) place; return where they end."""
        left, top = place
        for text in map(drawable, texts):
            # Most texts are one line and need no measuring word by word.
            fits = width_px(text, px, bold) <= room
            lines = [text] if fits else wrapped(text, lambda part: width_px(part, px, bold) <= room)
            for line in lines:
                self._texts.append((left, top, Line(line, px, bold, FAINT if faint else INK)))
                top += _LINE * px
        return top

    def skip(self, px: float) -> None:
        """Leave a gap."""
        self.bottom += px

    def place(self, pixels: np.ndarray, left: int, top: int) -> None:
        """Put (rows, cols, 3) uint8 somewhere, with a border of a pixel around it."""
        self._pictures.append((left, top, pixels))

    def bar(self, um_per_px: float, longest_px: float) -> None:
        """Draw a scale bar of a round length up to a limit, with its text below."""
        self._bars.append((self.margin, self.bottom, um_per_px, longest_px))
        self.bottom += 2.4 * self.unit

    def drawn(self) -> np.ndarray:
        """Return the page as (rows, cols, 3) uint8."""
        rows = math.ceil(self.bottom) + self.margin
        page = np.full((rows, self._width, 3), 255, np.uint8)
        tops = [top for _, top, *_ in (*self._texts, *self._bars)]
        # The cost of drawing grows with the pixels, and few of a large tile's page have words.
        first = min((math.floor(top) for top in tops), default=rows)
        if first < rows:
            page[first:] = self._words(first, rows - first)
        for left, top, pixels in self._pictures:
            bottom, right = top + pixels.shape[0], left + pixels.shape[1]
            page[top - 1 : bottom + 1, left - 1 : right + 1] = _BORDER
            page[top:bottom, left:right] = pixels
        return page

    def _words(self, first: int, rows: int) -> np.ndarray:
        """Return some of the page's rows with its words and bars: (rows, cols, 3) uint8."""
        from matplotlib.figure import Figure

        size = (self._width, rows)
        figure: Figure = Figure((size[0] / DPI, size[1] / DPI), dpi=DPI, facecolor="white")
        layout = Layout(figure, size, self.unit)
        for left, top, line in self._texts:
            layout.text(left, top - first, line)
        for left, top, um_per_px, longest_px in self._bars:
            draw_scale_bar(layout, (left, top - first), um_per_px, longest_px)
        return pixels_of(figure)
