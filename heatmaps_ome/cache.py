"""Features on disk, block by block, found again by what they were made from.

A slide's features live in ``CACHE/<key>/``, a zarr array with one chunk per block. The key is a
digest of the slide's content, the extractor and the geometry, never of a file's name. Chunks are
written whole (zarr renames them into place), so a killed run resumes where it stopped.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import zarr
from zarr.codecs import BloscCodec

from heatmaps_ome.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from heatmaps_ome.geometry import Shape, Window

_LAYOUT = 1
"""Raised whenever the meaning of cached features changes, so that old ones are left alone."""


@dataclass(frozen=True, eq=False)
class FeatureStore:
    """The features of one slide: (rows, cols, channels) float32, filled block by block."""

    array: zarr.Array
    folder: Path

    def has(self, cells: Window) -> bool:
        """Return whether the block at these cells has been written."""
        side = self.array.chunks[0]
        key = self.array.metadata.encode_chunk_key((cells.row // side, cells.col // side, 0))
        return (self.folder / key).is_file()

    def write(self, cells: Window, features: np.ndarray) -> None:
        """Keep a block's (channels, rows, cols) features.

        Raises
        ------
        OutputError
            If the disk does not take them.
        """
        try:
            self.array[cells.slices] = np.moveaxis(features, 0, -1)
        except OSError as error:
            raise OutputError(
                f"{self.folder} cannot be written ({error.strerror}); free space there or choose "
                "another place with --cache-dir"
            ) from error

    def read(self, cells: Window) -> np.ndarray:
        """Return (channels, rows, cols) float32; zeros where no block was written."""
        return np.moveaxis(np.asarray(self.array[cells.slices]), -1, 0)


def open_store(
    cache: Path, identity: Mapping[str, object], shape: Shape, channels: int, block_cells: int
) -> FeatureStore:
    """Return the store for what ``identity`` names, made if it is not there.

    Parameters
    ----------
    identity : mapping of plain JSON values
        All that the features depend on.
    shape : Shape
        Cells of the grid.

    Raises
    ------
    OutputError
        If the cache cannot be made or read.
    """
    text = json.dumps({"layout": _LAYOUT, "block_cells": block_cells, **identity}, sort_keys=True)
    folder = cache / hashlib.sha256(text.encode()).hexdigest()[:32]
    try:
        if (folder / "zarr.json").is_file():
            array = zarr.open_array(folder, mode="r+")
        else:
            array = _created(folder, (shape.rows, shape.cols, channels), block_cells)
    except OSError as error:
        raise OutputError(
            f"the cache {cache} cannot be used ({error.strerror}); choose another with --cache-dir"
        ) from error
    return FeatureStore(array, folder)


def _created(folder: Path, shape: tuple[int, int, int], block_cells: int) -> zarr.Array:
    """Return a new array of features with a chunk for each block."""
    return zarr.create_array(
        folder,
        shape=shape,
        chunks=(block_cells, block_cells, shape[2]),
        dtype="float32",
        fill_value=0.0,
        compressors=BloscCodec(cname="lz4", clevel=1, shuffle="bitshuffle"),
        dimension_names=("y", "x", "channel"),
        # An all-zero block must still leave a chunk behind, or it would be done again.
        config={"write_empty_chunks": True},
    )
