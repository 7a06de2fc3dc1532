"""The lines of a dry run: one for each slide, and the sums."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING

from heatmaps_ome.cli.streams import one_line
from heatmaps_ome.memory import starting
from heatmaps_ome.storage.disk import bytes_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from heatmaps_ome.options import CreateOptions, DrawOptions, ExportOptions
    from heatmaps_ome.run.forecast.forecast import Forecast


def run_dry(options: CreateOptions | ExportOptions | DrawOptions) -> int:
    """Print what a run would do; return 1 if a slide would be refused, else 0."""
    with starting():
        from heatmaps_ome.run import progress
        from heatmaps_ome.run.forecast.dry_run import dry_run
    display = progress.for_stream(sys.stderr)
    try:
        forecast = dry_run(options, display)
    finally:
        display.close()
    sys.stdout.write("".join(f"{one_line(line)}\n" for line in lines_of(forecast)))
    return 1 if any(slide.work == "refused" for slide in forecast.slides) else 0


def lines_of(forecast: Forecast) -> Iterator[str]:
    """Yield the lines of a forecast."""
    for slide in forecast.slides:
        reason = f" ({slide.message})" if slide.message else ""
        yield f"{slide.slide}: {slide.work}{reason}"
    counts = Counter(slide.work for slide in forecast.slides)
    number = len(forecast.slides)
    slides = "1 slide" if number == 1 else f"{number:,} slides"
    states = ", ".join(f"{count:,} {work}" for work, count in counts.items()) or "nothing to do"
    yield f"{slides}: {states}"
    if forecast.most_finer is not None:
        yield (
            f"refine: at most {forecast.most_finer:.3g} finer tiles for each of a slide's, which "
            f"take the encoder up to {forecast.most_finer:.3g} times the time of these besides"
        )
    if counts["unchanged"] + counts["refused"] < number:
        yield _time(forecast)
        yield from _disk(forecast)
    yield "nothing was written"


def _time(forecast: Forecast) -> str:
    """Return the line on the time."""
    if forecast.seconds is None:
        return "time: not known yet; the first slide will tell"
    from heatmaps_ome.run.progress import spoken

    number = forecast.measured_on
    slides = "1 slide that is done" if number == 1 else f"{number} slides that are done"
    return f"time: about {spoken(forecast.seconds)}, slide after slide, by {slides}"


def _disk(forecast: Forecast) -> Iterator[str]:
    """Yield the lines on the disk."""
    parts = [("results", forecast.results), ("cache", forecast.cache)]
    texts = [
        f"{name} {'not known yet' if size is None else bytes_text(round(size))}"
        for name, size in parts
    ]
    disks = "; ".join(
        f"{' and '.join(map(str, need.folders))}: {need.free_text()}" for need in forecast.needs
    )
    yield f"disk: {', '.join(texts)} ({disks})"
    for need in forecast.needs:
        if not need.fits:
            yield (
                f"warning: this will not fit: {bytes_text(round(need.size))} are needed, and "
                f"{need.free_text()}"
            )
