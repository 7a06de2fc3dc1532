"""Rules of NGFF for images, labels and values, and viewers' demands beyond them.

Specifications: https://ngff.openmicroscopy.org/0.4/ (zarr v2) and
https://ngff.openmicroscopy.org/0.5/ (zarr v3).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import ome_zarr_models.v04.image
import ome_zarr_models.v04.image_label
import ome_zarr_models.v05.image
import ome_zarr_models.v05.image_label
import zarr
from ome_zarr.axes import Axes
from ome_zarr.format import format_from_version

from heatmaps_ome.geometry import YX, Shape
from heatmaps_ome.slides.plain_zarr import inside, read_object, require_plain_array
from heatmaps_ome.validate.chunks import Chunks
from heatmaps_ome.validate.problems import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LABEL = "image-label"
_MOST_LEVELS = 32
_KNOWN_CODECS = {
    # QuPath's jzarr decodes these besides no compression; not zstd, not gzip.
    "0.4": {"blosc", "zlib"},
    # zarrita and neuroglancer decode these.
    "0.5": {"sharding_indexed", "bytes", "zstd", "blosc", "gzip", "crc32c"},
}


@dataclass(frozen=True, eq=False)
class Pyramid:
    """A multiscale image, label or array of values, opened for reading.

    Attributes
    ----------
    path : Path
    attributes : dict
        The group's metadata as ``stated`` gives it.
    levels : tuple of zarr arrays
        Finest first.
    ngff : "0.4" or "0.5"
        Version that its zarr format goes with.
    """

    path: Path
    attributes: dict[str, Any]
    levels: tuple[zarr.Array, ...]
    ngff: str

    @property
    def multiscale(self) -> dict[str, Any]:
        """The first multiscales entry, the one that viewers show."""
        return self.attributes["multiscales"][0]

    @property
    def version(self) -> object:
        """The version of NGFF that the metadata states, or None."""
        return (self.multiscale if self.ngff == "0.4" else self.attributes).get("version")

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """(rows, cols) of every level."""
        return tuple(Shape(*level.shape[-2:]) for level in self.levels)

    @cached_property
    def chunks(self) -> tuple[Chunks, ...]:
        """Every level, to read windows of."""
        return tuple(map(Chunks, self.levels))

    @property
    def is_label(self) -> bool:
        """Whether it is a label."""
        return _LABEL in self.attributes

    def move(self, kind: str, level: int = 0) -> YX | None:
        """Return a level's "scale" or "translation" in µm, or None if it has none."""
        moves = self.multiscale["datasets"][level]["coordinateTransformations"]
        vectors = [move[kind] for move in moves if move["type"] == kind]
        return YX(*map(float, vectors[0][-2:])) if vectors else None

    @property
    def um_pixel(self) -> YX:
        """Size of a pixel of the finest level in µm.

        Raises
        ------
        ValueError
            If the metadata has none.
        """
        size = self.move("scale")
        if size is None:
            raise ValueError("no pixel size is said")
        return size


def ngff_of(group: zarr.Group) -> str:
    """Return the version of NGFF that a group's zarr format goes with."""
    return "0.5" if group.metadata.zarr_format == 3 else "0.4"


def stated(group: zarr.Group) -> dict[str, Any]:
    """Return a group's metadata as 0.4 has it: that under ``ome`` in 0.5 lies beside our own.

    Raises
    ------
    KeyError
        If a group of zarr v3 has no metadata of NGFF.
    """
    attributes: dict[str, Any] = group.attrs.asdict()
    return attributes if ngff_of(group) == "0.4" else attributes | attributes["ome"]


def open_pyramid(path: Path) -> Pyramid:
    """Open a group with multiscales, and its levels if they hold plain numbers.

    Raises
    ------
    OSError, ValueError, LookupError, TypeError
        If that is impossible; zarr has errors of its own besides.
    """
    group = open_group(path)
    attributes = stated(group)
    datasets = attributes["multiscales"][0]["datasets"]
    if len(datasets) > _MOST_LEVELS:
        raise ValueError(f"there are {len(datasets)} levels")
    levels = [inside(path, dataset["path"]) for dataset in datasets]
    return Pyramid(path, attributes, tuple(map(open_level, levels)), ngff_of(group))


