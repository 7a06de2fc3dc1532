"""Writes the differences of a slide as results that every viewer of results opens.

They are maps of a kind of their own, on the slide's image as A's results (or B's) have it: its
files are linked, not copied, where both lie on one disk.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from heatmaps_ome.display.rendering import Style
from heatmaps_ome.maps.heatmap_set import HeatmapSet
from heatmaps_ome.maps.kinds import DIFFERENCE, KINDS, SCORE
from heatmaps_ome.maps.set_facts import known
from heatmaps_ome.maps.store import write_values
from heatmaps_ome.models.target import Target
from heatmaps_ome.run.comparison.pictures import DIFFERENCES
from heatmaps_ome.run.comparison.scales import RAW
from heatmaps_ome.run.comparison.stored_slide import StoredSlide, stored_slide
from heatmaps_ome.run.delivery import complete, slide_record, slide_result, write_formats
from heatmaps_ome.run.settings import Look
from heatmaps_ome.run.stopwatch import Stages
from heatmaps_ome.storage.digests import digest_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from heatmaps_ome.exporters.protocol import Exporter
    from heatmaps_ome.run.comparison.pairing import Side
    from heatmaps_ome.run.comparison.scales import Scales
    from heatmaps_ome.run.comparison.slide_comparison import SlideComparison

SYSTEM = "heatmaps-ome compare"
_IMAGE = "ome-zarr"
"""The format that needs the slide's image."""
_STYLE = Style(score_map=DIFFERENCES)


@dataclass(frozen=True, eq=False)
class DifferenceWriter:
    """Writes the differences of slides.

    Attributes
    ----------
    a, b : Side
    scales : Scales
    exporters : mapping of format → Exporter
    """

    a: Side
    b: Side
    scales: Scales
    exporters: Mapping[str, Exporter]

    def write(self, slide: SlideComparison, stored: StoredSlide, folder: Path) -> None:
        """Write a slide's differences into a folder; what lies there already is recorded too."""
        heatmaps = _differences(slide, self.scales, stored.name)
        digest = self._digest(slide)
        write_values(heatmaps, folder, {"request": digest})
        names = self.scales.names
        look = Look(_STYLE, names, _first(slide, names), stored.image_mpp)
        label = slide.predictions.label
        result = slide_result(stored, heatmaps, self.scales.cohort(digest), look, label=label)
        # Nothing but the raw values can be written without the slide's pixels.
        formats = {
            name: own for name, own in self.exporters.items() if stored.levels or name != _IMAGE
        }
        write_formats(result, formats, folder, Stages({}))
        record = slide_record(
            result, self.scales.cohort(digest), stored.digest, self._origin(slide, digest, formats)
        )
        complete(folder, record)

    def stored(self, slide: SlideComparison) -> StoredSlide:
        """Return the slide, with its image from A's results or, if they have none, from B's."""
        a = stored_slide(slide.sides[0].path, self.a.records[slide.pair.a])
        if not a.levels:
            a.levels = stored_slide(slide.sides[1].path, self.b.records[slide.pair.b]).levels
        a.name = slide.name
        return a

    def _digest(self, slide: SlideComparison) -> str:
        """Return a digest of the two results."""
        records = self.a.records[slide.pair.a], self.b.records[slide.pair.b]
        return digest_of({
            "a": records[0].get("sha256"), "b": records[1].get("sha256"), "name": slide.name,
            "scales": [scale.record() for scale in self.scales.maps.values()],
        })  # fmt: skip

    def _origin(
        self, slide: SlideComparison, digest: str, formats: Iterable[str]
    ) -> dict[str, Any]:
        """Return the origin of the differences, for the provenance."""
        records = self.a.records[slide.pair.a], self.b.records[slide.pair.b]
        return {
            "name": slide.name,
            "request": digest,
            "basis": digest,
            "label": slide.predictions.label,
            "model": {
                "digest": digest,
                "classes": list(self.scales.names),
                "target_label": None,
                "features": 0,
            },
            "extractor": {"name": "", "digest": digest, "channels": 0},
            "pooling": None,
            "options": {
                "true_class": None,
                "formats": list(formats),
                "att_alpha": _STYLE.attention_alpha,
                "score_alpha": _STYLE.score_alpha,
            },
            "stages": {},
            "compared": [
                {"name": name, "created": record.get("created"), "sha256": record.get("sha256")}
                for name, record in zip((slide.pair.a, slide.pair.b), records, strict=True)
            ],
        }


def _first(slide: SlideComparison, names: tuple[str, ...]) -> str:
    """Return the map to show first: that of the score of the class drawn hot, if there is one."""
    for one in slide.maps:
        if (one.quantity.kind, one.quantity.class_name) == (SCORE, slide.true_class):
            return one.quantity.name
    return names[0]


def _differences(slide: SlideComparison, scales: Scales, slide_name: str) -> HeatmapSet:
    """Return the differences of a slide's maps, B − A; NaN in maps that it lacks."""
    planes, names = {}, scales.names
    for one in slide.maps:
        planes[one.quantity.name] = one.b - one.a
        if one.raw is not None:
            planes[one.quantity.name + RAW] = one.raw[1] - one.raw[0]
    grid = slide.cells.lattice
    missing = np.full(grid.shape, np.nan)
    stack = np.stack([planes.get(name, missing) for name in names]).astype(np.float32)
    unknown = np.full(len(names), np.nan)
    return HeatmapSet(
        slide_name=slide_name,
        slide_shape=slide.sides[0].heatmaps.slide_shape,
        grid=grid,
        classes=names,
        tissue=known(stack),
        maps={DIFFERENCE: stack},
        logits=unknown,
        prediction=unknown,
        # Every kind per class is listed, so that none is taken to have all classes.
        names={
            key: names if key == DIFFERENCE else () for key, kind in KINDS.items() if kind.per_class
        },
        units_given={name: scales.maps[name.removesuffix(RAW)].quantity.unit for name in names},
        aim=Target("none", names, "identity"),
        explanation={"system": SYSTEM, "notes": []},
    )
