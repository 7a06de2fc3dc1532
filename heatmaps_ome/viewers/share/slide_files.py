"""Finds the files of the slides that results are of: results hold no paths, for privacy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from heatmaps_ome.errors import SlideError
from heatmaps_ome.slides.opening import AUTO, open_slide, reader_names
from heatmaps_ome.viewers.slide_places import noted_place

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from heatmaps_ome.slides.opened_slide import OpenedSlide


def opened_slide(
    record: Mapping[str, Any], output: Path, name: str, given: Sequence[Path]
) -> OpenedSlide:
    """Open the slide that a result is of, known by its content.

    Parameters
    ----------
    record : mapping
        The slide's record in ``provenance.json``.
    output : Path
        Folder of the run, which has notes of the slides' places.
    name : str
        Name of the slide's results.
    given : sequence of Path
        Slides, or folders with slides, to look in first.

    Raises
    ------
    SlideError
        If no file is the slide; states the reason for each that might be.
    """
    reasons = []
    for place in dict.fromkeys(_places(str(record.get("name", "")), output, name, given)):
        try:
            return _checked(place, record)
        except SlideError as error:
            reasons.append(str(error))
    # The same reason may hold for every file of a folder.
    reason = "; ".join(dict.fromkeys(reasons[:2])) or "no run has noted where it is"
    raise SlideError(f"the slide's file was not found ({reason}); name it with --slide-paths")


def _places(file_name: str, output: Path, name: str, given: Sequence[Path]) -> Iterator[Path]:
    """Yield the files that may be the slide, the likeliest first."""
    files = [path for path in given if path.is_file() or path.name == file_name]
    yield from (path for path in files if path.name == file_name)
    if file_name and Path(file_name).name == file_name:
        for folder in (path for path in given if path.is_dir()):
            yield from (place for place in _in_folder(folder, file_name))
    # A file that was given may have another name today.
    yield from files
    noted = noted_place(output, name)
    if noted is not None:
        yield noted


def _in_folder(folder: Path, file_name: str) -> Iterator[Path]:
    """Yield the files of a name in a folder, or in one of the folders in it."""
    inner = sorted(path for path in folder.iterdir() if path.is_dir())
    for place in (folder, *inner):
        if (place / file_name).exists():
            yield place / file_name


def _checked(place: Path, record: Mapping[str, Any]) -> OpenedSlide:
    """Return an open slide.

    Raises
    ------
    SlideError
        If it cannot be opened, or is another slide.
    """
    # The results show where tiles are damaged; a picture without those is better than none.
    slide = _opened(place, record)
    try:
        if slide.fingerprint() == record.get("fingerprint"):
            return slide
    except SlideError:
        slide.close()
        raise
    slide.close()
    raise SlideError(f"{place} is another slide than the results are of, or was changed since")


def _opened(place: Path, record: Mapping[str, Any]) -> OpenedSlide:
    """Return a slide opened as the results were made: by their reader, in their colours."""
    reader, icc = str(record.get("reader") or AUTO), record.get("icc")
    is_applied = isinstance(icc, dict) and bool(icc.get("applied"))
    return open_slide(
        place, _given_mpp(record), bad_tiles="blank",
        # Another machine may lack the library that read it.
        reader=reader if reader in reader_names() else AUTO,
        icc="apply" if is_applied else "ignore",
    )  # fmt: skip


def _given_mpp(record: Mapping[str, Any]) -> float | None:
    """Return the µm per pixel that the user gave for a slide, None if it has its own."""
    mpp = record.get("mpp")
    if record.get("mpp_source", "slide") == "slide" or not isinstance(mpp, list):
        return None
    return float(mpp[0])
