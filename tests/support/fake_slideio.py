"""A stand-in for slideio 2.10's driver of VSI, as nothing at hand writes such slides.

Its API and behaviour were compared with slideio's own on an SVS: `scene.size` is width, height;
`read_block_from_level` takes (x, y, width, height) in pixels of the level; errors are RuntimeError.
"""

from __future__ import annotations

import io
import types
from pathlib import Path
from typing import NamedTuple

import numpy as np


class Size(NamedTuple):
    width: int
    height: int


class Zoom(NamedTuple):
    size: Size
    tile_size: Size


def write_vsi(path: Path, scenes: dict, mpp: float = 0.5) -> Path:
    """Write a TIFF's first bytes, and scenes of levels into the folder of data."""
    path.write_bytes(b"II*\0\x08\0\0\0" + bytes(64))
    folder = path.with_name(f"_{path.stem}_") / "stack1"
    folder.mkdir(parents=True)
    buffer = io.BytesIO()
    arrays = {
        f"{name} {n}": level for name, levels in scenes.items() for n, level in enumerate(levels)
    }
    np.savez(buffer, mpp=mpp, **arrays)
    (folder / "frame_t.ets").write_bytes(buffer.getvalue())
    return path


class Scene:
    num_t_frames, num_z_slices = 1, 1

    def __init__(self, name, levels, mpp) -> None:
        self.name, self._levels = name, levels
        self.resolution = (mpp * 1e-6, mpp * 1e-6)
        self.num_channels, self.num_zoom_levels = levels[0].shape[2], len(levels)
        self.size = levels[0].shape[1::-1]

    def get_channel_data_type(self, channel):
        return self._levels[0].dtype.type

    def get_zoom_level_info(self, level):
        return Zoom(Size(*self._levels[level].shape[1::-1]), Size(256, 256))

    def get_color_profile(self):
        return None

    def read_block_from_level(self, level, rect=(0, 0, 0, 0), size=(0, 0), channel_indices=None,
                              slices=(0, 1), frames=(0, 1)):  # fmt: skip
        if slices != (0, 1):
            raise RuntimeError("no such slice")
        x, y, width, height = rect
        return self._levels[level][y : y + height, x : x + width].copy()

    def close(self) -> None:
        self._levels = None


class Slide:
    def __init__(self, path: str, driver: str) -> None:
        if driver != "VSI":
            raise RuntimeError(f"no driver {driver}")
        file = Path(path)
        [data] = file.with_name(f"_{file.stem}_").rglob("*.ets")
        try:
            with np.load(io.BytesIO(data.read_bytes()), allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
        except Exception as error:
            raise RuntimeError(f"{data}: read past the end") from error
        mpp = float(arrays.pop("mpp"))
        names = dict.fromkeys(name.rpartition(" ")[0] for name in arrays)
        self._scenes = [
            Scene(name, [level for key, level in arrays.items() if key.startswith(name)], mpp)
            for name in names
        ]
        self.num_scenes = len(self._scenes)

    def get_scene(self, number):
        return self._scenes[number]

    def close(self) -> None:
        self._scenes = None


def modules() -> dict[str, types.ModuleType]:
    """Return the stand-in under slideio's name."""
    module = types.ModuleType("slideio")
    module.open_slide = Slide
    return {"slideio": module}
