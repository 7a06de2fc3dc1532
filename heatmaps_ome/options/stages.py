"""Options of the stages of a run: ``maps``, ``fit`` and ``draw``.

Annotations are evaluated here (no ``from __future__ import annotations``), and optional values
are spelled ``Optional``: argparse-dataclass 2.0.0 reads the types at run time and knows no other
spelling.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from heatmaps_ome.options.bounds import require_sound
from heatmaps_ome.options.contradictions import require_consistent
from heatmaps_ome.options.create import CreateOptions
from heatmaps_ome.options.fields import create_option, option
from heatmaps_ome.options.shards import Shard
from heatmaps_ome.options.shared import quantiles_asked, same_as
from heatmaps_ome.options.workers import require_workers


def shard_of(text: Optional[str]) -> Optional[Shard]:
    """Return the shard that an option names; None: all slides.

    Raises
    ------
    ValueError
        If it names none.
    """
    try:
        return None if text is None else Shard.parse(text)
    except ValueError as error:
        raise ValueError(f"--shard: {error}") from error


@dataclass(frozen=True)
class MapsOptions(CreateOptions):
    """Options of ``heatmaps-ome maps``: those of ``create``, which later stages go by."""

    shard: Optional[str] = create_option(
        "jobs",
        "only the I-th of N equal parts of the slides, as one of N jobs that may run at once on "
        "any machines",
        effect="none", type=str, metavar="I/N",
    )  # fmt: skip

    def __post_init__(self) -> None:
        """Refuse values that no run can use, and contradictions."""
        super().__post_init__()
        shard_of(self.shard)

    @property
    def part(self) -> Optional[Shard]:
        """The shard of the slides; None: all of them."""
        return shard_of(self.shard)

    def notes(self) -> Iterator[str]:
        """Yield a sentence for each option that has no effect beside the others."""
        yield from super().notes()
        if self.refit:
            yield "--refit has no effect: fit fits anew whenever it is called"


@dataclass(frozen=True)
class FitOptions:
    """Options of ``heatmaps-ome fit``."""

    paths: tuple[Path, ...] = field(
        default=(),
        metadata={
            "args": ["paths"],
            "group": "results",
            "type": Path,
            "urls": True,
            "nargs": "+",
            "metavar": "OUTPUT_PATH",
            "help": "folders that maps wrote to; several get one scaling",
        },
    )
    output: Optional[Path] = option(
        "outputs", "file to write the scaling to (default: scaling.json in each folder)",
        type=Path, metavar="FILE",
    )  # fmt: skip
    att_upper_threshold: Optional[float] = same_as(
        CreateOptions, "att_upper_threshold", contradicts={}
    )
    att_lower_threshold: Optional[float] = same_as(
        CreateOptions, "att_lower_threshold", contradicts={}
    )
    score_threshold: Optional[float] = same_as(CreateOptions, "score_threshold", contradicts={})

    def __post_init__(self) -> None:
        """Refuse values that no run can use."""
        require_sound(self)

    @property
    def asked(self) -> dict[str, float]:
        """The quantiles that were given, by their names in `Quantiles`."""
        return quantiles_asked(self)


@dataclass(frozen=True)
class DrawOptions:
    """Options of ``heatmaps-ome draw``."""

    path: Path = field(
        metadata={
            "args": ["path"],
            "group": "results",
            "type": Path,
            "urls": True,
            "metavar": "OUTPUT_PATH",
            "help": "folder that maps wrote to",
        },
    )
    scaling: Optional[Path] = option(
        "thresholds", "file that fit wrote (default: scaling.json in the folder)",
        type=Path, metavar="FILE",
    )  # fmt: skip
    shard: Optional[str] = same_as(MapsOptions, "shard")
    scratch: Optional[Path] = same_as(CreateOptions, "scratch")
    scratch_size: Optional[str] = same_as(CreateOptions, "scratch_size")
    overwrite: bool = option(
        "outputs", "replace results that were drawn with other options", default=False
    )
    workers: Optional[int] = same_as(CreateOptions, "workers")
    scheduler: Optional[str] = same_as(CreateOptions, "scheduler")
    cluster: Optional[str] = same_as(CreateOptions, "cluster")
    retries: Optional[int] = same_as(CreateOptions, "retries")
    slide_timeout: Optional[str] = same_as(CreateOptions, "slide_timeout")
    dry_run: bool = same_as(CreateOptions, "dry_run")
    verbose: bool = option(
        "outputs", "print all findings of each slide, and more messages", "-v", "--verbose",
        default=False,
    )  # fmt: skip

    def __post_init__(self) -> None:
        """Refuse values that no run can use."""
        require_sound(self)
        require_consistent(self)
        require_workers(self)
        shard_of(self.shard)

    @property
    def part(self) -> Optional[Shard]:
        """The shard of the slides; None: all of them."""
        return shard_of(self.shard)
