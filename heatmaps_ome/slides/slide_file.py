"""The slide file protocol, to implement for a new format: facts and the tiles of levels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from heatmaps_ome.geometry import YX, Shape, Window


@dataclass(frozen=True)
class SlideFacts:
    """The metadata of a slide's file.

    Attributes
    ----------
    format : str
        Display name of the format.
    level_shapes : tuple of Shape
        Sizes of the levels, finest first; at least one.
    bounds : Window
        The non-empty rectangle at level 0; the whole slide if the file states none.
    mpp : YX or None
        µm per level-0 pixel as the file states it, however wrong; None if it does not.
    mpp_hint : str
        Addition to the message that the pixel size is missing: other metadata that helps the user
        to find it, or "".
    tile_shapes : tuple of Shape or None
        Sizes of the levels' own tiles, None for unknown ones; empty if none is known. With
        ``--bad-tiles blank`` a damaged tile is blanked alone where its size is known.
    mpp_origin : str
        Where the file states its pixel size, for people, such as "PhysicalSizeX of the OME-XML".
    icc_profile : bytes or None
        The profile of the pixels' colours as the file has it; it is not applied.
    pixels : str
        What the pixels' values depend on beside the file, such as "tifffile": readers that give
        other pixels of the same file have other words. "" for those that OpenSlide gives. It
        enters the keys of the cache.
    notes : tuple of str
        Sentences on what was done to the pixels by a rule, such as "16 bits per channel were
        divided by 257".
    is_chunked : bool
        Whether each file is a piece of a level, so that there may be very many: the fingerprint
        has the sizes of all, and samples of some.
    """

    format: str
    level_shapes: tuple[Shape, ...]
    bounds: Window
    mpp: YX | None
    mpp_hint: str = ""
    tile_shapes: tuple[Shape | None, ...] = ()
    mpp_origin: str = ""
    icc_profile: bytes | None = None
    pixels: str = ""
    notes: tuple[str, ...] = ()
    is_chunked: bool = False


class Unsuited(Exception):
    """A reader leaves a slide, whose kind it recognised, to the readers after it.

    Raised by the class of a SlideFile while it opens the slide: to open it is the only way to find
    out, for instance, that its pixels would not be exact.
    """


class SlideFile(Protocol):
    """An open file (or several) of a slide; tiles are read by several threads at once.

    Its class takes a path, and raises SlideError if the slide cannot be opened, or `Unsuited` if
    another reader may read it better. A static method ``can_read(path)`` recognises its formats
    cheaply, by what the file or folder is and not by its name; it imports no library that may be
    missing, so that the class itself can name the one that is. A class may also have
    ``is_default(path)``, which is asked about files that it can read, and returns whether it
    should read them where the user asked for no reader; without it, it should.
    """

    @property
    def facts(self) -> SlideFacts:
        """The file's metadata."""
        ...

    def files(self) -> list[Path]:
        """Return all files of the slide, always in the same order."""
        ...

    def read_tile(self, level: int, tile: Window) -> np.ndarray:
        """Return the part of a tile that lies on a level.

        Parameters
        ----------
        tile : Window
            At a multiple of ``resampling.TILE_PX``, or a part of such a tile, in pixels of the
            level; begins on the level.

        Returns
        -------
        (rows, cols, 3) uint8, RGB; transparent pixels in the slide's background colour

        Raises
        ------
        DamagedTileError
            If the file is damaged there.
        SlideError
            If it cannot be read at all.
        """
        ...

    def close(self) -> None:
        """Close the file."""
        ...
