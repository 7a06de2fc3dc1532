"""Writes ``tiles/*.jpg`` and ``<slide>.tiles.csv``: the tiles most for and against a class."""

from __future__ import annotations

import csv
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from heatmaps_ome.exporters import endings_of
from heatmaps_ome.exporters.cells import plain_field
from heatmaps_ome.exporters.figures.picture_files import save_jpeg
from heatmaps_ome.exporters.figures.tile_pictures import Naming, TilePicture, framed_tile, sheet
from heatmaps_ome.exporters.protocol import Settings
from heatmaps_ome.geometry import YX, Grid, Shape, Window
from heatmaps_ome.maps.evidence import evidence_kind, evidence_words
from heatmaps_ome.slides.reader import source_of
from heatmaps_ome.slides.reading import in_order
from heatmaps_ome.storage.cache import PicturesKey
from heatmaps_ome.storage.pieces import WholePiece

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from heatmaps_ome.exporters.protocol import SlideResult
    from heatmaps_ome.maps.top_tiles import PickedTile
    from heatmaps_ome.slides.reader import SlideReader

(CSV_ENDING,) = endings_of("tiles")
FOLDER = "tiles"
_SHEET = "tiles.jpg"
LONGEST_PX = 2048
"""Maximum of a picture's longer side: 0.125 µm per pixel; tiles of a finer slide are resampled."""
_COLUMNS = (
    "kind", "rank", "class", "x", "y", "width", "height", "x_um", "y_um", "score", "contribution",
    "share_of_evidence", "picture",
)  # fmt: skip


@dataclass(frozen=True)
class TilesExporter:
    """Writes the tiles that speak most for and against the class drawn hot, at full resolution."""

    settings: Settings = Settings()

    def refusal(self) -> str | None:
        """Return None: this format needs no optional package."""
        return None

    def write(self, result: SlideResult, folder: Path) -> list[Path]:
        """Write the table and, if there are any tiles, their pictures; return all paths."""
        paths = [folder / f"{result.slide.name}{CSV_ENDING}"]
        _write_csv(result, paths[0])
        if not result.tiles:
            return paths
        pictures = folder / FOLDER
        if self.settings.cache is None or not self._take(result, self.settings.cache, pictures):
            pictures.mkdir()
            self._draw(result, pictures)
        return [*paths, *sorted(pictures.iterdir())]

    def _take(self, result: SlideResult, cache: Path, pictures: Path) -> bool:
        """Copy the pictures from the cache, where they are drawn if need be; return if it could."""
        piece = WholePiece(cache, _key(result), result.slide.name)
        if piece.copy_to(pictures):
            return True
        piece.write(lambda partial: self._draw(result, partial))
        # Another process may have removed them meanwhile.
        return piece.copy_to(pictures)

    def _draw(self, result: SlideResult, folder: Path) -> None:
        """Draw each tile, and all of them on one sheet."""
        naming = Naming(result.slide.name, result.true_class, _ranked_by(result))
        thumbnails = []
        for picture in self._pictures(result):
            thumbnails.append(picture.thumbnail())
            path = folder / _file_name(picture.tile)
            save_jpeg(framed_tile(picture, naming), path)
        affine = result.heatmaps.contributions is not None
        save_jpeg(sheet(thumbnails, naming, affine=affine), folder / _SHEET)

    def _pictures(self, result: SlideResult) -> Iterator[TilePicture]:
        """Yield the tiles with their pixels, a few read ahead."""
        slide = result.slide
        read = in_order(lambda tile: tile_picture(slide, tile), result.tiles, self.settings.threads)
        for _, picture in read:
            # Tiles do not overlap.
            slide.forget()
            yield picture


def picture_name(tile: PickedTile) -> str:
    """Return the path of a tile's picture in the slide's folder of results."""
    return f"{FOLDER}/{_file_name(tile)}"


def _file_name(tile: PickedTile) -> str:
    return f"{tile.kind}-{tile.rank}.jpg"


