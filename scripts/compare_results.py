#!/usr/bin/env python3
"""Compare two folders of results: raw values, labels, images and overlay pixels.

    python scripts/compare_results.py BEFORE AFTER

Each is a run's folder or one slide's. Maps that only one of the two has are listed; additional maps
of AFTER do not count as a difference. heatmaps_ome is not imported, so that results of any version
can be compared. The exit code is 1 if anything differs or is missing.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile
import zarr

# It imports nothing of heatmaps_ome.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "viewer_configs" / "napari"))
from plain_zarr import require_plain_array

if TYPE_CHECKING:
    from collections.abc import Iterator


def main() -> int:
    """Print the differences, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    options = parser.parse_args()
    counts: dict[str, int] = {}
    differences = [
        line
        for before, after in _slides(options.before, options.after)
        for line in _compared(before, after, counts)
    ]
    print("\n".join(differences))
    print(", ".join(f"{count} {what}" for what, count in counts.items()), "are equal")
    faults = [line for line in differences if not line.startswith("new: ")]
    return 1 if faults or not counts else 0


def _slides(before: Path, after: Path) -> Iterator[tuple[Path, Path]]:
    """Yield the folders of the same slide in two runs."""
    if (before / "provenance.json").is_file():
        yield before, after
        return
    for record in sorted(before.glob("*/provenance.json")):
        yield record.parent, after / record.parent.name


def _compared(before: Path, after: Path, counts: dict[str, int]) -> Iterator[str]:
    """Yield the differences between two results of a slide; count equal ones in ``counts``."""
    for what, find in (("raw maps", _raw), ("labels and images", _stores), ("TIFFs", _tiffs)):
        old, new = find(before), find(after)
        yield from (f"missing: {after / name}" for name in sorted(set(old) - set(new)))
        yield from (f"new: {after / name}" for name in sorted(set(new) - set(old)))
        for name in sorted(set(old) & set(new)):
            if _same(old[name], new[name]):
                counts[what] = counts.get(what, 0) + 1
            else:
                yield f"differs: {before / name}"


def _array(path: Path) -> zarr.Array:
    """Open an array if it holds plain numbers: others may run code when they are read."""
    require_plain_array(path)
    return zarr.open_array(path, mode="r")


def _raw(folder: Path) -> dict[str, Any]:
    """Return the raw maps by store and channel, as functions that read them."""
    channels: dict[str, Any] = {}
    for store in sorted(folder.glob("*.values.ome.zarr")):
        array = _array(store / "0")
        for index, channel in enumerate(_attributes(store)["omero"]["channels"]):
            channels[f"{store.name}/{channel['label']}"] = _Channel(array, index)
    return channels


def _stores(folder: Path) -> dict[str, Any]:
    """Return every level of every image and label beside the raw maps."""
    levels = {
        path.parent
        for name in (".zarray", "zarr.json")
        for path in folder.rglob(name)
        if name == ".zarray" or '"array"' in path.read_text(encoding="utf-8")
    }
    return {
        path.relative_to(folder).as_posix(): _array(path)
        for path in sorted(levels)
        if ".values.ome.zarr" not in path.as_posix() or "/labels/" in path.as_posix()
    }


def _tiffs(folder: Path) -> dict[str, Any]:
    """Return the levels of every overlay and, channel by channel, of the raw values."""
    pages: dict[str, Any] = {}
    for path in sorted(folder.glob("*.ome.tiff")):
        with tifffile.TiffFile(path) as file:
            series = file.series[0]
            names = _channel_names(file) if ".values." in path.name else [""]
            for level in range(len(series.levels)):
                for index, name in enumerate(names):
                    key = f"{path.name}/{name}level {level}"
                    pages[key] = _Page(path, level, index if len(names) > 1 else None)
    return pages


def _channel_names(file: tifffile.TiffFile) -> list[str]:
    """Return the names of a TIFF's channels, as prefixes."""
    image = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]
    channels = image["Pixels"]["Channel"]
    listed = channels if isinstance(channels, list) else [channels]
    return [f"{channel['Name']}, " for channel in listed]


class _Channel:
    """One channel of an array."""

    def __init__(self, array: zarr.Array, index: int) -> None:
        self._array, self._index = array, index

    def __getitem__(self, window: Any) -> np.ndarray:
        return np.asarray(self._array[self._index])


class _Page:
    """One level of a TIFF, or one channel of it."""

    def __init__(self, path: Path, level: int, index: int | None) -> None:
        self._path, self._level, self._index = path, level, index

    def __getitem__(self, window: Any) -> np.ndarray:
        with tifffile.TiffFile(self._path) as file:
            pixels = file.series[0].levels[self._level].asarray()
        return pixels if self._index is None else pixels[self._index]


def _same(old: Any, new: Any) -> bool:
    """Return whether two arrays have the same shape, type and values; NaN is like NaN."""
    before, after = np.asarray(old[...]), np.asarray(new[...])
    if before.shape != after.shape or before.dtype != after.dtype:
        return False
    return np.array_equal(before, after, equal_nan=before.dtype.kind == "f")


def _attributes(store: Path) -> dict[str, Any]:
    """Return a group's NGFF attributes, for any version of NGFF."""
    plain = store / ".zattrs"
    if plain.is_file():
        return json.loads(plain.read_text(encoding="utf-8"))
    return json.loads((store / "zarr.json").read_text(encoding="utf-8"))["attributes"]["ome"]


if __name__ == "__main__":
    sys.exit(main())
