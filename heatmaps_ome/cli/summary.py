"""The closing lines of a run: a table of its slides, warnings, and how to open the results."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from heatmaps_ome.cli.layout import Page, table, wrapped
from heatmaps_ome.cli.slide_lines import details, failure, table_row
from heatmaps_ome.cli.streams import one_line
from heatmaps_ome.errors import ScalingError
from heatmaps_ome.exporters import result_files
from heatmaps_ome.exporters.figures.captions import RESEARCH
from heatmaps_ome.features.lanes import BETWEEN, COMPUTED, WAITED
from heatmaps_ome.maps.numbers import is_probability
from heatmaps_ome.run.cautions import cautions
from heatmaps_ome.slides.waiting import OTHER, READING, TISSUE, WRITING
from heatmaps_ome.storage.regular_file import read_json
from heatmaps_ome.storage.result_folder import RUN, RUNS, SCALING, VIEWERS
from heatmaps_ome.storage.sizes import folder_size, size_sentence
from heatmaps_ome.viewers.report.page import INDEX

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from heatmaps_ome.run.outcome import Outcome

_MOST_ROWS = 20
"""Slides in the table, unless all details are wanted: a screen."""
_MOST_WARNED = 6
"""Slides whose warnings, or failures, are listed below it."""
_MEASURED = 100
"""Slides whose files are counted."""
_HEADS = ("slide", "prediction", "P", "ground truth", "trust", "warnings")
_RIGHT = (2, 5)
"""Columns of numbers."""
_TRUST = (
    "trust: good where tiles as in training give the same prediction and the map that explains it "
    "beats a random order, fair where only one of the two could be measured, low where there are "
    "warnings"
)
_WAITED = {
    READING: "pixels", TISSUE: "tissue", WRITING: "features to be written", OTHER: "all else",
}  # fmt: skip
"""What a device waits for, in words."""
_WHOLE = Page()


def of_run(outcomes: Sequence[Outcome], output: Path, page: Page = _WHOLE) -> str:
    """Return the closing lines of a run.

    Parameters
    ----------
    page : Page
        The width, and whether the findings of each slide are wanted.
    """
    folders = [outcome.folder for outcome in outcomes if outcome.folder is not None]
    whole = page.verbose or len(outcomes) == 1
    lines = [*_details(outcomes, page)] if whole else []
    if len(outcomes) > 1:
        lines += [*_table(outcomes, page), *([] if whole else _findings(outcomes, page))]
    if len(folders) > 1:
        sizes = f"{len(folders)} slides take {size_sentence(folders, _MEASURED)}."
        lines += ["", *wrapped(sizes, page.width)]
    if folders:
        lines += ["", "View the results:", *_ways(output, folders)]
        lines += [*_single_files(folders)] if page.verbose else []
    lines += ["", *([*_devices(output, page)] if page.verbose else []), *_closing(output), RESEARCH]
    return "\n".join(lines) + "\n"


def _details(outcomes: Sequence[Outcome], page: Page) -> Iterator[str]:
    """Yield all findings of each slide."""
    for outcome in outcomes:
        yield from _prose(details(outcome), page, outcome)
        if outcome.folder is not None:
            yield one_line(f"  {outcome.folder}: {folder_size(outcome.folder).sentence()}")
    if len(outcomes) > 1:
        yield ""


def _table(outcomes: Sequence[Outcome], page: Page) -> Iterator[str]:
    """Yield a row per slide; of very many, those that failed or have warnings come first."""
    counts = Counter(outcome.status for outcome in outcomes)
    states = ", ".join(f"{count} {status}" for status, count in counts.items())
    hot = ", ".join(dict.fromkeys(o.true_class for o in outcomes if o.true_class))
    drawn = one_line(f"; drawn hot: {hot}") if hot else ""
    yield from wrapped(f"{len(outcomes)} slides: {states}{drawn}", page.width)
    yield ""
    first = list(outcomes)
    if not page.verbose and len(outcomes) > _MOST_ROWS:
        first = sorted(outcomes, key=_urgency)[:_MOST_ROWS]
    are_values = any(o.prediction and not is_probability(o.target) for o in outcomes)
    heads = [{"P": "value"}.get(head, head) if are_values else head for head in _HEADS]
    rows = [heads, *(list(map(one_line, table_row(outcome))) for outcome in first)]
    yield from table(rows, page.width, _RIGHT)
    more = len(outcomes) - len(first)
    if more:
        yield from wrapped(f"and {more} more, which {RUN} lists and --verbose shows", page.width)
    if any(outcome.status != "failed" for outcome in outcomes):
        yield ""
        yield from wrapped(_TRUST, page.width)


def _urgency(outcome: Outcome) -> int:
    """Return how far down the table of many slides one stands."""
    if outcome.status == "failed":
        return 0
    return 1 if cautions(outcome) else 2


def _findings(outcomes: Sequence[Outcome], page: Page) -> Iterator[str]:
    """Yield why slides failed, and their warnings; a screen of them."""
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    warned = [outcome for outcome in outcomes if outcome not in failed and cautions(outcome)]
    for group, title in ((failed, "Failed:"), (warned, "Warnings:")):
        if not group:
            continue
        yield ""
        yield title
        for outcome in group[:_MOST_WARNED]:
            warnings = [f"{outcome.slide}: {caution}" for caution in cautions(outcome)]
            texts = [failure(outcome)] if outcome in failed else warnings
            yield from _prose([f"  {text}" for text in texts], page, outcome)
        if len(group) > _MOST_WARNED:
            more = len(group) - _MOST_WARNED
            yield from wrapped(f"  and of {more} more slides, which --verbose lists", page.width)


def _prose(lines: Sequence[str], page: Page, outcome: Outcome) -> Iterator[str]:
    """Yield sentences in lines that fit; names of slides and classes cannot begin one."""
    names = (outcome.slide, outcome.name, outcome.true_class, str(outcome.folder or ""))
    whole = [one_line(name) for name in names if " " in name]
    for line in lines:
        yield from wrapped(one_line(line), page.width, whole)


def _single_files(folders: Sequence[Path]) -> Iterator[str]:
    """Yield the kinds of files that there are, and the programs that open them."""
    kinds = {_kind(path) for folder in folders for path in _files(folder)}
    yield ""
    yield "Or open single files:"
    for file in result_files():
        if file.ending in kinds:
            yield f"  *{file.ending:17} {file.opened_with}"


def _devices(output: Path, page: Page) -> Iterator[str]:
    """Yield a line on each device of the latest run: how long it computed, and waited for what."""
    try:
        devices = read_json(output / RUN).get("devices", [])
    except (OSError, ValueError):
        return
    for device in devices:
        waited = {purpose: device.get(measure, 0.0) for purpose, measure in WAITED.items()}
        whole = device[COMPUTED] + sum(waited.values())
        waits = ", ".join(f"{seconds:.3g} s for {_WAITED[p]}" for p, seconds in waited.items())
        yield from wrapped(
            f"{device['device']} computed for {device[COMPUTED]:.3g} of {whole:.3g} s "
            f"({device[COMPUTED] / max(whole, 1e-9):.0%}) and waited {waits}; of this "
            f"{device.get(BETWEEN, 0.0):.3g} s between slides",
            page.width,
        )


def _closing(output: Path) -> Iterator[str]:
    """Yield the lines on the files that all slides share; none is wrapped, as each has a path."""
    yield from map(one_line, _colour_scale(output))
    yield one_line(f"List of all slides: {output / RUN}")
    yield one_line(f"Records of each run (outcomes, options, versions): {output / RUNS}")


def _colour_scale(output: Path) -> Iterator[str]:
    """Yield the line on the scaling that all slides of the folder share."""
    from heatmaps_ome.display.scaling import CohortScaling

    path = output / SCALING
    try:
        slides = CohortScaling.load(path).slides
    except ScalingError:
        return
    fitted = "1 slide" if slides == 1 else f"{slides} slides"
    yield f"Colour scale of all slides: {path}, fitted to {fitted} (--refit fits a new one)"


def _ways(output: Path, folders: Sequence[Path]) -> Iterator[str]:
    """Yield the ways to open a whole run; none is wrapped, as each has a path or command."""
    yield from map(one_line, _ways_of(output, folders))


def _ways_of(output: Path, folders: Sequence[Path]) -> Iterator[str]:
    report = output / INDEX
    if report.is_file():
        yield f"  report   open {report} in a browser"
    yield f"  browser  heatmaps-ome view {_word(output)}"
    project = output / VIEWERS / "qupath" / "project.qpproj"
    if project.is_file():
        yield (
            f"  QuPath   open {project}, a slide in it, then Automate > Project scripts > "
            "show_heatmap once;"
        )
        yield "           slides opened after it show their map by themselves"
    script = output / VIEWERS / "napari" / "open.py"
    if script.is_file():
        yield f"  napari   python {_word(script)} {_word(folders[0])}"


def _word(path: Path) -> str:
    """Return a path quoted for a shell."""
    import shlex

    return shlex.quote(str(path))


def _files(folder: Path) -> Iterator[Path]:
    """Yield a result's files; an OME-Zarr counts as one file."""
    for path in folder.iterdir():
        if path.is_dir() and not path.name.endswith(".zarr"):
            yield from path.iterdir()
        else:
            yield path


def _kind(path: Path) -> str:
    """Return the longest ending in the formats' lists that a file's name has, or ""."""
    endings = [file.ending for file in result_files() if path.name.endswith(file.ending)]
    return max(endings, key=len, default="")
