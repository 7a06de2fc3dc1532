"""Options of ``share``: a folder for people without Python.

Annotations are evaluated here (no ``from __future__ import annotations``), and optional values
are spelled ``Optional``: argparse-dataclass 2.0.0 reads the types at run time and knows no other
spelling.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from heatmaps_ome.options.bounds import require_sound
from heatmaps_ome.options.fields import names, option
from heatmaps_ome.options.units import size_in_bytes


@dataclass(frozen=True)
class ShareOptions:
    """Options of ``heatmaps-ome share``."""

    path: Path = field(
        metadata={
            "args": ["path"],
            "group": "shared",
            "type": Path,
            "metavar": "OUTPUT_PATH",
            "help": "folder that create wrote to, or one slide's folder in it",
        },
    )
    slides: tuple[str, ...] = option(
        "shared", "names of slides in it, comma-separated, or patterns such as 'A*' (default: all)",
        default=(), type=names, metavar="NAMES",
    )  # fmt: skip
    slide_paths: tuple[Path, ...] = option(
        "shared",
        "where a slide's file is, or the folder that holds the slides, if they were moved since; "
        "may be repeated",
        default=(), type=Path, metavar="PATH", repeated=True,
    )  # fmt: skip
    output_path: Optional[Path] = option(
        "outputs", "folder to write (default: OUTPUT_PATH with -share at its end)",
        "-o", "--output-path", type=Path,
    )  # fmt: skip
    anonymous: bool = option(
        "outputs", "replace the names of slides by numbers, and leave out all dates",
        default=False,
    )  # fmt: skip
    zip: bool = option("outputs", "write a zip file beside the folder too", default=False)
    finest: Optional[float] = option(
        "outputs", "finest pixel in µm (default: the slide's own)",
        type=float, metavar="UM", between=(0.01, 1000),
    )  # fmt: skip
    max_size: Optional[str] = option(
        "outputs", "size that the folder may have, such as 4GB; pictures are made coarser to fit",
        type=str, metavar="SIZE",
    )  # fmt: skip
    dry_run: bool = option("outputs", "print the size, and write nothing", default=False)
    threads: Optional[int] = option(
        "outputs", "threads that read the slide (default: one per core, at most 4)",
        type=int, metavar="N", between=(1, 256),
    )  # fmt: skip
    overwrite: bool = option("outputs", "replace an earlier shared folder", default=False)

    def __post_init__(self) -> None:
        """Refuse values that no command can use."""
        require_sound(self)
        try:
            _ = self.max_bytes
        except ValueError as error:
            raise ValueError(f"--max-size: {error}") from error

    def notes(self) -> Iterator[str]:
        """Yield a sentence for each option that has no effect beside the others."""
        if self.dry_run and self.overwrite:
            yield "--overwrite has no effect: --dry-run writes nothing"

    @property
    def max_bytes(self) -> Optional[int]:
        """The upper limit of the folder in bytes; None: any."""
        return None if self.max_size is None else size_in_bytes(self.max_size)

    @property
    def target(self) -> Path:
        """The folder to write."""
        if self.output_path is not None:
            return self.output_path
        results = self.path.resolve()
        return results.with_name(f"{results.name}-share")
