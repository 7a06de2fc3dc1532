"""Draws tiles with their scores and places: each in a frame, and all of them on one sheet."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from heatmaps_ome.exporters.figures.captions import RESEARCH
from heatmaps_ome.exporters.figures.pages import Page
from heatmaps_ome.geometry import YX, Shape
from heatmaps_ome.maps.numbers import percent, probability

if TYPE_CHECKING:
    from collections.abc import Sequence

    from heatmaps_ome.maps.top_tiles import Kind, PickedTile

THUMBNAIL_PX = 224
"""Longer side of a tile on the sheet."""
_IN_A_ROW = 8
"""Maximum of tiles in a row of the sheet."""
_GAP_PX = 16
_LEAST_PX = 256
"""Longer side to which a tile of few pixels is enlarged, by a whole number: they stay square."""
_LEAST_WIDTH_PX = 440
"""Minimum width of the captions."""
_WORDS: dict[Kind, str] = {"top": "for", "bottom": "against"}


@dataclass(frozen=True)
class Naming:
    """The slide and the class that tiles belong to.

    Attributes
    ----------
    slide_name, class_name : str
    ranked_by : str
        The quantity that tiles made elsewhere are ordered by: "leave-one-out of MSIH"; empty for
        tiles of a dense grid.
    """

    slide_name: str
    class_name: str
    ranked_by: str = ""

    def side(self, kind: Kind) -> str:
        """Return the side that tiles of a kind speak for: "for MSIH" or "against MSIH"."""
        return f"{_WORDS[kind]} {self.class_name}"


@dataclass(frozen=True, eq=False)
class TilePicture:
    """A tile with its pixels.

    Attributes
    ----------
    tile : PickedTile
    pixels : (rows, cols, 3) uint8
    um_pixel : YX
        Size of a pixel in µm.
    """

    tile: PickedTile
    pixels: np.ndarray
    um_pixel: YX

    def enlarged(self, least_px: int) -> TilePicture:
        """Return the picture with its pixels repeated as often as ``least_px`` have room for."""
        times = max(1, least_px // max(self.pixels.shape))
        pixels = self.pixels if times == 1 else self.pixels.repeat(times, 0).repeat(times, 1)
        return TilePicture(self.tile, pixels, self.um_pixel.times(1 / times))

    def thumbnail(self, longest_px: int = THUMBNAIL_PX) -> TilePicture:
        """Return the picture resized to ``longest_px`` along its longer side."""
        from PIL import Image

        rows, cols = self.pixels.shape[:2]
        scale = longest_px / max(rows, cols)
        size = Shape(max(1, round(rows * scale)), max(1, round(cols * scale)))
        how = Image.Resampling.BICUBIC if scale < 1 else Image.Resampling.NEAREST
        small = Image.fromarray(self.pixels).resize((size.cols, size.rows), how)
        um_pixel = self.um_pixel.times(YX(rows / size.rows, cols / size.cols))
        return TilePicture(self.tile, np.asarray(small), um_pixel)


def framed_tile(picture: TilePicture, naming: Naming) -> np.ndarray:
    """Return a tile with scale bar and caption below, as (rows, cols, 3) uint8."""
    picture = picture.enlarged(_LEAST_PX)
    tile, pixels = picture.tile, picture.pixels
    room = max(pixels.shape[1], _LEAST_WIDTH_PX)
    unit = float(np.clip(room / 64, 13, 18))
    margin = round(unit)
    page = Page(room + 2 * margin, margin, unit)
    page.place(pixels, margin, margin)
    page.skip(pixels.shape[0] + unit)
    page.bar(picture.um_pixel.x, 0.4 * pixels.shape[1])
    page.skip(0.4 * unit)
    page.write(
        f"{tile.kind.capitalize()} {tile.rank}: speaks {naming.side(tile.kind)}", 1.15, bold=True
    )
    page.write(" · ".join(_facts(tile, naming)))
    page.write(f"centre at x {tile.um_centre.x:.1f} µm, y {tile.um_centre.y:.1f} µm")
    page.write(naming.slide_name, faint=True)
    page.write(RESEARCH, 0.8, faint=True)
    return page.drawn()


def sheet(thumbnails: Sequence[TilePicture], naming: Naming, *, affine: bool) -> np.ndarray:
    """Return all tiles on one page, as (rows, cols, 3) uint8.

    Parameters
    ----------
    thumbnails : sequence of TilePicture
        At least one; all of one size.
    affine : bool
        Whether tiles were chosen by their evidence; else by their score.
    """
    kinds: tuple[Kind, ...] = ("top", "bottom")
    by_kind = {
        kind: [picture for picture in thumbnails if picture.tile.kind == kind] for kind in kinds
    }
    height, width = thumbnails[0].pixels.shape[:2]
    columns = min(_IN_A_ROW, max(len(pictures) for pictures in by_kind.values()))
    step = max(width, THUMBNAIL_PX) + _GAP_PX
    page = Page(max(columns * step - _GAP_PX, _LEAST_WIDTH_PX) + 2 * _GAP_PX, _GAP_PX, 15.0)
    page.write(naming.slide_name, 1.35, bold=True)
    for kind in kinds:
        pictures = by_kind[kind]
        page.skip(0.6 * page.unit)
        page.write(f"Tiles that speak {naming.side(kind)}{_together(pictures)}", 1.15, bold=True)
        page.skip(0.3 * page.unit)
        for first in range(0, len(pictures), columns):
            _write_row(page, pictures[first : first + columns], step, height)
    page.skip(0.6 * page.unit)
    page.bar(thumbnails[0].um_pixel.x, 0.9 * width)
    page.skip(0.4 * page.unit)
    page.write(_legend(naming, affine=affine), 0.9, faint=True)
    page.write(RESEARCH, 0.8, faint=True)
    return page.drawn()


def _write_row(page: Page, pictures: Sequence[TilePicture], step: int, height: int) -> None:
    """Put tiles beside one another, each with its score, share and place below."""
    top = math.ceil(page.bottom)
    ends = []
    for index, picture in enumerate(pictures):
        left, tile = page.margin + index * step, picture.tile
        page.place(picture.pixels, left, top)
        score = "" if math.isnan(tile.score) else f"   score {probability(tile.score)}"
        texts = [f"{tile.rank}{score}"]
        if not math.isnan(tile.share):
            texts.append(f"{percent(tile.share)} of the evidence")
        texts.append(f"x {tile.um_centre.x:.0f}, y {tile.um_centre.y:.0f} µm")
        place = (left, top + height + 0.4 * page.unit)
        ends.append(page.write_at(place, tuple(texts), step - _GAP_PX, 0.9 * page.unit))
    page.bottom = max(ends) + 0.5 * page.unit


def _facts(tile: PickedTile, naming: Naming) -> list[str]:
    """Return the model's score for a tile, and its share of the evidence."""
    has_score = not math.isnan(tile.score)
    facts = [f"score for {naming.class_name} {probability(tile.score)}"] if has_score else []
    if math.isnan(tile.share):
        if naming.ranked_by:
            return [*facts, f"chosen by its {naming.ranked_by}"]
        if not math.isnan(tile.contribution):
            return [*facts, f"all evidence {_WORDS[tile.kind]} it is next to nothing"]
        return [*facts, "chosen by its score, as the model's head is not affine"]
    return [
        *facts,
        f"{percent(tile.share)} of the evidence {_WORDS[tile.kind]} it",
    ]


