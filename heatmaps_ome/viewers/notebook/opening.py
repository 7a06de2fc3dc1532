"""Opens results and slides by their paths, for Python users to start from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from heatmaps_ome.errors import ResultError
from heatmaps_ome.slides.plain_zarr import MOST_LIST_BYTES, read_object
from heatmaps_ome.storage.result_folder import PROVENANCE
from heatmaps_ome.viewers.notebook.manifest import plain_name, read_manifest
from heatmaps_ome.viewers.notebook.results import Results

if TYPE_CHECKING:
    import os

    from heatmaps_ome.slides.icc import Icc
    from heatmaps_ome.slides.reader import SlideReader

_RUN = "run.json"
_DAMAGED = (OSError, ValueError, KeyError, TypeError, AttributeError)


def open(path: str | os.PathLike[str]) -> Results:
    """Open the results of a run, or of one slide.

    Parameters
    ----------
    path : str or path
        The folder that create wrote to, or a slide's folder in it.

    Returns
    -------
    Results
        Slide name → results, in the order of the last run if it had all slides of the folder, else
        by name. For a slide's folder, of this slide alone.

    Raises
    ------
    ResultError
        If there are no results, or they are damaged.
    """
    folder = Path(path)
    if _is_slide(folder):
        read_manifest(folder)
        return Results({folder.resolve().name: folder}, {})
    if not folder.is_dir():
        raise ResultError(
            f"there is no folder {folder}; give the folder that create wrote to, or a slide's "
            "folder in it"
        )
    names, failed = _of_run(folder / _RUN)
    for name in names:
        if not _is_slide(folder / name):
            failed[name] = "its results are not in the folder any more; copy them, or run create"
    stems = {name.rpartition(".")[0] for name in failed}
    others = sorted(
        path.name for path in folder.iterdir() if _is_slide(path) and path.name not in stems
    )
    finished = [name for name in dict.fromkeys([*names, *others]) if name not in failed]
    if not finished and not failed:
        raise ResultError(
            f"{folder} holds no results of heatmaps-ome; give the folder that create wrote to, or "
            "a slide's folder in it"
        )
    return Results({name: folder / name for name in finished}, failed)


def open_slide(
    path: str | os.PathLike[str],
    mpp: float | None = None,
    reader: str = "auto",
    icc: Icc = "ignore",
) -> SlideReader:
    """Open a whole-slide image to read pixels from it; close it after use.

    Parameters
    ----------
    path : str or path
    mpp : float, optional
        µm per level-0 pixel, used instead of the slide's own.
    reader : str
        Library that reads it, as the option ``--reader``.
    icc : "ignore" or "apply"
        Whether pixels are converted to sRGB by the slide's profile of colours.

    Raises
    ------
    SlideError
        If it cannot be opened.
    PixelSizeError
        If its pixel size is not known.
    """
    # Opening results alone needs no reader of slides.
    from heatmaps_ome.slides.opening import open_slide as opened

    return opened(Path(path), mpp, reader=reader, icc=icc)


def _is_slide(folder: Path) -> bool:
    """Return whether a folder holds a slide's finished results; with a dot, they are not."""
    return not folder.name.startswith(".") and (folder / PROVENANCE).is_file()


def _of_run(path: Path) -> tuple[list[str], dict[str, str]]:
    """Return the folders of a run's slides, and why others failed; none where it was stopped.

    Raises
    ------
    ResultError
        If the file is damaged.
    """
    if not path.exists():
        return [], {}
    try:
        slides: list[dict[str, Any]] = read_object(path, MOST_LIST_BYTES)["slides"]
        names = [plain_name(slide["folder"]) for slide in slides if slide["folder"] is not None]
        failed: dict[str, str] = {}
        for slide in slides:
            if slide["folder"] is None:
                name, reason = str(slide["slide"]), str(slide["message"])
                # Files of one name in two folders.
                failed[name] = f"{failed[name]}\n{reason}" if name in failed else reason
    except _DAMAGED as error:
        raise ResultError(
            f"{path} is damaged ({type(error).__name__}: {error}); run create again, or open a "
            "slide's folder"
        ) from error
    return names, failed
