"""Describes a slide: its format, sizes, pixel size, reader and profile of colours."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from heatmaps_ome.geometry import YX
from heatmaps_ome.options import CreateOptions
from heatmaps_ome.slides.icc import profile_name
from heatmaps_ome.slides.opening import AUTO, open_slide
from heatmaps_ome.slides.sizes import is_credible
from heatmaps_ome.storage.disk import bytes_text

if TYPE_CHECKING:
    from pathlib import Path

    from heatmaps_ome.slides.opened_slide import OpenedSlide

_ANY_MPP = 0.25
"""Opens any slide; its own pixel size is shown."""
_USUAL_MPP = CreateOptions.target_mpp


def slide_facts(path: Path, reader: str = AUTO) -> dict[str, object]:
    """Return a slide's own metadata, in words.

    Parameters
    ----------
    reader : str
        The reader's name, or "auto".

    Raises
    ------
    HeatmapsError
        If it cannot be opened.
    """
    with closing(open_slide(path, _ANY_MPP, reader=reader)) as slide:
        bounds = slide.bounds
        return {
            "format": slide.format,
            "reader": slide.reader,
            "size": f"{slide.shape.cols} × {slide.shape.rows} px",
            "pixel size": _pixel_size(slide),
            **_levels(slide),
            "read from": _read_from(slide),
            "bounds": f"x {bounds.col}, y {bounds.row}, {bounds.cols} × {bounds.rows} px",
            "ICC profile": _profile(slide.icc_profile),
            "files": _files(slide),
            **{f"note {n}" if n > 1 else "note": note for n, note in enumerate(slide.notes, 1)},
            "fingerprint": slide.fingerprint(),
        }


def _pixel_size(slide: OpenedSlide) -> str:
    """Return a slide's own pixel size in words, and where it is stated."""
    own = slide.own_mpp
    if own is None:
        return "not given: create needs --mpp"
    size = f"{own.x:g} × {own.y:g} µm"
    if slide.mpp_origin:
        size += f" ({slide.mpp_origin})"
    return size if is_credible(own) else f"{size}, which cannot be right: create needs --mpp"


def _levels(slide: OpenedSlide) -> dict[str, str]:
    """Return the number of levels, and a line for each with its downsample."""
    lines = {"levels": str(len(slide.level_shapes))}
    for level, (rows, cols) in enumerate(slide.level_shapes):
        downsample = (slide.shape.rows / rows + slide.shape.cols / cols) / 2
        smaller = f", {downsample:.4g} times smaller" if level else ""
        lines[f"level {level}"] = f"{cols} × {rows} px{smaller}"
    return lines


def _read_from(slide: OpenedSlide) -> str:
    """Return the level from which `create` reads the network's pixels by default."""
    own = slide.own_mpp
    if own is None or not is_credible(own):
        return "depends on --mpp"
    pixel = YX(_USUAL_MPP / own.y, _USUAL_MPP / own.x)
    return f"level {slide.level_for(pixel)} (for {_USUAL_MPP:.3f} µm per pixel)"


def _profile(profile: bytes | None) -> str:
    """Return the name and size of a profile of colours."""
    if not profile:
        return "none"
    name = profile_name(profile) or "without a readable name"
    return f"{name}, {bytes_text(len(profile))} (used with --icc apply)"


def _files(slide: OpenedSlide) -> str:
    """Return the number of a slide's files and their size."""
    files = slide.files()
    size = bytes_text(sum(file.stat().st_size for file in files))
    return f"{len(files):,} of {size}" if len(files) != 1 else f"1 of {size}"
