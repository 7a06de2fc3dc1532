"""Costs in a real run: a warning before it begins, and a note of them at its end."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from heatmaps_ome.run.forecast.forecast import too_small
from heatmaps_ome.run.forecast.machine import costs_on_this_machine, note_costs
from heatmaps_ome.run.forecast.measured import Yardstick
from heatmaps_ome.slides.paths import files_of
from heatmaps_ome.storage.result_folder import PROVENANCE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from heatmaps_ome.run.maker import Maker
    from heatmaps_ome.run.outcome import Outcome
    from heatmaps_ome.run.preflight import Plan
    from heatmaps_ome.run.settings import RunSettings

logger = logging.getLogger(__name__)


def warn_of_space(plan: Plan) -> None:
    """Log a warning if the results of a run certainly do not fit on its disk."""
    settings = plan.settings
    output = settings.output.folder
    costs = costs_on_this_machine(Yardstick.of(settings, plan.maker))
    if costs.least_share is None:
        return
    size = sum(
        _size(row.path)
        for row in plan.rows
        if not (output / plan.names[row.path] / PROVENANCE).is_file()
    )
    sentence = too_small(output, costs, size)
    if sentence is not None:
        logger.warning("%s", sentence)


def _size(slide: Path) -> int:
    """Return the bytes of a slide's files; 0 if they cannot be read, which its turn shows."""
    with suppress(Exception):
        return sum(file.stat().st_size for file in files_of(slide))
    return 0


def note_costs_of(settings: RunSettings, maker: Maker | None, outcomes: Sequence[Outcome]) -> None:
    """Keep what slides have cost, for later forecasts on this machine."""
    note_costs(Yardstick.of(settings, maker), outcomes)
