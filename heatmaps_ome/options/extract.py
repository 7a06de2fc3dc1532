"""Options of ``extract``; those that ``create`` has too are taken from there.

Annotations are evaluated here (no ``from __future__ import annotations``), and optional values
are spelled ``Optional``: argparse-dataclass 2.0.0 reads the types at run time and knows no other
spelling.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Optional

from heatmaps_ome.options.bounds import require_sound
from heatmaps_ome.options.contradictions import require_consistent
from heatmaps_ome.options.create import ENCODERS, CreateOptions
from heatmaps_ome.options.devices import require_device
from heatmaps_ome.options.fields import option
from heatmaps_ome.options.shared import same_as
from heatmaps_ome.options.tiles import AskedTiles, tile_option


@dataclass(frozen=True)
class ExtractOptions:
    """Options of ``heatmaps-ome extract``."""

    slides: tuple[Path, ...] = same_as(
        CreateOptions,
        "slides",
        help="slides to make features of, folders of slides, or quoted patterns",
    )
    output_path: Path = field(
        kw_only=True,
        metadata={
            "args": ["-o", "--output-path"],
            "group": "inputs",
            "type": Path,
            "help": "folder to write SLIDE.h5 of each slide to",
        },
    )
    from_file: Optional[Path] = same_as(CreateOptions, "from_file")
    table: Optional[Path] = same_as(
        CreateOptions,
        "table",
        help="table with a column slide and, for each slide, its name and mpp",
    )
    mpp: Optional[float] = same_as(CreateOptions, "mpp")
    bad_tiles: Literal["fail", "blank"] = same_as(CreateOptions, "bad_tiles")
    reader: str = same_as(CreateOptions, "reader")
    icc: Literal["ignore", "apply"] = same_as(CreateOptions, "icc")
    tile_um: Optional[float] = tile_option("tile_um")
    tile_px: Optional[int] = tile_option("tile_px")
    target_mpp: Optional[float] = same_as(CreateOptions,
        "target_mpp", group="tiling", default=None,
        help="µm per network pixel (default: --tile-um / --tile-px, or 256/224)",
    )  # fmt: skip
    overlap: Optional[int] = tile_option("overlap")
    stride_um: Optional[float] = tile_option("stride_um")
    mask_threshold: float = same_as(CreateOptions,
        "mask_threshold", group="tiling",
        help="brightness (0-255) from which a cell of 32 network pixels is background; tiles of "
        "which at least half is tissue are taken",
    )  # fmt: skip
    extractor: str = same_as(CreateOptions, "extractor", help=f"patch encoder: {ENCODERS}")
    extractor_weights: Optional[Path] = same_as(CreateOptions, "extractor_weights")
    download: bool = same_as(CreateOptions, "download")
    read_from: Literal["level", "level0"] = same_as(CreateOptions, "read_from")
    device: str = same_as(CreateOptions, "device")
    precision: Literal["auto", "float32", "bfloat16"] = same_as(CreateOptions, "precision")
    max_memory: Optional[float] = same_as(CreateOptions, "max_memory")
    threads: Optional[int] = same_as(CreateOptions, "threads")
    scratch: Optional[Path] = same_as(CreateOptions, "scratch")
    scratch_size: Optional[str] = same_as(CreateOptions, "scratch_size")
    feature_type: Literal["float32", "float16"] = option(
        "outputs", "number type of the features in the files",
        default="float32", type=str, metavar="TYPE",
    )  # fmt: skip
    overwrite: bool = same_as(
        CreateOptions, "overwrite", help="replace files that extract wrote with other options"
    )
    verbose: bool = same_as(CreateOptions, "verbose", help="print more messages")

    def __post_init__(self) -> None:
        """Refuse values that no run can use, and contradictions."""
        require_sound(self)
        require_consistent(self)
        require_device(self.device, force_cpu=False)
        self.asked_tiles.require_sizes()

    def notes(self) -> Iterator[str]:
        """Yield a sentence for each option that has no effect beside the others."""
        if self.asked_tiles.gap_note:
            yield self.asked_tiles.gap_note

    @property
    def asked_tiles(self) -> AskedTiles:
        """The size and distance of tiles."""
        return AskedTiles(self.tile_um, self.tile_px, self.target_mpp, self.overlap, self.stride_um)
