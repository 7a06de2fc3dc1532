"""The form of ``maps.json``: every field, its type and its range; others are allowed."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from heatmaps_ome.validate.form import (
    Classes,
    Colour,
    Count,
    Ends,
    Form,
    Length,
    Mpp,
    Number,
    Numbers,
    Positive,
    Share,
    Text,
)
from heatmaps_ome.validate.forms import RecordedTarget  # noqa: TC001 (pydantic reads it)


class Pair(Form):
    """A place or a size, with y and x."""

    y: Number
    x: Number


class PixelSize(Form):
    """µm per pixel."""

    y: Mpp
    x: Mpp


class CellSize(Form):
    """Sides of a cell."""

    y: Positive
    x: Positive


class Size(Form):
    """Numbers of rows and columns."""

    rows: Length
    cols: Length


class Bounds(Size):
    """A rectangle at level 0."""

    row: int
    col: int


class ListedSlide(Size):
    """The slide in ``maps.json``."""

    name: Text
    mpp: PixelSize
    mpp_source: Text
    bounds: Bounds


class ListedGrid(Form):
    """The grid of cells in ``maps.json``."""

    shape: Size
    l0_cell: CellSize
    l0_origin: Pair
    mpp: PixelSize


class ShownRange(Ends):
    """The range that a map is drawn in, with texts at its ends."""

    middle: Number | None
    ends: Annotated[list[str], Field(min_length=2, max_length=2)]
    clips: Annotated[list[bool], Field(min_length=2, max_length=2)]


class RawQuantity(Form):
    """The quantity of raw values that are not the drawn ones."""

    quantity: Text
    unit: str


class Fading(Ends):
    """The channel that a map fades with."""

    channel: Count


class Opacity(Form):
    """How opaque a map is."""

    alpha: Share
    fades_with: Fading | None


class ListedMap(Form):
    """A map in ``maps.json``."""

    name: Text
    kind: Text
    kind_title: Text
    class_name: Text | None = Field(alias="class")
    title: Text
    quantity: Text
    unit: str
    colour_map: Text
    levels: Ends | None
    range: ShownRange
    factor: Length
    raw: RawQuantity | None
    categories: list[Text]
    note: str
    over_grey: bool
    colours: Annotated[list[Colour], Field(min_length=1)]
    opacity: Opacity
    l0_origin: Pair
    channel: Count | None
    measurement: Text | None
    derived: dict[str, Any] | None
    overlay: Text | None
    flat: Text | None


class Outline(Form):
    """How the outlines of a kind of region are drawn."""

    colour: Colour
    dash: list[Count]


class Outlines(Form):
    """How the outlines of regions are drawn."""

    hot: Outline
    cold: Outline


class Manifest(Form):
    """``maps.json``."""

    format: Text
    slide: ListedSlide
    classes: Classes
    class_colours: dict[str, Colour]
    true_class: Text
    label: Text | None
    prediction: Numbers
    target: RecordedTarget | None = None
    outlines: Outlines
    grid: ListedGrid
    image: Text | None
    values: Text | None
    values_tiff: Text | None
    cells: Text | None
    cells_geojson: Text | None
    regions: Text | None
    regions_geojson: Text | None
    tiles: Text | None
    maps: Annotated[list[ListedMap], Field(min_length=1)]
