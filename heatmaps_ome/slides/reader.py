"""The slide reader protocol: a slide's size, its scale, and pixels on any lattice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol

from heatmaps_ome.errors import SlideError
from heatmaps_ome.slides.paths import printable
from heatmaps_ome.storage.cache import Source

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np

    from heatmaps_ome.geometry import YX, Grid, Shape, Window
    from heatmaps_ome.slides.bad_tiles import BadTiles


ReadFrom = Literal["level", "level0"]
"""Level that pixels come from: the coarsest one with the requested resolution, or always the
finest."""


class SlideReader(Protocol):
    """A slide that can be read by several threads at once."""

    @property
    def path(self) -> Path:
        """The slide's file."""
        ...

    @property
    def name(self) -> str:
        """File name without its last suffix; names the results."""
        ...

    @property
    def shape(self) -> Shape:
        """Size at level 0, (rows, cols)."""
        ...

    @property
    def mpp(self) -> YX:
        """µm per level-0 pixel."""
        ...

    @property
    def bounds(self) -> Window:
        """The non-empty rectangle at level 0, the only part that QuPath shows."""
        ...

    @property
    def mpp_source(self) -> str:
        """Where ``mpp`` was found, for the records: "slide" or "--mpp"."""
        ...

    @property
    def own_mpp(self) -> YX | None:
        """µm per level-0 pixel as the slide states it, for the records; maybe wrong."""
        ...

    @property
    def pixels(self) -> str:
        """What else the pixels' values depend on; see `Source`."""
        ...

    @property
    def decoding(self) -> Mapping[str, Any]:
        """How the pixels are read, for the records, as plain JSON values.

        ``reader``, its name; ``mpp_origin``, where the file states its pixel size; ``icc``, its
        profile of colours, if any; ``notes``.
        """
        ...

    @property
    def read_from(self) -> ReadFrom:
        """Which of its levels `read` resamples."""
        ...

    @property
    def bad_tiles(self) -> BadTiles:
        """Whether damaged tiles are errors; else those that were left blank."""
        ...

    def fingerprint(self) -> str:
        """Return a digest of the slide's content that does not depend on its name or place."""
        ...

    def read(self, lattice: Grid, window: Window) -> np.ndarray:
        """Return a window of the slide, resampled to a lattice without aliasing.

        Transparent pixels and pixels outside the slide are white.

        Returns
        -------
        (window.rows, window.cols, 3) uint8, RGB
        """
        ...

    def level_folders(self, lattice: Grid) -> list[Path]:
        """Return the folders of arrays on disk that hold the slide on a lattice and its halvings.

        Returns
        -------
        list of Path
            zarr v2 arrays, (3, rows, cols) uint8 in chunks of 1024 × 1024, finest first; or none.
        """
        ...

    def forget(self) -> None:
        """Free the cached pixels; the slide can still be read."""
        ...

    def close(self) -> None:
        """Close the slide's file."""
        ...


def source_of(slide: SlideReader) -> Source:
    """Return the identity of a slide's pixels, as a part of cache keys."""
    return Source(
        slide.fingerprint(), slide.mpp, slide.read_from, slide.bad_tiles.policy, slide.pixels
    )


def given_mpp(slide: SlideReader) -> float | None:
    """Return the µm per level-0 pixel that the user gave for a slide; None: its own is used."""
    return slide.mpp.y if slide.mpp_source == "--mpp" else None


def require_unchanged(slide: SlideReader, fingerprint: str) -> None:
    """Refuse to go on with a slide whose file has been replaced or written to.

    Parameters
    ----------
    fingerprint : str
        The fingerprint that it had.

    Raises
    ------
    SlideError
        If it has another one now.
    """
    if slide.fingerprint() != fingerprint:
        raise SlideError(
            f"{printable(slide.path)} was replaced or written to while it was read; start again "
            "once it is complete"
        )
