"""The forms of ``provenance.json`` and ``maps.json``: every field, its type and its range.

Fields that are not listed are allowed, so that newer results stay valid. To demand a new field, add
a line to its form.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

if TYPE_CHECKING:
    from collections.abc import Iterator

Text = Annotated[str, Field(min_length=1)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Colour = Annotated[str, Field(pattern=r"^#[0-9a-f]{6}$")]
Count = Annotated[int, Field(ge=0)]
Length = Annotated[int, Field(ge=1)]
Number = float
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1 + 1e-6)]
Mpp = Annotated[float, Field(gt=0, le=100)]
Lengths = Annotated[list[Length], Field(min_length=2, max_length=2)]
Places = Annotated[list[Number], Field(min_length=2, max_length=2)]
Sides = Annotated[list[Positive], Field(min_length=2, max_length=2)]
Mpps = Annotated[list[Mpp], Field(min_length=2, max_length=2)]
Shares = dict[str, Share | None]
Classes = list[Text]
Numbers = dict[str, Number | None]


class Form(BaseModel):
    """A JSON object: no field is converted from another type, and others are allowed."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True, allow_inf_nan=False)


class Ends(Form):
    """The values at both ends of a range."""

    lower: Number
    upper: Number

    @model_validator(mode="after")
    def _ordered(self) -> Ends:
        if self.lower > self.upper:
            raise ValueError(f"it reaches from {self.lower:g} down to {self.upper:g}")
        return self


class RecordedSlide(Form):
    """The slide in ``provenance.json``."""

    name: Text
    fingerprint: Text
    shape: Lengths
    mpp: Mpps
    mpp_source: Text
    own_mpp: Places | None


class RecordedGrid(Form):
    """The grid of cells in ``provenance.json``, as [y, x]."""

    shape: Lengths
    l0_cell: Sides
    l0_origin: Places
    mpp: Mpps


class Comparison(Form):
    """Tile-by-tile prediction compared with the map's."""

    tiles: Count
    tissue_tiles: Count
    dense: Shares
    plain: Shares
    slide: Shares | None
    gap: Share | None
    slide_gap: Share | None
    wide_from: Share
    wide: bool


class Curves(Form):
    """A class's perturbation curves, all over the same shares of removed cells."""

    aupc: dict[str, Number]
    removed: list[Share]
    curves: dict[str, list[Number]]

    @model_validator(mode="after")
    def _complete(self) -> Curves:
        if set(self.aupc) != set(self.curves):
            raise ValueError("areas and curves are of different maps")
        if any(len(curve) != len(self.removed) for curve in self.curves.values()):
            raise ValueError("a curve has another length than the shares removed")
        return self


class Faithfulness(Form):
    """Perturbation curves by class."""

    left_out: str
    random_orders: Count
    classes: dict[str, Curves]


class RegionSums(Form):
    """The sums over hot, or over cold, regions."""

    criterion: Text
    regions: Count
    threshold: Number | None
    wanted_share_of_evidence: Share | None
    area_mm2: NotNegative | None
    share_of_tissue: Share | None
    share_of_evidence: Number | None


class RecordedRegions(Form):
    """Hot and cold regions."""

    class_name: Text = Field(alias="class")
    sentence: Text
    quantity: Text
    hot: RegionSums
    cold: RegionSums
    left_out: Count
    least_cells: Count
    limit: Count = Field(alias="most")
    why: str


class RecordedArtefacts(Form):
    """Shares of cells and evidence on artefacts."""

    cells: dict[str, Share]
    evidence: dict[str, dict[str, Number | None]]
    excluded: dict[str, Count]
    brightness: Number | None
    measures: dict[str, Number]


class BlankTile(Form):
    """The place of a damaged tile that was left blank."""

    level: Count
    l0_row: Number
    l0_col: Number


class BlankTiles(Form):
    """The damaged tiles that were left blank."""

    count: Count
    first: list[BlankTile]


class RecordedScaling(Form):
    """The ranges that maps are drawn in."""

    model_digest: Text
    extractor_digest: Text
    classes: Classes
    ranges: Annotated[dict[str, Annotated[list[Ends], Field(min_length=1)]], Field(min_length=1)]
    quantiles: dict[str, Share]


class RecordedTarget(Form):
    """What is predicted; earlier results are of classes."""

    task: Literal["classification", "multilabel", "regression", "survival", "none"]
    outputs: Classes
    link: Literal["softmax", "sigmoid", "identity"]
    label: str | None
    unit: str
    numbered: bool


