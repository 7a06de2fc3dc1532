"""The scaling that a run applies: the user's, the output folder's own, or one fitted to the slides.

All results in an output folder have one scaling, so that their colours can be compared. It is
fitted once and kept; a new one is fitted only when the user asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from heatmaps_ome.display.scaling import CohortScaling
from heatmaps_ome.errors import OutputError, ScalingError
from heatmaps_ome.run.slide_index import indexed_slides, result_names
from heatmaps_ome.storage.disk import disk_error
from heatmaps_ome.storage.lock import locked
from heatmaps_ome.storage.result_folder import RUN_LOCK, SCALING, record_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from heatmaps_ome.run.settings import Drawing, Output


def own_scaling(output: Path) -> CohortScaling | None:
    """Return the scaling of an output folder's results, or None if it has none.

    Raises
    ------
    ScalingError
        If its file is damaged, and no results say which scaling they have.
    """
    path = output / SCALING
    if not output.is_dir():
        return None
    try:
        if path.exists():
            return CohortScaling.load(path)
        damaged = None
    except ScalingError as error:
        damaged = error
    return _recorded_scaling(output, damaged)


def _recorded_scaling(output: Path, damaged: ScalingError | None) -> CohortScaling | None:
    """Return the scaling that the newest results in an output folder record, or None.

    Raises
    ------
    ScalingError
        ``damaged``, if there are no such results.
    """
    slides = indexed_slides(output) if output.is_dir() else []
    for slide in sorted(slides, key=lambda slide: slide.created, reverse=True):
        try:
            return CohortScaling.from_record((record_of(output / slide.name) or {})["scaling"])
        except (ValueError, KeyError, TypeError):
            continue
    if damaged is not None:
        raise damaged
    return None


def scaling_to_apply(
    drawing: Drawing, output: Output, model_digest: str, extractor_digest: str
) -> CohortScaling | None:
    """Return the scaling that is known before the run; None: one is to be fitted to its slides.

    Raises
    ------
    ScalingError
        If the scaling is of another model or extractor.
    OutputError
        If the output folder has another scaling than the user's, or other quantiles.
    """
    path, own = output.folder / SCALING, own_scaling(output.folder)
    if drawing.scaling is not None:
        given = CohortScaling.load(drawing.scaling)
        given.require_fit(model_digest, extractor_digest, drawing.scaling)
        if own is not None and own.numbers != given.numbers and not output.overwrite:
            raise OutputError(
                f"{path} is another scaling than {drawing.scaling}, and the results beside it have "
                "its colours; add --overwrite to replace them, or choose another --output-path"
            )
        return given
    if own is None or drawing.refit:
        return None
    try:
        _require_own(own, path, drawing.asked, model_digest, extractor_digest)
    except OutputError:
        if output.overwrite:
            return None
        raise
    return own


def _require_own(
    own: CohortScaling,
    path: Path,
    asked: Mapping[str, float],
    model_digest: str,
    extractor_digest: str,
) -> None:
    """Refuse to apply an output folder's scaling to what it does not fit."""
    misfit = own.misfit(model_digest, extractor_digest)
    if misfit is not None:
        raise OutputError(
            f"{path} {misfit}; add --overwrite to replace the results, or choose another "
            "--output-path"
        )
    if any(getattr(own.quantiles, name) != value for name, value in asked.items()):
        raise OutputError(
            f"{path} was fitted to other quantiles than the options ask for; add --refit to fit a "
            "new scaling and draw these slides anew, leave the options out, or choose another "
            "--output-path"
        )


def require_all_slides(output: Path, names: Collection[str], scaling: CohortScaling | None) -> None:
    """Refuse to give some slides of an output folder another scaling than the others have.

    Parameters
    ----------
    names : collection of str
        Names of the results of the run's slides.
    scaling : CohortScaling or None
        The scaling to apply; None: one is to be fitted, so every other slide is in the way.

    Raises
    ------
    OutputError
        If slides would keep another scaling.
    """
    if not output.is_dir():
        return
    numbers = {slide.name: slide.scaling for slide in indexed_slides(output)}
    wanted = None if scaling is None else scaling.numbers
    others = [
        name
        for name in result_names(output)
        if name not in names
        and (wanted is None or numbers.get(name) != wanted)
        # Neither indexed nor readable: the folder is not ours.
        and (name in numbers or record_of(output / name) is not None)
    ]
    if others:
        listed = ", ".join(others[:5]) + (f" and {len(others) - 5} more" if others[5:] else "")
        raise OutputError(
            f"{output} has results of slides that are not in this run and would keep their earlier "
            f"scaling ({listed}); name these slides too, or choose another --output-path"
        )


def publish(
    scaling: CohortScaling, output: Path, asked: Mapping[str, float], *, replace: bool
) -> CohortScaling:
    """Store the scaling of an output folder; return the one to apply.

    Parameters
    ----------
    asked : mapping of quantile → value
        The quantiles that the user asked for.
    replace : bool
        Whether another scaling may be replaced. Otherwise the first run to store one decides.

    Raises
    ------
    HeatmapsError
        If another run has meanwhile stored a scaling that does not fit, or the disk is full.
    """
    path = output / SCALING
    try:
        output.mkdir(parents=True, exist_ok=True)
        with locked(output / RUN_LOCK):
            own = None if replace else own_scaling(output)
            if own is not None:
                _require_own(own, path, asked, scaling.model_digest, scaling.extractor_digest)
                scaling = own
            store(scaling, output)
    except OSError as error:
        raise disk_error(path, error) from error
    return scaling


def store(scaling: CohortScaling, output: Path) -> None:
    """Write the scaling of an output folder, unless its file holds just this one; under the lock.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    path = output / SCALING
    try:
        is_stored = CohortScaling.load(path) == scaling
    except ScalingError:
        is_stored = False
    if not is_stored:
        scaling.save(path)
