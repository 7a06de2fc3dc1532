"""What readers other than ours find in results: values, and where they lie in µm.

Each function takes a slide's folder and the name of a map and returns Readings. None of them uses
our code: places come from the files' own metadata as each reader gives it.
"""

from __future__ import annotations

from dataclasses import dataclass
from xml.etree import ElementTree

import numpy as np
import openslide
import tifffile
import zarr
from bioformats import converted
from ome_zarr.io import parse_url
from ome_zarr.reader import Reader
from ome_zarr_models.v04.image import Image
from ome_zarr_models.v05.image import Image as ImageV05

_OME = "{http://www.openmicroscopy.org/Schemas/OME/2016-06}"
_LEAST_ALPHA = 48
"""Below it, a reader's rounding of colours that were multiplied by alpha hides the value."""


@dataclass(frozen=True)
class Reading:
    """One level of one map as a reader finds it.

    Attributes
    ----------
    reader : str
    values : (rows, cols) float64
        NaN where there is none.
    um_y, um_x : (rows,) and (cols,) float64
        Centres of the pixels.
    is_mean : bool
        Whether pixels may be means over several cells.
    """

    reader: str
    values: np.ndarray
    um_y: np.ndarray
    um_x: np.ndarray
    is_mean: bool = False


def _centres(shape, um_pixel, um_origin=(0.0, 0.0)):
    return tuple(
        origin + (np.arange(n) + 0.5) * pixel
        for n, pixel, origin in zip(shape, um_pixel, um_origin, strict=True)
    )


def _placed_by_models(dataset):
    """Return scale and translation, y and x, from ome-zarr-models' transform objects."""
    scale, origin = np.ones(2), np.zeros(2)
    for move in dataset.coordinateTransformations:
        if move.type == "scale":
            scale, origin = scale * move.scale[-2:], origin * move.scale[-2:]
        else:
            assert move.type == "translation"
            origin = origin + move.translation[-2:]
    return scale, origin


def raw_values(folder, channel):
    """Return a channel of the raw values through ome-zarr-models' transforms."""
    group = zarr.open_group(folder / f"{folder.name}.values.ome.zarr", mode="r")
    if group.metadata.zarr_format == 3:
        said = ImageV05.from_zarr(group).ome_attributes
        names = [each["label"] for each in group.attrs["ome"]["omero"]["channels"]]
    else:
        said = Image.from_zarr(group).attributes
        names = [each.label for each in said.omero.channels]
    (dataset,) = said.multiscales[0].datasets
    values = np.asarray(group[dataset.path][names.index(channel)], np.float64)
    return [Reading("values", values, *_centres(values.shape, *_placed_by_models(dataset)))]


def label(folder, name):
    """Return all levels of a label through ome-zarr-py."""
    store = folder / f"{folder.name}.ome.zarr" / "labels" / name
    node = next(n for n in Reader(parse_url(store))() if n.metadata.get("name") == name)
    meaning = np.full(256, np.nan)
    for value, said in node.metadata["properties"].items():
        meaning[value] = said.get(name, np.nan)
    return [
        Reading(f"label {level}", meaning[np.asarray(data)], *_centres(data.shape, _scale(moves)))
        for level, (data, moves) in enumerate(
            zip(node.data, node.metadata["coordinateTransformations"], strict=True)
        )
    ]


def slide_image(folder, channel):
    """Return all levels of a colour of the slide's image through ome-zarr-py."""
    nodes = list(Reader(parse_url(folder / f"{folder.name}.ome.zarr"))())
    moves = nodes[0].metadata["coordinateTransformations"]
    return [
        Reading(
            f"image {level}", np.asarray(data[channel], np.float64),
            *_centres(data.shape[1:], _scale(moves[level])),
        )
        for level, data in enumerate(nodes[0].data)
    ]  # fmt: skip


def _scale(moves):
    assert [move["type"] for move in moves] == ["scale"], "viewers drop translations"
    return moves[0]["scale"][-2:]


def overlay_by_tifffile(folder, name):
    """Return all levels of an overlay through tifffile and its OME-XML."""
    with tifffile.TiffFile(overlay_path(folder, name)) as file:
        levels = [level.asarray() for level in file.series[0].levels]
        um_pixel = _physical_size(file)
    return _overlay_levels("tifffile", levels, um_pixel, colour_values(folder, name))


def overlay_by_bioformats(folder, name, scratch):
    """Return an overlay's full resolution and pixel size as Bio-Formats reads them."""
    plain = converted(overlay_path(folder, name), scratch / "plain.ome.tiff")
    with tifffile.TiffFile(plain) as file:
        levels = [np.moveaxis(level.asarray(), 0, -1) for level in file.series[0].levels]
        um_pixel = _physical_size(file)
    return _overlay_levels("Bio-Formats", levels, um_pixel, colour_values(folder, name))


def overlay_by_openslide(folder, name):
    """Return all levels of an overlay through OpenSlide."""
    with openslide.OpenSlide(overlay_path(folder, name)) as slide:
        um = [float(slide.properties[f"openslide.mpp-{axis}"]) for axis in "yx"]
        levels = [
            np.asarray(slide.read_region((0, 0), level, size))
            for level, size in enumerate(slide.level_dimensions)
        ]
    return _overlay_levels("OpenSlide", levels, um, colour_values(folder, name))


def overlay_path(folder, name):
    return folder / f"{folder.name}.{name}.ome.tiff"


def _physical_size(file):
    """Return µm per pixel, y and x, from OME-XML."""
    pixels = ElementTree.fromstring(file.ome_metadata).find(f".//{_OME}Pixels")
    assert {pixels.get(f"PhysicalSize{axis}Unit") for axis in "YX"} == {"µm"}
    return [float(pixels.get(f"PhysicalSize{axis}")) for axis in "YX"]


def _overlay_levels(reader, levels, um_pixel, meaning):
    return [
        Reading(
            f"{reader} {number}", _values_of(rgba, *meaning),
            *_centres(
                rgba.shape[:2],
                [um * full / n for um, full, n in zip(
                    um_pixel, levels[0].shape, rgba.shape[:2], strict=False)],
            ),
            is_mean=number > 0,
        )
        for number, rgba in enumerate(levels)
    ]  # fmt: skip


def colour_values(folder, name):
    """Return a map's colours, (n, 3), and the mean value that each stands for, (n,)."""
    said = zarr.open_group(folder / f"{folder.name}.ome.zarr" / "labels" / name, mode="r").attrs
    attributes = said.get("ome", said)["image-label"]
    values = {each["label-value"]: each.get(name) for each in attributes["properties"]}
    # Beyond the ends of the colour bar many values share a colour.
    shown = attributes["heatmaps_ome"]
    known = [
        (*each["rgba"][:3], value)
        for each in attributes["colors"]
        if (value := values[each["label-value"]]) is not None
        and shown["lower"] - 1e-6 <= value <= shown["upper"] + 1e-6
    ]
    colours, which = np.unique([each[:3] for each in known], axis=0, return_inverse=True)
    total = np.bincount(which.ravel(), [each[3] for each in known])
    return colours, total / np.bincount(which.ravel())


def _values_of(rgba, colours, values):
    """Return what colours stand for, by the nearest known one; NaN where nearly transparent."""
    found, which = np.unique(rgba[..., :3].reshape(-1, 3), axis=0, return_inverse=True)
    apart = found[:, None].astype(np.int64) - colours[None]
    nearest = (apart**2).sum(axis=2).argmin(axis=1)
    out = values[nearest][which.ravel()].reshape(rgba.shape[:2])
    return np.where(rgba[..., 3] >= _LEAST_ALPHA, out, np.nan)
