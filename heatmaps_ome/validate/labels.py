"""Rules for labels: as many levels as the image, whole numbers, colours and meanings for each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from heatmaps_ome.validate.ngff import open_group, stated
from heatmaps_ome.validate.problems import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from heatmaps_ome.validate.ngff import Pyramid

_BLOCK_PX = 2048
ANY = -1
"""Stands for an unknown colour, which any colour fits."""


@dataclass(frozen=True, eq=False)
class Label:
    """A label of an image.

    Attributes
    ----------
    name : str
        Its name in the list of labels.
    pyramid : Pyramid
    image : Pyramid
        The image that it belongs to.
    """

    name: str
    pyramid: Pyramid
    image: Pyramid

    @property
    def block(self) -> dict[str, Any]:
        """The metadata under ``image-label``."""
        return self.pyramid.attributes["image-label"]

    @cached_property
    def used(self) -> np.ndarray:
        """The values that occur in the finest level, sorted."""
        finest = self.pyramid.levels[0]
        rows, cols = finest.shape
        used: set[int] = set()
        for row in range(0, rows, _BLOCK_PX):
            for col in range(0, cols, _BLOCK_PX):
                block = np.asarray(finest[row : row + _BLOCK_PX, col : col + _BLOCK_PX])
                used |= set(np.unique(block).tolist())
        return np.array(sorted(used), finest.dtype)

    @cached_property
    def colours(self) -> dict[int, list[int]]:
        """RGBA of each value, without those that have none."""
        return {
            entry["label-value"]: entry["rgba"]
            for entry in self.block["colors"]
            if entry.get("rgba") is not None
        }

    @cached_property
    def stands_for(self) -> dict[int, float]:
        """The number that each value stands for; the value itself where it stands for a name."""
        numbers: dict[int, float] = {
            entry["label-value"]: entry[self.name]
            for entry in self.block["properties"]
            if isinstance(entry.get(self.name), int | float)
        }
        return numbers | {value: float(value) for value in self.names}

    @property
    def bounds(self) -> dict[int, Any]:
        """The bounds that numbers are marked as: "at most" or "at least", by value."""
        return {
            entry["label-value"]: entry["bound"]
            for entry in self.block["properties"]
            if "bound" in entry
        }

    @property
    def states_factor(self) -> bool:
        """Whether its numbers are raw ones times a factor; those of earlier versions are raw."""
        return "factor" in self.block.get("heatmaps_ome", {})

    @cached_property
    def names(self) -> dict[int, str]:
        """The name that each value stands for, without values that have none."""
        return {
            entry["label-value"]: entry[self.name]
            for entry in self.block["properties"]
            if isinstance(entry.get(self.name), str)
        }

    @cached_property
    def palette(self) -> np.ndarray:
        """The colour of each level of `table`, (n, 3) int64; ``ANY`` where it has none."""
        colours = np.full((len(self.table[0]), 3), ANY, np.int64)
        for level, rgba in self.colours.items():
            if level < len(colours):
                colours[level] = rgba[:3]
        return colours

    @cached_property
    def table(self) -> tuple[np.ndarray, float]:
        """The number that each level stands for, NaN for none, and half a step of them."""
        known = self.stands_for
        table = np.full(max(known) + 2, np.nan)
        table[list(known)] = list(known.values())
        ends = np.nanmin(table), np.nanmax(table)
        step = (ends[1] - ends[0]) / max(1, len(known) - 1)
        # The numbers are written as float32.
        return table, 0.5 * step * 1.001 + 2.0**-22 * max(map(abs, ends))


def label_names(image: Path) -> list[str]:
    """Return the labels that an image lists; raises zarr's errors where they are unreadable."""
    if not (image / "labels").exists():
        return []
    return [str(name) for name in stated(open_group(image / "labels"))["labels"]]


