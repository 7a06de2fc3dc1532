"""A slide's pixels in other formats, without loss."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np
import openslide
from zarr_slides import by_hand, planes

if TYPE_CHECKING:
    from pathlib import Path

_TILE = 256
_ROOT = "1.2.826.0.1.3680043.8.498.22"
_LONG = ("OB", "SQ", "UN")


def levels_of(slide: Path) -> tuple[list[np.ndarray], float]:
    """Return the levels of a slide, (rows, cols, 3) uint8, and its µm per pixel."""
    with openslide.OpenSlide(slide) as opened:
        levels = [
            np.asarray(opened.read_region((0, 0), level, size).convert("RGB"))
            for level, size in enumerate(opened.level_dimensions)
        ]
        return levels, float(opened.properties[openslide.PROPERTY_NAME_MPP_X])


def as_ome_zarr(slide: Path, path: Path, zarr_format: int = 2) -> Path:
    """Write a slide as OME-Zarr 0.4 or 0.5."""
    levels, mpp = levels_of(slide)
    return by_hand(
        path, [planes(level) for level in levels], mpp=mpp, zarr_format=zarr_format,
        chunks=(3, 512, 512),
    )  # fmt: skip


def as_dicom(slide: Path, folder: Path, container: str = "GLASS-1") -> Path:
    """Write a slide as DICOM: an uncompressed instance for each level (PS3.3, A.32.8)."""
    levels, mpp = levels_of(slide)
    folder.mkdir()
    for number, level in enumerate(levels):
        um = mpp * levels[0].shape[1] / level.shape[1]
        _write_instance(folder / f"{number}.dcm", level, um, number, container)
    return folder


def _write_instance(path: Path, rgb: np.ndarray, um: float, number: int, container: str) -> None:
    rows, cols = rgb.shape[:2]
    down, across = -(-rows // _TILE), -(-cols // _TILE)
    padded = np.full((down * _TILE, across * _TILE, 3), 255, np.uint8)
    padded[:rows, :cols] = rgb
    frames = padded.reshape(down, _TILE, across, _TILE, 3).swapaxes(1, 2)
    kind = (
        "ORIGINAL\\PRIMARY\\VOLUME\\NONE" if number == 0 else "DERIVED\\PRIMARY\\VOLUME\\RESAMPLED"
    )
    uid, sop = f"{_ROOT}.{number + 10}", "1.2.840.10008.5.1.4.1.1.77.1.6"
    spacing = _element(0x28, 0x30, "DS", f"{um / 1000:.9g}\\{um / 1000:.9g}")
    measures = _sequence(0x28, 0x9110, spacing)
    body = b"".join(
        (
            _element(0x8, 0x8, "CS", kind), _element(0x8, 0x16, "UI", sop),
            _element(0x8, 0x18, "UI", uid), _element(0x8, 0x60, "CS", "SM"),
            _element(0x20, 0xD, "UI", f"{_ROOT}.1"), _element(0x20, 0xE, "UI", f"{_ROOT}.2"),
            _element(0x20, 0x11, "IS", "1"), _element(0x20, 0x52, "UI", f"{_ROOT}.3"),
            _element(0x20, 0x9311, "CS", "TILED_FULL"), _element(0x28, 0x2, "US", 3),
            _element(0x28, 0x4, "CS", "RGB"), _element(0x28, 0x6, "US", 0),
            _element(0x28, 0x8, "IS", str(down * across)), _element(0x28, 0x10, "US", _TILE),
            _element(0x28, 0x11, "US", _TILE), _element(0x28, 0x100, "US", 8),
            _element(0x28, 0x101, "US", 8), _element(0x28, 0x102, "US", 7),
            _element(0x28, 0x103, "US", 0), _element(0x40, 0x512, "LO", container),
            _element(0x48, 0x1, "FL", um * cols / 1000),
            _element(0x48, 0x2, "FL", um * rows / 1000),
            _element(0x48, 0x6, "UL", cols), _element(0x48, 0x7, "UL", rows),
            _sequence(0x5200, 0x9229, measures),
            _element(0x7FE0, 0x10, "OB", frames.tobytes()),
        )
    )  # fmt: skip
    meta = b"".join(
        (
            _element(0x2, 0x1, "OB", b"\0\1"), _element(0x2, 0x2, "UI", sop),
            _element(0x2, 0x3, "UI", uid), _element(0x2, 0x10, "UI", "1.2.840.10008.1.2.1"),
            _element(0x2, 0x12, "UI", f"{_ROOT}.9"),
        )
    )  # fmt: skip
    path.write_bytes(bytes(128) + b"DICM" + _element(0x2, 0x0, "UL", len(meta)) + meta + body)


def _sequence(group: int, element: int, item: bytes) -> bytes:
    return _element(group, element, "SQ", struct.pack("<HHI", 0xFFFE, 0xE000, len(item)) + item)


def _element(group: int, element: int, vr: str, value: str | bytes | float) -> bytes:
    """Return an element in explicit little endian (PS3.5, 7.1.2)."""
    formats = {"US": "<H", "UL": "<I", "FL": "<f"}
    if vr in formats:
        data = struct.pack(formats[vr], value)
    else:
        data = value if isinstance(value, bytes) else str(value).encode()
        pad = b"\0" if vr in ("UI", "OB") else b" "
        data += pad * (len(data) % 2)
    length = struct.pack("<HI", 0, len(data)) if vr in _LONG else struct.pack("<H", len(data))
    return struct.pack("<HH", group, element) + vr.encode() + length + data
