"""Reads OME-Zarr, the image of a store in a folder or a ZIP archive, of zarr v2 and v3."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from heatmaps_ome.errors import SlideError
from heatmaps_ome.geometry import YX, Shape, Window
from heatmaps_ome.slides.damage import damaged_tile, l0_place_of
from heatmaps_ome.slides.ngff_image import NoImage, image_files, image_in
from heatmaps_ome.slides.paths import printable
from heatmaps_ome.slides.readers.zarr_level import ChunkCache, ZarrLevel
from heatmaps_ome.slides.sizes import absurd_levels
from heatmaps_ome.slides.slide_file import SlideFacts
from heatmaps_ome.slides.zarr_tree import is_zarr_folder, is_zipped_zarr, tree_of

if TYPE_CHECKING:
    from pathlib import Path

    from heatmaps_ome.slides.ngff_image import NgffImage

_RGB_NAMES: Final = (("red", "green", "blue"), ("r", "g", "b"))
_RGB_COLOURS: Final = ("ff0000", "00ff00", "0000ff")
_FULL_SCALES: Final = (2**10 - 1, 2**12 - 1, 2**14 - 1, 2**16 - 1)
"""Largest values of cameras of 10 to 16 bits."""
_BRIGHTFIELD: Final = "give a brightfield slide in RGB"
_OFF_PX: Final = 2
"""Pixels by which a level's size may differ from the first one's divided by its scale."""


class OmeZarrFile:
    """A SlideFile of an OME-Zarr image.

    Raises
    ------
    SlideError
        If there is no image of RGB in it, or it is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._cache = ChunkCache()
        try:
            self._tree = tree_of(path)
        except ValueError as error:
            raise SlideError(
                f"{printable(path)} cannot be opened ({error}); copy it again"
            ) from error
        try:
            self._open()
        except (NoImage, OSError) as error:
            self._tree.close()
            reason = (
                str(error)
                if isinstance(error, NoImage)
                else (f"cannot be read ({error.strerror or error}); check the disk")
            )
            raise SlideError(f"{printable(path)} {reason}") from error

    @staticmethod
    def can_read(path: Path) -> bool:
        """Return whether a path is a zarr group, or a ZIP archive of one."""
        return is_zarr_folder(path) or is_zipped_zarr(path)

    def _open(self) -> None:
        image = image_in(self._tree)
        try:
            levels = [ZarrLevel(self._tree, level.path, image.axes) for level in image.levels]
        except ValueError as error:
            raise NoImage(f"is an OME-Zarr that is not read ({error}); copy it again") from error
        for level in levels:
            _require_one_plane(level)
        self._order, self._scale = _conversion(image, levels[0])
        self._levels, notes = _usable(image, levels)
        absurd = absurd_levels([level.shape for level in self._levels])
        if absurd is not None:
            raise NoImage(f"{absurd}, which no slide has; the file is damaged: copy it again")
        if self._scale:
            notes.append(f"16 bits per channel were made 8: {self._scale} became 255")
        shapes = tuple(level.shape for level in self._levels)
        self.facts = SlideFacts(
            format=f"OME-Zarr {image.version}".strip(),
            level_shapes=shapes,
            bounds=Window(0, 0, *shapes[0]),
            mpp=image.mpp,
            mpp_hint=image.mpp_hint,
            tile_shapes=tuple(level.chunk for level in self._levels),
            mpp_origin="" if image.mpp is None else "the scale in its OME-Zarr metadata",
            pixels=f"16 bits of {self._scale}" if self._scale else "",
            notes=tuple(notes),
            is_chunked=self._path.is_dir(),
        )

    def files(self) -> list[Path]:
        """Return the files of the image; those of its labels are not the slide's."""
        return self._tree.files(list(image_files(self._tree)))

    def read_tile(self, level: int, tile: Window) -> np.ndarray:
        """Return the part of a tile that lies on a level; see SlideFile."""
        array = self._levels[level]
        inside = tile.common(Window(0, 0, *array.shape))
        out = np.empty((inside.rows, inside.cols, 3), np.uint8)
        for chunk in array.chunks_under(inside):
            shared = chunk.common(inside)
            pixels = self._cache.get(
                (level, chunk), array.chunk_bytes, lambda chunk=chunk: self._decoded(level, chunk)
            )
            out[shared.within(inside).slices] = pixels[shared.within(chunk).slices]
        return out

    def _decoded(self, level: int, chunk: Window) -> np.ndarray:
        """Return a chunk as (rows, cols, 3) uint8, RGB."""
        array = self._levels[level]
        try:
            values = array.read(chunk)[..., list(self._order)]
        except OSError as error:
            raise SlideError(
                f"{printable(self._path)} cannot be read ({error.strerror or error}); check the "
                "disk"
            ) from error
        except Exception as error:
            place = l0_place_of([one.shape for one in self._levels], level, chunk)
            raise damaged_tile(self._path, place, error) from error
        return np.ascontiguousarray(values if not self._scale else _as_bytes(values, self._scale))

    def close(self) -> None:
        """Close the archive, and forget the chunks."""
        self._cache.clear()
        self._tree.close()


