"""Writes ``previews/*.png``: the slide, each map over it, and each map alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from heatmaps_ome.export.captions import prediction_text
from heatmaps_ome.export.framed import DPI, Caption, Picture, framed
from heatmaps_ome.export.protocol import Settings
from heatmaps_ome.export.rasterise import BurntMap
from heatmaps_ome.geometry import network_pixels
from heatmaps_ome.reading import read_strips

if TYPE_CHECKING:
    from pathlib import Path

    from heatmaps_ome.display import DisplayMap
    from heatmaps_ome.export.protocol import SlideResult
    from heatmaps_ome.geometry import Grid
    from heatmaps_ome.slide import SlideReader

_STRIP_ROWS = 256
_EFFORT = 1
"""zlib's least: tissue becomes a twentieth larger, in a third of the time."""


@dataclass(frozen=True)
class PngExporter:
    """Writes previews for reports and for people without a viewer.

    Attributes
    ----------
    settings : Settings
    longest_side_px : int
        Upper limit of the slide's longer side in a preview.
    """

    settings: Settings = Settings()
    longest_side_px: int = 1600

    def refusal(self) -> str | None:
        """Return None: what this needs is always installed."""
        return None

    def write(self, result: SlideResult, folder: Path) -> list[Path]:
        """Write ``previews/`` into a folder and return the paths of its files."""
        previews = folder / "previews"
        previews.mkdir()
        lattice = thumbnail_lattice(result.slide, self.longest_side_px)
        thumbnail = np.concatenate(
            list(read_strips(result.slide, lattice, _STRIP_ROWS, self.settings.threads))
        )
        paths = [previews / "slide.png"]
        Image.fromarray(thumbnail).save(paths[0])
        # A slide of a few pixels is enlarged, by a whole number so that its pixels stay square.
        zoom = max(1, self.longest_side_px // 2 // max(lattice.shape))
        for shown in result.maps:
            burnt = BurntMap(shown, lattice).over(thumbnail, 0)
            over = Picture(burnt, lattice, lattice, zoom)
            alone = Picture(shown.colours[shown.levels], shown.grid, lattice, zoom)
            for kind, picture in (("overlay", over), ("map", alone)):
                path = previews / f"{shown.name}-{kind}.png"
                _write_framed(path, picture, shown, result)
                paths.append(path)
        return paths


def thumbnail_lattice(slide: SlideReader, longest_side_px: int) -> Grid:
    """Return square pixels in µm that cover a slide, never finer than its own."""
    um_longest = max(slide.shape.rows * slide.mpp.y, slide.shape.cols * slide.mpp.x)
    target = max(um_longest / longest_side_px, *slide.mpp)
    return network_pixels(slide.shape, slide.mpp, target)


def _write_framed(path: Path, picture: Picture, shown: DisplayMap, result: SlideResult) -> None:
    """Write a picture with its captions."""
    maps = result.heatmaps
    prediction = dict(zip(maps.classes, maps.prediction.tolist(), strict=True))
    caption = Caption(result.slide.name, shown.title, prediction_text(prediction), shown.note)
    # No Software entry: the same drawing gives the same bytes whatever wrote it.
    framed(picture, caption, shown).savefig(
        path, dpi=DPI, metadata={"Software": None}, pil_kwargs={"compress_level": _EFFORT}
    )
