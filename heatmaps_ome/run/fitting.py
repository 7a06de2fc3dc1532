"""The stage ``fit``: the one scaling of all slides, from what their raw maps left behind."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from heatmaps_ome.display.scaling import CohortScaling, Quantiles
from heatmaps_ome.display.scaling_fit import fit_scaling
from heatmaps_ome.errors import OptionError, ResultError, ScalingError
from heatmaps_ome.run.applied_scaling import own_scaling, publish
from heatmaps_ome.run.job import required_job
from heatmaps_ome.run.made_maps import all_made
from heatmaps_ome.run.staged import ScratchPlace
from heatmaps_ome.storage.digests import digest_of
from heatmaps_ome.storage.disk import disk_error
from heatmaps_ome.storage.remote.outputs import keep_file, know_maps, open_output
from heatmaps_ome.storage.result_folder import SCALING, require_writable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from heatmaps_ome.run.job import Job
    from heatmaps_ome.run.made_maps import MadeMaps


def fitted(
    made: Sequence[MadeMaps], quantiles: Quantiles, job: Job, earlier: CohortScaling | None = None
) -> CohortScaling:
    """Return the scaling of slides; their order does not matter.

    Parameters
    ----------
    earlier : CohortScaling or None
        One that this may extend: it was fitted in the same way to fewer slides.

    Raises
    ------
    ResultError
        If the sketch of one of them is missing or damaged.
    ScalingError
        If slides have maps of different classes or kinds.
    """
    cohort = digest_of({"slides": sorted(slide.fingerprint for slide in made)})
    model, extractor = job.values["model"], job.values["extractor"]
    alike = earlier if earlier and earlier.misfit(model, extractor) is None else None
    is_same = alike is not None and alike.cohort == cohort
    extended = alike if alike and not is_same and alike.slides < len(made) else None
    scaling = fit_scaling(
        [slide.sketch for slide in made], quantiles, cohort, model, extractor, extended
    )
    return replace(scaling, history=alike.history) if alike and is_same else scaling


def fit(
    outputs: Sequence[Path], asked: Mapping[str, float], file: Path | None = None
) -> CohortScaling:
    """Fit one scaling to all raw maps in output folders, and store it.

    Parameters
    ----------
    asked : mapping of quantile → value
        Those that the user asks for; of others, those that were given to maps count.
    file : Path or None
        The file to write; None: ``scaling.json`` of each output folder.

    Raises
    ------
    ResultError
        If there are no maps, or maps that were made otherwise than others.
    OptionError
        If the quantiles contradict each other.
    OutputError
        If the scaling cannot be written.
    """
    outputs = [open_output(output, ScratchPlace().path) for output in outputs]
    for output in outputs:
        know_maps(output)
    jobs = [required_job(output) for output in outputs]
    for output, job in zip(outputs[1:], jobs[1:], strict=True):
        if job.values_digest != jobs[0].values_digest:
            raise ResultError(
                f"the maps in {output} were made otherwise than those in {outputs[0]} "
                f"({job.difference(jobs[0])}), so they share no scaling; fit them one by one"
            )
    made = [one for output in outputs for one in _alike(output, jobs[0])]
    if not made:
        raise ResultError(f"{outputs[0]} has no maps of slides; run heatmaps-ome maps first")
    drawing = jobs[0].settings(outputs[0]).drawing
    quantiles = _quantiles({**drawing.asked, **asked})
    scaling = fitted(made, quantiles, jobs[0], _earlier(outputs[0], file))
    _store(scaling, outputs, file)
    return scaling


def _quantiles(asked: Mapping[str, float]) -> Quantiles:
    """Return quantiles; the options that maps and fit were given may contradict each other."""
    try:
        return Quantiles(**asked)
    except ValueError as error:
        raise OptionError(f"{error}; give fit other quantiles") from error


def _earlier(output: Path, file: Path | None) -> CohortScaling | None:
    """Return the scaling that a new one takes the place of; None if there is none."""
    with suppress(ScalingError):
        if file is None:
            return own_scaling(output)
        return CohortScaling.load(file) if file.is_file() else None
    return None


def _alike(output: Path, job: Job) -> list[MadeMaps]:
    """Return the maps in an output folder, all of which were made in the same way."""
    made = list(all_made(output))
    for one in made:
        if one.values != job.values_digest:
            raise ResultError(
                f"{one.folder} was made with other options than the latest maps in {output}; run "
                f"maps for {one.path.name} again, or remove that folder"
            )
    return made


def _store(scaling: CohortScaling, outputs: Sequence[Path], file: Path | None) -> None:
    if file is None:
        for output in outputs:
            publish(scaling, output, {}, replace=True)
            keep_file(output, output / SCALING)
        return
    require_writable(file.parent, "--output")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        scaling.save(file)
    except OSError as error:
        raise disk_error(file, error) from error


def scaling_to_draw(output: Path, given: Path | None, job: Job) -> CohortScaling:
    """Return the scaling that slides are drawn with: the user's, or the output folder's own.

    Raises
    ------
    ScalingError
        If there is none, or it is of another model or extractor.
    """
    model, extractor = job.values["model"], job.values["extractor"]
    if given is not None:
        scaling = CohortScaling.load(given)
        scaling.require_fit(model, extractor, given)
        return scaling
    own = own_scaling(output)
    if own is None:
        raise ScalingError(
            f"{output} has no scaling yet; run heatmaps-ome fit {output} first, or give one with "
            "--scaling"
        )
    misfit = own.misfit(model, extractor)
    if misfit is not None:
        raise ScalingError(f"the scaling of {output} {misfit}; run heatmaps-ome fit {output} again")
    return own