def _listed(image: Pyramid) -> Iterator[str]:
    """Demand that the list of labels and the labels there are the same."""
    listed = set(label_names(image.path))
    there = {
        metadata_file.parent.name
        for metadata in (".zattrs", "zarr.json")
        for metadata_file in image.path.glob(f"labels/*/{metadata}")
    }
    for name in sorted(there - listed):
        yield f"labels/{name} is not in the list of labels, so that no viewer finds it"
    for name in sorted(listed - there):
        yield f"the list of labels names {name}, which is not there"
    if image.ngff != "0.4" and listed:
        beside: Any = open_group(image.path / "labels").attrs.get("labels")
        if beside is None or set(beside) != listed:
            yield f"beside 'ome' the list of labels is {beside}; Vizarr reads it there"


def _count(label: Label) -> Iterator[str]:
    """Demand as many levels as the image has, as the specification does."""
    n_levels, wanted = len(label.pyramid.levels), len(label.image.levels)
    if n_levels != wanted:
        yield f"there are {n_levels} levels where the image has {wanted}"


def _no_omero(label: Label) -> Iterator[str]:
    """Refuse the block on which napari-ome-zarr fails."""
    if "omero" in label.pyramid.attributes:
        yield "there is an omero block, on which napari-ome-zarr fails"


def _whole_numbers(label: Label) -> Iterator[str]:
    """Demand integers; Vizarr fails on bool, the specification on floats."""
    kinds = sorted({str(level.dtype) for level in label.pyramid.levels})
    if len(kinds) != 1 or np.dtype(kinds[0]).kind not in "iu":
        yield f"the levels are of {', '.join(kinds)}; labels are of one type of integer"


def _source(label: Label) -> Iterator[str]:
    """Demand the version and the image that the label belongs to."""
    source = label.block.get("source", {}).get("image")
    if source != "../../":
        yield f"the source is {source!r}, not '../../'"
    version, wanted = label.block.get("version"), label.pyramid.ngff
    if version != wanted and not (version is None and wanted != "0.4"):
        yield f"image-label says version {version!r}, which is not {wanted}"


def _colours(label: Label) -> Iterator[str]:
    """Demand a colour of four integers for each value that occurs, and each value once."""
    entries = label.block["colors"]
    for entry in entries:
        rgba = entry.get("rgba")
        if not (
            isinstance(rgba, list)
            and len(rgba) == 4
            and all(isinstance(part, int) and 0 <= part <= 255 for part in rgba)
        ):
            yield f"value {entry.get('label-value')} has the colour {rgba}; Vizarr fails on it"
    values = [entry.get("label-value") for entry in entries]
    if len(set(values)) != len(values):
        yield "some values have two colours"
    without = sorted(set(label.used.tolist()) - set(values))
    if without:
        yield f"{len(without)} values that occur have no colour, {without[0]} for one"


def _values(label: Label) -> Iterator[str]:
    """Demand the number or name that each value stands for: without it a level means nothing."""
    known = label.stands_for
    without = [value for value in label.used.tolist() if value != 0 and value not in known]
    if without:
        yield (
            f"{len(without)} values that occur have no property {label.name!r}, "
            f"{without[0]} for one"
        )
    if 0 in known:
        yield f"value 0 stands for {known[0]}; it must stand for nothing"


def _zero(label: Label) -> Iterator[str]:
    """Demand that 0 is transparent, or napari paints the whole slide."""
    for entry in label.block["colors"]:
        if entry.get("label-value") == 0 and entry.get("rgba", [0, 0, 0, 0])[-1] != 0:
            yield f"value 0 has the colour {entry['rgba']}; it must be transparent"


LISTED: tuple[Rule[Pyramid], ...] = (
    Rule("labels-listed", "the list of labels is that of the labels there", _listed),
)
"""Rules for an image with labels."""

LABEL: tuple[Rule[Label], ...] = (
    Rule("label-count-equals-image", "a label has as many levels as its image", _count),
    Rule("label-no-omero", "a label has no omero block", _no_omero),
    Rule("label-dtype-integer", "labels are whole numbers", _whole_numbers),
    Rule("label-source", "a label names its image and version", _source),
    Rule("label-colours-complete", "each value of a label has one colour", _colours),
    Rule("label-values-have-properties", "each value of a label stands for something", _values),
    Rule("label-zero-transparent", "0 is transparent", _zero),
)
"""Rules for a label."""
