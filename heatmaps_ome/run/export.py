"""Scores of tiles to viewers from Python: five lines from any loop of a network to QuPath."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from heatmaps_ome.errors import OptionError
from heatmaps_ome.features.bag import GIVEN_KINDS
from heatmaps_ome.features.files.in_memory import scores_of_arrays
from heatmaps_ome.options import ExportOptions
from heatmaps_ome.run.keywords import asked, one_path, reporting
from heatmaps_ome.run.settings import tile_facts
from heatmaps_ome.viewers.notebook.results import Results

if TYPE_CHECKING:
    from collections.abc import Mapping

    from heatmaps_ome.features.bag import GivenKind
    from heatmaps_ome.run.keywords import AnyPath
    from heatmaps_ome.run.progress import Progress

_OF_FILES: Final = ("scores", "table", "map", "coords", "dataset")
"""Options on files of scores."""


def export(
    slide: AnyPath,
    places: Any,
    maps: Mapping[str, Any],
    output: AnyPath,
    *,
    kinds: Mapping[str, GivenKind] | None = None,
    true_class: str | None = None,
    progress: bool | Progress = False,
    **options: Any,
) -> Results:
    """Show scores of a slide's tiles in QuPath, napari and web viewers, without any model.

    Parameters
    ----------
    slide : path
    places : (n, 4) or (n, 2) numbers
        x0, y0, x1, y1 of each tile in level-0 pixels, from the slide's outer top left corner; or x
        and y alone, with ``tile_size``.
    maps : mapping of name → (n,) numbers
        NaN where a tile has no value.
    output : path
        The folder to write the results to.
    kinds : mapping of name → "attention", "probability", "contribution" or "value", optional
        How each map is drawn; those without one are attention, probability or contribution if
        they are named so, else values.
    true_class : str, optional
        The map to be shown first; default: the first one.
    progress : bool or callable
        Show the progress on stderr, or call this with (slide, stage, steps done, steps in all).
    **options
        Options of ``heatmaps-ome export``, with underscores: ``tile_size=256``,
        ``formats=["png"]``, ``overwrite=True``.

    Returns
    -------
    Results
        Of this slide.

    Raises
    ------
    OptionError
        If there is no such option, or no run could use its value.
    HeatmapsError
        If the maps do not fit together or the slide; nothing has been written then.

    Examples
    --------
    >>> import heatmaps_ome  # doctest: +SKIP
    >>> attention = model(features).softmax(0)  # doctest: +SKIP
    >>> heatmaps_ome.export(  # doctest: +SKIP
    ...     "slide.svs", coords, {"attention": attention}, "results", tile_size=512
    ... )
    """
    if not maps:
        raise OptionError("maps is empty; give at least one map, as {name: values}")
    request = asked(
        ExportOptions, options,
        slides=(one_path("slide", slide),),
        output_path=one_path("output", output),
        true_class=true_class,
    )  # fmt: skip
    _require_none_of_files(options)
    facts = replace(tile_facts(request), maps=_wishes(maps, kinds or {}))
    arrays = {name: _on_cpu(values) for name, values in maps.items()}
    from heatmaps_ome.run import pipeline

    read = partial(scores_of_arrays, _on_cpu(places), arrays, facts=facts)
    with reporting(progress) as report:
        [outcome] = pipeline.create(request, report, read)
    if outcome.folder is None:
        raise OptionError(outcome.message)
    return Results({outcome.folder.name: outcome.folder}, {})


def _require_none_of_files(options: Mapping[str, Any]) -> None:
    """Refuse options on files of scores, of which there are none."""
    for name in _OF_FILES:
        if name in options:
            raise OptionError(
                f"{name} is of files of scores, and these are arrays; give places and maps, or run "
                "heatmaps-ome export for a file"
            )


def _wishes(maps: Mapping[str, Any], kinds: Mapping[str, GivenKind]) -> tuple[str, ...]:
    """Return the maps as ``--map`` names them."""
    for name, kind in kinds.items():
        if name not in maps:
            raise OptionError(f"kinds has {name!r}, which is none of the maps {', '.join(maps)}")
        if kind not in GIVEN_KINDS:
            raise OptionError(f"the kind of {name!r} is {kind!r}; give {', '.join(GIVEN_KINDS)}")
    odd = [name for name in maps if not isinstance(name, str) or not name or set("=:") & set(name)]
    if odd:
        raise OptionError(f"the map {odd[0]!r} has no name without = and :; give it another")
    return tuple(f"{name}:{kinds[name]}" if name in kinds else name for name in maps)


def _on_cpu(values: Any) -> Any:
    """Return an array; a tensor of torch without its gradient, from whatever device."""
    return values.detach().cpu().float().numpy() if hasattr(values, "detach") else values
