"""Which image of an OME-Zarr store is its slide, and what its metadata state: no pixels are read.

Specifications: https://ngff.openmicroscopy.org/0.4/ and /0.5/, and the earlier ones as far as they
differ (axes without types before 0.4, always t, c, z, y, x before 0.3).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from heatmaps_ome.geometry import YX
from heatmaps_ome.slides.zarr_tree import joined, object_in

if TYPE_CHECKING:
    from heatmaps_ome.slides.zarr_tree import Tree

MOST_CHUNK_BYTES: Final = 256 << 20
"""Largest chunk that is decoded: writers without a pyramid in mind store planes whole."""
_MOST_LEVELS: Final = 64
_MOST_NAMED: Final = 4
_DEEPEST: Final = 3
"""Levels of groups that are searched for images."""
_UM_PER_UNIT: Final = {
    "angstrom": 1e-4, "picometer": 1e-6, "nanometer": 1e-3, "nm": 1e-3, "micrometer": 1.0,
    "micron": 1.0, "µm": 1.0, "μm": 1.0, "um": 1.0, "millimeter": 1e3, "mm": 1e3,
    "centimeter": 1e4, "cm": 1e4, "decimeter": 1e5, "meter": 1e6, "m": 1e6, "inch": 25400.0,
}  # fmt: skip
"""µm in the units of length of slides, by the names of UDUNITS and common short ones."""
_KINDS: Final = {"channel": "c", "time": "t"}
_OLD_AXES: Final = ("t", "c", "z", "y", "x")


class NoImage(ValueError):
    """A store that is not a slide; the message is the end of a sentence about it."""


@dataclass(frozen=True)
class NgffLevel:
    """A level as the metadata state it.

    Attributes
    ----------
    path : str
        Name of the array in the store.
    scale, translation : YX or None
        In the unit of the axes; None if it is not stated.
    """

    path: str
    scale: YX | None
    translation: YX | None


@dataclass(frozen=True)
class NgffImage:
    """An image of several levels.

    Attributes
    ----------
    group : str
        Name of its group in the store; "" for the store itself.
    version : str
    axes : tuple of str
        One letter each for t, c, z, y and x; other names as they are.
    levels : tuple of NgffLevel
        As the metadata list them.
    mpp : YX or None
        µm per pixel of the first level; None without a unit.
    mpp_hint : str
        The scale that has no unit, in words; or "".
    channels : tuple of (str, str)
        Label and colour of each channel in small letters, as ``omero`` has them; or empty.
    largest : int or None
        The largest value of the window of all channels; None if it is not stated.
    """

    group: str
    version: str
    axes: tuple[str, ...]
    levels: tuple[NgffLevel, ...]
    mpp: YX | None
    mpp_hint: str
    channels: tuple[tuple[str, str], ...]
    largest: int | None


def image_in(tree: Tree) -> NgffImage:
    """Return the image that is the slide of a store.

    It is the store itself; or the first series, where bioformats2raw wrote several: those after it
    are the label and overviews.

    Raises
    ------
    NoImage
        If there is no image, or several of which one must be chosen.
    OSError
        If the metadata cannot be read.
    """
    try:
        group = _slide_group(tree)
        return _image(group, _attributes(tree, group))
    except NoImage:
        raise
    except (LookupError, TypeError, AttributeError) as error:
        raise NoImage(
            f"is an OME-Zarr with damaged metadata ({type(error).__name__}: {error}); copy it again"
        ) from error
    except ValueError as error:
        raise NoImage(f"is an OME-Zarr with damaged metadata ({error}); copy it again") from error


def image_files(tree: Tree) -> tuple[str, ...]:
    """Return the names of the files and folders of the slide's image, without its labels."""
    image = image_in(tree)
    group = [image.group] if image.group else []
    names = [joined(node, name) for node in ["", *group] for name in (".zattrs", ".zgroup")]
    names += [joined(node, "zarr.json") for node in ["", *group]]
    return (*names, *(level.path for level in image.levels))


def _attributes(tree: Tree, group: str) -> dict[str, Any]:
    """Return the attributes of NGFF of a group, {} if it has none."""
    version3 = object_in(tree, joined(group, "zarr.json"))
    if version3 is None:
        return object_in(tree, joined(group, ".zattrs")) or {}
    attributes = version3.get("attributes") or {}
    own = attributes.get("ome")
    return own if isinstance(own, dict) else attributes


