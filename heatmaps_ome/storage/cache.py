"""What each thing in a cache depends on, and the folder that it is found in again.

A key holds all that decides a cached thing, never a file's name or place unless it is drawn. What
a key's identity says must not change without a new layout or version: it would lose users' caches.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from heatmaps_ome import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from zarr.core.array_spec import ArrayConfigParams

    from heatmaps_ome.geometry import YX

WHOLE_CHUNKS: Final[ArrayConfigParams] = {"write_empty_chunks": True}
"""How zarr opens what it caches: to find out that a chunk is not empty takes it longer than to
compress it, as numpy looks for NaN first, in bytes too."""


@dataclass(frozen=True)
class Source:
    """A slide's pixels, as all that is made of them depends on them.

    Attributes
    ----------
    fingerprint : str
        Digest of the slide's content.
    mpp : YX
        µm per level-0 pixel.
    read_from : str
        Which of the slide's levels are read.
    """

    fingerprint: str
    mpp: YX
    read_from: str

    def identity(self) -> dict[str, object]:
        """Return all of it as plain JSON values."""
        return {
            "slide": self.fingerprint,
            "mpp": list(self.mpp),
            "read_from": self.read_from,
        }


@dataclass(frozen=True)
class Encoded:
    """A slide's pixels as an extractor sees them.

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
        """Return all of it as plain JSON values."""
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
    _LAYOUT: ClassVar = 1
    """Raised whenever the meaning of copies changes, so that old ones are left alone."""

    source: Source
    l0_pixel: YX

    def identity(self) -> dict[str, object]:
        """Return all that a copy depends on, as plain JSON values."""
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
        Side of the chunks that they are kept in.
    """

    KIND: ClassVar = "features"
    _LAYOUT: ClassVar = 2
    """Raised whenever the meaning of cached features changes, so that old ones are left alone."""

    encoded: Encoded
    chunk_cells: int

    def identity(self) -> dict[str, object]:
        """Return all that features depend on, as plain JSON values."""
        return {
            "layout": self._LAYOUT,
            "chunk_cells": self.chunk_cells,
            **self.encoded.identity(),
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
    _LAYOUT: ClassVar = 1
    """Raised whenever the meaning of kept features changes, so that old ones are left alone."""

    encoded: Encoded
    tile_cells: int
    tiles: tuple[tuple[int, int], ...]

    def identity(self) -> dict[str, object]:
        """Return all that tiles' features depend on, as plain JSON values."""
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
    fallback_mpp : float or None
        µm per level-0 pixel of a slide that says nothing of it.
    extractor, model : str
        Their digests.
    pooling, artefacts : mapping
        How features are averaged and artefacts are found.
    """

    KIND: ClassVar = "maps"

    slide: str
    fallback_mpp: float | None
    read_from: str
    target_mpp: float
    extractor: str
    model: str
    pooling: Mapping[str, object]
    mask_threshold: float
    consistency_tiles: int
    artefacts: Mapping[str, float]

    def identity(self) -> dict[str, object]:
        """Return all that raw maps depend on, as plain JSON values."""
        # Another version may make them otherwise; features, the costly part, have a number.
        return {"version": __version__, **asdict(self)}


@dataclass(frozen=True)
class PicturesKey:
    """Key of the pictures of a slide's tiles.

    Attributes
    ----------
    name : str
        The slide's, which stands on the pictures.
    true_class : str
    affine : bool
        Whether there are contributions to state.
    tiles : tuple of mapping
        Each picked tile with its place and numbers.
    """

    KIND: ClassVar = "pictures"

    source: Source
    name: str
    true_class: str
    affine: bool
    tiles: tuple[Mapping[str, object], ...]

    def identity(self) -> dict[str, object]:
        """Return all that the pictures depend on, as plain JSON values."""
        return {
            # Another version may draw them otherwise.
            "version": __version__,
            **self.source.identity(),
            "name": self.name,
            "class": self.true_class,
            "affine": self.affine,
            "tiles": self.tiles,
        }


def folder_of(cache: Path, key: PixelsKey | FeaturesKey | TilesKey | MapsKey | PicturesKey) -> Path:
    """Return the cache folder for a key."""
    text = json.dumps(key.identity(), sort_keys=True)
    return cache / key.KIND / hashlib.sha256(text.encode()).hexdigest()[:32]
