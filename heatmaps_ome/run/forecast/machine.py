"""Costs of slides on this machine, kept in the user's cache folder from run to run.

A file per machine holds sums by kind of work, and neither slides nor paths. Whatever is wrong with
it, runs do not depend on it.
"""

from __future__ import annotations

import logging
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from heatmaps_ome.memory.limits import usable_cores
from heatmaps_ome.run.forecast.costs import Costs
from heatmaps_ome.run.forecast.measured import (
    LASTING,
    MOST_SLIDES,
    costs_of_files,
    costs_of_maps,
)
from heatmaps_ome.storage.digests import digest_of, write_json
from heatmaps_ome.storage.names import safe_name
from heatmaps_ome.storage.regular_file import read_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from heatmaps_ome.run.forecast.measured import Yardstick
    from heatmaps_ome.run.outcome import Outcome

logger = logging.getLogger(__name__)

FORMAT: Final = "heatmaps-ome costs 1"
_MOST_KINDS: Final = 200
"""Kinds of work in a file; those noted longest ago are dropped."""


def costs_on_this_machine(yardstick: Yardstick) -> Costs:
    """Return the costs of work like that of a run, from earlier runs on this machine."""
    kinds = _kinds()
    costs = Costs()
    for kind in _kinds_of(yardstick):
        try:
            costs = costs.or_else(Costs.from_record(kinds[kind]))
        except (KeyError, ValueError, TypeError, AttributeError):
            continue
    return costs


def note_costs(yardstick: Yardstick, outcomes: Sequence[Outcome]) -> None:
    """Add the costs of slides that a run has done to those of this machine."""
    costs = Costs()
    for one in [one for one in outcomes if one.status == "done"][:MOST_SLIDES]:
        costs = costs.plus(costs_of_maps(yardstick, one.name))
        if one.folder is not None:
            costs = costs.plus(costs_of_files(yardstick, one.name))
    path = _path()
    if path is None or not costs.sums:
        return
    making, drawing = _kinds_of(yardstick)
    kinds = _kinds()
    for kind, own in ((making, costs.only("making")), (drawing, costs.without("making"))):
        if own.sums:
            # The last noted stand last.
            kinds[kind] = _plus(kinds.pop(kind, None), own).record()
    latest = dict(list(kinds.items())[-_MOST_KINDS:])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {"format": FORMAT, "kinds": latest})
    except OSError as error:
        logger.debug("the costs of slides cannot be kept in %s (%s)", path, error)


def _plus(record: Any, costs: Costs) -> Costs:
    """Return the costs of a record with others; damaged ones are replaced."""
    try:
        return Costs.from_record(record).plus(costs)
    except (KeyError, ValueError, TypeError, AttributeError):
        return costs


def _kinds() -> dict[str, Any]:
    """Return the records of all kinds of work by their digests; none if the file is damaged."""
    path = _path()
    try:
        record = {} if path is None else read_json(path)
        return dict(record["kinds"]) if record["format"] == FORMAT else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _kinds_of(yardstick: Yardstick) -> tuple[str, str]:
    """Return the digests of the kinds of work: making raw maps, and drawing files."""
    maker, cores = yardstick.maker, usable_cores()
    facts: Mapping[str, object] = {}
    if maker is not None:
        facts = {"extractor": maker.extractor_digest, "device": _device(yardstick)}
    lasting = {name: yardstick.options.get(name) for name in sorted(LASTING)}
    return (
        digest_of({"work": "making", "cores": cores, **facts}),
        digest_of({"work": "drawing", "cores": cores, "options": lasting}),
    )


def _device(yardstick: Yardstick) -> str:
    """Return the name of the device that the network runs on."""
    lanes = None if yardstick.maker is None else yardstick.maker.lanes
    if lanes is None:
        return "cpu"
    device = str(getattr(lanes.extractor, "device", "cpu"))
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    return device


def _path() -> Path | None:
    """Return the file of this machine; None where there is no folder for it."""
    try:
        place = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:
        return None
    machine = safe_name(platform.node() or "unknown", frozenset())
    return Path(place) / "heatmaps-ome" / "costs" / f"{machine}.json"
