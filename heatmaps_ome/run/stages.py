"""The stages of a run from Python: ``maps``, ``fit``, ``draw`` and ``collect``, for any engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from heatmaps_ome.options import DrawOptions, FitOptions, MapsOptions
from heatmaps_ome.run.keywords import asked, one_path, paths_of, reporting

if TYPE_CHECKING:
    from collections.abc import Iterable

    from heatmaps_ome.display.scaling import CohortScaling
    from heatmaps_ome.run.collect import Collected
    from heatmaps_ome.run.keywords import AnyPath
    from heatmaps_ome.run.outcome import Outcome
    from heatmaps_ome.run.progress import Progress


def make_maps(
    slides: AnyPath | Iterable[AnyPath],
    model: AnyPath | Iterable[AnyPath],
    true_class: str | None,
    output: AnyPath,
    *,
    progress: bool | Progress = False,
    **options: Any,
) -> list[Outcome]:
    """Make the raw maps of slides; the same as ``heatmaps-ome maps``.

    Parameters
    ----------
    slides, model, true_class, output, progress
        As for `heatmaps_ome.create`.
    **options
        Options of the command line, with underscores: ``shard="2/8"``.

    Returns
    -------
    list of Outcome
        In the order given: each has a ``status``, and a ``message`` if it failed.

    Raises
    ------
    OptionError
        If there is no such option, or no run could use its value.
    HeatmapsError
        If the run as a whole cannot be done; nothing has been written then.
    """
    request = asked(
        MapsOptions, options,
        slides=paths_of("slides", slides),
        model_path=paths_of("model", model),
        output_path=one_path("output", output),
        true_class=true_class,
    )  # fmt: skip
    from heatmaps_ome.run import pipeline

    with reporting(progress) as report:
        return pipeline.maps(request, report)


def fit(
    outputs: AnyPath | Iterable[AnyPath], output: AnyPath | None = None, **options: Any
) -> CohortScaling:
    """Fit one colour scale to all raw maps in folders; the same as ``heatmaps-ome fit``.

    Parameters
    ----------
    outputs : path or several
        Folders that `make_maps` wrote to.
    output : path, optional
        The file to write the scaling to, instead of ``scaling.json`` in each folder.
    **options
        Quantiles, as on the command line: ``score_threshold=0.9``.

    Raises
    ------
    OptionError
        If there is no such option, or no run could use its value.
    HeatmapsError
        If there are no maps, or maps that share no scaling.
    """
    request = asked(
        FitOptions, options,
        paths=paths_of("outputs", outputs),
        output=None if output is None else one_path("output", output),
    )  # fmt: skip
    from heatmaps_ome.run.fitting import fit as fitted

    return fitted(request.paths, request.asked, request.output)


def draw(output: AnyPath, *, progress: bool | Progress = False, **options: Any) -> list[Outcome]:
    """Write the files of all slides whose raw maps are there; the same as ``heatmaps-ome draw``.

    Parameters
    ----------
    output : path
        The folder that `make_maps` wrote to.
    **options
        As on the command line: ``scaling="cohort.json"``, ``shard="2/8"``, ``overwrite=True``.

    Returns
    -------
    list of Outcome

    Raises
    ------
    OptionError
        If there is no such option, or no run could use its value.
    HeatmapsError
        If there are no maps or no scaling.
    """
    request = asked(DrawOptions, options, path=one_path("output", output))
    from heatmaps_ome.run import pipeline

    with reporting(progress) as report:
        return pipeline.draw(request, report)


def collect(output: AnyPath) -> Collected:
    """Bring a folder's report, lists and QuPath project up to date; as ``heatmaps-ome collect``.

    Raises
    ------
    HeatmapsError
        If there is no such folder, or no run has written to it.
    """
    from heatmaps_ome.run.remote_output import collect_there

    return collect_there(one_path("output", output))
