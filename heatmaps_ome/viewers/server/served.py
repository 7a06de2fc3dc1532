"""What is served of a folder of results, and nothing else: each slide's files, and the run's JSON.

A run's folder may also hold slides (whose label may name the patient), the feature cache, results
that are not finished, and a QuPath project with the slides' paths. None of that is served.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from heatmaps_ome.errors import ResultError
from heatmaps_ome.export.manifest import MANIFEST
from heatmaps_ome.storage.result_folder import PROVENANCE

if TYPE_CHECKING:
    from pathlib import Path

    from heatmaps_ome.viewers.server.links import Linker

FILES = "files/"
"""Where the files are served."""
_RUN_FILES = frozenset({"run.json", "scaling.json"})
_ZARR_FILES = frozenset({".zattrs", ".zgroup", ".zarray", ".zmetadata"})


@dataclass(frozen=True)
class Served:
    """A run, or a single slide's results.

    Attributes
    ----------
    root : Path
        The folder that slides' folders are in.
    only : str or None
        The only slide's folder that is served; None: all of the run.
    """

    root: Path
    only: str | None = None

    @property
    def name(self) -> str:
        """What people call it."""
        return self.only if self.only is not None else self.root.name

    def folders(self) -> list[Path]:
        """Return the folders of all slides with results that viewers can open, by name."""
        names = [self.only] if self.only is not None else [p.name for p in self.root.iterdir()]
        found = [self.root / name for name in sorted(names) if self._is_slide(name)]
        return [folder for folder in found if _is_own_file(folder / MANIFEST)]

    def allows(self, parts: tuple[str, ...]) -> bool:
        """Return whether a path below the root, in its parts, is one that is served."""
        if not parts or any(part in ("", ".", "..") for part in parts):
            return False
        # Whatever else begins with a dot is being put together, or is the cache.
        if any(part.startswith(".") and part not in _ZARR_FILES for part in parts):
            return False
        if len(parts) == 1:
            return self.only is None and parts[0] in _RUN_FILES
        return self._is_slide(parts[0])

    def description(self, linker: Linker) -> dict[str, Any]:
        """Return what the page needs to know: the slides, where their files are, and links."""
        slides = []
        for folder in self.folders():
            try:
                found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
                prediction, true_class = found["prediction"], found["true_class"]
                links = linker.links(found, f"{FILES}{quote(folder.name)}/")
            except (OSError, ValueError, KeyError, TypeError):
                # The page says of such a slide that it is damaged when it is chosen.
                prediction, true_class, links = {}, None, []
            slides.append({
                "name": folder.name,
                "folder": folder.name,
                "files": f"{FILES}{quote(folder.name)}/",
                "prediction": prediction,
                "true_class": true_class,
                "links": [link.as_json() for link in links],
            })  # fmt: skip
        return {"name": self.name, "slides": slides}

    def _is_slide(self, name: str) -> bool:
        """Return whether a folder holds a slide's finished results."""
        if self.only is not None and name != self.only:
            return False
        folder = self.root / name
        # A link may lead anywhere; what it leads to is not served.
        own = not name.startswith(".") and not folder.is_symlink()
        return own and _is_own_file(folder / PROVENANCE)


def _is_own_file(path: Path) -> bool:
    """Return whether there is a file that is no link."""
    return path.is_file() and not path.is_symlink()


def served(path: Path) -> Served:
    """Return what is served of a run's folder or of a slide's.

    Raises
    ------
    ResultError
        If there is nothing to serve.
    """
    path = path.resolve()
    found = Served(path.parent, path.name) if (path / PROVENANCE).is_file() else Served(path)
    if not path.is_dir() or not found.folders():
        raise ResultError(
            f"{path} holds no slide's results that can be viewed; give the folder that create "
            "wrote to (--output-path)"
        )
    return found
