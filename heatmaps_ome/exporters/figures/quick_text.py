"""Figures drawn by matplotlib with their text measured and drawn by Pillow, which is faster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import RendererAgg

from heatmaps_ome.exporters.figures.captions import letters

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.font_manager import FontProperties
    from PIL.ImageFont import FreeTypeFont


def rgba_of(figure: Figure) -> np.ndarray:
    """Return a figure as (rows, cols, 4) uint8."""
    renderer = _Renderer(*figure.bbox.size, figure.dpi)
    figure.draw(renderer)
    return np.asarray(renderer.buffer_rgba())


class _Renderer(RendererAgg):
    """Draws lines of text from left to right by Pillow, and all else as its base does."""

    def draw_text(
        self, gc: Any, x: float, y: float, s: str, prop: FontProperties, angle: float,
        ismath: Any = False, mtext: Any = None,
    ) -> None:  # fmt: skip
        """Draw a line of text whose baseline begins at a place; ``y`` is downwards."""
        if angle or ismath:
            super().draw_text(gc, x, y, s, prop, angle, ismath, mtext)
            return
        mask, (left, top) = self._letters(prop).getmask2(s, "L", anchor="ls")
        cols, rows = mask.size
        if rows * cols:
            pixels = np.array(mask, np.uint8).reshape(rows, cols)
            # Placed by its lower left corner.
            place = (round(x) + left, round(y) + top + rows)
            self._renderer.draw_text_image(pixels, *place, 0, gc)  # pyright: ignore[reportAttributeAccessIssue]

    def get_text_width_height_descent(
        self, s: str, prop: FontProperties, ismath: Any
    ) -> tuple[float, float, float]:
        """Return the size of a line of text, and how far it reaches below its baseline, in px."""
        if ismath:
            return super().get_text_width_height_descent(s, prop, ismath)
        font = self._letters(prop)
        _, top, _, bottom = font.getbbox(s, anchor="ls")
        return font.getlength(s), bottom - top, bottom

    def _letters(self, prop: FontProperties) -> FreeTypeFont:
        size_px = prop.get_size_in_points() * self.dpi / 72
        return letters(size_px, bold=prop.get_weight() == "bold")
