"""The whole job from Python: options as keywords, results as objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from heatmaps_ome.options import CreateOptions
from heatmaps_ome.run.keywords import asked, one_path, paths_of, reporting
from heatmaps_ome.storage.remote.outputs import standing_for
from heatmaps_ome.viewers.notebook.opening import open as open_results
from heatmaps_ome.viewers.notebook.results import Results

if TYPE_CHECKING:
    from collections.abc import Iterable

    from heatmaps_ome.run.keywords import AnyPath
    from heatmaps_ome.run.progress import Progress


def create(
    slides: AnyPath | Iterable[AnyPath],
    model: AnyPath | Iterable[AnyPath],
    true_class: str | None,
    output: AnyPath,
    *,
    progress: bool | Progress = False,
    **options: Any,
) -> Results:
    """Make heatmaps of slides and return them; the same as ``heatmaps-ome create``.

    Messages go to the logger ``heatmaps_ome``, which is left as it is. So is the environment: the
    command line sets variables that make torch faster and its memory flat. For long runs, call
    ``heatmaps_ome.memory.tune_torch()`` before torch is imported to set them too.

    Parameters
    ----------
    slides : path or several
        An empty list for those of ``from_file``, or of the ``table`` of ``--slides``, alone.
    model : path or several
        MIL models: marugoto's export.pkl, one of another system, or what convert-model made of it.
    true_class : str or None
        The class that is drawn hot; None for a model of one output.
    output : path
        The folder to write the results to.
    progress : bool or callable
        Show the progress on stderr, or call this with (slide, stage, steps done, steps in all).
    **options
        Options of the command line, with underscores: ``extractor_weights="best_ckpt.pth"``,
        ``covariate={"AGE": 63}``, ``formats=["png"]``, ``overwrite=True``. Messages name them as
        the command line does.

    Returns
    -------
    Results
        Of these slides. Those that failed are in its ``failed``, with the reason.

    Raises
    ------
    OptionError
        If there is no such option, or no run could use its value.
    HeatmapsError
        If the run as a whole cannot be done; nothing has been written then.
    """
    request = asked(
        CreateOptions, options,
        slides=paths_of("slides", slides),
        model_path=paths_of("model", model),
        output_path=one_path("output", output),
        true_class=true_class,
    )  # fmt: skip
    from heatmaps_ome.run import pipeline

    with reporting(progress) as report:
        outcomes = pipeline.create(request, report)
    folders = [outcome.folder for outcome in outcomes if outcome.folder is not None]
    # The reasons there are free of paths, which may name a patient.
    reasons = open_results(standing_for(request.output_path)).failed
    failed = {
        outcome.slide: reasons.get(outcome.slide, outcome.message)
        for outcome in outcomes
        if outcome.folder is None
    }
    return Results({folder.name: folder for folder in folders}, failed)
