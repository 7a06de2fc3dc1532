"""Extractors with no trained weights: a seeded trunk, and one that works tile by tile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from heatmaps_ome.extractors.dense import DenseExtractor
from heatmaps_ome.extractors.tiny import CHANNELS, HALO_PX, TinyTrunk

if TYPE_CHECKING:
    from heatmaps_ome.geometry import Window


def seeded_trunk(seed: int = 0) -> DenseExtractor:
    """Return a dense extractor with random weights."""

    def build():
        torch.manual_seed(seed)
        return TinyTrunk().eval()

    return DenseExtractor(
        "seeded", build, "cpu", "float32", f"seed {seed}", CHANNELS, 44, halo_px=HALO_PX
    )


@dataclass(frozen=True)
class MeanColourTiles:
    """A tile encoder, as a ViT would be one: a vector for each 96-px tile, every 32 px."""

    name: str = "mean-colour"
    digest: str = "mean-colour 96 32"
    weights_digest: str = "none"
    precision: str = "float32"
    channels: int = 3
    stride_px: int = 32
    halo_px: int = 64
    bytes_per_px: int = 10
    centre_px: float = 16.0
    tile_px: int = 224
    patch_px: int = 96

    unfit_side = DenseExtractor.unfit_side
    tile_bytes = DenseExtractor.tile_bytes

    def prepare(self) -> None:
        pass

    def __call__(self, pixels: np.ndarray, keep: Window | None = None) -> np.ndarray:
        rows, cols = (-(-size // self.stride_px) for size in pixels.shape[:2])
        margin = (self.patch_px - self.stride_px) // 2
        after = [
            cells * self.stride_px + margin - size
            for cells, size in zip((rows, cols), pixels.shape[:2], strict=True)
        ]
        padded = np.pad(
            pixels, [(margin, after[0]), (margin, after[1]), (0, 0)], constant_values=255
        )
        # Sums of whole numbers are exact, so that means do not depend on what lies around.
        blocks = padded.reshape(padded.shape[0] // self.stride_px, self.stride_px, -1)
        blocks = blocks.sum(1, np.int64).reshape(len(blocks), -1, self.stride_px, 3).sum(2)
        across = range(self.patch_px // self.stride_px)
        sums = sum(blocks[row:, col:][:rows, :cols] for row in across for col in across)
        out = np.moveaxis(sums / self.patch_px**2 / 255, -1, 0).astype(np.float32)
        return out if keep is None else out[:, *keep.slices]

    def tiles(self, pixels: np.ndarray) -> np.ndarray:
        return np.stack([MeanColourTiles.__call__(self, each).mean((1, 2)) for each in pixels])


CLASSES = ("MSIH", "nonMSIH")


def load_mean_colour(weights, device, precision):
    """Load as a registry's function does, counting the blocks of all extractors it made."""

    @dataclass(frozen=True)
    class Counting(MeanColourTiles):
        def __call__(self, pixels, keep=None):
            load_mean_colour.calls += 1
            return super().__call__(pixels, keep)

        def tiles(self, pixels):
            load_mean_colour.tiles += len(pixels)
            return super().tiles(pixels)

    return Counting()


load_mean_colour.calls = load_mean_colour.tiles = 0


@dataclass(frozen=True)
class OwnCell(MeanColourTiles):
    """Cells see nothing but their own pixels, so that nothing comes in over a border."""

    name: str = "own-cell"
    digest: str = "own cell"
    patch_px: int = 32


@dataclass(frozen=True)
class Bordered(OwnCell):
    """The cells along an image's border are bright, whatever is there."""

    digest: str = "bordered"

    def __call__(self, pixels, keep=None):
        out = super().__call__(pixels)
        inner = out[:, 1:-1, 1:-1].copy()
        out[:] = 40
        out[:, 1:-1, 1:-1] = inner
        return out if keep is None else out[:, *keep.slices]

    def tiles(self, pixels):
        return np.stack([self(each).mean((1, 2)) for each in pixels])


def load_bordered(weights, device, precision):
    return Bordered()


def load_seeded(weights, device, precision):
    return seeded_trunk()


def load_own_cell(weights, device, precision):
    return OwnCell()