def _together(pictures: Sequence[TilePicture]) -> str:
    """Return a text with the share of the evidence that tiles of a kind have; ": none" if none."""
    if not pictures:
        return ": none"
    share, kind = sum(picture.tile.share for picture in pictures), pictures[0].tile.kind
    if math.isnan(share) and not math.isnan(pictures[0].tile.contribution):
        return f": all evidence {_WORDS[kind]} it is next to nothing"
    together = "" if len(pictures) == 1 else "together "
    evidence = f": {together}{percent(share)} of the evidence {_WORDS[kind]} it"
    return "" if math.isnan(share) else evidence


def _legend(naming: Naming, *, affine: bool) -> str:
    """Return the explanation of the numbers."""
    score = f"Score: the probability of {naming.class_name} if the slide were this tile alone."
    if naming.ranked_by:
        return (
            f"Tiles are ordered by their {naming.ranked_by}; the percentages are their parts of "
            f"all that speaks the same way. {score} Tiles do not overlap."
        )
    if not affine:
        return f"{score} Tiles are chosen by it, as the model's head is not affine."
    return (
        f"{score} Evidence: the contribution of cells to the logit of {naming.class_name} beyond "
        "their contribution to all classes. Tiles are ordered by the evidence of their middle "
        "cell, whose feature is the tile's mean; the percentages are the evidence of all cells in "
        "a tile. Tiles do not overlap."
    )
