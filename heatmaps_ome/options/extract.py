"""Options of ``extract``; those that ``create`` has too are taken from there.

Annotations are evaluated here (no ``from __future__ import annotations``), and optional values
are spelled ``Optional``: argparse-dataclass 2.0.0 reads the types at run time and knows no other
spelling.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal, Optional

from heatmaps_ome.options.bounds import require_sound
from heatmaps_ome.options.contradictions import require_consistent
from heatmaps_ome.options.create import ENCODERS, CreateOptions
from heatmaps_ome.options.devices import require_device
from heatmaps_ome.options.fields import option
from heatmaps_ome.options.shared import same_as

_USUAL_PX = 224
_USUAL_MPP = 256 / 224
_ALIKE = 1e-3
"""Largest relative difference of a side that is given twice, as µm have few decimals."""


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
    tile_um: Optional[float] = option(
        "tiling",
        "side of a tile in µm; with --tile-px it settles the µm per network pixel (default: "
        "--tile-px at --target-mpp, which is 256)",
        type=float, metavar="UM", between=(1, 100_000),
    )  # fmt: skip
    tile_px: Optional[int] = option(
        "tiling",
        "side of a tile in network pixels, a multiple of 32 (default: 224, or --tile-um at "
        "--target-mpp)",
        type=int, metavar="PX", between=(32, 4096),
    )  # fmt: skip
    target_mpp: Optional[float] = same_as(CreateOptions,
        "target_mpp", group="tiling", default=None,
        help="µm per network pixel (default: --tile-um / --tile-px, or 256/224)",
    )  # fmt: skip
    overlap: Optional[int] = option(
        "tiling", "network pixels that neighbouring tiles share (default: 0)",
        type=int, metavar="PX", between=(0, 4095),
        contradicts={"stride_um": "which settles the overlap too"},
    )  # fmt: skip
    stride_um: Optional[float] = option(
        "tiling",
        "distance from one tile to the next in µm, which may leave gaps (default: side by side)",
        type=float, metavar="UM", between=(1, 100_000),
    )  # fmt: skip
    mask_threshold: float = same_as(CreateOptions,
        "mask_threshold", group="tiling",
        help="brightness (0-255) from which a cell of 32 network pixels is background; tiles of "
        "which at least half is tissue are taken",
    )  # fmt: skip
    extractor: str = same_as(
        CreateOptions, "extractor", help=f"patch encoder: {' or '.join(ENCODERS)}"
    )
    extractor_weights: Optional[Path] = same_as(CreateOptions, "extractor_weights")
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
        _ = self.side_px, self.network_mpp
        if self.stride_px < 1:
            raise ValueError(
                f"--stride-um is {self.stride_um:g}, less than a network pixel of "
                f"{self.network_mpp:.4g} µm; give more, or leave it out"
            )

    def notes(self) -> Iterator[str]:
        """Yield a sentence for each option that has no effect beside the others."""
        if self.stride_um is not None and self.stride_px > self.side_px:
            yield (
                f"--stride-um leaves gaps of {self.stride_um - self.side_px * self.network_mpp:g} "
                "µm between tiles"
            )

    @property
    def side_px(self) -> int:
        """Side of a tile in network pixels.

        Raises
        ------
        ValueError
            If the sides in µm and in network pixels are at odds.
        """
        if self.tile_um is None or self.target_mpp is None:
            return _USUAL_PX if self.tile_px is None else self.tile_px
        side = self.tile_um / self.target_mpp
        whole = round(side) if self.tile_px is None else self.tile_px
        if whole < 1 or not math.isclose(side, whole, rel_tol=_ALIKE):
            raise ValueError(
                f"--tile-um {self.tile_um:g} at --target-mpp {self.target_mpp:g} is {side:.6g} "
                f"network pixels, not {max(1, whole)}; leave out one of --tile-um, --tile-px and "
                "--target-mpp"
            )
        low, high = self._bounds("tile_px")
        if not low <= whole <= high:
            raise ValueError(
                f"--tile-um {self.tile_um:g} at --target-mpp {self.target_mpp:g} is {whole} "
                f"network pixels; give a side of {low} to {high}"
            )
        return whole

    @property
    def network_mpp(self) -> float:
        """µm per network pixel.

        Raises
        ------
        ValueError
            If it is none that networks have.
        """
        if self.tile_um is None:
            return _USUAL_MPP if self.target_mpp is None else self.target_mpp
        mpp = self.tile_um / self.side_px
        low, high = self._bounds("target_mpp")
        if not low <= mpp <= high:
            raise ValueError(
                f"--tile-um {self.tile_um:g} of {self.side_px} network pixels are {mpp:.4g} µm per "
                f"pixel; give a side for which it is from {low} to {high}"
            )
        return mpp

    @property
    def stride_px(self) -> float:
        """Distance from one tile to the next in network pixels.

        Raises
        ------
        ValueError
            If tiles overlap as a whole.
        """
        if self.stride_um is not None:
            return self.stride_um / self.network_mpp
        stride = self.side_px - (self.overlap or 0)
        if stride < 1:
            raise ValueError(
                f"--overlap is {self.overlap}, and a tile has only {self.side_px} network pixels; "
                f"give less than {self.side_px}"
            )
        return stride

    def _bounds(self, name: str) -> tuple[float, float]:
        """Return the least and the largest value of an option."""
        [entry] = [entry for entry in fields(self) if entry.name == name]
        return entry.metadata["between"]
