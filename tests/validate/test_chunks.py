"""Windows put together from kept chunks are those that zarr reads."""

import numpy as np
import pytest
import zarr

from heatmaps_ome.geometry import Window
from heatmaps_ome.validate.chunks import Chunks


@pytest.mark.parametrize(
    ("shape", "chunks"),
    [((3, 130, 257), (3, 64, 64)), ((70, 33), (32, 16)), ((2, 1, 1), (1, 64, 64))],
)
def test_windows_are_those_of_the_array(tmp_path, shape, chunks):
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    array = zarr.create_array(tmp_path / "0", shape=shape, chunks=chunks, dtype="uint8")
    array[...] = pixels
    kept = Chunks(array)
    rows, cols = shape[-2:]
    rng = np.random.default_rng(1)
    for _ in range(50):
        (top, bottom), (left, right) = (
            sorted(rng.choice(size + 1, 2, replace=False).tolist()) for size in (rows, cols)
        )
        window = Window(top, left, bottom - top, right - left)
        np.testing.assert_array_equal(kept.window(window), pixels[..., top:bottom, left:right])


def test_a_chunk_is_read_once(tmp_path, monkeypatch):
    array = zarr.create_array(tmp_path / "0", shape=(96, 96), chunks=(64, 64), dtype="uint8")
    array[...] = np.arange(96 * 96, dtype=np.uint8).reshape(96, 96)
    kept, read = Chunks(array), []
    of_store = zarr.storage.LocalStore.get

    async def counted(store, key, *rest, **named):
        read.append(key)
        return await of_store(store, key, *rest, **named)

    monkeypatch.setattr(zarr.storage.LocalStore, "get", counted)
    for left in range(0, 64, 8):
        kept.window(Window(0, left, 32, 32))
    assert len(read) == len(set(read)) == 2
