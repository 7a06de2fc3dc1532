"""Options of ``create``: the source of their defaults, ``--help`` and the README's table.

Annotations are evaluated here (no ``from __future__ import annotations``), and optional values
are spelled ``Optional``: argparse-dataclass 2.0.0 reads the types at run time and knows no other
spelling.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Optional

from heatmaps_ome.extractors import usual_tile_px
from heatmaps_ome.options.bounds import require_sound
from heatmaps_ome.options.contradictions import (
    given,
    in_effect,
    require_consistent,
    require_kernel,
    require_one_value_each,
    unused_formats,
)
from heatmaps_ome.options.devices import DEVICES, NOT_SEVERAL, require_device, require_devices
from heatmaps_ome.options.fields import MODEL_ENDINGS, assignment, create_option, names
from heatmaps_ome.options.files import file_option
from heatmaps_ome.options.shared import model_fact, scratch_option, slide_option, tile_fact
from heatmaps_ome.options.tiles import AskedTiles, tile_option
from heatmaps_ome.options.workers import require_workers, worker_option
from heatmaps_ome.slides.artefact_kinds import KINDS

ENCODERS = "a name that heatmaps-ome extractors lists, timm:NAME, or a recipe's file (.toml)"
COMPAT = ("reference", "stamp", "clam")

_MPP = (0.05, 20)
_SHARE = (0, 1)
_NEEDS_FIT = {"scaling": "whose file has quantiles of its own"}


@dataclass(frozen=True)
class CreateOptions:
    """Options of ``heatmaps-ome create`` and of ``scripts/create_heatmaps.py``."""

    slides: tuple[Path, ...] = create_option(
        "inputs",
        "slides to create heatmaps for, folders of slides, or quoted patterns, also as URLs "
        "(s3://BUCKET/SLIDE); all slides share one colour scale",
        "slides", effect="none", default=(), type=Path, nargs="*", metavar="SLIDE", urls=True,
    )  # fmt: skip
    model_path: Path | tuple[Path, ...] = field(
        kw_only=True,
        metadata={
            "args": ["-m", "--model-path"],
            "group": "inputs",
            "effect": "none",
            "type": Path,
            "repeated": True,
            "followed_by": MODEL_ENDINGS,
            "help": "MIL model: marugoto's export.pkl, or that of another system (STAMP, CLAM, "
            "MIL-Lab and others; info lists what a file is), or the file that convert-model makes "
            "of it; with several models, such as the folds of a cross-validation, maps are their "
            "means",
        },
    )
    output_path: Path = field(
        kw_only=True,
        metadata={
            "args": ["-o", "--output-path"],
            "group": "inputs",
            "effect": "none",
            "type": Path,
            "urls": True,
            "help": "folder to write the results to, also as a URL (s3://BUCKET/FOLDER)",
        },
    )
    true_class: Optional[str] = create_option(
        "inputs",
        "class drawn hot: evidence for it is hot in the maps, whatever the slide's ground truth; "
        "may be left out where the model has one output",
        "-t", "--true-class", effect="drawn", type=str,
    )  # fmt: skip
    features: Optional[Path] = create_option(
        "given",
        "features of the slide's tiles that STAMP, CLAM, TRIDENT, LazySlide, slideflow or extract "
        "made, which the model reads instead of the slide: a file, or a folder with one for each "
        "slide; also a column of the table",
        effect="none", type=Path, metavar="FILE",
    )  # fmt: skip
    # Its effect is one on maps of features alone, whose digests have it.
    explain: Literal["auto", "contributions", "drop-one", "ig", "single"] = create_option(
        "given",
        "explanation of a prediction from tiles: auto (exact contributions where the model "
        "has them, else drop-one), contributions, drop-one (predictions without each tile), ig "
        "(integrated gradients) or single (each tile alone)",
        effect="none", default="auto", type=str, metavar="HOW",
    )  # fmt: skip
    coords: Optional[Path] = tile_fact("coords", effect="none")
    coords_unit: Optional[str] = tile_fact("coords_unit", effect="none")
    tile_size: Optional[float] = tile_fact("tile_size", effect="none")
    origin: Optional[str] = tile_fact("origin", effect="none")
    stride: Optional[float] = tile_fact("stride", effect="none")
    dataset: Optional[str] = tile_fact("dataset", effect="none")
    class_names: tuple[str, ...] = model_fact("class_names", effect="none")
    task: Optional[str] = model_fact("task", effect="none")
    family: Optional[str] = model_fact("family", effect="none")
    head: Optional[str] = model_fact("head", effect="none")
    heads: Optional[int] = model_fact("heads", effect="none")
    attention_gate: Optional[float] = model_fact("attention_gate", effect="none")
    temperature: Optional[float] = model_fact("temperature", effect="none")
    model_code: Optional[str] = create_option(
        "inputs",
        "your own model, module:Class, which is built from the file of --model-path; this runs its "
        "code",
        effect="none", type=str, metavar="MODULE:CLASS",
    )  # fmt: skip
    from_file: Optional[Path] = create_option(
        "inputs", "file with more slides, one path a line", effect="none", type=Path, metavar="FILE"
    )
    table: Optional[Path] = create_option(
        "inputs",
        "table with a column slide and, for each slide, its name, mpp, label, features and "
        "covariates",
        "--slides", effect="none", type=Path, metavar="TABLE",
    )  # fmt: skip
    mpp: Optional[float] = create_option(
        "inputs",
        "µm per pixel of the slides at full resolution, used instead of their own; needed where "
        "they state none, or none from 0.05 to 20",
        effect="none", between=_MPP, type=float, metavar="UM",
    )  # fmt: skip
    bad_tiles: Literal["fail", "blank"] = slide_option("bad_tiles")
    reader: str = slide_option("reader")
    icc: Literal["ignore", "apply"] = slide_option("icc")
    covariate: tuple[tuple[str, str], ...] = create_option(
        "inputs", "value of a tabular input that the model was trained with; may be repeated",
        effect="none", default=(), type=assignment, metavar="NAME=VALUE", repeated=True,
    )  # fmt: skip
    allow_pickle: bool = create_option(
        "inputs",
        "let fastai load models that the safe reader refuses; this runs code from the model's "
        "file, so use it only for files that you trust",
        effect="values", default=False,
    )  # fmt: skip
    extractor: str = create_option(
        "network", f"patch encoder that the model was trained on: {ENCODERS}",
        effect="values", default="retccl", type=str, metavar="NAME",
    )  # fmt: skip
    extractor_weights: Optional[Path] = create_option(
        "network",
        "the encoder's weights, for retccl the authors' best_ckpt.pth (default: those that a hub's "
        "local cache has)",
        effect="none", type=Path, metavar="FILE",
    )  # fmt: skip
    download: bool = create_option(
        "network",
        "fetch the encoder's weights from its authors' hub if they are not on this machine",
        effect="none", default=False,
        contradicts={"extractor_weights": "which is on this machine"},
    )  # fmt: skip
    target_mpp: float = create_option(
        "network", "µm per network pixel that the model's training features had (default: 256/224)",
        effect="values", between=_MPP, default=256 / 224, type=float, metavar="UM",
    )  # fmt: skip
    tile_um: Optional[float] = tile_option("tile_um", effect="none")
    tile_px: Optional[int] = tile_option("tile_px", effect="none")
    overlap: Optional[int] = tile_option("overlap", effect="none")
    stride_um: Optional[float] = tile_option("stride_um", effect="none")
    refine: Optional[float] = tile_option("refine", effect="values")
    no_pool: bool = create_option(
        "network", "do not average features over neighbouring cells", effect="values", default=False
    )
    blur_kernel_size: Optional[int] = create_option(
        "network",
        "blur features with a Gaussian of this many cells instead of averaging 7 × 7; "
        "0: no blur",
        effect="values", between=(0, 127), type=int, metavar="SIZE",
    )  # fmt: skip
    read_from: Literal["level", "level0"] = create_option(
        "network",
        "source of the network's pixels: level (the slide's coarsest level that is fine enough) or "
        "level0 (its finest level, slower)",
        effect="values", default="level", type=str, metavar="WHERE",
    )  # fmt: skip
    consistency_tiles: int = create_option(
        "network",
        "number of tiles, spread over the tissue, for a tile-by-tile prediction as in training, "
        "which is compared with the map's prediction; 0: none",
        effect="values", between=(0, 1_000_000), default=64, type=int, metavar="N",
    )  # fmt: skip
    device: str = create_option(
        "network", f"where the network runs: {DEVICES}",
        effect="none", default="auto", type=str, metavar="DEVICE",
    )  # fmt: skip
    devices: Optional[tuple[str, ...]] = create_option(
        "network",
        "several GPUs, each of which takes slides: cuda:0,cuda:1, or all for all there are",
        effect="none", type=names, metavar="A,B", contradicts=NOT_SEVERAL,
    )  # fmt: skip
    force_cpu: bool = create_option(
        "network", "the same as --device cpu", effect="none", default=False
    )
    # "auto" depends on the device; the extractor's digest covers the type that was chosen.
    precision: Literal["auto", "float32", "bfloat16"] = create_option(
        "network",
        "number type the network computes in; auto is bfloat16 where the device computes it "
        "faster, else float32",
        effect="none", default="auto", type=str, metavar="TYPE",
    )  # fmt: skip
    block_size: Optional[int] = create_option(
        "network",
        "longest side of the blocks for the network, in network pixels; changes memory, "
        "not values (default: up to 1280, as memory allows)",
        effect="none", between=(32, 16384), type=int, metavar="PX",
    )  # fmt: skip
    max_memory: Optional[float] = create_option(
        "network", "upper limit of a run's memory, in GiB; a GPU's own memory is not counted",
        effect="none", between=(0.1, 65536), type=float, metavar="GIB",
    )  # fmt: skip
    threads: Optional[int] = create_option(
        "network",
        "threads that read slides (default: one per core, at most 4 where no GPU waits for them)",
        effect="none", between=(1, 256), type=int, metavar="N",
    )  # fmt: skip
    cache_dir: Optional[Path] = create_option(
        "network",
        "folder for cached features, best shared by all runs (default: OUTPUT_PATH/.cache)",
        effect="none", type=Path, metavar="DIR",
    )  # fmt: skip
    scratch: Optional[Path] = scratch_option("scratch")
    scratch_size: Optional[str] = scratch_option("scratch_size")
    mask_threshold: float = create_option(
        "thresholds", "brightness (0-255) from which a cell is background",
        effect="values", between=(0, 256), default=224, type=float, metavar="THRESH",
    )  # fmt: skip
    exclude_artefacts: tuple[str, ...] = create_option(
        "thresholds",
        f"kinds of artefacts whose cells are left out of maps and prediction: {', '.join(KINDS)}",
        effect="values", among=KINDS, default=(), type=names, metavar="A,B",
    )  # fmt: skip
    att_upper_threshold: Optional[float] = create_option(
        "thresholds", "upper quantile for attention; 0.99: the top 1 %% become 1",
        effect="none", between=_SHARE, contradicts=_NEEDS_FIT, type=float, metavar="THRESH",
        usual=1.0,
    )  # fmt: skip
    att_lower_threshold: Optional[float] = create_option(
        "thresholds",
        "lower quantile for attention; 0.01: the bottom 1 %% become 0",
        effect="none", between=_SHARE, contradicts=_NEEDS_FIT, type=float, metavar="THRESH",
        usual=0.01,
    )  # fmt: skip
    score_threshold: Optional[float] = create_option(
        "thresholds",
        "quantile for scores; 0.95: the most extreme 5 %% are outliers",
        effect="none", between=_SHARE, contradicts=_NEEDS_FIT, type=float, metavar="THRESH",
        usual=0.95,
    )  # fmt: skip
    region_hot: float = create_option(
        "thresholds",
        "hot regions are the fewest cells that carry this share of the evidence for the class "
        "drawn hot",
        effect="drawn", between=_SHARE, default=0.8, type=float, metavar="SHARE",
    )  # fmt: skip
    region_cold: float = create_option(
        "thresholds",
        "cold regions are the fewest cells that carry this share of the evidence against the class",
        effect="drawn", between=_SHARE, default=0.8, type=float, metavar="SHARE",
    )  # fmt: skip
    scaling: Optional[Path] = create_option(
        "thresholds", "scaling.json of an earlier run, instead of a scaling fitted to these slides",
        effect="none", type=Path, metavar="FILE",
    )  # fmt: skip
    refit: bool = create_option(
        "thresholds",
        "fit a new scaling to these slides, although the output folder has one, and draw them anew",
        effect="none", default=False,
        contradicts={"scaling": "which is fitted already"},
    )  # fmt: skip
    att_cmap: str = create_option(
        "colours", "colour map of attention",
        effect="drawn", default="magma", type=str, metavar="CMAP",
    )  # fmt: skip
    score_cmap: str = create_option(
        "colours", "diverging colour map of scores",
        effect="drawn", default="coolwarm", type=str, metavar="CMAP",
    )  # fmt: skip
    contribution_cmap: str = create_option(
        "colours", "diverging colour map of contributions and leave-one-out",
        effect="drawn", default="blue-orange", type=str, metavar="CMAP",
    )  # fmt: skip
    att_alpha: float = create_option(
        "colours", "opaqueness of the attention map and of the winner",
        effect="drawn", between=_SHARE, default=0.5, type=float, metavar="ALPHA",
    )  # fmt: skip
    score_alpha: float = create_option(
        "colours", "opaqueness of scores, margins and contributions where attention is highest",
        effect="drawn", between=_SHARE, default=1.0, type=float, metavar="ALPHA",
    )  # fmt: skip
    fade: Literal["attention", "none"] = create_option(
        "colours",
        "what scores, margins and contributions fade with: attention, or none, which makes them as "
        "opaque as the attention map",
        effect="drawn", default="attention", type=str, metavar="WITH",
    )  # fmt: skip
    grey_tissue: bool = create_option(
        "colours", "draw the tissue grey under maps, in previews and pictures with a map burnt in",
        effect="drawn", default=False,
    )  # fmt: skip
    compat: Optional[str] = create_option(
        "colours",
        "draw maps like another program, to compare with its figures: reference "
        "(create_heatmaps.py's squares and score colours); with --features also stamp or clam, "
        "whose own picture is added to the maps; raw values do not change",
        effect="values", among=lambda: COMPAT, type=str, metavar="PROGRAM",
    )  # fmt: skip
    classes: Optional[tuple[str, ...]] = create_option(
        "outputs", "classes to write maps of (default: all)",
        effect="values", type=names, metavar="A,B",
    )  # fmt: skip
    leave_one_out: bool = create_option(
        "outputs",
        "draw leave-one-out maps too; on slides of many cells they look like contributions, and "
        "the raw values contain them in any case",
        effect="values", default=False,
    )  # fmt: skip
    profile: Literal["standard", "archive", "full"] = file_option("profile")
    formats: tuple[str, ...] = file_option("formats")
    figures: bool = file_option("figures")
    top_tiles: int = file_option("top_tiles")
    image_mpp: Optional[float] = file_option("image_mpp")
    flat_mpp: Optional[float] = file_option("flat_mpp")
    flattened: bool = file_option("flattened")
    overlay_px: Optional[int] = file_option("overlay_px")
    ngff: Literal["0.4", "0.5"] = file_option("ngff")
    no_chain: bool = file_option("no_chain")
    previews: Literal["all", "small"] = file_option("previews")
    cells_geojson: Literal["few", "never"] = file_option("cells_geojson")
    keep_pixels: Literal["always", "until-drawn", "never"] = file_option("keep_pixels")
    overwrite: bool = create_option(
        "outputs", "replace results of an earlier run with other options",
        effect="none", default=False,
    )  # fmt: skip
    verify: bool = create_option(
        "outputs",
        "read all slides again to see whether they have changed; otherwise only those are read "
        "whose size, time or place is another than in an earlier run",
        effect="none", default=False,
    )  # fmt: skip
    dry_run: bool = file_option("dry_run")
    verbose: bool = create_option(
        "outputs", "print all findings of each slide, all ways to open files, and more messages",
        "-v", "--verbose", effect="none", default=False,
    )  # fmt: skip
    workers: Optional[int] = worker_option("workers")
    scheduler: Optional[str] = worker_option("scheduler")
    cluster: Optional[str] = worker_option("cluster")
    retries: Optional[int] = worker_option("retries")
    slide_timeout: Optional[str] = worker_option("slide_timeout")

    @property
    def model_paths(self) -> tuple[Path, ...]:
        """The models' files, or patterns for them, as given."""
        return (self.model_path,) if isinstance(self.model_path, Path) else self.model_path

    def __post_init__(self) -> None:
        """Refuse values that no run can use, and contradictions."""
        require_sound(self)
        require_consistent(self)
        lower, upper = (in_effect(self, f"att_{end}_threshold") for end in ("lower", "upper"))
        if lower is not None and lower >= upper:
            raise ValueError("--att-lower-threshold must be below --att-upper-threshold")
        require_kernel(self.blur_kernel_size, no_pool=self.no_pool)
        require_device(self.device, force_cpu=self.force_cpu)
        require_devices(self.devices)
        require_workers(self)
        require_one_value_each(self.covariate)
        self.asked_tiles.require_sizes()

    def notes(self) -> Iterator[str]:
        """Yield a sentence for each option that has no effect beside the others."""
        yield from unused_formats(self)
        if self.top_tiles == 0 and given(self, "formats") and "tiles" in self.formats:
            yield "--formats: tiles are not written, as --top-tiles is 0"
        if self.allow_pickle and all(path.suffix == ".safetensors" for path in self.model_paths):
            yield "--allow-pickle has no effect: safetensors hold no pickle"
        if self.max_memory is not None and self.block_size is not None:
            yield "--max-memory has no effect beside --block-size, which settles the memory"
        if self.asked_tiles.gap_note:
            yield self.asked_tiles.gap_note

    @property
    def asked_tiles(self) -> AskedTiles:
        """The size and distance of tiles, as far as they are asked for."""
        mpp = self.target_mpp if given(self, "target_mpp") else None
        return AskedTiles(
            self.tile_um, self.tile_px, mpp, self.overlap, self.stride_um,
            usual_tile_px(self.extractor), self.refine,
        )  # fmt: skip
