"""The facts on an output folder: its slides by state, model, colour scale and size, in seconds."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from heatmaps_ome.cli.slide_lines import prediction_text
from heatmaps_ome.display.scaling import CohortScaling
from heatmaps_ome.errors import ScalingError
from heatmaps_ome.run.run_history import history
from heatmaps_ome.run.slide_index import indexed_slides, undrawn_names
from heatmaps_ome.storage.result_folder import INDEX, MAPS, PREDICTIONS, RUNS, SCALING
from heatmaps_ome.storage.sizes import size_sentence

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from heatmaps_ome.run.run_history import History
    from heatmaps_ome.run.slide_index import IndexedSlide

_MOST_LINES: Final = 20
"""Slides that are listed one by one."""
_MOST_NAMES: Final = 5
_MEASURED: Final = 12
"""Slides whose files are counted; those of thousands would take minutes."""


def is_output(path: Path) -> bool:
    """Return whether runs have written to a folder."""
    return (path / RUNS).is_dir() or (path / MAPS).is_dir()


def output_facts(path: Path) -> dict[str, object]:
    """Return the facts on an output folder, by their names.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    slides, runs = indexed_slides(path), history(path)
    done = {slide.name for slide in slides}
    failed = {name: entries for name, entries in runs.failed.items() if name not in done}
    undrawn = undrawn_names(path, done)
    facts: dict[str, object] = {"slides": f"{len(slides):,} with results"}
    if failed:
        facts["failed"] = f"{len(failed):,}: {_listed(list(failed))}"
    if undrawn:
        facts["not drawn"] = f"{len(undrawn):,} with raw maps alone: {_listed(undrawn)}"
    facts |= _models(slides, runs)
    facts["colour scale"] = _scaling(path)
    labelled = sum(slide.label is not None for slide in slides)
    if labelled:
        facts["ground truth"] = f"of {labelled:,} slides"
    facts["size"] = size_sentence([path / slide.name for slide in slides], _MEASURED)
    files = [name for name in (INDEX, PREDICTIONS) if (path / name).is_file()]
    facts["files"] = ", ".join(files) or f"none yet: heatmaps-ome collect {path}"
    return facts | _lines(slides, failed)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES:,} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more


def _models(slides: Sequence[IndexedSlide], runs: History) -> dict[str, object]:
    """Return model, extractor and the class drawn hot; how many slides have each if they differ."""
    ways = {
        "model": [_model(slide, runs) for slide in slides],
        "extractor": [f"{slide.extractor_name or 'not given'} {slide.extractor[:12]}".strip()
                      for slide in slides],
        "drawn hot": [slide.true_class for slide in slides],
    }  # fmt: skip
    return {name: _counted(values) for name, values in ways.items() if any(values)}


def _model(slide: IndexedSlide, runs: History) -> str:
    """Return a slide's model in words; empty for maps that were given."""
    files = "".join(f", {name}" for name in runs.files_of(slide.model))
    return f"{slide.model[:12]} ({', '.join(slide.classes)}){files}" if slide.model else ""


def _counted(values: Sequence[str]) -> str:
    counts = Counter(values).most_common()
    if len(counts) == 1:
        return counts[0][0]
    return "; ".join(f"{value} of {count:,} slides" for value, count in counts)


def _scaling(path: Path) -> str:
    """Return the colour scale in words."""
    try:
        scaling = CohortScaling.load(path / SCALING)
    except ScalingError:
        missing = "damaged" if (path / SCALING).exists() else "none yet"
        return f"{missing}: heatmaps-ome fit {path} makes it"
    slides = "1 slide" if scaling.slides == 1 else f"{scaling.slides:,} slides"
    return f"{scaling.numbers[:12]}, fitted to {scaling.cells:,} cells of {slides}"


def _lines(
    slides: Sequence[IndexedSlide], failed: dict[str, list[dict[str, Any]]]
) -> dict[str, object]:
    """Return a line for each slide, if they are few."""
    if len(slides) + len(failed) > _MOST_LINES:
        return {}
    lines: dict[str, object] = {}
    for slide in slides:
        entry = slide.entry()
        label = "" if slide.label is None else f"; ground truth: {slide.label}"
        lines[slide.slide] = f"done {prediction_text(entry)}{label}"
    for entries in failed.values():
        for entry in entries:
            lines[entry["slide"]] = f"failed {entry.get('message', '')}"
    return lines