def open_group(path: Path) -> zarr.Group:
    """Open a group without the metadata of arrays that it may repeat; as `open_pyramid` raises."""
    names = [name for name in (".zgroup", ".zattrs", "zarr.json") if (path / name).exists()]
    for name in names:
        read_object(path / name)
    return zarr.open_group(path, mode="r", use_consolidated=False)


def open_level(path: Path, *, whole: bool = False) -> zarr.Array:
    """Open an array if it holds plain numbers; as `open_pyramid` raises.

    Parameters
    ----------
    whole : bool
        Whether all of it is to be read at once.
    """
    require_plain_array(path, whole=whole)
    return zarr.open_array(path, mode="r")


def _model(pyramid: Pyramid) -> Iterator[str]:
    """Check a group with ome-zarr-models and ome-zarr-py."""
    models = ome_zarr_models.v04 if pyramid.ngff == "0.4" else ome_zarr_models.v05
    group = open_group(pyramid.path)
    kind = models.image_label.ImageLabel if pyramid.is_label else models.image.Image
    kind.from_zarr(group)
    layout = format_from_version(pyramid.ngff)
    Axes(pyramid.multiscale["axes"], fmt=layout)
    moves = [level["coordinateTransformations"] for level in pyramid.multiscale["datasets"]]
    layout.validate_coordinate_transformations(pyramid.levels[0].ndim, len(moves), moves)
    yield from ()


def _complete(pyramid: Pyramid) -> Iterator[str]:
    """Demand the fields of the specification's strict schema."""
    lacking = {"name", "type", "metadata"} - set(pyramid.multiscale)
    if lacking:
        yield f"multiscales lacks {', '.join(sorted(lacking))}"
    if pyramid.version != pyramid.ngff:
        yield f"the version said is {pyramid.version!r}, which is not {pyramid.ngff}"


def _axes(pyramid: Pyramid) -> Iterator[str]:
    """Demand channels first: interleaved images are black in Vizarr and Avivator."""
    names = [axis["name"] for axis in pyramid.multiscale["axes"]]
    wanted = ["y", "x"] if pyramid.is_label else ["c", "y", "x"]
    if names != wanted:
        yield f"the axes are {', '.join(names)}; they must be {', '.join(wanted)}"
    for index, level in enumerate(pyramid.levels):
        own = getattr(level.metadata, "dimension_names", None)
        if pyramid.ngff != "0.4" and list(own or ()) != names:
            yield f"level {index} names its dimensions {own}, which are not the axes"


def _units(pyramid: Pyramid) -> Iterator[str]:
    """Demand one unit everywhere: napari's scale bar needs the same one in all layers."""
    for axis in pyramid.multiscale["axes"][-2:]:
        if axis.get("unit") != "micrometer":
            yield f"the unit of {axis['name']} is {axis.get('unit')!r}; it must be 'micrometer'"


def _no_translation(pyramid: Pyramid) -> Iterator[str]:
    """Refuse translations: napari-ome-zarr drops them."""
    if "coordinateTransformations" in pyramid.multiscale:
        yield "multiscales has a transformation of its own, which viewers ignore"
    for level in range(len(pyramid.levels)):
        move = pyramid.move("translation", level)
        if move is not None and any(move):
            yield f"level {level} is moved by y {move.y:g}, x {move.x:g} µm, which viewers ignore"


def _scale_doubles(pyramid: Pyramid) -> Iterator[str]:
    """Demand scales of exactly base × 2^level, as Vizarr reads only the first."""
    base = pyramid.um_pixel
    for level in range(len(pyramid.levels)):
        scale = pyramid.move("scale", level)
        if scale != base.times(2.0**level):
            yield f"level {level} has the scale {scale}, which is not 2^{level} × {base}"


def _sizes(pyramid: Pyramid) -> Iterator[str]:
    """Demand sizes rounded up: a level too small makes Vizarr drop the layer."""
    for level, (finer, coarser) in enumerate(pairwise(pyramid.shapes), start=1):
        if coarser != finer.halved():
            yield (
                f"level {level} has {tuple(coarser)} pixels; half of level {level - 1}, rounded "
                f"up, is {tuple(finer.halved())}"
            )


