"""Two results on the same slides side by side, from Python."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from heatmaps_ome.options import CompareOptions
from heatmaps_ome.run.keywords import asked, one_path, reporting

if TYPE_CHECKING:
    from heatmaps_ome.run.comparison.comparing import Comparison
    from heatmaps_ome.run.keywords import AnyPath
    from heatmaps_ome.run.progress import Progress


def compare(
    a: AnyPath,
    b: AnyPath,
    output: AnyPath,
    *,
    progress: bool | Progress = False,
    **options: Any,
) -> Comparison:
    """Compare two models, two runs or two options on the same slides.

    Parameters
    ----------
    a, b : path
        Folders that create or export wrote to, or slides' folders in them.
    output : path
        The folder to write the comparison to: a report, ``compare.json``, ``compare.csv``, and the
        differences B − A of each slide, which `open` reads and viewers show.
    progress : bool or callable
        Show the progress on stderr, or call this with (slide, stage, steps done, steps in all).
    **options
        Options of the command line: ``overwrite=True``, ``formats=["ome-zarr", "ome-tiff"]``.

    Returns
    -------
    Comparison
        ``record`` has all numbers, and ``failed`` the slides that could not be compared.

    Raises
    ------
    OptionError
        If there is no such option, or it takes no such value.
    HeatmapsError
        If nothing could be compared; nothing has been written then.

    Examples
    --------
    >>> import heatmaps_ome  # doctest: +SKIP
    >>> compared = heatmaps_ome.compare("fold-1", "fold-2", "folds")  # doctest: +SKIP
    >>> compared.record["summary"]["flips"]  # doctest: +SKIP
    2
    """
    request = asked(
        CompareOptions, options,
        a=one_path("a", a), b=one_path("b", b), output_path=one_path("output", output),
    )  # fmt: skip
    from heatmaps_ome.run.comparison import comparing

    with reporting(progress) as report:
        return comparing.compare(request, report)
