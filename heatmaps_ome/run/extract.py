"""Features of slides in files for other programs, from Python."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from heatmaps_ome.errors import OptionError
from heatmaps_ome.options import ExtractOptions
from heatmaps_ome.run.create import _option, _path, _paths
from heatmaps_ome.run.progress import for_stream, silent

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from heatmaps_ome.run.create import AnyPath
    from heatmaps_ome.run.progress import Progress

logger = logging.getLogger(__name__)


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
    values = {name: _option(name, value, ExtractOptions) for name, value in options.items()}
    try:
        request = ExtractOptions(
            slides=_paths("slides", slides), output_path=_path("output", output), **values
        )
    except ValueError as error:
        raise OptionError(str(error)) from error
    for note in request.notes():
        logger.warning("%s", note)
    from heatmaps_ome.run import extraction

    with_bar = for_stream(sys.stderr) if progress is True else None
    report = with_bar or (progress if callable(progress) else silent)
    try:
        outcomes = extraction.extract(request, report)
    finally:
        if with_bar is not None:
            with_bar.close()
    return FeatureFiles(
        {outcome.name: outcome.file for outcome in outcomes if outcome.file is not None},
        {outcome.slide: outcome.message for outcome in outcomes if outcome.file is None},
    )