class RecordedTiles(Form):
    """Tiles that were made elsewhere."""

    system: Text
    count: Count
    digest: Digest
    notes: list[Text]


class RecordedModel(Form):
    """The model, or models; or what stands for it where maps were given."""

    digest: Digest
    classes: Classes
    target_label: str | None
    features: Count


class GivenExtractor(Form):
    """The unknown network that made given features, or none."""

    name: str
    digest: Digest
    channels: Count


class RecordedExtractor(Form):
    """The network that made the features."""

    name: Text
    digest: Text
    weights_sha256: str | None
    precision: Text
    channels: Length
    stride_px: Length
    centre_px: Number


class Pooling(Form):
    """How features are averaged."""

    kind: Text
    cells: Length


class RecordedOptions(Form):
    """The options that other rules read."""

    true_class: Text | None
    formats: Annotated[list[Text], Field(min_length=1)]
    compat: Text | None = None


class Record(Form):
    """``provenance.json``."""

    format: Literal["heatmaps-ome result 1"]
    created: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")]
    versions: Annotated[dict[str, Text], Field(min_length=1)]
    slide: RecordedSlide
    grid: RecordedGrid
    parts: Annotated[dict[str, Digest], Field(min_length=1)]
    tissue_cells: Count
    true_class: Text
    prediction: Numbers
    target: RecordedTarget | None = None
    tiles: RecordedTiles | None = None
    explanation: dict[str, Any] = Field(default_factory=dict)
    consistency: Comparison | None
    faithfulness: Faithfulness
    regions: RecordedRegions | None
    artefacts: RecordedArtefacts | None
    bad_tiles: BlankTiles | None
    maps_left_out: dict[str, Text]
    scaling: RecordedScaling
    name: Text
    request: Digest
    basis: Digest
    label: Text | None
    model: RecordedModel
    extractor: RecordedExtractor | GivenExtractor
    pooling: Pooling | None
    options: RecordedOptions
    stages: dict[str, dict[str, NotNegative]]
    files: Annotated[dict[str, Digest], Field(min_length=1)]
    sha256: Digest


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
    categories: list[Text]
    note: str
    colours: Annotated[list[Colour], Field(min_length=1)]
    opacity: Opacity
    channel: Count | None
    measurement: Text | None
    derived: dict[str, Any] | None
    overlay: Text | None
    flat: Text | None


class Manifest(Form):
    """``maps.json``."""

    format: Text
    slide: ListedSlide
    classes: Classes
    class_colours: dict[str, Colour]
    true_class: Text
    prediction: Numbers
    target: RecordedTarget | None = None
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


def faults_of(content: Any, form: type[Form]) -> Iterator[str]:
    """Yield how a JSON object differs from a form, a sentence each."""
    try:
        form.model_validate(content)
    except ValidationError as error:
        for fault in error.errors(include_url=False, include_context=False):
            place = ".".join(map(str, fault["loc"])) or "it"
            if fault["type"] == "missing":
                yield f"{place} is missing"
            else:
                yield f"{place} is {_short(fault['input'])}: {fault['msg']}"


def prediction_faults(
    prediction: dict[str, float | None], classes: list[str], target: dict[str, Any] | None
) -> Iterator[str]:
    """Yield the faults of a slide's prediction: its classes, and their sum.

    Parameters
    ----------
    target : dict or None
        The record of what is predicted; None: classes of a softmax.
    """
    link = "softmax" if target is None else target["link"]
    if target is not None and target["task"] == "none":
        if prediction:
            yield f"maps were given, and there is a prediction of {', '.join(prediction)}"
        return
    if target is not None and target["outputs"] != classes:
        yield f"the target has {', '.join(target['outputs'])}, the classes are {', '.join(classes)}"
    if link == "softmax" and len(classes) < 2:
        yield f"there are {len(classes)} classes, and one has nothing to be compared with"
    if list(prediction) != classes:
        yield f"the prediction is of {', '.join(prediction)}, the classes are {', '.join(classes)}"
    known = [value for value in prediction.values() if value is not None]
    if known and len(known) != len(prediction):
        yield "some of the predictions are unknown"
    elif known and link == "softmax" and abs(sum(known) - 1) > 1e-3:
        yield f"the predicted probabilities sum to {sum(known):g}, not to 1"
    if link != "identity" and any(not 0 <= value <= 1 + 1e-6 for value in known):
        yield f"the predicted probabilities are {', '.join(f'{value:g}' for value in known)}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
