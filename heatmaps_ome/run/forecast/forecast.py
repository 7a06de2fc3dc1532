"""What a run would do: slide by slide, and the time and the disk for all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from heatmaps_ome.features.finer_tiles import PARTS
from heatmaps_ome.run.forecast.space import needs
from heatmaps_ome.storage.disk import bytes_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from heatmaps_ome.run.forecast.costs import Costs, Measure
    from heatmaps_ome.run.forecast.space import Need
    from heatmaps_ome.run.forecast.standing import Standing
    from heatmaps_ome.run.settings import RunSettings


@dataclass(frozen=True)
class Forecast:
    """What a run would do.

    Attributes
    ----------
    output : Path
    slides : tuple of Standing
        In the order given.
    seconds : float or None
        Time that the run will take on this machine, slide after slide; None: it is not known yet.
    measured_on : int
        Number of slides that time and disk were measured on.
    results, cache : float or None
        Bytes that will be added by results and to the cache; None: it is not known yet.
    needs : tuple of Need
        What is needed on each disk, as far as it is known.
    most_finer : float or None
        Finer tiles for each tile of a slide, at most; None if there are to be none.
    """

    output: Path
    slides: tuple[Standing, ...]
    seconds: float | None
    measured_on: int
    results: float | None
    cache: float | None
    needs: tuple[Need, ...]
    most_finer: float | None = None


def forecast_of(
    settings: RunSettings, slides: Sequence[Standing], costs: Costs, *, scaling_is_known: bool
) -> Forecast:
    """Return what a run would do, from how far its slides are and from what slides cost.

    Parameters
    ----------
    scaling_is_known : bool
        Whether each slide is drawn as soon as its maps are made.
    """
    makes = [one.megapixels for one in slides if one.makes]
    draws = [one.megapixels for one in slides if one.draws]
    seconds = _sum(costs, {"making": makes, "drawing": draws})
    results = _sum(costs, {"results": draws})
    features = _sum(costs, {"features": makes})
    pixels = _sum(costs, {"pixels": _pixels_at_once(settings, slides, known=scaling_is_known)})
    cache = None if features is None or pixels is None else features + pixels
    output, folder = settings.output.folder, settings.resources.cache
    sizes = {output: results or 0.0, folder: cache or 0.0}
    return Forecast(
        output=output,
        slides=tuple(slides),
        seconds=seconds,
        measured_on=max(
            _measured_on(costs, "making", makes), _measured_on(costs, "drawing", draws)
        ),
        results=results,
        cache=cache,
        needs=tuple(needs(sizes)),
        most_finer=_most_finer(settings) if makes else None,
    )


def _most_finer(settings: RunSettings) -> float | None:
    """Return the finer tiles for each tile of a slide, at most; None if there are to be none."""
    share = settings.making.tiles.refine
    return None if share is None or settings.tiles.features is not None else share * PARTS**2


def _sum(costs: Costs, sizes: dict[Measure, list[float]]) -> float | None:
    """Return costs of several kinds together; None if one of them is not known."""
    total = 0.0
    for measure, megapixels in sizes.items():
        cost = costs.of(measure, megapixels) if megapixels else 0.0
        if cost is None:
            return None
        total += cost
    return total


def _measured_on(costs: Costs, measure: Measure, megapixels: list[float]) -> int:
    return costs.slides(measure) if megapixels else 0


def _pixels_at_once(
    settings: RunSettings, slides: Sequence[Standing], *, known: bool
) -> list[float]:
    """Return the megapixels of the slides whose pixels the cache keeps at the same time."""
    keep = settings.resources.keep_pixels
    if keep == "always" or (keep == "until-drawn" and not known):
        # Those of slides whose maps are made are there already.
        return [one.megapixels for one in slides if one.makes]
    return sorted(one.megapixels for one in slides if one.makes or one.draws)[-1:]


def too_small(output: Path, costs: Costs, size_of_files: int) -> str | None:
    """Return a sentence if what slides leave on a disk certainly does not fit there.

    Parameters
    ----------
    costs : Costs
        Of slides that are done.
    size_of_files : int
        Bytes of the files of all slides that are to be done.
    """
    if costs.least_share is None:
        return None
    for need in needs({output: costs.least_share * size_of_files}):
        if not need.fits:
            return (
                f"the disk of {output} is too small for these slides: they leave at least "
                f"{bytes_text(int(need.size))} there, if each takes no more than the smallest done "
                f"before, and {need.free_text()}; free some, or choose another --output-path"
            )
    return None
