"""The reader of napari's plugin: a slide's folder of results, or an OME-Zarr in it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from heatmaps_ome.slides.plain_zarr import read_object

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    LayerData = tuple[Any, dict[str, Any], str]

_MANIFEST, _FORMAT = "maps.json", "heatmaps-ome maps "


def reader_of(path: str | Sequence[str]) -> Callable[[str | Sequence[str]], list[LayerData]] | None:
    """Return napari's reader for a path, or None if no results of a slide lie there.

    Parameters
    ----------
    path : str or sequence of str
        Of a slide's folder, its ``maps.json``, or the slide's OME-Zarr beside that. Several paths,
        which napari would stack, are not read.
    """
    paths = [path] if isinstance(path, str) else list(path)
    folder = results_folder(Path(paths[0])) if len(paths) == 1 else None
    if folder is None:
        return None

    def read(_: str | Sequence[str]) -> list[LayerData]:
        # Only now: the script imports zarr and dask, and napari asks for any folder.
        from heatmaps_ome.viewers.napari.script import script

        return script().layers_of(folder)

    return read


def results_folder(path: Path) -> Path | None:
    """Return the folder of the slide's results that a path names or belongs to, or None."""
    folder = path if (path / _MANIFEST).is_file() else path.parent
    try:
        facts = read_object(folder / _MANIFEST)
    except (OSError, ValueError):
        return None
    named = (_MANIFEST, facts.get("image"), facts.get("values"))
    # A result of an earlier version is taken, so that napari shows why it cannot be read.
    ours = str(facts.get("format")).startswith(_FORMAT)
    return folder if ours and (folder == path or path.name in named) else None
