"""Options of ``export``: maps of scores that any tool gave, for the same viewers.

Annotations are evaluated here (no ``from __future__ import annotations``), and optional values
are spelled ``Optional``: argparse-dataclass 2.0.0 reads the types at run time and knows no other
spelling.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Optional

from heatmaps_ome.options.bounds import require_sound
from heatmaps_ome.options.contradictions import in_effect, require_consistent, unused_formats
from heatmaps_ome.options.create import CreateOptions
from heatmaps_ome.options.fields import create_option
from heatmaps_ome.options.shared import same_as, tile_fact


@dataclass(frozen=True)
class ExportOptions:
    """Options of ``heatmaps-ome export``."""

    scores: Optional[Path] = field(
        default=None,
        metadata={
            "args": ["scores"],
            "group": "inputs",
            "effect": "none",
            "type": Path,
            "nargs": "?",
            "metavar": "SCORES",
            "help": "scores of a slide's tiles: h5, CSV, Parquet, npy, npz, GeoJSON, or a zarr of "
            "AnnData or SpatialData; or a folder with a file for each slide",
        },
    )
    slides: tuple[Path, ...] = create_option(
        "inputs", "the slide that the scores are of; may be repeated, for a folder of scores",
        "--slide", effect="none", default=(), type=Path, metavar="SLIDE", repeated=True,
        urls=True,
    )  # fmt: skip
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
    table: Optional[Path] = create_option(
        "inputs",
        "table with the columns slide and scores, and name, mpp and label where they are needed",
        "--slides", effect="none", type=Path, metavar="TABLE",
    )  # fmt: skip
    true_class: Optional[str] = create_option(
        "inputs", "map drawn hot, which is shown first (default: the first one)",
        "-t", "--true-class", effect="drawn", type=str, metavar="NAME",
    )  # fmt: skip
    map: tuple[str, ...] = create_option(
        "given",
        "a map to make, its column where that is called otherwise, and its kind where the file "
        "does not state it: attention, probability, contribution or value; may be repeated "
        "(default: all columns)",
        effect="none", default=(), type=str, metavar="NAME[=COLUMN][:KIND]", repeated=True,
    )  # fmt: skip
    coords: Optional[Path] = tile_fact("coords", effect="none")
    coords_unit: Optional[str] = tile_fact("coords_unit", effect="none")
    tile_size: Optional[float] = tile_fact("tile_size", effect="none")
    origin: Optional[str] = tile_fact("origin", effect="none")
    stride: Optional[float] = tile_fact("stride", effect="none")
    dataset: Optional[str] = tile_fact("dataset", effect="none")
    mpp: Optional[float] = same_as(CreateOptions, "mpp")
    bad_tiles: Literal["fail", "blank"] = same_as(CreateOptions, "bad_tiles")
    reader: str = same_as(CreateOptions, "reader")
    icc: Literal["ignore", "apply"] = same_as(CreateOptions, "icc")
    read_from: Literal["level", "level0"] = same_as(CreateOptions, "read_from")
    threads: Optional[int] = same_as(CreateOptions, "threads")
    cache_dir: Optional[Path] = same_as(CreateOptions, "cache_dir")
    scratch: Optional[Path] = same_as(CreateOptions, "scratch")
    scratch_size: Optional[str] = same_as(CreateOptions, "scratch_size")
    att_upper_threshold: Optional[float] = same_as(CreateOptions, "att_upper_threshold")
    att_lower_threshold: Optional[float] = same_as(CreateOptions, "att_lower_threshold")
    score_threshold: Optional[float] = same_as(CreateOptions, "score_threshold")
    region_hot: float = same_as(CreateOptions, "region_hot")
    region_cold: float = same_as(CreateOptions, "region_cold")
    scaling: Optional[Path] = same_as(CreateOptions, "scaling")
    refit: bool = same_as(CreateOptions, "refit")
    att_cmap: str = same_as(CreateOptions, "att_cmap")
    score_cmap: str = same_as(CreateOptions, "score_cmap")
    contribution_cmap: str = same_as(CreateOptions, "contribution_cmap")
    att_alpha: float = same_as(CreateOptions, "att_alpha")
    score_alpha: float = same_as(CreateOptions, "score_alpha")
    fade: Literal["attention", "none"] = same_as(CreateOptions, "fade")
    grey_tissue: bool = same_as(CreateOptions, "grey_tissue")
    profile: Literal["standard", "archive", "full"] = same_as(CreateOptions, "profile")
    formats: tuple[str, ...] = same_as(CreateOptions, "formats")
    figures: bool = same_as(CreateOptions, "figures")
    top_tiles: int = same_as(CreateOptions, "top_tiles")
    image_mpp: Optional[float] = same_as(CreateOptions, "image_mpp")
    flat_mpp: Optional[float] = same_as(CreateOptions, "flat_mpp")
    flattened: bool = same_as(CreateOptions, "flattened")
    overlay_px: Optional[int] = same_as(CreateOptions, "overlay_px")
    ngff: Literal["0.4", "0.5"] = same_as(CreateOptions, "ngff")
    no_chain: bool = same_as(CreateOptions, "no_chain")
    previews: Literal["all", "small"] = same_as(CreateOptions, "previews")
    cells_geojson: Literal["few", "never"] = same_as(CreateOptions, "cells_geojson")
    keep_pixels: Literal["always", "until-drawn", "never"] = same_as(CreateOptions, "keep_pixels")
    overwrite: bool = same_as(CreateOptions, "overwrite")
    verify: bool = same_as(CreateOptions, "verify")
    dry_run: bool = same_as(CreateOptions, "dry_run")
    verbose: bool = same_as(CreateOptions, "verbose")

    def __post_init__(self) -> None:
        """Refuse values that no run can use, and contradictions."""
        require_sound(self)
        require_consistent(self)
        lower, upper = (in_effect(self, f"att_{end}_threshold") for end in ("lower", "upper"))
        if lower is not None and lower >= upper:
            raise ValueError("--att-lower-threshold must be below --att-upper-threshold")

    def notes(self) -> Iterator[str]:
        """Yield a sentence for each option that has no effect beside the others."""
        yield from unused_formats(self)
