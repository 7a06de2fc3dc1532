"""Keeps the page of a large slide small enough for a browser by leaving out details."""

from __future__ import annotations

import base64
import io
import json
import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from heatmaps_ome.viewers.report.packing import (
    packed_levels,
    packed_mask,
    packed_values,
    unpacked_levels,
    unpacked_mask,
    unpacked_values,
)

if TYPE_CHECKING:
    from collections.abc import Callable

_THUMBNAIL_PX: Final = 600
_TILE_PX: Final = 112
_QUALITY: Final = 75

_JOINED: Final = "joined to one"

Part = dict[str, Any]


def text_of(part: Part) -> str:
    """Return a part as ASCII that may stand in a ``<script>``: JSON without any ``<``."""
    text = json.dumps(part, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text.replace("<", "\\u003c")


def fitted(part: Part, limit: int) -> tuple[str, list[str]]:
    """Return a part as text of at most ``limit`` bytes, and the details left out for that.

    Parameters
    ----------
    limit : int
        Bytes. Numbers and curves are never left out, even if they exceed the limit.

    Returns
    -------
    text : str
    left_out : list of str
        Phrases for people, such as "the maps are not here".
    """
    text, left_out = text_of(part), []
    for phrase, shrink in _STEPS:
        if len(text) <= limit:
            break
        smaller = shrink(part)
        if smaller is not None:
            part, text = smaller, text_of(smaller)
            # The last joining includes the earlier ones, so only its phrase is listed.
            left_out = [
                other for other in left_out if shrink is not _joined_cells or _JOINED not in other
            ]
            left_out.append(phrase)
    return text, left_out


def _smaller_pictures(part: Part) -> Part | None:
    """Return a part with smaller pictures of the slide and its tiles."""
    jpeg, (rows, cols) = _shrunk(part["thumbnail"]["jpeg"], _THUMBNAIL_PX)
    # The picture still covers the same part of the slide, so its pixels are larger.
    old, pixel = part["thumbnail"], part["thumbnail"]["l0_pixel"]
    thumbnail = {
        "jpeg": jpeg,
        "rows": rows,
        "cols": cols,
        "l0_pixel": {
            "y": pixel["y"] * old["rows"] / rows,
            "x": pixel["x"] * old["cols"] / cols,
        },
    }
    tiles = part["tiles"]
    if "tiles" in tiles:
        small = [{**tile, "jpeg": _shrunk(tile["jpeg"], _TILE_PX)[0]} for tile in tiles["tiles"]]
        tiles = {**tiles, "tiles": small}
    return {**part, "thumbnail": thumbnail, "tiles": tiles}


def _shrunk(uri: str, longest_px: int) -> tuple[str, tuple[int, int]]:
    """Return a JPEG as a data URI of at most ``longest_px`` a side, and its (rows, cols)."""
    from PIL import Image

    head, data = uri.split(",", 1)
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        scale = longest_px / max(image.size)
        if scale >= 1:
            return uri, (image.height, image.width)
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        small = image.convert("RGB").resize(size, Image.Resampling.BOX)
    stored = io.BytesIO()
    small.save(stored, "JPEG", quality=_QUALITY, optimize=True)
    text = base64.b64encode(stored.getvalue()).decode("ascii")
    return f"{head},{text}", (size[1], size[0])


def _main_maps_only(part: Part) -> Part | None:
    """Return a part without the maps of other classes than the true class."""
    maps = [map_ for map_ in part["maps"] if map_["class"] in (None, part["true_class"])]
    return None if len(maps) == len(part["maps"]) else {**part, "maps": maps}


def _joined_cells(part: Part) -> Part | None:
    """Return a part with 2 × 2 cells joined to one: the mean of their finite values."""
    grid, n_cells = part["grid"], part["tissue_cells"]
    rows, cols = grid["shape"]["rows"], grid["shape"]["cols"]
    if not part["maps"] or max(rows, cols) < 4:
        return None
    tissue = unpacked_mask(part["tissue"], rows, cols)
    joined = np.asarray(_blocks(tissue, False).any(axis=2))
    maps = []
    for map_ in part["maps"]:
        if "levels_packed" in map_:
            levels = np.zeros((rows, cols), np.uint8)
            levels[tissue] = unpacked_levels(map_["levels_packed"])
            packed = {"levels_packed": packed_levels(_firsts(_blocks(levels, 0))[joined])}
        else:
            values = np.full((rows, cols), np.nan)
            values[tissue] = unpacked_values(map_["values"], n_cells)
            means = _means(_blocks(values, np.nan))[joined]
            packed = {"values": packed_values(means, map_["values"]["steps"])}
        maps.append({**map_, **packed})
    cell = {axis: 2 * side for axis, side in grid["l0_cell"].items()}
    shape = {"rows": len(joined), "cols": joined.size // len(joined)}
    return {
        **part,
        "grid": {**grid, "shape": shape, "l0_cell": cell},
        "tissue": packed_mask(joined),
        "tissue_cells": int(joined.sum()),
        "joined": 2 * part.get("joined", 1),
        "maps": maps,
    }


def _blocks(values: np.ndarray, fill: float) -> np.ndarray:
    """Return the cells of each block of 2 × 2 along a third axis."""
    rows, cols = (2 * math.ceil(side / 2) for side in values.shape)
    padded = np.full((rows, cols), fill, values.dtype)
    padded[: values.shape[0], : values.shape[1]] = values
    blocks = padded.reshape(rows // 2, 2, cols // 2, 2).swapaxes(1, 2)
    return blocks.reshape(rows // 2, cols // 2, 4)


def _firsts(blocks: np.ndarray) -> np.ndarray:
    """Return the first level of each block that is not 0: named levels have no mean."""
    first = (blocks > 0).argmax(axis=2)
    return np.take_along_axis(blocks, first[..., None], axis=2)[..., 0]


def _means(blocks: np.ndarray) -> np.ndarray:
    """Return the means of the finite values of blocks, NaN where there are none."""
    finite = np.isfinite(blocks)
    count = finite.sum(axis=2)
    total = np.where(finite, blocks, 0.0).sum(axis=2)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _no_tiles(part: Part) -> Part | None:
    """Return a part without tiles."""
    if "tiles" not in part["tiles"]:
        return None
    return {**part, "tiles": {"left_out": "the page has no room for them"}}


def _no_maps(part: Part) -> Part | None:
    """Return a part without maps."""
    return {**part, "maps": []} if part["maps"] else None


_STEPS: Final[tuple[tuple[str, Callable[[Part], Part | None]], ...]] = (
    ("pictures have half as many pixels a side", _smaller_pictures),
    ("only maps of the class drawn hot are here", _main_maps_only),
    (f"2 × 2 cells are {_JOINED}, their mean", _joined_cells),
    (f"4 × 4 cells are {_JOINED}, their mean", _joined_cells),
    ("the pictures of tiles are not here", _no_tiles),
    (f"8 × 8 cells are {_JOINED}, their mean", _joined_cells),
    ("the maps are not here", _no_maps),
)
"""Steps that leave out details, the least missed first: (phrase for people, step)."""
