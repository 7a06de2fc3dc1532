"""Slides and results made up from arrays, for tests that need no slide file and no model."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import numpy as np

from heatmaps_ome.display.display_map import DisplayMap
from heatmaps_ome.exporters.protocol import SlideResult
from heatmaps_ome.geometry import YX, Grid, Shape, Window, raster_pixels
from heatmaps_ome.maps.heatmap_set import HeatmapSet
from heatmaps_ome.maps.kinds import KINDS
from heatmaps_ome.slides.bad_tiles import BadTiles

MPP = YX(0.5, 0.5)
CELL = YX(32.0, 32.0)
CORNER = YX(0.0, 0.0)


class FakeSlide:
    """A slide that is an array; resampled by exact area, white outside. Simple and slow."""

    def __init__(self, rgb: np.ndarray, mpp: YX = MPP, name: str = "slide") -> None:
        self.rgb = rgb
        self.mpp = mpp
        self.mpp_source = "made up"
        self.own_mpp = mpp
        self.warnings = ()
        self.bad_tiles = BadTiles("fail")
        self.decoding = {"reader": "made up"}
        self.read_from = "level"
        self.pixels = ""
        self.name = name
        self.path = Path("nowhere") / f"{name}.svs"
        self.shape = Shape(*rgb.shape[:2])
        self.bounds = Window(0, 0, *self.shape)
        self.l0_reads: list[YX] = []
        """Size of every read in level-0 pixels."""
        self.closed = False

    def fingerprint(self) -> str:
        return hashlib.sha256(self.rgb.tobytes()).hexdigest()

    def read(self, lattice: Grid, window: Window) -> np.ndarray:
        self.l0_reads.append(lattice.l0_cell.times(YX(window.rows, window.cols)))
        edges = [
            origin + np.arange(first, first + count + 1) * pixel
            for first, count, pixel, origin in zip(
                window[:2], window[2:], lattice.l0_cell, lattice.l0_origin, strict=True
            )
        ]
        top, bottom, left, right = (
            int(np.clip(limit, 0, size))
            for along, size in zip(edges, self.shape, strict=True)
            for limit in (np.floor(along[0]), np.ceil(along[-1]))
        )
        darkness = 255 - self.rgb[top:bottom, left:right].astype(np.float64)
        darkness = _area_sums(darkness, edges[0] - top)
        darkness = _area_sums(darkness.swapaxes(0, 1), edges[1] - left).swapaxes(0, 1)
        return np.rint(255 - darkness / math.prod(lattice.l0_cell)).astype(np.uint8)

    def level_folders(self, lattice: Grid) -> list[Path]:
        return []

    def forget(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


def _area_sums(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the integral of pixels between consecutive edges along the first axis."""
    if not len(values):
        return np.zeros((len(edges) - 1, *values.shape[1:]))
    below = np.concatenate([np.zeros_like(values[:1]), np.cumsum(values, axis=0)])
    places = np.clip(edges, 0, len(values))
    whole = np.minimum(np.floor(places).astype(int), len(values) - 1)
    part = (places - whole).reshape(-1, *[1] * (values.ndim - 1))
    return np.diff(below[whole] + part * values[whole], axis=0)


def noise_rgb(shape: Shape, seed: int = 0) -> np.ndarray:
    """Return (rows, cols, 3) uint8 noise."""
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), dtype=np.uint8)


