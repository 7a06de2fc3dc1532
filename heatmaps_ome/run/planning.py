"""Plans the slides of a run: open each once, take its fingerprint, choose its folder."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from heatmaps_ome.errors import ResultError, SlideError
from heatmaps_ome.exporters.manifest import MAPS_FORMAT
from heatmaps_ome.run.faults import reason_of
from heatmaps_ome.slides.opening import open_slide
from heatmaps_ome.slides.paths import name_of
from heatmaps_ome.storage.digests import digest_of
from heatmaps_ome.storage.names import safe_name
from heatmaps_ome.storage.result_folder import RESERVED, ResultFolder, record_of
from heatmaps_ome.viewers.report.part import PART_FORMAT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from heatmaps_ome.display.scaling import CohortScaling
    from heatmaps_ome.geometry import YX
    from heatmaps_ome.run.maker import Maker, Source
    from heatmaps_ome.run.slide_row import SlideRow

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class PlannedSlide:
    """A slide that can be opened, and the folder of its results.

    Attributes
    ----------
    row : SlideRow
        The slide as the user gave it.
    fingerprint : str
        Digest of the slide's content.
    mpp : YX
        µm per level-0 pixel.
    source : Source
        Where its raw maps come from.
    basis : str
        Digest of everything that determines the results but the numbers of the scaling.
    """

    row: SlideRow
    folder: ResultFolder
    fingerprint: str
    mpp: YX
    source: Source
    basis: str

    @property
    def path(self) -> Path:
        """The slide's file."""
        return self.row.path

    def request(self, scaling: CohortScaling) -> str:
        """Return the digest of everything that determines the slide's results."""
        return digest_of({"basis": self.basis, "scaling": scaling.numbers})

    def is_finished(self, scaling: CohortScaling) -> bool:
        """Return whether the slide's results are there already."""
        record = record_of(self.folder.path) or {}
        return record.get("request") == self.request(scaling)

    def earlier(self, scaling: CohortScaling, replaced: Replaced) -> dict[str, Any] | None:
        """Return the provenance of the slide's results that may be replaced; None: there are none.

        Raises
        ------
        ResultError
            If they must not be replaced, or the folder holds anything else.
        """
        record = self.folder.provenance()
        if record is None or record.get("request") == self.request(scaling):
            return record
        path, there = self.folder.path, record.get("slide", {})
        if there.get("fingerprint") != self.fingerprint:
            raise ResultError(
                f"{path} holds the results of another slide of the name {self.folder.name}; choose "
                "another --output-path"
            )
        if replaced.any or (replaced.scaling and record.get("basis") == self.basis):
            return record
        if there.get("mpp") != list(self.mpp):
            raise ResultError(
                f"{path} holds results for {_um(there.get('mpp'))} µm per pixel, and now it is "
                f"{_um(self.mpp)}; add --overwrite to replace them, give --mpp only to slides that "
                "need it, or choose another --output-path"
            )
        raise ResultError(
            f"{path} holds results of other options, another scaling or an earlier version; add "
            "--overwrite to replace them, or choose another --output-path"
        )


@dataclass(frozen=True)
class Replaced:
    """The results that a run may replace.

    Attributes
    ----------
    any : bool
        Results of other options.
    scaling : bool
        Results of the same options that are scaled otherwise.
    """

    any: bool
    scaling: bool


def result_names(rows: Sequence[SlideRow]) -> dict[Path, str]:
    """Return the names of the slides' results, by their paths."""
    return {row.path: safe_name(row.name or _own_name(row.path), RESERVED) for row in rows}


def _own_name(path: Path) -> str:
    """Return a slide's name; a path that cannot be a file's has one as well."""
    try:
        return name_of(path)
    except (OSError, ValueError):
        return path.stem


def planned_slides(
    rows: Sequence[SlideRow],
    names: Mapping[Path, str],
    output: Path,
    plan: Callable[[SlideRow, ResultFolder], PlannedSlide],
) -> tuple[tuple[PlannedSlide, ...], dict[Path, str]]:
    """Return the plans of the slides that can be done, and why others cannot, by their paths.

    Whatever a slide raises refuses this slide alone.

    Parameters
    ----------
    names : mapping of slide path → name
        From `result_names`.
    """
    # On many disks, names that differ only by case are the same folder.
    taken = Counter(name.casefold() for name in names.values())
    planned, refused = [], {}
    for row in rows:
        try:
            if row.problem:
                raise SlideError(row.problem)
            name = names[row.path]
            if taken[name.casefold()] > 1:
                raise SlideError(
                    f"{row.path}: another slide of this run is called {name} too, and results are "
                    "named after their slide; rename one, name them in a table (--slides), or do "
                    "them in separate runs"
                )
            planned.append(plan(row, ResultFolder(output, name)))
        except Exception as error:
            reason = reason_of(error, row.path)
            named = not row.origin or reason.startswith(row.origin)
            refused[row.path] = reason if named else f"{row.origin}: {reason}"
            logger.debug("the error in full", exc_info=error)
    return tuple(planned), refused


def planned_slide(
    row: SlideRow, folder: ResultFolder, maker: Maker, shared: dict[str, object]
) -> PlannedSlide:
    """Open a slide, log its oddities, and return its plan.

    Parameters
    ----------
    maker : Maker
        Makes the raw maps of all slides.
    shared : dict
        Everything that determines the results of all slides of the run but their scaling.

    Raises
    ------
    SlideError
        If it cannot be opened.
    HeatmapsError
        If there is no source of its maps that fits.
    """
    slide = open_slide(row.path, row.mpp)
    try:
        if slide.mpp_warning is not None:
            logger.warning("%s", slide.mpp_warning)
        source = maker.source(row, slide)
        fingerprint, mpp = slide.fingerprint(), slide.mpp
    finally:
        slide.close()
    facts = {
        **shared,
        "slide": fingerprint,
        "mpp": list(mpp),
        "label": row.label,
        # The order of the models counts, because results list them in this order.
        "models": source.digests,
    }
    return PlannedSlide(
        row=row,
        folder=folder,
        fingerprint=fingerprint,
        mpp=mpp,
        source=source,
        basis=digest_of(facts),
    )


def shared_facts(options: dict[str, Any], extractor: str) -> dict[str, object]:
    """Return everything that determines the results of all slides but their scaling and models.

    Parameters
    ----------
    options : dict
        The options that change a result.
    extractor : str
        Digest of the extractor.
    """
    return {
        "options": options,
        "extractor": extractor,
        # Viewers refuse formats of earlier versions, so such results must be replaced.
        "formats": [MAPS_FORMAT, PART_FORMAT],
    }


def _um(mpp: Any) -> str:
    """Return a pixel size (y, x) as a text."""
    try:
        y, x = mpp
        return f"{y:g}" if y == x else f"{x:g} × {y:g}"
    except (TypeError, ValueError):
        return "unknown"
