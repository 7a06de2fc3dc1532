"""Open slides of every known format; the only place that constructs readers."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Final

from heatmaps_ome.errors import SlideError
from heatmaps_ome.slides.opened_slide import OpenedSlide

if TYPE_CHECKING:
    from pathlib import Path

    from heatmaps_ome.slides.reader import ReadFrom

REGISTRY: Final = {
    "OpenSlide": "heatmaps_ome.slides.openslide:OpenSlideFile",
}
"""Display name → ``module:class`` of a SlideFile; the first one that can read a slide is used."""


def open_slide(
    path: Path, fallback_mpp: float | None = None, read_from: ReadFrom = "level"
) -> OpenedSlide:
    """Return an open slide.

    Parameters
    ----------
    path : Path
        The slide's file.
    fallback_mpp : float or None
        µm per level-0 pixel, used only if the slide itself does not state it.
    read_from : "level" or "level0"
        Whether pixels come from the coarsest level that is fine enough, or always from level 0.

    Raises
    ------
    SlideError
        If there is no such file, its format is unknown, or it is damaged.
    PixelSizeError
        If no credible pixel size is known.
    """
    if not path.exists():
        raise SlideError(f"{path}: there is no such slide; check the path")
    for row in REGISTRY.values():
        module, kind = row.split(":")
        slide_file = getattr(importlib.import_module(module), kind)
        if slide_file.can_read(path):
            return OpenedSlide(path, slide_file(path), fallback_mpp, read_from)
    raise SlideError(
        f"{path} is in no format that {' or '.join(REGISTRY)} knows; give a whole-slide image"
    )
