"""Plans a slide: open it, take its fingerprint, find the source of its maps, choose its folder."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from heatmaps_ome.errors import ResultError, SlideError
from heatmaps_ome.exporters.manifest import MAPS_FORMAT
from heatmaps_ome.run.made_maps import basis_of, request_of
from heatmaps_ome.slides.paths import name_of
from heatmaps_ome.slides.remote_slide import name_at
from heatmaps_ome.storage.names import safe_name
from heatmaps_ome.storage.result_folder import RESERVED
from heatmaps_ome.viewers.report.part import PART_FORMAT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from heatmaps_ome.display.scaling import CohortScaling
    from heatmaps_ome.geometry import YX, Shape
    from heatmaps_ome.run.maker import Maker, Source
    from heatmaps_ome.run.slide_row import SlideRow
    from heatmaps_ome.storage.result_folder import ResultFolder

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class PlannedSlide:
    """A slide that can be opened.

    Attributes
    ----------
    row : SlideRow
        The slide as the user gave it.
    name : str
        Name of its results.
    fingerprint : str
        Digest of the slide's content.
    mpp : YX
        µm per level-0 pixel.
    shape : Shape
        The slide's size at level 0.
    source : Source
        Where its raw maps come from.
    """

    row: SlideRow
    name: str
    fingerprint: str
    mpp: YX
    shape: Shape
    source: Source

    @property
    def path(self) -> Path:
        """The slide's file."""
        return self.row.path

    def basis(self, shared: Mapping[str, object]) -> str:
        """Return the digest of everything that determines results but the scaling's numbers."""
        return basis_of(shared, self.fingerprint, self.mpp, self.row.label, self.source.digests)


@dataclass(frozen=True)
class Drawn:
    """What a slide's results follow from: all that earlier ones must have in common with them.

    Attributes
    ----------
    folder : ResultFolder
        The place of the results.
    fingerprint : str
    mpp : YX
    basis : str
        See `basis_of`.
    """

    folder: ResultFolder
    fingerprint: str
    mpp: YX
    basis: str

    def request(self, scaling: CohortScaling) -> str:
        """Return the digest of everything that determines the slide's results."""
        return request_of(self.basis, scaling)

    def is_done(self, record: Mapping[str, Any], scaling: CohortScaling) -> bool:
        """Return whether results with a provenance are these already."""
        return record.get("request") == self.request(scaling)

    def earlier(self, scaling: CohortScaling | None, replaced: Replaced) -> dict[str, Any] | None:
        """Return the provenance of the slide's results that may be replaced; None: there are none.

        Parameters
        ----------
        scaling : CohortScaling or None
            None while it is not known yet.

        Raises
        ------
        ResultError
            If they must not be replaced, or the folder holds anything else.
        """
        record = self.folder.provenance()
        if record is None:
            return None
        if scaling is not None and self.is_done(record, scaling):
            return record
        path, there = self.folder.path, record.get("slide", {})
        if there.get("fingerprint") != self.fingerprint:
            raise ResultError(
                f"{path} holds the results of another slide of the name {self.folder.name}; choose "
                "another --output-path"
            )
        is_same = record.get("basis") == self.basis
        if replaced.any or (is_same and (replaced.scaling or scaling is None)):
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
    return {row.path: safe_name(row.name or _own_name(row), RESERVED) for row in rows}


def _own_name(row: SlideRow) -> str:
    """Return a slide's name; a path that cannot be a file's has one as well."""
    if row.url:
        return name_at(row.url)
    try:
        return name_of(row.path)
    except (OSError, ValueError):
        return row.path.stem


def require_own_name(row: SlideRow, name: str, taken: Mapping[str, int]) -> None:
    """Refuse a slide that cannot be read by its row, or whose results would be another's too.

    Parameters
    ----------
    taken : mapping of name in small letters → number of slides
        On many disks, names that differ only by case are the same folder.

    Raises
    ------
    SlideError
        With the reason.
    """
    if row.problem:
        raise SlideError(row.problem)
    if taken[name.casefold()] > 1:
        raise SlideError(
            f"{row.path}: another slide of this run is called {name} too, and results are "
            "named after their slide; rename one, name them in a table (--slides), or do "
            "them in separate runs"
        )


def planned_slide(row: SlideRow, name: str, maker: Maker, file: Path) -> PlannedSlide:
    """Open a slide, log its oddities, and return its plan.

    Parameters
    ----------
    maker : Maker
        Makes the raw maps of all slides.
    file : Path
        The slide's file, which for a row at a URL is another path than the row's.

    Raises
    ------
    SlideError
        If it cannot be opened.
    HeatmapsError
        If there is no source of its maps that fits.
    """
    slide = maker.reading.opened(file, row.mpp)
    try:
        for warning in slide.warnings:
            logger.warning("%s", warning)
        source = maker.source(row, slide)
        return PlannedSlide(row, name, slide.fingerprint(), slide.mpp, slide.shape, source)
    finally:
        slide.close()


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
