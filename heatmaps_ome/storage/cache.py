"""The keys of cached results, and the cache folder for a key.

A key holds everything that a cached result depends on, never a file's name or place unless it is
drawn. A key's identity must not change without a new layout or version: users would lose caches.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, ClassVar, Final, TypeAlias

from heatmaps_ome import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from zarr.core.array_spec import ArrayConfigParams

    from heatmaps_ome.geometry import YX

WHOLE_CHUNKS: Final[ArrayConfigParams] = {"write_empty_chunks": True}
"""Configuration of cached zarr arrays: checking whether a chunk is empty takes longer than
compressing it, as numpy looks for NaN first, even in bytes."""


@dataclass(frozen=True)
class Source:
    """The identity of a slide's pixels, on which everything computed from them depends.

    Attributes
    ----------
    fingerprint : str
        Digest of the slide's content.
    mpp : YX
        µm per level-0 pixel.
    read_from : str
        "level" or "level0", the levels that are read: see ReadFrom.
    bad_tiles : str
        "fail" or "blank": see BadTilePolicy.
    pixels : str
        What else the pixels' values depend on, such as the library that decodes them or a profile
        of colours that is applied; "" for those that OpenSlide gives.
    """

    fingerprint: str
    mpp: YX
    read_from: str
    bad_tiles: str = "fail"
    pixels: str = ""

    def identity(self) -> dict[str, object]:
        """Return the identity as plain JSON values."""
        return {
            "slide": self.fingerprint,
            "mpp": list(self.mpp),
            "read_from": self.read_from,
            # Pixels of a slide that did not fail have no blank tiles: their keys stay.
            **({} if self.bad_tiles == "fail" else {"bad_tiles": self.bad_tiles}),
            **({"pixels": self.pixels} if self.pixels else {}),
        }


@dataclass(frozen=True)
class Encoded:
    """The identity of a slide's features: its pixels and the extractor.

    Attributes
    ----------
    extractor : str
        The extractor's digest.
    l0_network_pixel : YX
        A network pixel's size in level-0 pixels.
    """

    source: Source
    extractor: str
    l0_network_pixel: YX

    def identity(self) -> dict[str, object]:
        """Return the identity as plain JSON values."""
        return {
            **self.source.identity(),
            "extractor": self.extractor,
            "l0_network_pixel": list(self.l0_network_pixel),
        }


@dataclass(frozen=True)
class PixelsKey:
    """Key of a slide's working copy.

    Attributes
    ----------
    l0_pixel : YX
        The copy's finest pixels, in level-0 pixels.
    """

    KIND: ClassVar = "pixels"
    _LAYOUT: ClassVar = 3
    """Increased when the meaning of copies changes, so that old ones are not used."""

    source: Source
    l0_pixel: YX

    def identity(self) -> dict[str, object]:
        """Return everything that a copy depends on, as plain JSON values."""
        return {
            "layout": self._LAYOUT,
            **self.source.identity(),
            "l0_pixel": list(self.l0_pixel),
        }


@dataclass(frozen=True)
class FeaturesKey:
    """Key of a slide's dense features.

    Attributes
    ----------
    chunk_cells : int
        Side of the array's chunks.
    """

    KIND: ClassVar = "features"
    _LAYOUT: ClassVar = 3
    """Increased when the meaning of cached features changes, so that old ones are not used."""

    encoded: Encoded
    chunk_cells: int

    def identity(self) -> dict[str, object]:
        """Return everything that features depend on, as plain JSON values."""
        return {
            "layout": self._LAYOUT,
            "chunk_cells": self.chunk_cells,
            **self.encoded.identity(),
        }


@dataclass(frozen=True)
class LatticeKey:
    """Key of the features of the tiles on a lattice; of the kind of dense features.

    Attributes
    ----------
    side_px : int
        Side of a tile in network pixels.
    stride_px : float
        Distance from one tile to the next.
    chunk_cells : int
        Side of the array's chunks, in tiles.
    """

    KIND: ClassVar = FeaturesKey.KIND
    _LAYOUT: ClassVar = 1
    """Increased when the meaning of cached features changes, so that old ones are not used."""

    encoded: Encoded
    side_px: int
    stride_px: float
    chunk_cells: int

    def identity(self) -> dict[str, object]:
        """Return everything that tiles' features depend on, as plain JSON values."""
        return {
            "layout": self._LAYOUT,
            **self.encoded.identity(),
            "tile": [self.side_px, float(self.stride_px)],
            "chunk_tiles": self.chunk_cells,
        }


