"""Options of ``compare``.

Annotations are evaluated here (no ``from __future__ import annotations``), and optional values
are spelled ``Optional``: argparse-dataclass 2.0.0 reads the types at run time and knows no other
spelling.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Optional

from heatmaps_ome.options.bounds import require_sound
from heatmaps_ome.options.create import CreateOptions
from heatmaps_ome.options.fields import names, option
from heatmaps_ome.options.shared import same_as

FORMATS: Final = ("ome-zarr", "ome-tiff", "png", "cells")
"""Formats that show maps without a prediction, on a slide that may not be here."""


@dataclass(frozen=True)
class CompareOptions:
    """Options of ``heatmaps-ome compare``."""

    a: Path = field(
        metadata={
            "args": ["a"],
            "group": "results",
            "type": Path,
            "metavar": "A",
            "help": "folder that create or export wrote to, or one slide's folder in it",
        },
    )
    b: Path = field(
        metadata={
            "args": ["b"],
            "group": "results",
            "type": Path,
            "metavar": "B",
            "help": "another one with the same slides: of another model, run or option",
        },
    )
    output_path: Optional[Path] = option(
        "outputs", "folder to write the comparison to (default: A-vs-B, by the folders' names)",
        "-o", "--output-path", type=Path,
    )  # fmt: skip
    formats: tuple[str, ...] = option(
        "outputs",
        f"formats of the difference maps beside their raw values, any of {', '.join(FORMATS)}",
        default=("ome-zarr",), type=names, among=FORMATS, metavar="A,B",
    )  # fmt: skip
    overwrite: bool = option("outputs", "replace an earlier comparison", default=False)
    verbose: bool = same_as(CreateOptions, "verbose")

    def __post_init__(self) -> None:
        """Refuse values that no comparison can use."""
        require_sound(self)

    def notes(self) -> Iterator[str]:
        """Yield nothing: no option makes another one idle."""
        yield from ()
