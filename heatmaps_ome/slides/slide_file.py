"""What a new kind of slide has to offer: facts of its file, and the tiles of its levels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from heatmaps_ome.geometry import YX, Shape, Window


@dataclass(frozen=True)
class SlideFacts:
    """What a slide's file states.

    Attributes
    ----------
    format : str
        Name of the format, for people.
    level_shapes : tuple of Shape
        Sizes of the levels, finest first; at least one.
    bounds : Window
        The non-empty rectangle at level 0; the whole slide if the file states none.
    mpp : YX or None
        µm per level-0 pixel; None if the file does not state it.
    mpp_hint : str
        Put after the sentence that the pixel size is missing: what else the file states that helps
        the user to find it, or "".
    """

    format: str
    level_shapes: tuple[Shape, ...]
    bounds: Window
    mpp: YX | None
    mpp_hint: str = ""


class SlideFile(Protocol):
    """An open file (or several) of a slide; tiles are read by several threads at once.

    Its class takes a path, raises SlideError if the slide cannot be opened, and has a static
    method ``can_read(path)`` that recognises its formats cheaply.
    """

    @property
    def facts(self) -> SlideFacts:
        """What the file states."""
        ...

    def files(self) -> list[Path]:
        """Return all files that the slide lies in, always in the same order."""
        ...

    def read_tile(self, level: int, tile: Window) -> np.ndarray:
        """Return the part of a tile that lies on a level.

        Parameters
        ----------
        tile : Window
            At a multiple of ``resampling.TILE_PX``, in pixels of the level; begins on the level.

        Returns
        -------
        (rows, cols, 3) uint8, RGB; transparent pixels in the slide's background colour

        Raises
        ------
        SlideError
            If the file is damaged there.
        """
        ...

    def close(self) -> None:
        """Close the file."""
        ...
