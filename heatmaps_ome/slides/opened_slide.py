"""A SlideReader for any SlideFile: the part that all formats have in common."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from heatmaps_ome.errors import PixelSizeError, SlideError
from heatmaps_ome.geometry import YX
from heatmaps_ome.slides.resampling import Resampler

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from heatmaps_ome.geometry import Grid, Window
    from heatmaps_ome.slides.reader import ReadFrom
    from heatmaps_ome.slides.slide_file import SlideFacts, SlideFile

SANE_MPP = (0.05, 20.0)
"""Range of credible pixel sizes, in µm per pixel: design.md section 5."""

_SAMPLES, _SAMPLE_BYTES = 64, 65536


class OpenedSlide:
    """One open slide; safe to read from several threads.

    Parameters
    ----------
    path : Path
        The slide's file.
    file : SlideFile
        The open file; closed with the slide, or if its pixel size is refused.
    fallback_mpp : float or None
        µm per level-0 pixel, used only if the slide itself does not state it.
    read_from : "level" or "level0"
        Whether pixels come from the coarsest level that is fine enough, or always from level 0.

    Raises
    ------
    PixelSizeError
        If no credible pixel size is known.
    """

    def __init__(
        self, path: Path, file: SlideFile, fallback_mpp: float | None, read_from: ReadFrom
    ) -> None:
        self.path = path
        self.read_from: ReadFrom = read_from
        self.name = path.stem
        self._file, facts = file, file.facts
        try:
            self.mpp, self.mpp_source = _pixel_size(facts, path, fallback_mpp)
        except SlideError:
            file.close()
            raise
        self.format, self.bounds = facts.format, facts.bounds
        self.shape, self.level_shapes = facts.level_shapes[0], facts.level_shapes
        l0_pixels = [
            YX(self.shape.rows / rows, self.shape.cols / cols) for rows, cols in facts.level_shapes
        ]
        self._resampler = Resampler(facts.level_shapes, l0_pixels, file.read_tile)

    def fingerprint(self) -> str:
        """Return a sha256 of the sizes and evenly spread samples of the slide's files.

        Neither names nor places enter it, so a moved slide keeps its features; reading every
        byte of a slide of gigabytes would cost more than its thumbnail.
        """
        digest = hashlib.sha256()
        for file in self._file.files():
            _digest_samples(file, digest)
        return digest.hexdigest()

    def level_folders(self, lattice: Grid) -> list[Path]:
        """Return no folders: a slide's file is not an array."""
        return []

    def read(self, lattice: Grid, window: Window) -> np.ndarray:
        """Return a window of the slide on a lattice; see SlideReader.

        Raises
        ------
        SlideError
            If a tile of the slide is damaged; names the place.
        """
        return self._resampler.read(lattice, window, self.level_for(lattice.l0_cell))

    def level_for(self, l0_pixel: YX) -> int:
        """Return the level that a lattice of such pixels is read from.

        With ``read_from`` "level" this is the coarsest level that is at least as fine as the
        lattice, to 1 %.
        """
        if self.read_from == "level0":
            return 0
        return self._resampler.level_for(l0_pixel)

    def forget(self) -> None:
        """Free the cached tiles."""
        self._resampler.forget()

    def close(self) -> None:
        """Close the file and free the cached tiles."""
        self.forget()
        self._file.close()


def _pixel_size(facts: SlideFacts, path: Path, fallback_mpp: float | None) -> tuple[YX, str]:
    """Return µm per level-0 pixel and where it was found."""
    if facts.mpp is not None:
        mpp, source = facts.mpp, "slide"
    elif fallback_mpp is not None:
        mpp, source = YX(fallback_mpp, fallback_mpp), "--mpp"
    else:
        raise PixelSizeError(f"{path.name} says nothing of its pixel size{facts.mpp_hint}; "
                             "give it in µm per pixel with --mpp")  # fmt: skip
    if not all(SANE_MPP[0] <= value <= SANE_MPP[1] for value in mpp):
        raise PixelSizeError(
            f"{path.name}: {mpp.x:g} × {mpp.y:g} µm per pixel (from {source}) is outside "
            f"{SANE_MPP[0]:g}-{SANE_MPP[1]:g}; correct the slide's metadata"
        )
    return mpp, source


def _digest_samples(path: Path, digest: hashlib._Hash) -> None:
    """Add a file's size and samples spread over it to a digest."""
    size = path.stat().st_size
    digest.update(size.to_bytes(8, "little"))
    with path.open("rb") as file:
        last = max(0, size - _SAMPLE_BYTES)
        for index in range(_SAMPLES):
            file.seek(last * index // (_SAMPLES - 1), os.SEEK_SET)
            digest.update(file.read(_SAMPLE_BYTES))
