"""Writes ``previews/*.png``: the slide, each map over it and alone, and faithfulness curves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from heatmaps_ome.display.rasterise import BurntMap, sampled_strips
from heatmaps_ome.exporters.earlier import REGIONS, SLIDE
from heatmaps_ome.exporters.figures.captions import answer_text
from heatmaps_ome.exporters.figures.curves import drawn_curves
from heatmaps_ome.exporters.figures.framed import Caption, framed
from heatmaps_ome.exporters.figures.picture_files import save_few_colours, save_png
from heatmaps_ome.exporters.figures.region_outlines import drawn_regions
from heatmaps_ome.exporters.protocol import Settings
from heatmaps_ome.geometry import Window, network_pixels
from heatmaps_ome.maps.heatmap_set import class_keys
from heatmaps_ome.slides.reading import in_order, read_strips

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from heatmaps_ome.display.display_map import DisplayMap
    from heatmaps_ome.exporters.protocol import SlideResult
    from heatmaps_ome.geometry import Grid
    from heatmaps_ome.maps.curves import Faithfulness
    from heatmaps_ome.slides.reader import SlideReader

_SLIDE, _REGIONS = "slide.png", "regions.png"
_REGIONS_TITLE = "Hot and cold regions"
_STRIP_ROWS = 256


@dataclass(frozen=True)
class PngExporter:
    """Writes previews for reports and for people without a viewer.

    Attributes
    ----------
    settings : Settings
    longest_side_px : int
        Upper limit of the slide's longer side in a preview, of which small ones have half.
    """

    settings: Settings = Settings()
    longest_side_px: int = 1200

    def refusal(self) -> str | None:
        """Return None: this format needs no optional package."""
        return None

    def write(self, result: SlideResult, folder: Path) -> list[Path]:
        """Write ``previews/`` into a folder and return the paths of its files."""
        previews = folder / "previews"
        previews.mkdir()
        parts = _parts(result, alone=not self.settings.small_previews)
        wanted = {
            name
            for name, part in parts.items()
            if not result.earlier.take(part, folder, f"{previews.name}/{name}")
        }
        # The next page is drawn while one is compressed.
        pages = self._pages(result, wanted) if wanted else iter(())
        for _ in in_order(lambda page: page.save(previews), pages, 1):
            pass
        return [previews / name for name in parts]

    def _pages(self, result: SlideResult, wanted: set[str]) -> Iterator[_Page]:
        """Draw the pictures with the given names, one after the other."""
        longest_px = self.longest_side_px // (2 if self.settings.small_previews else 1)
        lattice = thumbnail_lattice(result.slide, longest_px)
        thumbnail = np.concatenate(
            list(read_strips(result.slide, lattice, _STRIP_ROWS, self.settings.threads))
        )
        if _SLIDE in wanted:
            yield _Page(_SLIDE, thumbnail, Window(0, 0, *thumbnail.shape[:2]))
        # A slide of a few pixels is enlarged, by a whole number so that its pixels stay square.
        zoom = max(1, longest_px // 2 // max(lattice.shape))
        extent = lattice.enlarged(zoom)
        for drawn in result.maps:
            overlay, alone = _names(drawn.name)
            if wanted.isdisjoint((overlay, alone)):
                continue
            around = framed(extent, caption_of(drawn, result), drawn)
            page = around.drawn()
            over = BurntMap(drawn, lattice).over(thumbnail, 0)
            for name, picture in (
                (overlay, lambda over=over: _enlarged(over, zoom)),
                (alone, lambda drawn=drawn: _alone(drawn, extent)),
            ):
                if name not in wanted:
                    continue
                filled = page.copy()
                filled[around.box.slices] = picture()
                yield _Page(name, filled, around.box if name == overlay else None)
        if _REGIONS in wanted and result.regions is not None:
            caption = Caption(
                result.slide.name, _REGIONS_TITLE, answer_text(result.heatmaps, result.label)
            )
            page, box = drawn_regions(_enlarged(thumbnail, zoom), extent, caption, result.regions)
            yield _Page(_REGIONS, page, box)
        for name, faithfulness in _curves(result).items():
            if name in wanted:
                yield _Page(name, _drawn_curves(faithfulness, result))


def _drawn_curves(faithfulness: Faithfulness, result: SlideResult) -> np.ndarray:
    """Return the picture of the curves of a class, or other output."""
    maps = result.heatmaps
    return drawn_curves(faithfulness, result.slide.name, maps.target, maps.unit_name)


def _enlarged(pixels: np.ndarray, zoom: int) -> np.ndarray:
    """Return (rows, cols, 3) uint8 with each pixel repeated, or the same array."""
    return pixels if zoom == 1 else pixels.repeat(zoom, 0).repeat(zoom, 1)


def _parts(result: SlideResult, *, alone: bool) -> dict[str, str]:
    """Return the parts of the results that pictures belong to, by the pictures' names.

    Parameters
    ----------
    alone : bool
        Whether there are pictures of maps alone.
    """
    last = 2 if alone else 1
    maps = {name: drawn.name for drawn in result.maps for name in _names(drawn.name)[:last]}
    has_regions = result.regions is not None and bool(result.regions.regions)
    regions = {_REGIONS: REGIONS} if has_regions else {}
    return {_SLIDE: SLIDE, **maps, **regions, **dict.fromkeys(_curves(result), SLIDE)}


def _names(map_name: str) -> tuple[str, str]:
    """Return the names of the pictures of a map over the slide, and alone."""
    return f"{map_name}-overlay.png", f"{map_name}-map.png"


def _curves(result: SlideResult) -> dict[str, Faithfulness]:
    """Return the faithfulness of maps, which is drawn as curves, by the pictures' names."""
    return {f"{name}.png": curves for name, curves in curves_by_name(result).items()}


