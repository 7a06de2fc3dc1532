"""Data to measure with: slides with a given share of tissue, weights and a model, from seeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

MPP = 0.25
GLASS = (244, 243, 245)
CLASSES = ("MSIH", "nonMSIH")
TISSUE_OF_PAINTED = 0.62
"""Approximate share of tissue in a picture of `paint_tissue`."""


@dataclass(frozen=True)
class Size:
    """A slide to make.

    Attributes
    ----------
    name : str
    rows, cols : int
        Level-0 pixels.
    tissue : float
        Share of the slide that is tissue, in [0, 0.6].
    """

    name: str
    rows: int
    cols: int
    tissue: float = 0.4

    def path(self, folder: Path) -> Path:
        """Return the path of the slide, which may not exist yet."""
        return folder / f"{self.name}.svs"


BIG = Size("big", 30_000, 40_000)
TENTH = Size("tenth", 9_488, 12_648)
SMALL, SMALL_TENTH = Size("small", 9_488, 12_648), Size("small-tenth", 3_000, 4_000)
SIZES = (BIG, TENTH, SMALL, SMALL_TENTH)


def fourfold(size: Size) -> Size:
    """Return the size of four copies of a slide side by side."""
    return Size(f"{size.name}-fourfold", 2 * size.rows, 2 * size.cols, size.tissue)


def make_fourfold(size: Size, folder: Path) -> None:
    """Write four copies of an existing slide as one slide, unless it exists."""
    import pyvips

    path = fourfold(size).path(folder)
    if path.exists():
        return
    partial = path.with_name(path.name + ".partial")
    slide = pyvips.Image.new_from_file(str(size.path(folder)))
    # The slide's metadata, above all its pixel size, is copied too.
    pyvips.Image.arrayjoin([slide] * 4, across=2).tiffsave(
        str(partial), compression="jpeg", tile=True, tile_width=256, tile_height=256, pyramid=True,
        region_shrink="mean",
    )  # fmt: skip
    partial.replace(path)


def make_slide(size: Size, folder: Path) -> None:
    """Write a slide of painted tissue in a field of glass, unless it exists."""
    import numpy as np

    from heatmaps_ome.demo.slide import write_pyramid
    from heatmaps_ome.demo.tissue import paint_tissue

    path = size.path(folder)
    if path.exists():
        return
    side = (size.tissue / TISSUE_OF_PAINTED) ** 0.5
    rows, cols = round(size.rows * side), round(size.cols * side)
    painted, _ = paint_tissue(1, rows, cols, MPP, None)
    pixels = np.broadcast_to(np.array(GLASS, np.uint8), (size.rows, size.cols, 3)).copy()
    top, left = (size.rows - rows) // 2, (size.cols - cols) // 2
    pixels[top : top + rows, left : left + cols] = painted
    del painted
    partial = path.with_name(path.name + ".partial")
    write_pyramid(pixels, partial, MPP)
    partial.replace(path)


def networks(folder: Path) -> tuple[Path, Path]:
    """Return the paths of the ResNet-50's weights and of the model for its features."""
    return folder / "resnet50.pth", folder / "export.pkl"


def make_networks(folder: Path) -> None:
    """Write the networks unless they exist."""
    import torch
    from make_test_weights import seeded_resnet50
    from model_files import make_parts, write_export

    weights, model = networks(folder)
    if not weights.exists():
        torch.save(seeded_resnet50(0), weights)
    if not model.exists():
        write_export(model, parts=make_parts(n_inputs=2048, n_hidden=256), classes=CLASSES)
