"""The folder of a slide's results, which is complete or absent, whatever else runs or is killed.

A process writes to a folder of its own and renames it when it is complete. Renaming is under a lock
of the slide, so the second process to finish finds the slide finished.
"""

from __future__ import annotations

import logging
import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from heatmaps_ome.errors import OutputError, ResultError
from heatmaps_ome.storage.disk import disk_error
from heatmaps_ome.storage.lock import locked, remove_if_free
from heatmaps_ome.storage.names import shortened
from heatmaps_ome.storage.private import left_over, private_path, remove
from heatmaps_ome.storage.regular_file import read_json

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger(__name__)

PROVENANCE: Final = "provenance.json"
VIEWERS: Final = "viewers"
"""Folder of a run with the viewers' files."""
RUNS: Final = "runs"
"""Folder of an output folder with the records of its runs."""
RUN: Final = "run.json"
"""The list of all slides in an output folder."""
SCALING: Final = "scaling.json"
"""The scaling that all slides in an output folder share."""
MAPS: Final = ".maps"
"""Folder of an output folder with the raw maps of its slides, from which results are drawn."""
JOB: Final = "job.json"
"""What the maps in an output folder were asked for, in their folder."""
COMPARISON: Final = "compare.json"
"""The numbers of two results side by side, in a folder that compare wrote."""
COMPARISON_FORMAT: Final = "heatmaps-ome comparison 1"
RUN_LOCK: Final = ".run.lock"
"""Held while files that all runs in an output folder share are replaced."""
INDEX: Final = "index.html"
"""The report of all slides in an output folder."""
REPORT: Final = "report"
"""Folder of an output folder with a page for each slide, beyond what one file can hold."""
PREDICTIONS: Final = "predictions.csv"
"""The table of all slides in an output folder, for statistics."""
RESERVED: Final = frozenset({VIEWERS, RUNS, RUN, SCALING, INDEX, REPORT, PREDICTIONS})
"""Names in an output folder that no slide's results may have, in small letters."""

_OLD: Final = "old"
"""Last suffix of results that are being replaced."""


@dataclass(frozen=True)
class ResultFolder:
    """The folder of one slide's results.

    Attributes
    ----------
    output : Path
        The run's folder.
    name : str
        The name of the slide's results.
    """

    output: Path
    name: str

    @property
    def path(self) -> Path:
        """The folder of the finished results."""
        return self.output / self.name

    def provenance(self) -> dict[str, Any] | None:
        """Return the provenance of the finished results, or None if there are none.

        Raises
        ------
        ResultError
            If the folder is there but was not written by heatmaps-ome.
        """
        if not os.path.lexists(self.path):
            return None
        record = record_of(self.path)
        if record is None:
            raise ResultError(
                f"{self.path} exists but holds no results of heatmaps-ome; move it away or choose "
                "another --output-path"
            )
        return record

    def start(self) -> Path:
        """Return a new, empty folder to write results to, which no other process uses.

        Raises
        ------
        OutputError
            If the folder cannot be made.
        """
        folder = private_path(self.path)
        try:
            folder.mkdir(parents=True)
        except OSError as error:
            raise disk_error(folder, error) from error
        return folder

    def finish(self, folder: Path, replaces: str | None) -> bool:
        """Put a complete folder in its place, unless another process has finished the same.

        Parameters
        ----------
        folder : Path
            From `start`, with its provenance; it is gone afterwards.
        replaces : str or None
            The request of the results that may be replaced; None: there were none.

        Returns
        -------
        bool
            Whether the folder is the result now; False: the same results were there already.

        Raises
        ------
        ResultError
            If another process has meanwhile finished other results of the slide.
        OutputError
            If the folder cannot be renamed.
        """
        request, old = (record_of(folder) or {}).get("request"), private_path(self.path, _OLD)
        try:
            with locked(self.output / f".{shortened(self.name, 200)}.lock"):
                there = self.provenance()
                if there is not None and there.get("request") == request:
                    return False
                if there is not None and there.get("request") != replaces:
                    raise ResultError(
                        f"{self.path} was meanwhile made by another run with other options; choose "
                        "another --output-path"
                    )
                exchange(folder, self.path, old)
        except OSError as error:
            raise disk_error(self.path, error) from error
        finally:
            remove(folder)
        remove(old)
        return True


def exchange(folder: Path, place: Path, old: Path) -> None:
    """Put a folder into a place, and what lies there into another, or nothing at all."""
    replaced = os.path.lexists(place)
    if replaced:
        place.rename(old)
    try:
        folder.rename(place)
    except BaseException:
        if replaced:
            old.rename(place)
        raise


def record_of(folder: Path) -> dict[str, Any] | None:
    """Return the provenance in a folder, or None if it holds no results or they are damaged."""
    path = folder / PROVENANCE
    try:
        if not path.is_file():
            return None
        record = read_json(path)
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) else None


def is_comparison(folder: Path) -> bool:
    """Return whether a folder holds a comparison."""
    try:
        return read_json(folder / COMPARISON)["format"] == COMPARISON_FORMAT
    except (OSError, ValueError, KeyError, TypeError):
        return False


def finished_folders(output: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the folders of all finished results, by name, with their provenances."""
    for folder in sorted(output.iterdir()):
        if folder.name.startswith(".") or folder.is_symlink() or not folder.is_dir():
            continue
        record = record_of(folder)
        if record is not None:
            yield folder, record


def remove_leftovers(output: Path) -> None:
    """Remove what killed processes left in an output folder; put back what they were replacing.

    Folders of another machine's processes count as left over after a week.
    """
    for folder in left_over(output, _OLD):
        _put_back(folder, output)
    partial = [path for folder in _shared_folders(output) for path in left_over(folder)]
    for path in [*partial, *left_over(output, _OLD)]:
        logger.info("%s was left by a run that was stopped, and is removed", path)
        remove(path)
    for path in output.glob(".*.lock"):
        remove_if_free(path)


def _shared_folders(output: Path) -> list[Path]:
    """Return the folders in which runs write; none of them belongs to a single slide."""
    viewers = [path for path in (output / VIEWERS).glob("*") if path.is_dir()]
    inner = [path for folder in viewers for path in folder.glob("*") if path.is_dir()]
    return [output, output / RUNS, output / REPORT, output / MAPS, *viewers, *inner]


def _put_back(folder: Path, output: Path) -> None:
    """Give results back their name if the process that replaced them died in between."""
    record = record_of(folder) or {}
    name = record.get("name")
    if isinstance(name, str) and name == Path(name).name and not (output / name).exists():
        with suppress(OSError):
            folder.rename(output / name)


def require_writable(output: Path, option: str = "--output-path") -> None:
    """Refuse a folder that cannot be written or made; nothing is left in it or made.

    Parameters
    ----------
    option : str
        The option that chooses another place.

    Raises
    ------
    OutputError
        If it cannot be written; states the reason.
    """
    existing = output
    try:
        with suppress(FileNotFoundError, NotADirectoryError):
            output.lstat()  # whose other errors are names that no folder can have
        while not os.path.lexists(existing) and existing != existing.parent:
            existing = existing.parent
        if not existing.is_dir():
            raise OutputError(f"{existing} is not a folder; choose another {option}")
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(
            f"{output} cannot be written to ({error.strerror}); choose another {option}"
        ) from error