def curves_by_name(result: SlideResult) -> dict[str, Faithfulness]:
    """Return the faithfulness of maps by the names of its figures, without an ending."""
    keys = dict(zip(result.heatmaps.classes, class_keys(result.heatmaps.classes), strict=True))
    return {f"faithfulness-{keys[curves.class_name]}": curves for curves in result.faithfulness}


@dataclass(frozen=True, eq=False)
class _Page:
    """A picture to be saved.

    Attributes
    ----------
    name : str
    rgb : (rows, cols, 3) uint8
    photograph : Window or None
        Where in it the slide is seen; None: nowhere.
    """

    name: str
    rgb: np.ndarray
    photograph: Window | None = None

    def save(self, folder: Path) -> None:
        """Write it into a folder."""
        if self.photograph is None:
            save_png(self.rgb, folder / self.name)
        else:
            save_few_colours(self.rgb, folder / self.name, self.photograph)


def thumbnail_lattice(slide: SlideReader, longest_side_px: int) -> Grid:
    """Return square pixels in µm that cover a slide, never finer than its own."""
    um_longest = max(slide.shape.rows * slide.mpp.y, slide.shape.cols * slide.mpp.x)
    target = max(um_longest / longest_side_px, *slide.mpp)
    return network_pixels(slide.shape, slide.mpp, target)


def caption_of(drawn: DisplayMap, result: SlideResult) -> Caption:
    """Return the words around the pictures of a map."""
    text = answer_text(result.heatmaps, result.label)
    return Caption(result.slide.name, drawn.title, text, drawn.note)


def _alone(drawn: DisplayMap, extent: Grid) -> np.ndarray:
    """Return a map cell by cell on white, (rows, cols, 3) uint8 on ``extent``."""
    colours = drawn.colours[:, :3].copy()
    colours[0] = 255
    cells = np.take(colours, drawn.levels, axis=0)
    [(_, picture)] = sampled_strips(cells, drawn.grid, extent, extent.shape.rows, fill=255)
    return picture
