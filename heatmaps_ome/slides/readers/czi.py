"""Reads Zeiss CZI slides that OpenSlide leaves: with several planes, scenes or JPEG tiles.

By pylibCZIrw (Zeiss's own libCZI), which is an optional package.
"""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from xml.etree import ElementTree

import numpy as np

from heatmaps_ome.errors import SlideError
from heatmaps_ome.geometry import YX, Shape, Window
from heatmaps_ome.slides.damage import damaged_tile
from heatmaps_ome.slides.paths import printable
from heatmaps_ome.slides.sizes import absurd_levels, absurd_tile
from heatmaps_ome.slides.slide_file import SlideFacts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

_MAGIC: Final = b"ZISRAWFILE"
_UM_PER_M: Final = 1e6
_CACHE_BYTES: Final = 256 * 2**20
"""Decoded tiles that libCZI keeps: its tiles are larger than those that are asked for."""
_NOT_OF_SLIDES: Final = {
    "C": "channels", "T": "points in time", "R": "rotations", "I": "illuminations",
    "H": "phases", "V": "views",
}  # fmt: skip
"""Dimensions that a slide has once at most."""
_COLOURS: Final = ("Bgr24", "Bgr48")
_MOST_BLOCKS: Final = 2**22


class _Level(NamedTuple):
    """A layer of the pyramid.

    Attributes
    ----------
    step : int
        Level-0 pixels along a side of one of its pixels.
    shape : Shape
    """

    step: int
    shape: Shape


class CziFile:
    """A SlideFile of a CZI; of several planes the middle one, and all scenes at their places.

    Raises
    ------
    SlideError
        If pylibCZIrw is missing or cannot open the file, or it is no image in RGB.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        # The library ends in a context manager, which would close the file at once.
        self._reader = _reader(path)
        try:
            self._describe()
        except SlideError:
            self._reader.close()
            raise
        except (RuntimeError, ValueError, KeyError) as error:
            self._reader.close()
            raise _unopened(path, error) from error

    @staticmethod
    def can_read(path: Path) -> bool:
        """Return whether a file begins like a CZI."""
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC

    def _describe(self) -> None:
        """Take the facts from the file, or refuse it."""
        dimensions = {
            name: stop - start for name, (start, stop) in self._reader.total_bounding_box.items()
        }
        self._type = self._reader.get_channel_pixel_type(0)
        reason = _no_slide(dimensions, self._type)
        if reason:
            raise SlideError(f"{printable(self._path)} {reason}")
        n_planes = dimensions.get("Z", 1)
        self._plane = {"Z": n_planes // 2} if n_planes > 1 else {}
        corner = self._reader.total_bounding_rectangle_no_pyramid
        self._first = YX(corner.y, corner.x)
        whole = Shape(corner.h, corner.w)
        blocks = self._blocks(whole)
        self._levels = _levels(blocks, whole)
        mpp = _pixel_size(self._reader.raw_metadata)
        self.facts = SlideFacts(
            format="czi",
            level_shapes=tuple(level.shape for level in self._levels),
            bounds=Window(0, 0, *whole),
            mpp=mpp,
            tile_shapes=(_tile_shape(blocks, self._first), *[None] * (len(self._levels) - 1)),
            mpp_origin="" if mpp is None else "Scaling of the CZI's XML",
            pixels=f"libCZI plane {self._plane['Z']}" if self._plane else "libCZI",
            notes=_notes(n_planes, self._type),
        )

    def _blocks(self, whole: Shape) -> list[_Block]:
        """Return the file's own tiles, as its directory states them.

        Raises
        ------
        SlideError
            If their sizes cannot be.
        """
        blocks: list[_Block] = []

        def add(_: int, info: Any) -> bool:
            blocks.append(_Block.of(info))
            return len(blocks) < _MOST_BLOCKS

        self._reader.enumerate_subblocks(add)
        reason = absurd_levels([whole])
        for stored in {block.stored for block in blocks}:
            reason = reason or absurd_tile(stored, whole)
        if reason is None and not any(block.step == 1 for block in blocks):
            reason = "has no tiles of its full resolution"
        if reason is not None:
            raise SlideError(
                f"{printable(self._path)} {reason}; the file is damaged: copy it again"
            )
        return blocks

    def files(self) -> list[Path]:
        """Return the file."""
        return [self._path]

    def read_tile(self, level: int, tile: Window) -> np.ndarray:
        """Return the part of a tile that lies on a level, white between the scenes."""
        step, shape = self._levels[level]
        inside = tile.common(Window(0, 0, *shape))
        l0_row, l0_col = inside.row * step, inside.col * step
        place = (
            int(self._first.x) + l0_col, int(self._first.y) + l0_row,
            inside.cols * step, inside.rows * step,
        )  # fmt: skip
        try:
            # libCZI finds the layer of the pyramid that has this zoom.
            with self._lock:
                pixels = self._reader.read(
                    roi=place, plane=self._plane, zoom=1 / step, pixel_type=self._type,
                    background_pixel=_white(),
                )  # fmt: skip
        except (RuntimeError, ValueError, MemoryError) as error:
            raise damaged_tile(self._path, (l0_row, l0_col), error) from error
        pixels = pixels[: inside.rows, : inside.cols, ::-1]
        if pixels.dtype == np.uint16:
            pixels = (pixels.astype(np.uint32) + 128) // 257
        return np.ascontiguousarray(pixels, np.uint8)

    def close(self) -> None:
        """Close the file."""
        self._reader.close()


class _Block(NamedTuple):
    """A tile of the file: its place in level-0 pixels, its stored size, and its pixels' side."""

    place: Window
    stored: Shape
    step: int

    @classmethod
    def of(cls, info: Any) -> _Block:
        place, stored = info.logicalRect, info.physicalSize
        step = round(place.w / stored.w) if stored.w > 0 else 1
        return cls(
            Window(place.y, place.x, place.h, place.w), Shape(stored.h, stored.w), max(1, step)
        )


