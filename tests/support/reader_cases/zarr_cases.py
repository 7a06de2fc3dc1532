"""The cases of OME-Zarr, made by ngff-zarr, and by zarr in both of its formats."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import numpy as np
import zarr
from slide_files import speckled
from zarr_slides import by_hand, by_ngff_zarr, planes, zipped

from heatmaps_ome.geometry import Window
from reader_cases.case import MadeSlide, ReaderCase

if TYPE_CHECKING:
    from pathlib import Path

_RGB = speckled(301, 437)
_CHUNK = 128
_SPOILED = ((0, 1), (2, 3))


def ngff_zarr(folder: Path) -> MadeSlide:
    path = by_ngff_zarr(folder / "made.ome.zarr", _RGB)
    datasets = zarr.open_group(path, mode="r").attrs.asdict()["multiscales"][0]["datasets"]
    arrays = [np.asarray(zarr.open_array(path / one["path"], mode="r")) for one in datasets]
    return MadeSlide(path, tuple(np.moveaxis(array, 0, 2) for array in arrays))


def shards(folder: Path) -> MadeSlide:
    """In one ZIP archive of zarr v3, whose chunks lie in shards."""
    levels = [planes(_RGB), planes(_RGB[::2, ::2])]
    store = by_hand(
        folder / "store", levels, zarr_format=3, chunks=(3, 64, 64), shards=(3, 256, 256)
    )
    path = zipped(store, folder / "made.ozx")
    return MadeSlide(path, (_RGB, _RGB[::2, ::2]))


def chunks(folder: Path) -> MadeSlide:
    path = by_hand(folder / "made.zarr", [planes(_RGB)], chunks=(3, _CHUNK, _CHUNK))
    return MadeSlide(path, (_RGB,))


def renamed_folder(path: Path, folder: Path) -> Path:
    return shutil.copytree(path, folder / "other")


def spoil_chunks(path: Path) -> tuple[Window, ...]:
    for row, col in _SPOILED:
        chunk = path / "0" / f"0.{row}.{col}"
        chunk.write_bytes(b"\xff" * chunk.stat().st_size)
    return tuple(Window(row * _CHUNK, col * _CHUNK, _CHUNK, _CHUNK) for row, col in _SPOILED)


def huge_chunks(folder: Path) -> Path:
    return _changed(folder / "huge-chunk.zarr", shape=[3, 90000, 90000], chunks=[3, 60000, 60000])


def huge_sides(folder: Path) -> Path:
    return _changed(folder / "huge-side.zarr", shape=[3, 2**40, 2**40])


def _changed(path: Path, **numbers: list[int]) -> Path:
    """Write a store whose only array claims other sizes."""
    by_hand(path, [planes(_RGB)])
    metadata = path / "0" / ".zarray"
    metadata.write_text(json.dumps({**json.loads(metadata.read_text()), **numbers}))
    return path


CASES = (
    ReaderCase("by ngff-zarr", "OME-Zarr", ngff_zarr, "scale", renamed=renamed_folder),
    ReaderCase("zipped shards", "OME-Zarr", shards, "scale"),
    ReaderCase(
        "chunks of zarr v2", "OME-Zarr", chunks, "scale", renamed=renamed_folder,
        damage=spoil_chunks, lies=(huge_chunks, huge_sides),
    ),
)  # fmt: skip
