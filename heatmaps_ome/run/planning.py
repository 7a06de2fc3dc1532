"""Plans the slides of a run: open each once, take its fingerprint, choose its folder."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from heatmaps_ome.errors import HeatmapsError, OptionError, ResultError, SlideError
from heatmaps_ome.export.manifest import MAPS_FORMAT
from heatmaps_ome.slides.opening import open_slide
from heatmaps_ome.storage.digests import digest_of
from heatmaps_ome.storage.result_folder import VIEWERS, ResultFolder
from heatmaps_ome.viewers.report.part import PART_FORMAT

if TYPE_CHECKING:
    from pathlib import Path

    from heatmaps_ome.extractors.protocol import Extractor
    from heatmaps_ome.models.model_set import ModelSet
    from heatmaps_ome.run.settings import Making, Output, RunSettings, SlideList

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PlannedSlide:
    """A slide that can be opened, and the folder of its results.

    Attributes
    ----------
    request : str
        Digest of everything that determines the slide's results.
    finished : bool
        Whether results of the same request exist already.
    """

    path: Path
    folder: ResultFolder
    fingerprint: str
    request: str
    finished: bool


def slide_paths(slides: SlideList) -> list[Path]:
    """Return the slides of the command line and of ``--from-file``, each file once.

    Raises
    ------
    OptionError
        If there are no slides, or the list cannot be read.
    """
    paths = list(slides.paths)
    if slides.from_file is not None:
        try:
            lines = slides.from_file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise OptionError(
                f"{slides.from_file} cannot be read as a list of slides; check --from-file"
            ) from error
        folder = slides.from_file.parent
        # Absolute paths stay as they are; others start at the current folder or at the list's.
        listed = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
        paths += [_listed(line, folder) for line in listed]
    if not paths:
        raise OptionError("no slides are given; name them, or list them in --from-file")
    return list({path.resolve(): path for path in paths}.values())


def _listed(line: str, folder: Path) -> Path:
    """Return a listed path, from the current folder (like the reference) or the list's."""
    here = type(folder)(line)
    return here if here.exists() or not (folder / line).exists() else folder / line


def fingerprints(paths: list[Path], making: Making) -> tuple[dict[Path, str], dict[Path, str]]:
    """Return the fingerprints of slides that can be opened, and the reasons why others cannot."""
    prints: dict[Path, str] = {}
    refused: dict[Path, str] = {}
    # On many disks, names that differ only by case are the same folder.
    stems = Counter(path.stem.casefold() for path in paths)
    for path in paths:
        try:
            if stems[path.stem.casefold()] > 1:
                raise SlideError(
                    f"{path}: another slide of this run is called {path.stem} too, and results are "
                    "named after their slide; rename one or do them in separate runs"
                )
            if path.stem.casefold() == VIEWERS:
                raise SlideError(
                    f"{path}: results are named after their slide, and {path.stem} is the folder "
                    "of what viewers need; rename the slide"
                )
            prints[path] = _checked(path, making)
        except HeatmapsError as error:
            refused[path] = str(error)
    return prints, refused


def planned_slides(
    prints: dict[Path, str],
    refused: dict[Path, str],
    shared: dict[str, object],
    output: Output,
) -> tuple[PlannedSlide, ...]:
    """Return the plans of the slides; add slides whose folder is taken to ``refused``."""
    planned = []
    for path, fingerprint in prints.items():
        try:
            planned.append(_planned(path, fingerprint, shared, output))
        except HeatmapsError as error:
            refused[path] = str(error)
    return tuple(planned)


def _checked(path: Path, making: Making) -> str:
    """Open a slide, log its oddities, and return its fingerprint."""
    slide = open_slide(path, making.mpp)
    try:
        if slide.mpp_warning is not None:
            logger.warning("%s", slide.mpp_warning)
        if max(slide.mpp) > 2 * making.target_mpp:
            logger.warning(
                "%s has %.3g µm per pixel, far coarser than the %.3g that the network sees: it is "
                "enlarged, and its maps mean little", path.name, max(slide.mpp), making.target_mpp,
            )  # fmt: skip
        return slide.fingerprint()
    finally:
        slide.close()


def shared_facts(
    settings: RunSettings, prints: list[str], models: ModelSet, extractor: Extractor
) -> dict[str, object]:
    """Return everything that determines the results of all slides of the run."""
    scaling = settings.drawing.scaling
    if scaling is None:
        scaled_by: object = sorted(prints)
    else:
        scaled_by = hashlib.sha256(scaling.read_bytes()).hexdigest()
    return {
        "options": settings.records.effective,
        # The order of the models counts, because results list them in this order.
        "model": models.digest if len(models.models) == 1 else models.digests,
        "extractor": extractor.digest,
        "scaling": scaled_by,
    }


def _planned(
    path: Path, fingerprint: str, shared: dict[str, object], output: Output
) -> PlannedSlide:
    """Return a slide's plan.

    Raises
    ------
    ResultError
        If the slide's folder holds other results.
    """
    folder = ResultFolder(output.folder, path.stem)
    # Viewers refuse formats of earlier versions, so such results must be replaced.
    formats = [MAPS_FORMAT, PART_FORMAT]
    request = digest_of({**shared, "slide": fingerprint, "formats": formats})
    record = folder.provenance()
    finished = record is not None and record.get("request") == request
    if record is not None and not finished:
        if record.get("slide", {}).get("fingerprint") != fingerprint:
            raise ResultError(
                f"{folder.path} holds the results of another slide of the name {path.stem}; choose "
                "another --output-path"
            )
        if not output.overwrite:
            raise ResultError(
                f"{folder.path} holds results of other options, another cohort or an earlier "
                "version; add --overwrite to replace them, or choose another --output-path"
            )
    return PlannedSlide(path, folder, fingerprint, request, finished)
