"""The form of ``provenance.json``: every field, its type and its range.

Fields that are not listed are allowed, so that newer results stay valid. To demand a new field, add
a line to its form.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from heatmaps_ome.validate.form import (
    Classes,
    Count,
    Digest,
    Ends,
    Form,
    Length,
    Lengths,
    Mpps,
    NotNegative,
    Number,
    Numbers,
    Places,
    Share,
    Shares,
    Sides,
    Text,
)


class RecordedProfile(Form):
    """The slide's profile of colours in ``provenance.json``."""

    name: str
    bytes: Count
    sha256: Digest
    applied: bool


class RecordedSlide(Form):
    """The slide in ``provenance.json``."""

    name: Text
    fingerprint: Text
    shape: Lengths
    mpp: Mpps
    mpp_source: Text
    own_mpp: Places | None
    # Results of earlier versions lack these.
    pixels: str = ""
    reader: Text | None = None
    mpp_origin: str = ""
    icc: RecordedProfile | None = None
    notes: list[Text] = Field(default_factory=list)


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
    random_orders: Count

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
    total_evidence: NotNegative | None


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
    """Shares of cells, evidence and attention on artefacts."""

    cells: dict[str, Share]
    evidence: dict[str, dict[str, Number | None]]
    attention: dict[str, dict[str, Share]]
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
    """The ranges that maps are drawn in.

    Without their format they would be taken for those of raw contributions.
    """

    format: Literal["heatmaps-ome scaling 5", "heatmaps-ome scaling 6"]
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
    middle: Number | None


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
    maps: Digest | None = None
    label: Text | None
    model: RecordedModel
    extractor: RecordedExtractor | GivenExtractor
    pooling: Pooling | None
    options: RecordedOptions
    stages: dict[str, dict[str, NotNegative]]
    files: Annotated[dict[str, Digest], Field(min_length=1)]
    sha256: Digest