def _chunks(pyramid: Pyramid) -> Iterator[str]:
    """Demand square chunks of one power of two, with "/" between indices and whole colours."""
    sides = {side for level in pyramid.levels for side in level.chunks[-2:]}
    if len(sides) != 1 or not _power_of_two(next(iter(sides))):
        yield f"chunks have the sides {sorted(sides)}; viewers need one power of two"
    for index, level in enumerate(pyramid.levels):
        if _separator(level) != "/":
            yield f"level {index} has no '/' between the indices of chunks"
        if _is_rgb(pyramid, level) and level.chunks[0] != level.shape[0]:
            yield f"level {index} has colours in separate chunks; neuroglancer shows none then"


def _separator(level: zarr.Array) -> str:
    """Return the separator between the indices of chunks, in zarr v2 or v3."""
    encoding = getattr(level.metadata, "chunk_key_encoding", level.metadata)
    return getattr(encoding, "separator", getattr(encoding, "dimension_separator", "/"))


def _is_rgb(pyramid: Pyramid, level: zarr.Array) -> bool:
    """Return whether a level holds colours rather than a label or values."""
    return not pyramid.is_label and level.dtype == "uint8"


def _power_of_two(side: int) -> bool:
    """Return whether a length is a power of two."""
    return side > 0 and side & (side - 1) == 0


def _codecs(pyramid: Pyramid) -> Iterator[str]:
    """Demand codecs that viewers can decode."""
    known = _KNOWN_CODECS[pyramid.ngff]
    for index, level in enumerate(pyramid.levels):
        strange = sorted(set(_codec_names(level)) - known)
        if strange:
            yield (
                f"level {index} is compressed with {', '.join(strange)}, which viewers of NGFF "
                f"{pyramid.ngff} cannot read; use {', '.join(sorted(known))}"
            )


def _codec_names(level: zarr.Array) -> Iterator[str]:
    """Yield the names of a level's codecs, also of those inside shards."""
    metadata = level.metadata.to_dict()
    compressor: Any = metadata.get("compressor")
    if compressor is not None:
        yield compressor["id"]
    codecs: Any = metadata.get("codecs", ())
    for codec in codecs:
        yield codec["name"]
        inner = codec.get("configuration", {}).get("codecs", ())
        yield from (nested["name"] for nested in inner)


def _omero(image: Pyramid) -> Iterator[str]:
    """Demand a block that viewers colour by: one finite window for each channel."""
    block = image.attributes.get("omero")
    if block is None:
        yield "there is no omero block; Avivator shows magenta then"
        return
    channels, wanted = block["channels"], image.levels[0].shape[0]
    if len(channels) != wanted:
        yield f"omero names {len(channels)} channels of {wanted}"
    for channel in channels:
        window = channel.get("window", {})
        ends = [window.get(key) for key in ("min", "max", "start", "end")]
        if not all(isinstance(end, int | float) for end in ends) or ends[2] >= ends[3]:
            yield f"channel {channel.get('label')} has the window {window}; Vizarr fails on it"


SHARED: tuple[Rule[Pyramid], ...] = (
    Rule("ngff-model", "ome-zarr-models and ome-zarr-py accept the group", _model),
    Rule("multiscales-complete", "version, name, type and metadata are stated", _complete),
    Rule("axes", "c, y, x of images and y, x of labels, of zarr v3's arrays too", _axes),
    Rule("units-micrometer", "y and x are in micrometer", _units),
    Rule("scale-doubles", "the scale doubles exactly with each level", _scale_doubles),
    Rule("level-sizes-halve-up", "sizes halve with each level, rounded up", _sizes),
    Rule("chunks", "chunks are squares of one power of two and hold whole colours", _chunks),
    Rule("codecs", "chunks are compressed as viewers can read them", _codecs),
)
"""Rules for everything with multiscales."""

DRAWN: tuple[Rule[Pyramid], ...] = (
    Rule("no-translation", "nothing that is drawn has a translation", _no_translation),
)
"""Rules for layers that viewers draw over one another: images and labels."""

COLOURED: tuple[Rule[Pyramid], ...] = (
    Rule("omero-complete", "every channel has a finite display window", _omero),
)
"""Rules for stores with channels: images and values."""
