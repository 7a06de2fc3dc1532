"""Validates results: a run, a slide's folder of results, or one store of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from heatmaps_ome.errors import OptionError, ResultError
from heatmaps_ome.slides.plain_zarr import MOST_LIST_BYTES, inside, read_object
from heatmaps_ome.validate.flat import FLAT
from heatmaps_ome.validate.folder import (
    IMAGE_STORE,
    OVERLAYS,
    VALUE_TIFFS,
    VALUES_STORE,
    check_folder,
)
from heatmaps_ome.validate.hashes import PROVENANCE, RESULT
from heatmaps_ome.validate.labels import LABEL, LISTED
from heatmaps_ome.validate.levels import IMAGE_LEVELS, LABEL_LEVELS
from heatmaps_ome.validate.manifest import LISTED_FILES
from heatmaps_ome.validate.ngff import COLOURED, DRAWN, SHARED
from heatmaps_ome.validate.ome_xml import ZARR_XML
from heatmaps_ome.validate.placement import IMAGE_PLACE, LABEL_PLACE, OVERLAY_PLACE
from heatmaps_ome.validate.prediction_table import table_faults
from heatmaps_ome.validate.problems import Problem, Rule
from heatmaps_ome.validate.record import RECORD
from heatmaps_ome.validate.source import SOURCE
from heatmaps_ome.validate.stores import (
    OPENED,
    Findings,
    check_image,
    check_values,
    checked_overlay,
    checked_value_tiff,
)
from heatmaps_ome.validate.tiff import OVERLAY
from heatmaps_ome.validate.value_tiff import VALUE_TIFF, VALUE_TIFF_PLACE
from heatmaps_ome.validate.values import VALUES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

RUN = "run.json"
_METADATA = (".zattrs", "zarr.json")
"""Files that mark a folder as an OME-Zarr, of NGFF 0.4 or 0.5."""


def _run_complete(run: Path) -> Iterator[str]:
    """Demand the folder of each slide that a run finished."""
    for slide in read_object(run / RUN, MOST_LIST_BYTES)["slides"]:
        folder = slide["folder"]
        if folder is not None and not (inside(run, folder) / PROVENANCE).is_file():
            yield f"{slide['slide']} was {slide['status']}, but {folder} holds no result"


RUN_RULES: tuple[Rule[Path], ...] = (
    Rule("run-complete", "every slide that run.json lists as done is there", _run_complete),
    Rule(
        "prediction-table",
        "predictions.csv has the slides and predictions of run.json, and no formula",
        table_faults,
    ),
)
"""Rules for a run."""

RULES: tuple[Rule[Any], ...] = (
    *OPENED, *SHARED, *DRAWN, *COLOURED, *IMAGE_LEVELS, *ZARR_XML, *LISTED, *LABEL_LEVELS, *LABEL,
    *VALUES, *OVERLAY, *VALUE_TIFF, *IMAGE_PLACE, *LABEL_PLACE, *OVERLAY_PLACE, *VALUE_TIFF_PLACE,
    *FLAT, *LISTED_FILES, *SOURCE, *RESULT, *RECORD, *RUN_RULES,
)  # fmt: skip
"""All rules."""


@dataclass(frozen=True)
class Verdict:
    """The result of a validation.

    Attributes
    ----------
    path : Path
        The path validated.
    n_files, n_rules : int
        Numbers of its files, and of the different rules that they were checked by.
    problems : tuple of Problem
    unchecked : tuple of str
        Sentences that name parts which could not be checked.
    """

    path: Path
    n_files: int
    n_rules: int
    problems: tuple[Problem, ...]
    unchecked: tuple[str, ...] = ()


def validate(path: Path, slides: Sequence[Path] = ()) -> Verdict:
    """Return the problems of a run, a slide's results, an OME-Zarr or an overlay.

    Parameters
    ----------
    slides : sequence of Path
        Slides that results were made from, found by their names; a single one is compared
        with a single result whatever its name.

    Raises
    ------
    ResultError
        If there is nothing of that kind.
    OptionError
        If a slide belongs to no result.
    """
    if not path.exists():
        raise ResultError(f"{path}: there is no such result; check the path")
    findings = Findings()
    results = _results_at(path)
    belonging: dict[Path, Path] = {}
    if results:
        if (path / RUN).is_file():
            findings.hold(path, path, RUN_RULES)
        belonging = _belonging(results, slides)
        for folder in results:
            check_folder(folder, belonging.get(folder), findings)
    else:
        if slides:
            raise OptionError(f"--slide needs a result or a run, which {path} is not")
        _check_store(path, findings)
    return Verdict(
        path, _n_files(path), len(findings.rules), tuple(findings.problems),
        tuple(_unchecked(path, results, belonging)),
    )  # fmt: skip


def _unchecked(path: Path, results: list[Path], belonging: dict[Path, Path]) -> Iterator[str]:
    """Yield a sentence for each part that a validation could not check."""
    if not results:
        yield "the result that it belongs to was not given, so only this store was checked"
        return
    if len(belonging) < len(results):
        some = "the slide itself was" if results == [path] else "not all slides were"
        not_given = "not given" if results == [path] else "given"
        yield f"{some} {not_given} (--slide), so its content and pixels were not compared"
    if not (path / RUN).is_file():
        yield f"there is no {RUN}, so the files of the run were not checked"
    for folder in results:
        if not any(folder.glob(f"*{VALUES_STORE}")):
            yield f"{folder.name} has no raw values, so its maps were not compared with them"


def _n_files(path: Path) -> int:
    """Return how many files a result has; a run's cache is no part of it."""
    if path.is_file():
        return 1
    hidden = {folder.name for folder in path.glob(".*/")}
    files = (file for file in path.rglob("*") if file.is_file())
    return sum(file.relative_to(path).parts[0] not in hidden for file in files)


