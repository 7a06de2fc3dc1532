"""Reads Olympus (Evident) VSI slides by slideio, which is an optional package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from heatmaps_ome.errors import SlideError
from heatmaps_ome.geometry import YX, Shape, Window
from heatmaps_ome.slides.damage import damaged_tile, l0_place_of
from heatmaps_ome.slides.paths import files_of, is_vsi, printable
from heatmaps_ome.slides.slide_file import SlideFacts

if TYPE_CHECKING:
    from pathlib import Path

_DRIVER: Final = "VSI"
_UM_PER_M: Final = 1e6
_RGB: Final = 3


class VsiFile:
    """A SlideFile of the largest scan of a VSI and the folder of its data.

    Raises
    ------
    SlideError
        If slideio is missing or cannot open the slide, its data are missing, or it has no scan in
        RGB.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._files = path, files_of(path)
        library = _library(path)
        try:
            self._slide = library.open_slide(str(path), _DRIVER)
            scenes = [self._slide.get_scene(n) for n in range(self._slide.num_scenes)]
            scans = [scene for scene in scenes if _is_rgb(scene)]
        except RuntimeError as error:
            raise SlideError(
                f"{printable(path)} cannot be opened as a VSI slide ({error}); is the copy "
                "complete?"
            ) from error
        if not scans:
            self._slide.close()
            raise SlideError(f"{printable(path)} {_no_scan(scenes)}")
        self._scene = max(scans, key=lambda scene: scene.size[0] * scene.size[1])
        self._plane = self._scene.num_z_slices // 2
        self.facts = _facts(self._scene, len(scans))

    @staticmethod
    def can_read(path: Path) -> bool:
        """Return whether a file is a VSI's: a TIFF that stands for a folder of data."""
        return is_vsi(path)

    def files(self) -> list[Path]:
        """Return the VSI and the files in the folder of its data."""
        return list(self._files)

    def read_tile(self, level: int, tile: Window) -> np.ndarray:
        """Return the part of a tile that lies on a level."""
        inside = tile.common(Window(0, 0, *self.facts.level_shapes[level]))
        rect = (inside.col, inside.row, inside.cols, inside.rows)
        try:
            pixels = self._scene.read_block_from_level(
                level, rect, slices=(self._plane, self._plane + 1)
            )
        except RuntimeError as error:
            place = l0_place_of(self.facts.level_shapes, level, inside)
            raise damaged_tile(self._path, place, error) from error
        return np.ascontiguousarray(pixels.reshape(inside.rows, inside.cols, _RGB))

    def close(self) -> None:
        """Close the file."""
        self._scene.close()
        self._slide.close()


def _library(path: Path) -> Any:
    try:
        import slideio  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise SlideError(
            f"{printable(path)} is an Olympus VSI slide, which needs slideio: pip install "
            "'heatmaps-ome[vsi]'"
        ) from error
    return slideio


def _is_rgb(scene: Any) -> bool:
    """Return whether a scene is a picture in RGB at a single time."""
    types = {str(np.dtype(scene.get_channel_data_type(n))) for n in range(scene.num_channels)}
    return scene.num_channels == _RGB and types == {"uint8"} and scene.num_t_frames <= 1


def _no_scan(scenes: list[Any]) -> str:
    """Return why a slide without a scan in RGB is refused, as the end of a sentence."""
    channels = max((scene.num_channels for scene in scenes), default=0)
    return (
        f"holds no scan in RGB with 8 bits per channel (its scans have {channels} channels, as "
        "fluorescence is stored); give a brightfield slide in RGB"
    )


def _facts(scene: Any, n_scans: int) -> SlideFacts:
    """Return the facts of a scan."""
    zooms = [scene.get_zoom_level_info(n) for n in range(scene.num_zoom_levels)]
    shapes = tuple(Shape(zoom.size.height, zoom.size.width) for zoom in zooms)
    x, y = (float(metres) * _UM_PER_M for metres in scene.resolution)
    mpp = YX(y, x) if min(x, y) > 0 else None
    notes = []
    if n_scans > 1:
        notes.append(f"of its {n_scans} scans the largest ({scene.name}) is used")
    if scene.num_z_slices > 1:
        notes.append(
            f"of its {scene.num_z_slices} planes of focus the middle one (number "
            f"{scene.num_z_slices // 2 + 1}) is used"
        )
    return SlideFacts(
        format="vsi",
        level_shapes=shapes,
        bounds=Window(0, 0, *shapes[0]),
        mpp=mpp,
        tile_shapes=tuple(Shape(zoom.tile_size.height, zoom.tile_size.width) for zoom in zooms),
        mpp_origin="" if mpp is None else "resolution of the scan in the VSI",
        icc_profile=scene.get_color_profile() or None,
        pixels=f"slideio {scene.name} plane {scene.num_z_slices // 2}",
        notes=tuple(notes),
    )
