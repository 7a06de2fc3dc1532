"""The commands ``maps``, ``fit`` and ``draw``: the stages of a run, one by one."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING, Final

from heatmaps_ome.cli.arguments import OptionsParser
from heatmaps_ome.cli.dry_run import run_dry
from heatmaps_ome.cli.guard import log_to_stderr
from heatmaps_ome.cli.streams import one_line
from heatmaps_ome.memory import starting
from heatmaps_ome.options import DrawOptions, FitOptions, MapsOptions
from heatmaps_ome.storage.remote.urls import url_of
from heatmaps_ome.storage.result_folder import SCALING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from heatmaps_ome.run.outcome import Outcome
    from heatmaps_ome.run.progress import Progress

_MAPS = (
    "Make the raw maps of slides, the first of create's four stages and the one that takes the "
    "network: OUTPUT_PATH keeps them, and the options, for fit and draw. Any number of such jobs "
    "may work on one folder at once; slides whose maps are there are left as they are."
)
_FIT = (
    "Fit the colour scale that all slides share to all raw maps in a folder, exactly as if all "
    "their cells were in one list; a minute or two for 10,000 slides."
)
_DRAW = (
    "Write the files of all slides whose raw maps are there: OME-Zarr, overlays, previews and the "
    "rest, as maps was told; no network is needed. Slides that are drawn so already are left as "
    "they are; collect then makes report, list and project."
)


def run_maps(words: Sequence[str]) -> int:
    """Run ``maps`` and return its exit code."""
    options = OptionsParser(MapsOptions, "heatmaps-ome maps", _MAPS).parse_args(words)
    log_to_stderr(verbose=options.verbose)
    if options.dry_run:
        return run_dry(options)
    with starting():
        from heatmaps_ome.run import pipeline
    return _run(
        lambda progress: pipeline.maps(options, progress),
        f"then: heatmaps-ome fit {_named(options.output_path)}",
    )


def run_draw(words: Sequence[str]) -> int:
    """Run ``draw`` and return its exit code."""
    options = OptionsParser(DrawOptions, "heatmaps-ome draw", _DRAW).parse_args(words)
    log_to_stderr(verbose=options.verbose)
    if options.dry_run:
        return run_dry(options)
    with starting():
        from heatmaps_ome.run import pipeline
    return _run(
        lambda progress: pipeline.draw(options, progress),
        f"then: heatmaps-ome collect {_named(options.path)}",
    )


def run_fit(words: Sequence[str]) -> int:
    """Run ``fit`` and return its exit code."""
    options = OptionsParser(FitOptions, "heatmaps-ome fit", _FIT).parse_args(words)
    from heatmaps_ome.run.fitting import fit

    scaling = fit(options.paths, options.asked, options.output)
    outputs = [_named(path) for path in options.paths]
    places = [options.output] if options.output else [f"{path}/{SCALING}" for path in outputs]
    slides = "1 slide" if scaling.slides == 1 else f"{scaling.slides:,} slides"
    sys.stdout.write(
        f"{', '.join(map(str, places))}: fitted to {scaling.cells:,} cells of {slides}\n"
        f"then: heatmaps-ome draw {outputs[0]}{_with(options.output)}\n"
    )
    return 0


def _named(path: Path) -> str:
    """Return an output folder as the command line has it."""
    return url_of(path) or str(path)


def _with(file: Path | None) -> str:
    return "" if file is None else f" --scaling {file}"


def _run(work: Callable[[Progress], list[Outcome]], then: str) -> int:
    """Run a stage; print a line for each slide, the counts and the next stage."""
    # Their imports take longer than --help may.
    from heatmaps_ome.cli.slide_lines import failure
    from heatmaps_ome.run import progress

    display = progress.for_stream(sys.stderr)
    try:
        outcomes = work(display)
    finally:
        display.close()
    for outcome in outcomes:
        line = failure(outcome) if outcome.status == "failed" else outcome.slide
        sys.stdout.write(f"{one_line(line)}: {outcome.status}\n")
    counts = Counter(outcome.status for outcome in outcomes)
    states = ", ".join(f"{count} {status}" for status, count in counts.items()) or "no slides"
    sys.stdout.write(f"{states}; {then}\n")
    return 1 if counts["failed"] else 0


STAGES: Final[Mapping[str, Callable[[Sequence[str]], int]]] = {
    "maps": run_maps,
    "fit": run_fit,
    "draw": run_draw,
}
"""Name of a command → its function."""
