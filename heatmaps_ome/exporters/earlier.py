"""Results being replaced: those of their files that would be the same are taken over.

If the colours of one map change, the files of all other maps stay as they are, and so do files
without a map. Everything that decides a file goes into one digest, so that no file is taken over by
mistake.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from heatmaps_ome.storage.digests import file_digest
from heatmaps_ome.storage.whole import link

if TYPE_CHECKING:
    from collections.abc import Iterable

    from heatmaps_ome.display.display_map import DisplayMap
    from heatmaps_ome.maps.heatmap_set import HeatmapSet
    from heatmaps_ome.maps.regions import Regions

SLIDE: Final = "slide"
"""The part of a slide's results without a map, or with raw values; others have their map's name."""
REGIONS: Final = "regions"
"""The part with the picture of hot and cold regions, which options decide too."""


@dataclass(frozen=True)
class PreviousResults:
    """A slide's results being replaced, if any.

    Attributes
    ----------
    folder : Path
    files : mapping of path relative to the folder → sha256
        The files, as they were when they were written.
    before : mapping of part → sha256
        Digest of everything that decided the part's files then.
    basis : str
        Digest of everything but raw and drawn maps that decides the new files: slide, options,
        versions.
    now : mapping of part → sha256
        Digest of everything that decides the part's new files.
    """

    folder: Path = Path()
    files: Mapping[str, str] = field(default_factory=dict)
    before: Mapping[str, str] = field(default_factory=dict)
    basis: str = ""
    now: Mapping[str, str] = field(default_factory=dict)

    def beside(
        self, heatmaps: HeatmapSet, maps: Iterable[DisplayMap], regions: Regions | None = None
    ) -> PreviousResults:
        """Return the same with the digests of the results that are being written."""
        slide = _digest(self.basis, heatmaps)
        drawn = {each.name: _digest(slide, each) for each in maps}
        return replace(self, now={SLIDE: slide, REGIONS: _digest(slide, regions), **drawn})

    def take(self, part: str, into: Path, *names: str) -> bool:
        """Put files of a part, and all files in folders of it, into the folder of the results.

        Files are hard-linked, or copied where they cannot be.

        Parameters
        ----------
        names : str
            Names of files and folders, relative to the folder of the results.

        Returns
        -------
        bool
            Whether the files were put there: everything that decides the part is the same, and the
            files exist as they were written.
        """
        if part not in self.now or self.before.get(part) != self.now[part]:
            return False
        groups = [
            [path for path in self.files if f"{path}/".startswith(f"{name}/")] for name in names
        ]
        paths = [path for group in groups for path in group]
        if not all(groups) or not all(map(self._is_as_written, paths)):
            return False
        for path in paths:
            link(self.folder / path, into / path)
        return True

    def _is_as_written(self, path: str) -> bool:
        """Return whether a file lies in the folder, with the content that was written."""
        try:
            place = (self.folder / path).resolve(strict=True)
            inside = place.is_relative_to(self.folder.resolve())
            return inside and file_digest(place) == self.files[path]
        except OSError:
            return False


def _digest(basis: str, *parts: Any) -> str:
    """Return the sha256 of values, parts included, on top of another digest."""
    digest = hashlib.sha256(basis.encode())
    for part in parts:
        _add(part, digest)
    return digest.hexdigest()


def _add(value: Any, digest: hashlib._Hash) -> None:
    """Add a value and its parts to a digest."""
    if isinstance(value, np.ndarray):
        digest.update(f"{value.dtype} {value.shape}".encode())
        digest.update(np.ascontiguousarray(value).data)
    elif is_dataclass(value):
        for part in fields(value):
            digest.update(part.name.encode())
            _add(getattr(value, part.name), digest)
    elif isinstance(value, Mapping):
        digest.update(str(len(value)).encode())
        for key, part in value.items():
            digest.update(f"{key!r}:".encode())
            _add(part, digest)
    elif isinstance(value, tuple | list):
        digest.update(str(len(value)).encode())
        for part in value:
            _add(part, digest)
    else:
        digest.update(f"{value!r};".encode())
