"""Slides whose pixels state their own place, and an extractor and a model that pass it on.

Red is a ramp over the rows, green one over the columns. The extractor's feature is the mean colour
of what a cell looks at, the model's attention logit is linear in red, and the logit of its second
class in green: so every number of every output says where on the slide it comes from.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tifffile
import torch
from torch import nn

from heatmaps_ome.extractors.dense import DenseExtractor
from heatmaps_ome.geometry import YX, Shape

CLASSES = ("left", "right")
LOW, SPAN = 8.0, 224.0
"""First value and reach of the ramps; all of it is darker than background."""

_BLUE = 40
_LOGIT = 10.0
_SCORE_SLOPE, _SCORE_MIDDLE = 5.0, 0.47


def ramp_colours(slide_shape, shape, seed=0):
    """Return a level of a position slide: (rows, cols, 3) uint8.

    Values between two whole ones are dithered, so that means over a few pixels are exact to a
    small part of a step.
    """
    rng = np.random.default_rng(seed)
    noise = rng.random((2, *shape))
    rows, cols = ((np.arange(n) + 0.5) / n for n in shape)
    red = np.floor(LOW + SPAN * rows[:, None] + noise[0])
    green = np.floor(LOW + SPAN * cols[None, :] + noise[1])
    return np.stack([red, green, np.full(shape, _BLUE)], axis=-1).astype(np.uint8)


def write_position_slide(path, shape, mpp, level_shapes=(), transparent=None):
    """Write a position slide that OpenSlide opens, each level drawn from the formula.

    Parameters
    ----------
    mpp : YX
        µm per level-0 pixel; may differ along y and x.
    level_shapes : sequence of Shape
        Of the levels below level 0; any size, each covering the whole slide.
    transparent : Window or None
        Level-0 rectangle with alpha 0.
    """
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        for number, level in enumerate((shape, *level_shapes)):
            pixels = ramp_colours(shape, level, number)
            extra = {}
            if transparent is not None:
                alpha = np.full((*level, 1), 255, np.uint8)
                scale = YX(shape.rows / level.rows, shape.cols / level.cols)
                alpha[
                    round(transparent.row / scale.y) : round(transparent.row_stop / scale.y),
                    round(transparent.col / scale.x) : round(transparent.col_stop / scale.x),
                ] = 0
                pixels = np.concatenate([pixels, alpha], axis=-1)
                extra = {"extrasamples": ["unassalpha"]}
            file.write(
                pixels, photometric="rgb", tile=(256, 256), compression="zlib", metadata=None,
                subfiletype=int(number > 0), resolutionunit="CENTIMETER",
                resolution=(10_000 / mpp.x, 10_000 / mpp.y), **extra,
            )  # fmt: skip
    return path


@dataclass(frozen=True)
class MeanColour:
    """An extractor of a chosen geometry: the mean colour around each cell's centre.

    Attributes
    ----------
    extent_px : int
        Side of what a cell looks at; odd for centres at the middle of a pixel, even for centres
        between two.
    """

    stride_px: int
    centre_px: float
    extent_px: int
    name: str = "position"
    channels: int = 3
    halo_px: int = 96
    weights_digest: str = "none"
    precision: str = "float32"
    bytes_per_px: int = 10

    unfit_side = DenseExtractor.unfit_side
    tile_bytes = DenseExtractor.tile_bytes

    def prepare(self):
        pass

    @property
    def tile_px(self):
        """A training tile is 7 cells."""
        return 7 * self.stride_px

    @property
    def digest(self):
        return f"position {self.stride_px} {self.centre_px} {self.extent_px}"

    def __call__(self, pixels, keep=None):
        reach = 4 * self.stride_px
        padded = np.pad(pixels, [(reach, reach), (reach, reach), (0, 0)], mode="edge")
        rows, cols = (
            round(self.centre_px - self.extent_px / 2)
            + np.arange(-(-size // self.stride_px)) * self.stride_px
            + reach
            for size in pixels.shape[:2]
        )
        total = sum(
            padded[np.ix_(rows + y, cols + x)].astype(np.float64)
            for y in range(self.extent_px)
            for x in range(self.extent_px)
        )
        out = np.moveaxis(total / self.extent_px**2 / 255, 2, 0).astype(np.float32)
        return out if keep is None else out[:, *keep.slices]

    def tiles(self, pixels):
        return np.stack([self(each).mean((1, 2)) for each in pixels])


def load_like_resnet(weights, device, precision):
    """As a ResNet: cell j looks around the middle of pixel 32·j."""
    return MeanColour(32, 0.5, 5)


def load_like_tiles(weights, device, precision):
    """As tile encoders: cell j looks around the middle of its square."""
    return MeanColour(32, 16.0, 4)


def load_fine(weights, device, precision):
    """A geometry that no real network has: stride 24, looking far ahead."""
    return MeanColour(24, 18.5, 3)


def load_wide(weights, device, precision):
    """The mean colour of each cell's whole square."""
    return MeanColour(32, 16.0, 32)


EXTRACTORS = {
    "position-wide": "position_slides:load_wide",
    "position-resnet": "position_slides:load_like_resnet",
    "position-tiles": "position_slides:load_like_tiles",
    "position-fine": "position_slides:load_fine",
}
"""What a test puts into ``extractors.REGISTRY``."""


def position_parts():
    """Return an attention MIL's parts whose outputs are linear in red and green."""
    encoder = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
    attention = nn.Sequential(nn.Linear(2, 1))
    norm, last = nn.BatchNorm1d(2), nn.Linear(2, 2)
    with torch.no_grad():
        encoder[0].weight[:] = torch.tensor([[1.0, 0, 0], [0, 1.0, 0]])
        encoder[0].bias.zero_()
        attention[0].weight[:] = torch.tensor([[_LOGIT, 0.0]])
        attention[0].bias.fill_(-_LOGIT / 2)
        norm.running_mean[:] = torch.tensor([0.2, 0.3])
        norm.running_var[:] = torch.tensor([0.03, 0.05])
        norm.weight[:] = torch.tensor([0.7, 1.3])
        norm.bias[:] = torch.tensor([0.1, -0.2])
        gain = norm.weight[1] / torch.sqrt(norm.running_var[1] + norm.eps)
        offset = norm.bias[1] - norm.running_mean[1] * gain
        slope = _SCORE_SLOPE / gain
        constant = -_SCORE_SLOPE * _SCORE_MIDDLE - slope * offset
        last.weight[:] = torch.stack([torch.tensor([0.0, -1.0]), torch.tensor([0.0, 1.0])])
        last.weight *= slope / 2
        last.bias[:] = torch.tensor([-1.0, 1.0]) * constant / 2
    head = nn.Sequential(nn.Flatten(), norm, nn.Dropout(), last)
    return {"encoder": encoder, "attention": attention, "head": head.eval()}


def um_of_colour(colour, um_slide):
    """Return the place in µm that a mean red or green, 0 to 255, stands for."""
    return (colour - LOW) / SPAN * um_slide


def um_of_attention(attention, um_slide):
    """Return the row in µm that an attention logit stands for."""
    return um_of_colour((attention / _LOGIT + 0.5) * 255, um_slide)


def um_of_score(score, um_slide):
    """Return the column in µm that a score of the class "right" stands for."""
    logit = np.log(score) - np.log1p(-score)
    return um_of_colour((logit / _SCORE_SLOPE + _SCORE_MIDDLE) * 255, um_slide)


def um_size(shape: Shape, mpp: YX) -> YX:
    """Return a slide's size in µm."""
    return YX(shape.rows * mpp.y, shape.cols * mpp.x)
