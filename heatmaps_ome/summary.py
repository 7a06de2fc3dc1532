"""What a run says when it is over: what became of each slide, where it is, how to open it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from heatmaps_ome.pipeline import Outcome

HOW_TO_OPEN = (
    (".png", "any picture viewer"),
    (".ome.tiff", "QuPath, tifffile, OpenSlide (transparent overlay in the slide's µm)"),
    (".values.ome.tiff", "QuPath (the raw numbers: live colours, the value under the cursor)"),
    (".values.ome.zarr", "Python, napari (the raw numbers: float32 with units)"),
    (".ome.zarr", 'napari with napari-ome-zarr: napari --plugin napari-ome-zarr "…/x.ome.zarr"'),
)


def of_run(outcomes: Sequence[Outcome], output: Path) -> str:
    """Return the closing lines of a run."""
    lines: list[str] = []
    for outcome in outcomes:
        lines.append(f"{outcome.slide}: {outcome.status}{_prediction(outcome.prediction)}")
        if outcome.status == "failed":
            lines.append(f"  {outcome.message}")
        elif outcome.folder is not None:
            lines += [f"  {path}" for path in written(outcome.folder)]
    kinds = {_kind(path) for o in outcomes if o.folder is not None for path in written(o.folder)}
    if kinds:
        lines += ["", "How to open them:"]
        lines += [f"  *{what:17} {how}" for what, how in HOW_TO_OPEN if what in kinds]
    lines += ["", f"What became of each slide, and with what: {output / 'run.json'}"]
    return "\n".join(lines) + "\n"


def written(folder: Path) -> Iterable[Path]:
    """Return a result's files, stores being one each, in a fixed order."""
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.name.endswith(".zarr"):
            yield from sorted(path.iterdir())
        else:
            yield path


def _kind(path: Path) -> str:
    """Return how a file's name ends, as HOW_TO_OPEN lists it; the longest ending counts."""
    endings = [what for what, _ in HOW_TO_OPEN if path.name.endswith(what)]
    return max(endings, key=len, default="")


def _prediction(prediction: dict[str, float]) -> str:
    """Return the class probabilities, largest first."""
    if not prediction:
        return ""
    if any(value != value for value in prediction.values()):
        return " (no tissue found, so no prediction)"
    ranked = sorted(prediction.items(), key=lambda item: -item[1])
    return " (" + ", ".join(f"{name} {value:.3f}" for name, value in ranked) + ")"
