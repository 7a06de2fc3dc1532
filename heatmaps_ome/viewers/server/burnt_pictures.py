"""Pictures of a slide with a map burnt in, composed when a viewer asks for them.

They are what ``create --flattened`` writes: OME-Zarr of NGFF 0.4, one for each map. A chunk follows
from one chunk of the slide image and the map's cells, so that nothing of them is stored.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from heatmaps_ome.display.rasterise import BurntMap
from heatmaps_ome.exporters.flat import FLAT_ENDING, flat_attributes, flat_facts, flat_xml
from heatmaps_ome.exporters.manifest import MANIFEST
from heatmaps_ome.geometry import Window
from heatmaps_ome.ome.ngff import json_ready
from heatmaps_ome.ome.pyramid import BYTE_CODEC, CHUNK
from heatmaps_ome.viewers.server.stored_maps import (
    DAMAGE,
    StoredImage,
    read_image,
    read_map,
    read_maps,
)

if TYPE_CHECKING:
    from pathlib import Path

_MAPS_AT_HAND = 3
"""Maps whose cells' colours are kept: 12 bytes a cell."""
_GROUP: Final = {"zarr_format": 2}
_WHOLE_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,6}")
_JSON, _XML, _BYTES = "application/json", "application/xml", "application/octet-stream"


class DamagedResultError(Exception):
    """A picture cannot be composed, as a file that it follows from is damaged."""


@dataclass(frozen=True)
class ServedFile:
    """A file that exists only while it is sent.

    Attributes
    ----------
    content : bytes
    media_type : str
    """

    content: bytes
    media_type: str


@dataclass(frozen=True, eq=False)
class _Picture:
    """A map with the image that it is burnt into.

    Attributes
    ----------
    facts : dict
        See `flat_facts`.
    name : str
        Of the picture: the slide's and the map's.
    image : StoredImage
    burnt : BurntMap
        On the image's finest level.
    """

    facts: dict[str, Any]
    name: str
    image: StoredImage
    burnt: BurntMap


class BurntPictures:
    """The pictures of all slides of a run; the maps last asked for stay in memory."""

    def __init__(self) -> None:
        self._reading = Lock()
        self._read = lru_cache(_MAPS_AT_HAND)(_read_picture)

    def file(self, folder: Path, parts: tuple[str, ...]) -> ServedFile | None:
        """Return a file of a picture, or None if there is none by that name.

        Parameters
        ----------
        folder : Path
            The slide's folder of results.
        parts : tuple of str
            The file's path in it: ``("<slide>.<map>.flat.ome.zarr", "0", "0", "1", "2")``.

        Raises
        ------
        DamagedResultError
            If a file of the results is damaged.
        """
        if len(parts) < 2 or not parts[0].endswith(FLAT_ENDING) or len(parts) > 5:
            return None
        try:
            status = (folder / MANIFEST).stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            # Chunks are asked for many at a time: the first request reads the map for all.
            with self._reading:
                picture = self._read(folder, parts[0], stamp)
            return None if picture is None else _file(picture, parts[1:])
        # Blosc raises RuntimeError for damaged chunks.
        except (*DAMAGE, RuntimeError) as error:
            raise DamagedResultError(f"{folder.name}: {error}") from error


def _read_picture(folder: Path, name: str, stamp: object) -> _Picture | None:
    """Read what a picture is composed of; None if the slide has no such map, or no image.

    Parameters
    ----------
    stamp : hashable
        Changes when the results are replaced.
    """
    del stamp
    manifest = read_maps(folder)
    slide = manifest["slide"]
    entry = next(
        (one for one in manifest["maps"] if f"{slide['name']}.{one['name']}{FLAT_ENDING}" == name),
        None,
    )
    if entry is None or not manifest.get("image"):
        return None
    image = read_image(folder, manifest)
    rule = entry["opacity"]
    facts = flat_facts(entry, slide, rule["alpha"], fades=rule["fades_with"] is not None)
    burnt = BurntMap(read_map(folder, manifest, entry), image.lattice)
    return _Picture(facts, name.removesuffix(FLAT_ENDING), image, burnt)


def _file(picture: _Picture, parts: tuple[str, ...]) -> ServedFile | None:
    """Return a file of a picture by its path in it."""
    lattice = picture.image.lattice
    if parts in ((".zgroup",), ("OME", ".zgroup")):
        return _json(_GROUP)
    if parts == (".zattrs",):
        levels = len(picture.image.levels)
        return _json(flat_attributes(picture.facts, lattice.um_cell, levels))
    if parts == ("OME", "METADATA.ome.xml"):
        return ServedFile(flat_xml(picture.name, lattice).encode(), _XML)
    if not _is_number(parts[0]) or int(parts[0]) >= len(picture.image.levels):
        return None
    level = int(parts[0])
    if parts[1:] == (".zarray",):
        return _json(_array_facts(picture, level))
    if len(parts) == 4 and parts[1] == "0" and all(map(_is_number, parts[2:])):
        return _chunk(picture, level, int(parts[2]), int(parts[3]))
    return None


def _is_number(part: str) -> bool:
    return _WHOLE_NUMBER.fullmatch(part) is not None


def _json(value: Any) -> ServedFile:
    text = json.dumps(json_ready(value), separators=(",", ":"), allow_nan=False)
    return ServedFile(text.encode(), _JSON)


def _array_facts(picture: _Picture, level: int) -> dict[str, Any]:
    """Return the ``.zarray`` of a level."""
    return {
        "zarr_format": 2,
        "shape": [3, *picture.image.lattice.shape.halved(level)],
        "chunks": [3, CHUNK, CHUNK],
        "dtype": "|u1",
        "fill_value": 0,
        "order": "C",
        "filters": None,
        "compressor": BYTE_CODEC.get_config(),
        "dimension_separator": "/",
    }


def _chunk(picture: _Picture, level: int, row: int, col: int) -> ServedFile | None:
    """Return a chunk of a level, or None beyond its edge."""
    shape = picture.image.lattice.shape.halved(level)
    window = Window(row * CHUNK, col * CHUNK, CHUNK, CHUNK).common(Window(0, 0, *shape))
    if window.area == 0:
        return None
    planes = np.asarray(picture.image.levels[level][:, *window.slices])
    burnt = picture.burnt.on(picture.image.lattice.downsampled(level))
    over = burnt.over(np.moveaxis(planes, 0, 2), window.row, window.col)
    chunk = np.zeros((3, CHUNK, CHUNK), np.uint8)
    chunk[:, : window.rows, : window.cols] = np.moveaxis(over, 2, 0)
    return ServedFile(bytes(BYTE_CODEC.encode(chunk)), _BYTES)
