"""The closing lines of a run: the outcome of each slide, its folder, and how to open it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heatmaps_ome.cli.streams import one_line
from heatmaps_ome.display.rendering import LITTLE_TO_LOSE
from heatmaps_ome.errors import ScalingError
from heatmaps_ome.exporters import result_files
from heatmaps_ome.maps.artefact_evidence import artefact_sentences
from heatmaps_ome.maps.curves import beaten_by_chance
from heatmaps_ome.maps.ensemble import agreement
from heatmaps_ome.slides.bad_tiles import bad_tiles_sentence
from heatmaps_ome.storage.result_folder import RUN, RUNS, SCALING, VIEWERS
from heatmaps_ome.storage.sizes import folder_size
from heatmaps_ome.viewers.report.page import INDEX

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from heatmaps_ome.run.outcome import Outcome


def of_run(outcomes: Sequence[Outcome], output: Path) -> str:
    """Return the closing lines of a run."""
    lines: list[str] = []
    for outcome in outcomes:
        true_class = outcome.true_class
        lines.append(f"{outcome.slide}: {outcome.status}{_prediction(outcome)}")
        if outcome.status == "failed":
            lines.append(f"  {outcome.message}")
        elif outcome.folder is not None:
            if outcome.consistency is not None:
                lines.append(f"  consistency: {outcome.consistency.sentence(true_class)}")
            models = agreement(outcome.members, true_class)
            lines += [] if models is None else [f"  {models.sentence()}"]
            lines += [f"  {line}" for line in _tiles(outcome)]
            lines += [f"  {line}" for line in _faithfulness(outcome, true_class)]
            if outcome.regions:
                lines.append(f"  regions: {outcome.regions['sentence']}")
            lines += [f"  {line}" for line in artefact_sentences(outcome.artefacts, true_class)]
            blank = bad_tiles_sentence(outcome.bad_tiles)
            lines += [f"  warning: {blank}"] if blank else []
            lines.append(f"  {outcome.folder}: {folder_size(outcome.folder).sentence()}")
    folders = [outcome.folder for outcome in outcomes if outcome.folder is not None]
    if folders:
        kinds = {_kind(path) for folder in folders for path in _files(folder)}
        lines += ["", "View the results:", *_ways(output, folders)]
        lines += ["", "Or open single files:"]
        lines += [
            f"  *{file.ending:17} {file.opened_with}"
            for file in result_files()
            if file.ending in kinds
        ]
    lines += [
        "",
        *_colour_scale(output),
        f"List of all slides: {output / RUN}; records of each run (outcomes, options, versions): "
        f"{output / RUNS}",
    ]
    # Names of slides and classes cannot begin a line of their own.
    return "\n".join(map(one_line, lines)) + "\n"


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
    """Yield the ways to open a whole run."""
    report = output / INDEX
    if report.is_file():
        yield f"  report   open {report} in a browser"
    yield f"  browser  heatmaps-ome view {_word(output)}"
    project = output / VIEWERS / "qupath" / "project.qpproj"
    if project.is_file():
        yield f"  QuPath   open {project}, a slide in it, then"
        yield "           Automate > Project scripts > show_heatmap"
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


def _prediction(outcome: Outcome) -> str:
    """Return the class probabilities, largest first, or the value or risk."""
    prediction = outcome.prediction
    if not prediction:
        return ""
    if any(value != value for value in prediction.values()):
        return " (no tissue found, so no prediction)"
    ranked = sorted(prediction.items(), key=lambda item: -item[1])
    unit = outcome.target.get("unit", "")
    return (
        f" ({', '.join(f'{name} {value:.3f}' for name, value in ranked)}{' ' * bool(unit)}{unit})"
    )


def _tiles(outcome: Outcome) -> Iterator[str]:
    """Yield the facts on tiles that were made elsewhere, and all that was inferred of them."""
    if outcome.tiles:
        count = outcome.tiles.get("count", 0)
        yield f"tiles: {count:,} of {outcome.tiles.get('system')}"
        yield from (f"  {note}" for note in outcome.tiles.get("notes", ()))
    method = outcome.explanation.get("method")
    if method:
        residual = outcome.explanation.get("residual")
        rest = "" if residual is None else f"; their sums miss the logits by {100 * residual:.2g} %"
        yield f"explanation: {method}{rest}"
    known = set(outcome.tiles.get("notes", ()))
    yield from (f"  {note}" for note in outcome.explanation.get("notes", ()) if note not in known)
    if outcome.target.get("numbered"):
        yield (
            "classes: the model's file does not name them, so they have its outputs' numbers; name "
            "them with --class-names"
        )


def _faithfulness(outcome: Outcome, true_class: str) -> Iterator[str]:
    """Yield how faithful the maps of the true class are, or the reason why it is left out."""
    if outcome.faithfulness_left_out:
        yield f"faithfulness: left out, as {outcome.faithfulness_left_out}"
    elif true_class in outcome.faithfulness:
        by_map = outcome.faithfulness[true_class]
        areas = ", ".join(f"{name} {area:.3f}" for name, area in by_map.items())
        yield f"faithfulness (AUPC of {true_class}, lower is better): {areas}"
        beaten = beaten_by_chance(by_map)
        probable = outcome.prediction.get(true_class, 1.0)
        is_class = outcome.target.get("task") not in ("regression", "survival")
        if beaten and is_class and probable < LITTLE_TO_LOSE:
            yield (
                f"  {true_class} has a probability of {probable:.3f}, too little to lose for these "
                "areas to tell maps apart"
            )
        elif beaten:
            maps, do = ("maps", "do") if len(beaten) > 1 else ("map", "does")
            it = "they explain" if len(beaten) > 1 else "it explains"
            yield (
                f"  warning: the {maps} of {' and of '.join(beaten)} {do} not beat a random order, "
                f"so {it} nothing of {true_class}"
            )