def _reader(path: Path) -> Any:
    try:
        from pylibCZIrw import czi
    except ImportError as error:
        raise SlideError(
            f"{printable(path)} is a Zeiss CZI slide that OpenSlide does not read, which needs "
            "pylibCZIrw: pip install 'heatmaps-ome[czi]'"
        ) from error
    cache = czi.CacheOptions(
        type=czi.CacheType.Standard, max_memory_usage=_CACHE_BYTES, max_sub_block_count=None
    )
    try:
        return czi.CziReader(str(path), cache_options=cache)
    except (RuntimeError, ValueError) as error:
        raise _unopened(path, error) from error


def _unopened(path: Path, error: Exception) -> SlideError:
    return SlideError(
        f"{printable(path)} cannot be opened as a slide ({error}); is the copy complete?"
    )


def _white() -> Any:
    from pylibCZIrw import czi

    return czi.Color(1.0, 1.0, 1.0)


def _no_slide(dimensions: Mapping[str, int], pixel_type: str) -> str:
    """Return why an image is no brightfield slide, as the end of a sentence, or ""."""
    for name, plural in _NOT_OF_SLIDES.items():
        if dimensions.get(name, 1) > 1:
            kind = ", as fluorescence is stored, not an RGB image" if name == "C" else ""
            return f"holds {dimensions[name]} {plural}{kind}; give a brightfield slide in RGB"
    if pixel_type not in _COLOURS:
        return f"holds pixels of the type {pixel_type}, not RGB; give a brightfield slide in RGB"
    return ""


def _notes(n_planes: int, pixel_type: str) -> tuple[str, ...]:
    """Return what is done to the pixels by a rule."""
    notes = []
    if n_planes > 1:
        notes.append(
            f"of its {n_planes} planes of focus the middle one (number {n_planes // 2 + 1}) is used"
        )
    if pixel_type == "Bgr48":
        notes.append("16 bits per channel are divided by 257")
    return tuple(notes)


def _levels(blocks: Iterable[_Block], whole: Shape) -> tuple[_Level, ...]:
    """Return full resolution and the layers of the pyramid that cover as much."""
    covered: Counter[int] = Counter()
    for block in blocks:
        covered[block.step] += block.place.area
    # Tiles of a scan may overlap by a tenth, and those of its pyramid do not.
    steps = sorted(step for step, area in covered.items() if area >= 0.75 * covered[1])
    return tuple(
        _Level(step, Shape(whole.rows // step, whole.cols // step))
        for step in steps
        if min(whole) >= step
    )


def _tile_shape(blocks: Iterable[_Block], first: YX) -> Shape | None:
    """Return the size of the tiles of full resolution; None if they lie on no regular lattice."""
    own = [block.place for block in blocks if block.step == 1]
    shape = Shape(max(place.rows for place in own), max(place.cols for place in own))
    regular = all(
        (place.row - first.y) % shape.rows == 0 and (place.col - first.x) % shape.cols == 0
        for place in own
    )
    return shape if regular else None


def _pixel_size(xml: str) -> YX | None:
    """Return µm per pixel as the metadata state it, in metres."""
    # Entities could grow without bound; CZI has none.
    if "<!DOCTYPE" in xml or "<!ENTITY" in xml:
        return None
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return None
    sizes = {
        item.get("Id"): item.findtext("Value") for item in root.findall(".//Scaling/Items/Distance")
    }
    try:
        return YX(float(sizes["Y"]) * _UM_PER_M, float(sizes["X"]) * _UM_PER_M)  # pyright: ignore[reportArgumentType]
    except (KeyError, TypeError, ValueError):
        return None