def covering_grid(slide_shape: Shape, cell: YX = CELL, origin: YX = CORNER, mpp: YX = MPP) -> Grid:
    """Return the grid of such cells that covers a slide from an origin on."""
    rows = max(1, -(-(slide_shape.rows - origin.y) // cell.y))
    cols = max(1, -(-(slide_shape.cols - origin.x) // cell.x))
    return Grid(Shape(int(rows), int(cols)), cell, origin, mpp)


def heatmap_set(
    grid: Grid,
    slide_shape: Shape,
    classes: tuple[str, ...] = ("MSIH", "nonMSIH"),
    seed: int = 0,
    tissue: np.ndarray | None = None,
    contributions: bool = True,
    slide_name: str = "slide",
) -> HeatmapSet:
    """Return random maps that keep HeatmapSet's promises; about two cells in three are tissue."""
    rng = np.random.default_rng(seed)
    if tissue is None:
        tissue = rng.random(grid.shape) < 2 / 3
    attention = np.where(tissue, rng.normal(size=grid.shape), np.nan).astype(np.float32)
    logits = np.where(tissue, rng.normal(size=(len(classes), *grid.shape)), np.nan)
    exponential = np.exp(logits)
    scores = (exponential / exponential.sum(axis=0)).astype(np.float32)
    weights = np.exp(attention) / np.nansum(np.exp(attention)) if tissue.any() else attention
    shares = (weights * logits).astype(np.float32)
    slide_logits = np.full(len(classes), np.nan)
    if tissue.any():
        slide_logits = np.nansum(shares.astype(np.float64), axis=(1, 2))
    prediction = np.exp(slide_logits) / np.exp(slide_logits).sum()
    return HeatmapSet(
        slide_name=slide_name,
        slide_shape=slide_shape,
        grid=grid,
        classes=classes,
        tissue=tissue,
        maps={"attention": attention, "score": scores}
        | ({"contribution": shares} if contributions else {}),
        logits=slide_logits,
        prediction=prediction,
    )


def display_map(
    name: str,
    grid: Grid,
    levels: np.ndarray | None = None,
    seed: int = 0,
    opacity: int = 128,
    middle: float | None = None,
    title: str = "",
    class_name: str | None = None,
) -> DisplayMap:
    """Return a map with random levels, a third of them 0, and colours that tell levels apart.

    Its kind is the first word of its name: "score-MSIH" is a score, what is unknown an attention.
    """
    rng = np.random.default_rng(seed)
    if levels is None:
        levels = rng.integers(1, 256, grid.shape)
        levels = np.where(rng.random(grid.shape) < 1 / 3, 0, levels)
    levels = levels.astype(np.uint8)
    steps = np.arange(256)
    colours = np.stack([steps, 255 - steps, (steps * 7) % 256, np.full(256, 255)], axis=1)
    colours[0] = 0
    values = np.concatenate([[np.nan], np.linspace(-1, 1, 255)]).astype(np.float32)
    kind = name.partition("-")[0]
    return DisplayMap(
        name=name,
        kind=kind if kind in KINDS else "attention",
        class_name=class_name,
        title=title or name.capitalize(),
        quantity=f"{name} (made up)",
        unit="made up",
        grid=grid,
        levels=levels,
        values=values,
        colours=colours.astype(np.uint8),
        opacity=np.where(levels > 0, opacity, 0).astype(np.uint8),
        colour_map="made up",
        lower=-1.0,
        upper=1.0,
        middle=middle,
    )


def slide_result(
    slide: FakeSlide,
    grid: Grid | None = None,
    maps: tuple[DisplayMap, ...] | None = None,
    classes: tuple[str, ...] = ("MSIH", "nonMSIH"),
    image_px: int = 1,
    seed: int = 0,
) -> SlideResult:
    """Return a slide with random maps: attention, the first class's score, and tissue.

    Parameters
    ----------
    image_px : int
        Pixels of the slide image, in level-0 pixels.
    """
    grid = grid or covering_grid(slide.shape, mpp=slide.mpp)
    heatmaps = heatmap_set(grid, slide.shape, classes, seed, slide_name=slide.name)
    if maps is None:
        maps = (
            display_map("attention", grid, seed=seed),
            display_map("score-MSIH", grid, seed=seed + 1, middle=0.0, class_name="MSIH"),
            display_map("tissue", grid, levels=heatmaps.tissue),
        )
    size = Shape(-(-slide.shape.rows // image_px), -(-slide.shape.cols // image_px))
    image = Grid(size, YX(float(image_px), float(image_px)), YX(0.0, 0.0), slide.mpp)
    raster = raster_pixels(slide.shape, slide.mpp, grid.l0_cell)
    return SlideResult(slide, heatmaps, maps, classes[0], image, raster)
