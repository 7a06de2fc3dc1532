"""Features of slides in files for other programs, from Python."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from heatmaps_ome.options import ExtractOptions
from heatmaps_ome.run.keywords import asked, one_path, paths_of, reporting

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from heatmaps_ome.run.keywords import AnyPath
    from heatmaps_ome.run.progress import Progress


@dataclass(frozen=True)
class FeatureFiles:
    """The features of slides.

    Attributes
    ----------
    files : mapping of name → Path
        The file of each slide that has one, by the name of its features.
    failed : mapping of str → str
        Name of a slide's file → reason of its failure.
    """

    files: Mapping[str, Path]
    failed: Mapping[str, str]


def extract(
    slides: AnyPath | Iterable[AnyPath],
    output: AnyPath,
    *,
    progress: bool | Progress = False,
    **options: Any,
) -> FeatureFiles:
    """Write the features of slides' tiles in TRIDENT's layout, as ``heatmaps-ome extract`` does.

    Messages go to the logger ``heatmaps_ome``; the environment is left as it is.

    Parameters
    ----------
    slides : path or several
        An empty list for those of ``from_file``, or of the ``table`` of ``--slides``, alone.
    output : path
        The folder to write ``SLIDE.h5`` of each slide to.
    progress : bool or callable
        Show the progress on stderr, or call this with (slide, stage, steps done, steps in all).
    **options
        Options of the command line, with underscores: ``extractor_weights="best_ckpt.pth"``,
        ``tile_px=256``, ``overlap=128``, ``feature_type="float16"``.

    Returns
    -------
    FeatureFiles

    Raises
    ------
    OptionError
        If there is no such option, or no run could use its value.
    HeatmapsError
        If the run as a whole cannot be done; nothing has been written then.
    """
    request = asked(
        ExtractOptions, options,
        slides=paths_of("slides", slides), output_path=one_path("output", output),
    )  # fmt: skip
    from heatmaps_ome.run import extraction

    with reporting(progress) as report:
        outcomes = extraction.extract(request, report)
    return FeatureFiles(
        {outcome.name: outcome.file for outcome in outcomes if outcome.file is not None},
        {outcome.slide: outcome.message for outcome in outcomes if outcome.file is None},
    )
