"""Opens a slide's results in napari, for ``heatmaps-ome view --napari``."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from heatmaps_ome.errors import OptionError, ResultError
from heatmaps_ome.viewers.screen import has_screen
from heatmaps_ome.viewers.server.served import served

if TYPE_CHECKING:
    from pathlib import Path

_INSTALL = 'pip install "napari[all]"'


def open_in_napari(path: Path, slide: str | None = None) -> None:
    """Show a slide in napari until its window is closed.

    Parameters
    ----------
    path : Path
        Folder of a run, or of one slide's results in it.
    slide : str or None
        Name of the slide's folder in a run; None: the first one.

    Raises
    ------
    OptionError
        If there is no napari, no screen, or no such slide.
    ResultError
        If the results cannot be read.
    """
    folder = _chosen(path, slide)
    if importlib.util.find_spec("napari") is None:
        raise OptionError(f"napari is not installed here; install it with {_INSTALL}")
    if not has_screen():
        raise OptionError("napari needs a screen, and there is none here")
    import napari

    from heatmaps_ome.viewers.napari.script import script

    try:
        viewer = napari.Viewer()
    except ImportError as error:
        raise OptionError(
            f"napari is installed here without its window ({error}); install it with {_INSTALL}"
        ) from error
    try:
        script().show(folder, viewer)
    except (OSError, ValueError, LookupError, TypeError) as error:
        viewer.close()
        raise ResultError(f"{folder} cannot be shown in napari ({error})") from error
    viewer.reset_view()
    napari.run()


def _chosen(path: Path, slide: str | None) -> Path:
    """Return the folder of the chosen slide's results."""
    folders = {folder.name: folder for folder in served(path).folders()}
    if slide is None:
        return next(iter(folders.values()))
    if slide not in folders:
        raise OptionError(f"--slide is {slide!r}; {path} has {', '.join(folders)}")
    return folders[slide]
