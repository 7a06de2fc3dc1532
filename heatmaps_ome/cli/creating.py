"""The commands that make heatmaps, ``create`` and ``export``: run, and print where they are."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from heatmaps_ome.cli.dry_run import run_dry
from heatmaps_ome.cli.guard import log_to_stderr
from heatmaps_ome.cli.layout import page_for
from heatmaps_ome.memory import starting

if TYPE_CHECKING:
    from heatmaps_ome.options import CreateOptions, ExportOptions


def run_create(options: CreateOptions | ExportOptions) -> int:
    """Make heatmaps and print where they are."""
    log_to_stderr(verbose=options.verbose)
    if options.dry_run:
        return run_dry(options)
    with starting():
        from heatmaps_ome.cli import summary
        from heatmaps_ome.run import pipeline, progress
        from heatmaps_ome.storage.remote.outputs import standing_for, with_urls
    display = progress.for_stream(sys.stderr)
    unrecorded = None
    try:
        outcomes = pipeline.create(options, display)
    except pipeline.UnrecordedError as error:
        outcomes, unrecorded = error.outcomes, error
    finally:
        display.close()
    page = page_for(sys.stdout, verbose=options.verbose)
    text = summary.of_run(outcomes, standing_for(options.output_path), page)
    sys.stdout.write(with_urls(text))
    if unrecorded is not None:
        raise unrecorded
    return 1 if any(outcome.status == "failed" for outcome in outcomes) else 0
