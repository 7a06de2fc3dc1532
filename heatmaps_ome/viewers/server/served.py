"""The files of a results folder that are served: each slide's files and the run's JSON, no others.

A run's folder may also hold slides (whose label may name the patient), the feature cache, results
that are not finished, and a QuPath project with the slides' paths. None of that is served.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from heatmaps_ome.errors import ResultError
from heatmaps_ome.exporters.manifest import MANIFEST
from heatmaps_ome.slides.plain_zarr import read_object
from heatmaps_ome.storage.result_folder import PROVENANCE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from heatmaps_ome.viewers.server.links import Linker

FILES = "files/"
"""Address of the files, relative to the page."""
_RUN_FILES = frozenset({"run.json", "scaling.json"})
_ZARR_FILES = frozenset({".zattrs", ".zgroup", ".zarray", ".zmetadata"})


@dataclass(frozen=True)
class Served:
    """A run, or a single slide's results.

    Attributes
    ----------
    root : Path
        The folder that contains the slides' folders.
    only : str or None
        The folder of the one slide to serve; None: all slides of the run.
    ready : callable or None
        Called with the name of a slide's folder before its files are read; fetches them.
    address : str
        Where browsers reach the files without this server, ending in a slash; "" if nowhere.
    """

    root: Path
    only: str | None = None
    ready: Callable[[str], None] | None = None
    address: str = ""

    @property
    def name(self) -> str:
        """Name to display."""
        return self.only if self.only is not None else self.root.name

    def folders(self) -> list[Path]:
        """Return the folders of all slides with results that viewers can open, by name."""
        names = [self.only] if self.only is not None else [p.name for p in self.root.iterdir()]
        folders = [self.root / name for name in sorted(names) if self._is_slide(name)]
        return [folder for folder in folders if _is_own_file(folder / MANIFEST)]

    def allows(self, parts: tuple[str, ...]) -> bool:
        """Return whether a path is served, given its parts below the root."""
        if not parts or any(part in ("", ".", "..") for part in parts):
            return False
        # All other names that begin with a dot are unfinished results or the cache.
        if any(part.startswith(".") and part not in _ZARR_FILES for part in parts):
            return False
        if len(parts) == 1:
            return self.only is None and parts[0] in _RUN_FILES
        return self._is_slide(parts[0])

    def description(self, linker: Linker) -> dict[str, Any]:
        """Return the page's description of the run: slides, addresses of their files, and links."""
        slides = [_described(folder, linker) for folder in self.folders()]
        return {"name": self.name, "slides": slides}

    def _is_slide(self, name: str) -> bool:
        """Return whether a folder holds a slide's finished results."""
        if self.only is not None and name != self.only:
            return False
        folder = self.root / name
        # A link may lead anywhere, so links are not followed.
        own = not name.startswith(".") and not folder.is_symlink()
        return own and _is_own_file(folder / PROVENANCE)


def _described(folder: Path, linker: Linker) -> dict[str, Any]:
    """Return the page's description of a slide; of a damaged one without its facts."""
    files = f"{FILES}{quote(folder.name)}/"
    slide: dict[str, Any] = {"name": folder.name, "folder": folder.name, "files": files}
    try:
        facts = read_object(folder / MANIFEST)
        return slide | {
            "prediction": facts["prediction"],
            # Earlier versions knew classes alone, and no ground truth.
            "target": facts.get("target"),
            "true_class": facts["true_class"],
            "label": facts.get("label"),
            "correct": is_correct(facts),
            "links": [link.as_json() for link in linker.links(facts, files)],
        }
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        # The page reports a damaged slide when the user chooses it.
        nothing = dict.fromkeys(("target", "true_class", "label", "correct"))
        return slide | {"prediction": {}, **nothing, "links": []}


def is_correct(facts: Mapping[str, Any]) -> bool | None:
    """Return whether a slide's most probable class is its ground truth; None where one is missing.

    Parameters
    ----------
    facts : mapping
        Content of its ``maps.json``.
    """
    label, prediction = facts.get("label"), facts["prediction"]
    task = (facts.get("target") or {}).get("task", "classification")
    # A single output is compared with no other, and several yes-or-no answers with none of them.
    comparable = task == "classification" and len(prediction) > 1 and label in prediction
    if not comparable or None in prediction.values():
        return None
    return label == max(prediction, key=prediction.__getitem__)


def _is_own_file(path: Path) -> bool:
    """Return whether a path is a file and no link."""
    return path.is_file() and not path.is_symlink()


def served(path: Path) -> Served:
    """Return the files to serve from the folder of a run or a slide.

    Raises
    ------
    ResultError
        If there is nothing to serve.
    """
    path = Path(os.path.realpath(path))
    results = Served(path.parent, path.name) if (path / PROVENANCE).is_file() else Served(path)
    if not path.is_dir() or not results.folders():
        raise ResultError(
            f"{path} holds no slide's results that can be viewed; give the folder that create "
            "wrote to (--output-path)"
        )
    return results