def _slide_group(tree: Tree) -> str:
    """Return the name of the group of the slide's image."""
    version3 = object_in(tree, "zarr.json") or {}
    if version3.get("node_type") == "array" or object_in(tree, ".zarray") is not None:
        raise NoImage(
            "is a single array of a zarr store; give the folder of the image, in which it lies"
        )
    attributes = _attributes(tree, "")
    if "multiscales" in attributes:
        return ""
    if "plate" in attributes or "well" in attributes:
        raise NoImage(
            "is an OME-Zarr of a plate of wells, not a slide; give one of its fields, such as "
            f"{_example(tree, 'A/1/0')}"
        )
    if "bioformats2raw.layout" in attributes:
        listed = _attributes(tree, "OME").get("series") or ["0"]
        return joined("", str(listed[0]))
    if "labels" in attributes:
        raise NoImage("is a group of labels, not an image; give the OME-Zarr that it is in")
    images = _images_below(tree, "", _DEEPEST)
    if len(images) == 1:
        return images[0]
    if not images:
        raise NoImage(
            "is a zarr folder without an OME-Zarr image; give the folder of an image, which has "
            "multiscales in its metadata"
        )
    more = ", …" if len(images) > _MOST_NAMED else ""
    raise NoImage(
        f"is a zarr folder with {len(images)} images in it; give one of them: "
        f"{', '.join(images[:_MOST_NAMED])}{more}"
    )


def _example(tree: Tree, otherwise: str) -> str:
    return next(iter(_images_below(tree, "", _DEEPEST)), otherwise)


def _images_below(tree: Tree, group: str, depth: int) -> list[str]:
    """Return the names of the groups of images in a group, labels not counted."""
    images: list[str] = []
    for folder in tree.folders(group):
        name = joined(group, folder)
        attributes = _attributes(tree, name)
        if "multiscales" in attributes and "image-label" not in attributes:
            images.append(name)
        elif depth > 1 and folder != "labels":
            images += _images_below(tree, name, depth - 1)
    return images


def _image(group: str, attributes: dict[str, Any]) -> NgffImage:
    """Return the image that a group's attributes describe."""
    if "image-label" in attributes:
        raise NoImage(
            "is an OME-Zarr of labels, not of an image; give the image that they belong to"
        )
    first = attributes["multiscales"][0]
    axes, units = _axes(first)
    datasets = first["datasets"]
    if not 1 <= len(datasets) <= _MOST_LEVELS:
        raise ValueError(f"it has {len(datasets)} levels")
    whole = _vector(first, "scale", axes) or YX(1, 1)
    levels = []
    for dataset in datasets:
        own = _vector(dataset, "scale", axes)
        levels.append(
            NgffLevel(
                joined(group, dataset["path"]),
                None if own is None else own.times(whole),
                _vector(dataset, "translation", axes),
            )
        )
    mpp, hint = _mpp(levels[0].scale, units)
    channels, largest = _channels(attributes.get("omero"))
    version = str(first.get("version") or attributes.get("version") or "")
    return NgffImage(group, version, axes, tuple(levels), mpp, hint, channels, largest)


def _axes(multiscale: dict[str, Any]) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the axes of an image, and the unit of each that has one."""
    stated = multiscale.get("axes")
    if stated is None:
        return _OLD_AXES, {}
    if all(isinstance(axis, str) for axis in stated):
        return tuple(stated), {}
    names = tuple(_KINDS.get(axis.get("type"), str(axis["name"]).lower()) for axis in stated)
    if names.count("y") != 1 or names.count("x") != 1:
        raise ValueError(f"its axes are {', '.join(names)}")
    units = {
        name: axis["unit"]
        for name, axis in zip(names, stated, strict=True)
        if isinstance(axis.get("unit"), str)
    }
    return names, units


def _vector(node: dict[str, Any], kind: str, axes: tuple[str, ...]) -> YX | None:
    """Return y and x of a node's transformation of a kind; None if it states none."""
    for transformation in node.get("coordinateTransformations") or ():
        values = transformation.get(kind)
        if transformation.get("type") == kind and isinstance(values, list):
            y, x = (float(values[axes.index(axis)]) for axis in "yx")
            return YX(y, x)
    return None


def _mpp(scale: YX | None, units: dict[str, str]) -> tuple[YX | None, str]:
    """Return µm per pixel; and a scale without a known unit in words, which is no pixel size."""
    if scale is None:
        return None, ""
    um = [_UM_PER_UNIT.get(units.get(axis, "")) for axis in "yx"]
    if None not in um:
        return YX(scale.y * (um[0] or 0), scale.x * (um[1] or 0)), ""
    if scale == (1, 1) or not all(map(isfinite, scale)):
        return None, ""
    unit = units.get("x")
    words = "without a unit" if unit is None else f"in the unit {unit[:20]!r}"
    return None, f" (its scale is {scale.x:g} × {scale.y:g} {words})"


def _channels(omero: Any) -> tuple[tuple[tuple[str, str], ...], int | None]:
    """Return label and colour of each channel, and the largest value of their windows."""
    entries = omero.get("channels") if isinstance(omero, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        return (), None
    channels = tuple(
        (
            str(entry.get("label", "")).strip().lower(),
            str(entry.get("color", "")).strip("# ").lower(),
        )
        for entry in entries
    )
    windows = [entry.get("window") for entry in entries]
    ends = {window.get("max") for window in windows if isinstance(window, dict)}
    largest = ends.pop() if len(ends) == 1 else None
    if not isinstance(largest, int | float) or not isfinite(largest):
        return channels, None
    return channels, int(largest)
