"""A SlideReader for any SlideFile: the part that all formats have in common."""

from __future__ import annotations

import hashlib
import os
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from heatmaps_ome.errors import DamagedTileError, PixelSizeError, SlideError
from heatmaps_ome.geometry import YX, Window
from heatmaps_ome.slides.bad_tiles import BadTile
from heatmaps_ome.slides.icc import profile_digest, profile_record, to_srgb
from heatmaps_ome.slides.paths import name_of, printable
from heatmaps_ome.slides.resampling import Resampler
from heatmaps_ome.slides.sizes import (
    SANE_MPP,
    absurd_extent,
    absurd_levels,
    is_credible,
    within_slide,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from heatmaps_ome.geometry import Grid
    from heatmaps_ome.slides.bad_tiles import BadTiles
    from heatmaps_ome.slides.icc import Icc
    from heatmaps_ome.slides.reader import ReadFrom
    from heatmaps_ome.slides.slide_file import SlideFacts, SlideFile

_SAMPLES, _SAMPLE_BYTES = 64, 65536
_SAMPLED_CHUNKS = 256
"""Files of a slide in chunks that are sampled; of all others only the sizes count."""


class OpenedSlide:
    """One open slide; safe to read from several threads.

    Parameters
    ----------
    path : Path
        The slide's file, or the folder of a DICOM slide.
    file : SlideFile
        The open file; closed with the slide, or if the slide is refused.
    mpp : float or None
        µm per level-0 pixel, used instead of the slide's own; None: the slide's own.
    read_from : "level" or "level0"
        Whether pixels come from the coarsest level that is fine enough, or always from level 0.
    bad_tiles : BadTiles
        Whether damaged tiles are errors; else those that were left blank.
    reader : str
        Display name of the reader.
    icc : "ignore" or "apply"
        Whether the slide's profile of colours is applied, if it has one.

    Raises
    ------
    SlideError
        If the sizes that it states cannot be, or the profile to apply is damaged.
    PixelSizeError
        If no credible pixel size is known.
    """

    def __init__(
        self,
        path: Path,
        file: SlideFile,
        mpp: float | None,
        read_from: ReadFrom,
        bad_tiles: BadTiles,
        reader: str,
        icc: Icc = "ignore",
    ) -> None:
        self.path = path
        self.read_from: ReadFrom = read_from
        self.bad_tiles = bad_tiles
        self.name = name_of(path)
        self._file, facts = file, file.facts
        try:
            absurd = absurd_levels(facts.level_shapes)
            if absurd is not None:
                raise SlideError(
                    f"{printable(path)} {absurd}, which no slide has; the file is damaged: copy it "
                    "again"
                )
            self.mpp, self.mpp_source = _pixel_size(facts, path, mpp)
            self._convert = _conversion(facts, path, icc)
        except SlideError:
            file.close()
            raise
        own = facts.mpp
        self.own_mpp = own if own is not None and all(map(isfinite, own)) else None
        self.format, self.reader, self.shape = facts.format, reader, facts.level_shapes[0]
        self.notes, self.icc_profile, self.icc = facts.notes, facts.icc_profile, icc
        self.pixels = _pixels(facts, is_converted=self._convert is not None)
        self.mpp_origin = facts.mpp_origin
        self.level_shapes = facts.level_shapes
        self.bounds = within_slide(facts.bounds, self.shape)
        self._l0_pixels = [
            YX(self.shape.rows / rows, self.shape.cols / cols) for rows, cols in facts.level_shapes
        ]
        self._resampler = Resampler(facts.level_shapes, self._l0_pixels, self._read_tile)

    @property
    def mpp_warning(self) -> str | None:
        """Warning that the user's pixel size is used instead of another that the slide states."""
        own = self.own_mpp
        if self.mpp_source == "slide" or own is None or _alike(own, self.mpp):
            return None
        return (
            f"{printable(self.path.name)}: the pixel size of --mpp, {self.mpp.x:g} µm, is used, "
            f"not the slide's own, {own.x:g} × {own.y:g} µm"
        )

    @property
    def warnings(self) -> tuple[str, ...]:
        """Whatever a run should warn of before it reads the slide, as sentences."""
        name, missing = printable(self.path.name), ""
        if self.icc == "apply" and not self.icc_profile:
            missing = f"{name} has no ICC profile to apply: its colours are used as they are"
        notes = (f"{name}: {note}" for note in self.notes)
        return tuple(filter(None, (self.mpp_warning, missing, *notes)))

    @property
    def decoding(self) -> dict[str, Any]:
        """How its pixels are read, for the records, as plain JSON values."""
        return {
            "reader": self.reader,
            "mpp_origin": self.mpp_origin,
            "icc": profile_record(self.icc_profile, applied=self._convert is not None),
            "notes": list(self.notes),
        }

    def fingerprint(self) -> str:
        """Return a sha256 of the sizes and evenly spread samples of the slide's files.

        Neither names nor places enter it, so a moved slide keeps its features; reading every
        byte of a slide of gigabytes would cost more than its thumbnail.

        Raises
        ------
        SlideError
            If a file can no longer be read.
        """
        digest = hashlib.sha256()
        try:
            if self._file.facts.is_chunked:
                _digest_chunks(self._file.files(), digest)
            else:
                for file in self._file.files():
                    _digest_samples(file, digest)
        except OSError as error:
            raise SlideError(
                f"{printable(self.path)} cannot be read ({error.strerror}); check the file"
            ) from error
        return digest.hexdigest()

    def files(self) -> list[Path]:
        """Return all files of the slide, always in the same order."""
        return self._file.files()

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

    def _read_tile(self, level: int, tile: Window) -> np.ndarray:
        """Return the part of a tile that lies on a level; a damaged one white, if that is asked."""
        pixels = self._stored_tile(level, tile)
        return pixels if self._convert is None else self._convert(pixels)

    def _stored_tile(self, level: int, tile: Window) -> np.ndarray:
        """Return the part of a tile on a level in the colours of the file."""
        try:
            return self._file.read_tile(level, tile)
        except DamagedTileError:
            if self.bad_tiles.policy == "fail":
                raise
        inside = tile.common(Window(0, 0, *self.level_shapes[level]))
        out = np.full((inside.rows, inside.cols, 3), 255, np.uint8)
        for own in self._own_tiles(level, inside):
            part = own.common(inside)
            try:
                out[part.within(inside).slices] = self._file.read_tile(level, part)
            except DamagedTileError:
                l0_first = self._l0_pixels[level].times(YX(own.row, own.col))
                self.bad_tiles.add([BadTile(level, round(l0_first.y), round(l0_first.x))])
        return out

    def _own_tiles(self, level: int, window: Window) -> list[Window]:
        """Return the file's own tiles under a window; the window itself if they are not known."""
        shapes = self._file.facts.tile_shapes
        shape = shapes[level] if shapes else None
        if shape is None:
            return [window]
        return [
            Window(row, col, *shape)
            for row in range(window.row // shape.rows * shape.rows, window.row_stop, shape.rows)
            for col in range(window.col // shape.cols * shape.cols, window.col_stop, shape.cols)
        ]

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


def _conversion(
    facts: SlideFacts, path: Path, icc: Icc
) -> Callable[[np.ndarray], np.ndarray] | None:
    """Return the conversion of a slide's colours that was asked for; None if there is none."""
    if icc == "ignore" or not facts.icc_profile:
        return None
    try:
        return to_srgb(facts.icc_profile)
    except SlideError as error:
        raise SlideError(f"{printable(path)} {error}; leave out --icc apply") from error


def _pixels(facts: SlideFacts, *, is_converted: bool) -> str:
    """Return all that the values of pixels depend on beside the file, for the keys of caches."""
    profile = facts.icc_profile
    if not is_converted or profile is None:
        return facts.pixels
    return f"{facts.pixels} icc {profile_digest(profile)}".strip()


def _alike(one: YX, other: YX) -> bool:
    """Return whether two pixel sizes differ by at most 1 %."""
    return all(abs(a - b) <= 0.01 * b for a, b in zip(one, other, strict=True))


def _pixel_size(facts: SlideFacts, path: Path, mpp: float | None) -> tuple[YX, str]:
    """Return µm per level-0 pixel and where it was found."""
    own, name = facts.mpp, printable(path.name)
    if mpp is not None:
        size, source = YX(mpp, mpp), "--mpp"
    elif own is None:
        raise PixelSizeError(f"{name} says nothing of its pixel size{facts.mpp_hint}; "
                             "give it in µm per pixel with --mpp")  # fmt: skip
    else:
        size, source = own, "slide"
    if not is_credible(size):
        raise PixelSizeError(
            f"{name}: {size.x:g} × {size.y:g} µm per pixel (from {source}) cannot be its pixel "
            f"size, which is within {SANE_MPP[0]:g}-{SANE_MPP[1]:g}{facts.mpp_hint}; give the true "
            "one in µm per pixel with --mpp"
        )
    extent = absurd_extent(facts.level_shapes[0], size)
    if extent is not None:
        raise PixelSizeError(
            f"{name}: with {size.x:g} × {size.y:g} µm per pixel (from {source}) the slide would be "
            f"{extent}; give its true pixel size in µm per pixel with --mpp"
        )
    return size, source


def _digest_chunks(paths: list[Path], digest: hashlib._Hash) -> None:
    """Add the sizes of all files, and the beginnings of some that are spread over them."""
    for path in paths:
        digest.update(path.stat().st_size.to_bytes(8, "little"))
    step = max(1, len(paths) // _SAMPLED_CHUNKS)
    for path in paths[::step]:
        with path.open("rb") as file:
            digest.update(file.read(_SAMPLE_BYTES))


def _digest_samples(path: Path, digest: hashlib._Hash) -> None:
    """Add a file's size and samples spread over it to a digest."""
    size = path.stat().st_size
    digest.update(size.to_bytes(8, "little"))
    with path.open("rb") as file:
        last = max(0, size - _SAMPLE_BYTES)
        for index in range(_SAMPLES):
            file.seek(last * index // (_SAMPLES - 1), os.SEEK_SET)
            digest.update(file.read(_SAMPLE_BYTES))