@dataclass(frozen=True)
class TilesKey:
    """Key of the features of single tiles.

    Attributes
    ----------
    tile_cells : int
        Side of a tile in cells.
    tiles : tuple of (row, col)
        The tiles' first cells.
    """

    KIND: ClassVar = "tiles"
    _LAYOUT: ClassVar = 2
    """Increased when the meaning of cached features changes, so that old ones are not used."""

    encoded: Encoded
    tile_cells: int
    tiles: tuple[tuple[int, int], ...]

    def identity(self) -> dict[str, object]:
        """Return everything that tiles' features depend on, as plain JSON values."""
        return {
            "layout": self._LAYOUT,
            **self.encoded.identity(),
            "tile_cells": self.tile_cells,
            "tiles": self.tiles,
        }


@dataclass(frozen=True)
class MapsKey:
    """Key of a slide's raw maps by one model: known before the slide is opened.

    Attributes
    ----------
    slide : str
        Digest of the slide's content.
    mpp : float or None
        µm per level-0 pixel that the user gave; None: the slide's own.
    extractor, model : str
        Digests of the extractor and the model or models.
    pooling, artefacts : mapping
        Settings of averaging features and of finding artefacts.
    excluded : tuple of str
        Kinds of artefacts whose cells are no tissue.
    """

    KIND: ClassVar = "maps"
    _LAYOUT: ClassVar = 3
    """Increased when the files change, so that old ones are not used."""

    slide: str
    mpp: float | None
    read_from: str
    bad_tiles: str
    pixels: str
    target_mpp: float
    extractor: str
    model: str
    pooling: Mapping[str, object]
    mask_threshold: float
    consistency_tiles: int
    artefacts: Mapping[str, float]
    excluded: tuple[str, ...]

    def identity(self) -> dict[str, object]:
        """Return everything that raw maps depend on, as plain JSON values."""
        # Another version may compute them differently; features, the costly part, have a layout.
        facts = asdict(self)
        if not self.pixels:
            # The keys of pixels that OpenSlide gives stay.
            del facts["pixels"]
        return {"layout": self._LAYOUT, "version": __version__, **facts}


@dataclass(frozen=True)
class BagKey:
    """Key of the maps of a slide's tiles by one model.

    Attributes
    ----------
    slide : str
        Digest of the slide's content.
    bag, model : str
        Digests of places and features, and of the model.
    explain : str
        How the prediction is explained.
    classes : tuple of str
        The classes whose faithfulness is measured.
    compat : str or None
        The program whose own picture is added.
    """

    KIND: ClassVar = "bags"
    _LAYOUT: ClassVar = 1
    """Increased when the files change, so that old ones are not used."""

    slide: str
    bag: str
    model: str
    explain: str
    classes: tuple[str, ...]
    compat: str | None

    def identity(self) -> dict[str, object]:
        """Return everything that the maps depend on, as plain JSON values."""
        return {"layout": self._LAYOUT, "version": __version__, **asdict(self)}


@dataclass(frozen=True)
class PicturesKey:
    """Key of the pictures of a slide's tiles.

    Attributes
    ----------
    name : str
        The slide's name, which is drawn on the pictures.
    true_class : str
    affine : bool
        Whether the model has contributions, which are drawn.
    tiles : tuple of mapping
        The picked tiles with their places and numbers.
    ranked_by : str
        The quantity that tiles made elsewhere are ordered by; empty for a dense grid.
    """

    KIND: ClassVar = "pictures"
    _LAYOUT: ClassVar = 3
    """Increased when the files change, so that old ones are not used."""

    source: Source
    name: str
    true_class: str
    affine: bool
    tiles: tuple[Mapping[str, object], ...]
    ranked_by: str = ""

    def identity(self) -> dict[str, object]:
        """Return everything that the pictures depend on, as plain JSON values."""
        return {
            "layout": self._LAYOUT,
            # Another version may draw them differently.
            "version": __version__,
            **self.source.identity(),
            "name": self.name,
            "class": self.true_class,
            "affine": self.affine,
            "tiles": self.tiles,
            **({"ranked_by": self.ranked_by} if self.ranked_by else {}),
        }


Key: TypeAlias = PixelsKey | FeaturesKey | LatticeKey | TilesKey | MapsKey | BagKey | PicturesKey
"""A key of any kind; its identity has the slide's fingerprint as ``slide``."""


def folder_of(cache: Path, key: Key) -> Path:
    """Return the cache folder for a key."""
    text = json.dumps(key.identity(), sort_keys=True)
    return cache / key.KIND / hashlib.sha256(text.encode()).hexdigest()[:32]
