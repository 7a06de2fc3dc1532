"""Rules for a result's files: those that provenance lists are there, unchanged, and no others."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from heatmaps_ome.slides.plain_zarr import read_object
from heatmaps_ome.validate.problems import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


PROVENANCE = "provenance.json"
"""File of a slide's folder that records how it was made."""
_ENDINGS = {
    "ome-zarr": (".ome.zarr/.zattrs", ".ome.zarr/zarr.json"),
    "ome-tiff": (".ome.tiff",),
    "png": ("previews/slide.png",),
    "tiles": (".tiles.csv",),
    "report": (".report.json",),
    "figures": ("figures/overview.pdf",),
}
"""Format → endings of its files' names."""
_BESIDES = (".values.ome.", ".flat.ome.zarr/")
"""Parts of the names of files that accompany others: no format consists of them alone."""


@dataclass(frozen=True)
class Result:
    """The folder of one slide's results.

    Attributes
    ----------
    path : Path
    """

    path: Path

    @cached_property
    def record(self) -> dict[str, Any]:
        """Its provenance; OSError or ValueError if it cannot be read."""
        return read_object(self.path / PROVENANCE)

    @cached_property
    def files(self) -> dict[str, Path]:
        """Every file but the provenance, by its path relative to the folder."""
        return {
            name: file
            for file in sorted(self.path.rglob("*"))
            if file.is_file()
            and not file.is_symlink()
            and (name := file.relative_to(self.path).as_posix()) != PROVENANCE
        }


def _complete(result: Result) -> Iterator[str]:
    """Demand the files that provenance lists, no others, and all formats that were requested."""
    for path in sorted(result.path.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            yield f"{path.name} is no regular file but a link, a pipe or a device; it is not read"
    listed = set(result.record["files"])
    missing, strange = sorted(listed - set(result.files)), sorted(set(result.files) - listed)
    if missing:
        yield f"{len(missing)} files are missing, {missing[0]} for one; copy the result again"
    if strange:
        yield f"{len(strange)} files are not in {PROVENANCE}, {strange[0]} for one"
    named = [name for name in listed if not any(part in name for part in _BESIDES)]
    options = result.record["options"]
    for name in (*options["formats"], *(["figures"] if options.get("figures") else [])):
        endings = _ENDINGS.get(name)
        if endings is not None and not any(file.endswith(endings) for file in named):
            yield f"{name} was asked for, but there is none"


def _unchanged(result: Result) -> Iterator[str]:
    """Demand the sha256 of every file that is there."""
    changed = []
    for name, wanted in sorted(result.record["files"].items()):
        file = result.files.get(name)
        if file is None:
            continue
        with file.open("rb") as opened:
            if hashlib.file_digest(opened, "sha256").hexdigest() != wanted:
                changed.append(name)
    if changed:
        yield f"{len(changed)} files have changed since they were written, {changed[0]} for one"


RESULT: tuple[Rule[Result], ...] = (
    Rule("files-complete", "the files are those that provenance.json lists", _complete),
    Rule("hashes", "every file has the sha256 that provenance.json lists", _unchanged),
)
"""Rules for a slide's folder of results."""
