"""Digests by which raw maps are recognised: of what is asked for, and of what they follow from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heatmaps_ome import __version__
from heatmaps_ome.storage.digests import digest_of
from heatmaps_ome.storage.remote.urls import url_of

if TYPE_CHECKING:
    from pathlib import Path

    from heatmaps_ome.run.planning import PlannedSlide
    from heatmaps_ome.run.preflight import Plan
    from heatmaps_ome.run.slide_row import SlideRow


def asked_of(plan: Plan, row: SlideRow) -> str:
    """Return the digest of everything that the user gave for a slide's maps.

    It is known without opening the slide; "" for scores in memory, which nothing else states.
    """
    tiles = plan.settings.tiles
    if tiles.scores is not None and tiles.scores.in_memory is not None:
        return ""
    return digest_of({
        "version": __version__,
        "values": plan.job.values_digest,
        "path": _place(row.path),
        "mpp": row.mpp,
        "label": row.label,
        "covariates": {**plan.settings.models.covariates, **row.covariates},
        "facts": repr(tiles.facts),
        "files": [str(row.features or tiles.features), str(row.scores)],
    })  # fmt: skip


def request_of(plan: Plan, planned: PlannedSlide) -> str:
    """Return the digest of everything that determines a slide's maps, and of its place."""
    row = planned.row
    return digest_of({
        "version": __version__,
        "values": plan.job.values_digest,
        "digests": planned.source.digests,
        "slide": planned.fingerprint,
        "mpp": list(planned.mpp),
        "label": row.label,
        "path": _place(row.path),
    })  # fmt: skip


def _place(path: Path) -> str:
    """Return the place of a slide: its URL, or its whole path."""
    return url_of(path) or str(path.parent.resolve() / path.name)