def _require_one_plane(level: ZarrLevel) -> None:
    """Refuse stacks and series."""
    kinds = {"z": "planes in depth (a z-stack)", "t": "points in time"}
    for axis, length in level.extents.items():
        if axis not in ("c", "y", "x") and length != 1:
            kind = kinds.get(axis, f"planes along its axis {axis}")
            raise NoImage(
                f"is an OME-Zarr of {length} {kind}, and a slide has one; write a single one with "
                "the program that made it"
            )


def _conversion(image: NgffImage, level: ZarrLevel) -> tuple[tuple[int, ...], int]:
    """Return the order of the channels as red, green and blue, and the value that becomes 255.

    The value is 0 for pixels that are bytes already.
    """
    n_channels, kind = level.n_channels, level.dtype.name
    if n_channels is None or n_channels == 1:
        raise NoImage(f"is an OME-Zarr of a single channel in grey, not of RGB; {_BRIGHTFIELD}")
    order = _rgb_order(image) if n_channels == 3 else None
    if order is None:
        labels = ", ".join(label or "?" for label, _ in image.channels[:5])
        named = f" ({labels})" if labels else ""
        raise NoImage(
            f"is an OME-Zarr of {n_channels} separate channels{named}, as fluorescence is stored, "
            f"not an RGB image; {_BRIGHTFIELD}"
        )
    if kind == "uint16":
        return order, image.largest if image.largest in _FULL_SCALES else _FULL_SCALES[-1]
    if kind != "uint8":
        raise NoImage(
            f"is an OME-Zarr of the type {kind}, and pixels of slides are uint8 or uint16; "
            "write it as uint8"
        )
    return order, 0


def _rgb_order(image: NgffImage) -> tuple[int, ...] | None:
    """Return the places of red, green and blue among three channels; None if they are others.

    Channels are called red, green and blue, in any order; or nothing of their own, and then have
    these colours in this order, or none. Stains have names, or other colours.
    """
    if len(image.channels) != 3:
        return (0, 1, 2) if not image.channels else None
    labels = tuple(label for label, _ in image.channels)
    for names in _RGB_NAMES:
        if sorted(labels) == sorted(names):
            return tuple(labels.index(name) for name in names)
    colours = tuple(colour[:6] for _, colour in image.channels)
    plain = all(_is_number(label) for label in labels)
    is_alike = len(set(colours)) == 1
    return (0, 1, 2) if plain and (colours == _RGB_COLOURS or is_alike) else None


def _is_number(label: str) -> bool:
    """Return whether a label is nothing but a number, such as "Channel 0", "C:1" or ""."""
    for word in ("channel", "ch", "c"):
        label = label.removeprefix(word)
    return not label.strip(" _-:#0123456789")


def _usable(image: NgffImage, levels: list[ZarrLevel]) -> tuple[list[ZarrLevel], list[str]]:
    """Return the levels that are the first one made smaller, finest first; and notes of others."""
    pairs = zip(image.levels, levels, strict=True)
    whole, scale, corner = levels[0].shape, image.levels[0].scale, image.levels[0].translation
    # Some writers state one scale for all levels.
    graded = len({level.scale for level in image.levels}) > 1
    usable, notes = [], []
    for place, (facts, level) in enumerate(pairs):
        fits = (level.n_channels, level.dtype) == (levels[0].n_channels, levels[0].dtype)
        if fits and graded and scale is not None and facts.scale is not None:
            fits = _is_smaller(whole, level.shape, facts.scale.over(scale))
            moved = (facts.translation or YX(0, 0)).plus((corner or YX(0, 0)).times(-1))
            # Half a pixel is another idea of where a pixel begins.
            fits = fits and all(abs(m) <= s for m, s in zip(moved, facts.scale, strict=True))
        if fits:
            usable.append(level)
        else:
            notes.append(f"level {place} was left out, as it is not the first one made smaller")
    usable.sort(key=lambda level: -level.shape.rows * level.shape.cols)
    if usable[0] is not levels[0]:
        raise NoImage("is an OME-Zarr whose first level is not the finest one; write it again")
    return usable, notes


def _is_smaller(whole: Shape, own: Shape, ratio: YX) -> bool:
    return all(
        factor > 0 and abs(size / factor - stated) <= _OFF_PX
        for size, stated, factor in zip(whole, own, ratio, strict=True)
    )


def _as_bytes(values: np.ndarray, largest: int) -> np.ndarray:
    """Return values of 16 bits as bytes: the largest becomes 255."""
    scaled = (values.astype(np.uint32) * 255 + largest // 2) // largest
    return np.minimum(scaled, 255).astype(np.uint8)
