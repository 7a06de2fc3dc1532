"""Recipes of encoders: an architecture, the pixels it takes, and the source of its weights."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

USUAL_PX: Final = 224
"""Side of the tiles that most encoders were made for, in network pixels."""
IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)
IMAGENET_STD: Final = (0.229, 0.224, 0.225)
POOLINGS: Final = ("cls", "mean", "cls+mean", "own")
"""Class token, mean of the patches' tokens, one after the other, or the network's own output."""
INTERPOLATIONS: Final = ("bilinear", "bicubic", "lanczos")
NUMBER_TYPES: Final = ("float32", "float16", "bfloat16", "")
_MOST_PX: Final = 4096
_SHORTEST_DIGEST: Final = 8
"""Hexadecimal digits that torchvision states of a file's sha256 in its name."""


@dataclass(frozen=True)
class NetworkRecipe:
    """An architecture: of timm, one of ours, or one of ours that is dense.

    Attributes
    ----------
    timm : str
        Name of a model of timm, or "".
    own : str
        ``module:function`` of this package, called with the arguments, or "". It returns a
        network from (n, 3, side, side) to (n, channels), or one like timm's ViTs.
    dense : str
        Name of a trunk in `heatmaps_ome.extractors.trunks`, or "".
    arguments : mapping
        Named arguments of the architecture.
    pooling : str
        One of `POOLINGS`.
    parameters : int
        Numbers in its weights; 0 if nobody counted.
    """

    timm: str = ""
    own: str = ""
    dense: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    pooling: str = "own"
    parameters: int = 0

    def __post_init__(self) -> None:
        if sum(map(bool, (self.timm, self.own, self.dense))) != 1:
            raise ValueError("[network] needs one of timm, own and dense")
        if self.pooling not in POOLINGS:
            raise ValueError(
                f"[network] pooling is {self.pooling!r}, not one of {', '.join(POOLINGS)}"
            )


@dataclass(frozen=True)
class Transform:
    """The pixels that an encoder takes: tiles are resized, cropped to their centre, normalised.

    Attributes
    ----------
    resize_px : int
        Side of the square that a tile is resized to.
    crop_px : int
        Side of the square in its centre that the network takes; 0: all.
    interpolation : str
        One of `INTERPOLATIONS`, with antialiasing, as PIL does it.
    mean, std : three floats
        Of red, green and blue from 0 to 1.
    """

    resize_px: int = USUAL_PX
    crop_px: int = 0
    interpolation: str = "bicubic"
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    def __post_init__(self) -> None:
        if not 1 <= self.resize_px <= _MOST_PX:
            raise ValueError(f"[transform] resize_px is {self.resize_px}, not 1 to {_MOST_PX}")
        if not 0 <= self.crop_px <= self.resize_px:
            raise ValueError(
                f"[transform] crop_px is {self.crop_px}, not 0 to resize_px, {self.resize_px}"
            )
        if self.interpolation not in INTERPOLATIONS:
            raise ValueError(
                f"[transform] interpolation is {self.interpolation!r}, not one of "
                f"{', '.join(INTERPOLATIONS)}"
            )
        if not all(0 < value < 1 for value in (*self.mean, *self.std)):
            raise ValueError("[transform] mean and std are between 0 and 1 each")

    @property
    def network_px(self) -> int:
        """Side of the square that the network takes."""
        return self.crop_px or self.resize_px


@dataclass(frozen=True)
class WeightsRecipe:
    """The published weights of an encoder.

    Attributes
    ----------
    hub : str
        Repository at huggingface.co, ``OWNER/NAME``, or "".
    page : str
        Where people find the file, if it is in no hub.
    url : str
        Where torch's hub has the file, or "".
    files : tuple of str
        Names of the file, the usual one first.
    sha256 : tuple of str
        Digests of published files, or their first eight digits or more; empty if unknown.
    gated : bool
        Whether its authors are asked for access.
    layouts : tuple of str
        Layouts of published files' keys, in `heatmaps_ome.extractors.layouts`.
    unused : tuple of str
        Beginnings of keys in published files that features do not need, such as a classifier's.
    """

    hub: str = ""
    page: str = ""
    url: str = ""
    files: tuple[str, ...] = ()
    sha256: tuple[str, ...] = ()
    gated: bool = False
    layouts: tuple[str, ...] = ("plain",)
    unused: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for digest in self.sha256:
            if len(digest) < _SHORTEST_DIGEST or set(digest) - set("0123456789abcdef"):
                raise ValueError(f"[weights] sha256 has {digest!r}, no hexadecimal digest")

    def is_published(self, digest: str) -> bool:
        """Return whether a file's sha256 is that of a published file, or none is known."""
        return not self.sha256 or digest.startswith(self.sha256)


@dataclass(frozen=True)
class Recipe:
    """An encoder as data.

    Attributes
    ----------
    name : str
        Name for ``--extractor``: its file's without the suffix.
    title : str
        Name in its paper.
    channels : int
        Length of a feature vector.
    tile_px : int
        Side of the tiles that it was made for, before its own transform.
    trained_in : "float32", "float16", "bfloat16" or ""
        Number type in which its authors compute features.
    licence, paper : str
        Empty if unknown.
    """

    name: str
    title: str
    channels: int
    network: NetworkRecipe
    transform: Transform = Transform()
    weights: WeightsRecipe = WeightsRecipe()
    tile_px: int = USUAL_PX
    trained_in: str = ""
    licence: str = ""
    paper: str = ""

    def __post_init__(self) -> None:
        if not 1 <= self.channels <= 1 << 16:
            raise ValueError(f"channels is {self.channels}, not 1 to {1 << 16}")
        if not 1 <= self.tile_px <= _MOST_PX:
            raise ValueError(f"tile_px is {self.tile_px}, not 1 to {_MOST_PX}")
        if self.trained_in not in NUMBER_TYPES:
            raise ValueError(f"trained_in is {self.trained_in!r}, no float32, float16 or bfloat16")
        if self.network.dense and (self.transform.resize_px, self.transform.crop_px) != (
            self.tile_px, 0,
        ):  # fmt: skip
            raise ValueError("a dense network takes tiles as they are: resize_px is tile_px")

    @property
    def is_dense(self) -> bool:
        """Whether it is applied to whole regions, not tile by tile only."""
        return bool(self.network.dense)

    @property
    def digest(self) -> str:
        """Sha256 of all that features depend on, but for the weights."""
        network = {**asdict(self.network), "parameters": 0}
        facts = [network, asdict(self.transform), self.channels]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