def _results_at(path: Path) -> list[Path]:
    """Return the folders of slides' results at a path: of a run, or the folder itself."""
    if not path.is_dir():
        return []
    if _is_result(path):
        return [path]
    if _is_zarr(path):
        return []
    # A folder with a dot is being put together, or is the cache.
    return [
        folder
        for folder in sorted(path.iterdir())
        if folder.is_dir() and not folder.name.startswith(".") and _is_result(folder)
    ]


def _is_zarr(path: Path) -> bool:
    """Return whether a folder is an OME-Zarr rather than a folder with some in it."""
    return path.name.endswith(IMAGE_STORE) or any((path / name).exists() for name in _METADATA)


def _is_result(folder: Path) -> bool:
    """Return whether a folder holds a slide's results, maybe damaged ones."""
    if _is_zarr(folder):
        return False
    return (folder / PROVENANCE).is_file() or any(folder.glob(f"*{VALUES_STORE}"))


def _belonging(results: list[Path], slides: Sequence[Path]) -> dict[Path, Path]:
    """Return the slide of each result that has one.

    Raises
    ------
    OptionError
        If a slide belongs to no result.
    """
    if len(results) == 1 and len(slides) == 1:
        return {results[0]: slides[0]}
    names = {folder.name: folder for folder in results}
    slide_of = {}
    for slide in slides:
        if slide.stem not in names:
            raise OptionError(f"--slide {slide}: no result is called {slide.stem}; check the path")
        slide_of[names[slide.stem]] = slide
    return slide_of


def _check_store(path: Path, findings: Findings) -> None:
    """Check a single store.

    Raises
    ------
    ResultError
        If it is of no known kind.
    """
    if path.is_dir() and path.name.endswith(VALUES_STORE):
        check_values(path, findings)
    elif path.is_dir() and _is_zarr(path):
        check_image(path, findings)
    elif path.is_file() and path.name.endswith(VALUE_TIFFS):
        with checked_value_tiff(path, findings):
            pass
    elif path.is_file() and path.name.endswith(OVERLAYS):
        with checked_overlay(path, findings):
            pass
    else:
        raise ResultError(
            f"{path} is no result, run, OME-Zarr or OME-TIFF of heatmaps-ome; give one"
        )
