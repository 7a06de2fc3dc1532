"""The metadata of OME-Zarr by the letter of NGFF 0.4, as plain dicts.

Specification: https://ngff.openmicroscopy.org/0.4/. Beyond its letter, this keeps to the subset
that Vizarr, napari, neuroglancer and QuPath open: one scale per level and no other transformation
on images and labels. NGFF 0.5 has the same metadata in another place: ``ngff_store`` moves it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from heatmaps_ome import __version__
from heatmaps_ome.storage.texts import encodable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from heatmaps_ome.geometry import YX

VERSION = "0.4"
PIXEL_ORIGIN = "corner"
"""Place (0, 0) in µm is the outer corner of the slide's first level-0 pixel."""

_LEVELS = 256
_CLEAR = (0, 0, 0, 0)
_RGB = (("Red", "FF0000"), ("Green", "00FF00"), ("Blue", "0000FF"))


def multiscales(
    name: str,
    um_pixel: YX,
    n_levels: int,
    method: str,
    um_origin: YX | None = None,
    channels: bool = True,
) -> dict[str, Any]:
    """Return the ``multiscales`` entry of a group whose arrays are named 0, 1, 2, ….

    Parameters
    ----------
    um_pixel : YX
        Size of a level-0 pixel of this image in µm; it doubles exactly with each level.
    method : str
        How a level comes from the one before ("mean"), or from the cells ("nearest").
    um_origin : YX or None
        Outer corner of pixel (0, 0) in µm. Several viewers drop translations, so images drawn
        over a slide have none: https://github.com/ome/napari-ome-zarr.
    channels : bool
        Whether the axes are c, y, x rather than y, x.
    """
    datasets = []
    for level in range(n_levels):
        size = um_pixel.times(2.0**level)
        moves = [_transformation("scale", size, 1.0, channels)]
        if um_origin is not None:
            moves.append(_transformation("translation", um_origin, 0.0, channels))
        datasets.append({"path": str(level), "coordinateTransformations": moves})
    return {
        "version": VERSION,
        "name": name,
        "type": method,
        "metadata": {"method": f"heatmaps_ome {__version__}", "pixel_origin": PIXEL_ORIGIN},
        "axes": _axes(channels),
        "datasets": datasets,
    }


def rgb_omero(name: str) -> dict[str, Any]:
    """Return the ``omero`` block of a brightfield image; without it Avivator shows magenta."""
    window = {"min": 0.0, "max": 255.0, "start": 0.0, "end": 255.0}
    return omero(name, [(label, colour, window) for label, colour in _RGB])


def omero(
    name: str, channels: Sequence[tuple[str, str, Mapping[str, float]]], visible: int | None = None
) -> dict[str, Any]:
    """Return an ``omero`` block; never for labels, on which napari-ome-zarr fails with one.

    Parameters
    ----------
    channels : sequence of (label, hexadecimal colour, window)
        Every window has finite min, max, start and end: vizarr throws without.
    visible : int or None
        The only channel that is visible at first; None for all of them.
    """
    entries = [
        {
            "active": visible is None or index == visible,
            "coefficient": 1.0,
            "color": colour,
            "family": "linear",
            "inverted": False,
            "label": label,
            "window": dict(window),
        }
        for index, (label, colour, window) in enumerate(channels)
    ]
    rdefs = {"defaultT": 0, "defaultZ": 0, "model": "color"}
    return {"id": 1, "name": name, "version": VERSION, "channels": entries, "rdefs": rdefs}


def image_label(
    name: str,
    colours: Mapping[int, Sequence[int]],
    stands_for: Mapping[int, float | str],
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the ``image-label`` block: colour of each level, and the value it stands for.

    Parameters
    ----------
    name : str
        Of the property that holds the values.
    colours : mapping of level → (red, green, blue, alpha)
        Levels 0 to 255 without one are transparent.
    stands_for : mapping of level → value or name
    facts : mapping
        More about the map, under the extra key ``heatmaps_ome``.
    """
    # Levels that stand for nothing have an entry too, as ome-zarr-models requires one per colour,
    # but no value: viewers would show null.
    levels = range(_LEVELS)
    return {
        "version": VERSION,
        "colors": [
            {"label-value": level, "rgba": [int(part) for part in colours.get(level, _CLEAR)]}
            for level in levels
        ],
        "properties": [
            {"label-value": level} | ({name: stands_for[level]} if level in stands_for else {})
            for level in levels
        ],
        "source": {"image": "../../"},
        "heatmaps_ome": dict(facts),
    }


def json_ready(value: Any) -> Any:
    """Return a value as strict JSON can hold it: plain numbers, and None for NaN and infinity.

    Texts are those that UTF-8 can hold.

    >>> json_ready({"logits": np.array([1.5, np.nan])})
    {'logits': [1.5, None]}
    """
    # A result has tens of thousands of values, most of them texts and whole numbers.
    if type(value) is str:
        return encodable(value)
    if type(value) is int:
        return value
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if isinstance(value, dict):
        return {encodable(str(key)): json_ready(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_ready(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return encodable(value) if isinstance(value, str) else value


def _axes(channels: bool) -> list[dict[str, str]]:
    """Return the axes, channel first as the specification orders them."""
    first = [{"name": "c", "type": "channel"}] if channels else []
    space = [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
    return [*first, *space]


def _transformation(kind: str, place: YX, channel: float, channels: bool) -> dict[str, Any]:
    """Return one coordinate transformation."""
    first = [channel] if channels else []
    return {"type": kind, kind: [*first, float(place.y), float(place.x)]}
