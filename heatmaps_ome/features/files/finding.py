"""Finds the file of tiles that belongs to a slide, in a folder of files named after slides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from heatmaps_ome.errors import FeaturesError
from heatmaps_ome.features.files.refusals import listed
from heatmaps_ome.slides.paths import printable

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_KINDS: Final = (
    ".zarr.zip", ".zarr", ".zip", ".h5", ".hdf5", ".h5ad", ".pt", ".npy", ".npz", ".csv", ".tsv",
    ".txt", ".parquet", ".geojson", ".json",
)  # fmt: skip
_ENDINGS: Final = tuple(
    f"{mark}{word}"
    for mark in "._-"
    for word in (
        "features", "feats", "feat", "embeddings", "scores", "score", "attention", "attentions",
        "attention_scores", "blockmap", "predictions", "preds", "tiles", "patches", "detections",
        "heatmap",
    )
)  # fmt: skip
_IGNORED: Final = (".index.npz", ".index.npy")
"""Files that belong to another: slideflow's coordinates."""
_BELOW: Final = "h5_files"
"""CLAM's folder of features, beside that of their copies without coordinates."""


def find_tiles_of(given: Path, slide_path: Path, name: str) -> Path:
    """Return the file of tiles of a slide.

    Parameters
    ----------
    given : Path
        The file itself or a zarr store, or a folder of files that are named after slides, also
        with an ending such as ``_features`` or ``.scores``, or of one folder of such files.
    slide_path : Path
    name : str
        The slide's name in this run.

    Raises
    ------
    FeaturesError
        If there is none, or there are several; lists them.
    """
    try:
        if not given.is_dir() or any((given / n).exists() for n in ("zarr.json", ".zgroup")):
            return given
        stems = {name, slide_path.name, slide_path.stem}
        below = [path for path in sorted(given.iterdir()) if path.is_dir()]
        for folders in ([given], [given / _BELOW], below):
            matches = [path for folder in folders for path in _matches(folder, stems)]
            if len(matches) > 1:
                raise FeaturesError(
                    f"{printable(given)} has several files for the slide {printable(name)}: "
                    f"{listed(path.relative_to(given) for path in matches)}; name one of them, or "
                    "its folder"
                )
            if matches:
                return matches[0]
        entries = sorted(path.name for path in given.iterdir())
    except OSError as error:
        raise FeaturesError(
            f"{printable(given)} cannot be read ({error.strerror}); check the folder"
        ) from error
    raise FeaturesError(
        f"{printable(given)} has no file for the slide {printable(name)}, such as "
        f"{printable(name)}.h5: it has {listed(entries) or 'no files'}; name the file, or list "
        "each slide's in a table of --slides"
    )


def _matches(folder: Path, stems: set[str]) -> list[Path]:
    """Return the entries of a folder that belong to a slide of one of these names."""
    entries = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path for path in entries if stems & _names_of(path.name)]


def _names_of(file_name: str) -> set[str]:
    """Return the names of slides that a file may belong to.

    >>> sorted(_names_of("a.b_features.h5"))
    ['a.b', 'a.b_features']
    """
    if file_name.endswith(_IGNORED):
        return set()
    kind = next((kind for kind in _KINDS if file_name.lower().endswith(kind)), None)
    if kind is None:
        return set()
    stem = file_name[: -len(kind)]
    return {stem, *_shortened(stem, _ENDINGS)}


def _shortened(stem: str, endings: Iterable[str]) -> set[str]:
    return {
        stem[: -len(ending)]
        for ending in endings
        if stem.lower().endswith(ending) and len(stem) > len(ending)
    }