def tile_picture(slide: SlideReader, tile: PickedTile, longest_px: int = LONGEST_PX) -> TilePicture:
    """Return a tile with its pixels; see `tile_pixels`."""
    pixels = tile_pixels(slide, tile, longest_px)
    return TilePicture(tile, pixels, _lattice(slide, tile, longest_px).um_cell)


def tile_pixels(slide: SlideReader, tile: PickedTile, longest_px: int = LONGEST_PX) -> np.ndarray:
    """Return the slide's pixels of a tile, white beyond the slide.

    Parameters
    ----------
    longest_px : int
        Maximum of the longer side. A tile that has no more pixels at level 0 is read from there
        pixel by pixel, a larger one is resampled to this size.

    Returns
    -------
    (rows, cols, 3) uint8, RGB
    """
    lattice = _lattice(slide, tile, longest_px)
    (rows, top), (cols, left) = (
        _on_slide(origin, pixel, count, size)
        for origin, pixel, count, size in zip(
            lattice.l0_origin, lattice.l0_cell, lattice.shape, slide.shape, strict=True
        )
    )
    out = np.full((*lattice.shape, 3), 255, np.uint8)
    window = Window(top, left, rows, cols)
    if window.area > 0:
        out[window.slices] = slide.read(lattice, window)
    return out


def _lattice(slide: SlideReader, tile: PickedTile, longest_px: int) -> Grid:
    """Return the pixels of a tile: the slide's own, or coarser ones within ``longest_px``."""
    corner = YX(tile.l0_window.y, tile.l0_window.x)
    size = YX(tile.l0_window.rows, tile.l0_window.cols)
    whole = Shape(max(1, round(size.y)), max(1, round(size.x)))
    if max(whole) <= longest_px:
        # Rounded once, here: none of the slide's own pixels are blended.
        corner = YX(float(round(corner.y)), float(round(corner.x)))
        return Grid(whole, YX(1.0, 1.0), corner, slide.mpp)
    side = max(size) / longest_px
    shape = Shape(max(1, round(size.y / side)), max(1, round(size.x / side)))
    return Grid(shape, size.over(YX(*shape)), corner, slide.mpp)


def _on_slide(l0_origin: float, l0_pixel: float, count: int, l0_size: int) -> tuple[int, int]:
    """Return the number of a row's pixels with their centre on the slide, and the first of them."""
    l0_centres = l0_origin + (np.arange(count) + 0.5) * l0_pixel
    on_slide = np.flatnonzero((l0_centres >= 0) & (l0_centres < l0_size))
    return len(on_slide), int(on_slide[0]) if len(on_slide) else 0


def _key(result: SlideResult) -> PicturesKey:
    """Return the cache key of the pictures."""
    return PicturesKey(
        source=source_of(result.slide),
        name=result.slide.name,
        true_class=result.true_class,
        affine=result.heatmaps.contributions is not None,
        ranked_by=_ranked_by(result),
        tiles=tuple(asdict(tile) for tile in result.tiles),
    )


def _ranked_by(result: SlideResult) -> str:
    """Return the quantity that tiles made elsewhere are ordered by; "" for a dense grid."""
    maps, name = result.heatmaps, result.true_class
    if maps.tiles is None:
        return ""
    known = evidence_kind(maps, name) is not None
    return evidence_words(maps, name) if known else f"score of {name}"


def _write_csv(result: SlideResult, path: Path) -> None:
    """Write a row per tile, in UTF-8 and RFC 4180's quoting."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        for tile in result.tiles:
            l0 = tile.l0_window
            # Four digits of places, as in the table of cells.
            places = (l0.x, l0.y, l0.cols, l0.rows, tile.um_centre.x, tile.um_centre.y)
            writer.writerow((
                tile.kind, tile.rank, plain_field(result.true_class),
                *(f"{value:.4f}" for value in places),
                *(_text(value) for value in (tile.score, tile.contribution, tile.share)),
                picture_name(tile),
            ))  # fmt: skip


def _text(value: float) -> str:
    """Return a number with eight digits, more than float32 has; nothing for NaN."""
    return "" if math.isnan(value) else f"{value:.8g}"
