"""Finds the slides that a path, a folder or a pattern names."""

from __future__ import annotations

import importlib
import os
import unicodedata
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

from heatmaps_ome.errors import SlideError
from heatmaps_ome.run.slide_row import for_people, is_probable
from heatmaps_ome.slides.dicom import series_of, slides_directly_in, slides_in
from heatmaps_ome.slides.folders import SLIDE_ENDINGS
from heatmaps_ome.slides.opening import BY_NAME_ONLY, REGISTRY
from heatmaps_ome.slides.zarr_tree import is_zarr_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_DICOM, _MIRAX_INDEX, _SLIDEDAT = ".dcm", "slidedat.ini", "Slidedat.ini"
FILE_ENDINGS: Final = tuple(one for one in SLIDE_ENDINGS if one != _DICOM)
"""Endings of files that are slides; a DICOM slide is a folder."""
_SPREAD: Final = (
    ": the files of a DICOM slide lie in several of its folders, among other slides; put each "
    "slide into a folder of its own"
)
_WILDCARDS = set("*?[")


def slides_named(path: Path) -> list[Path]:
    """Return the slides that a word of the command line names.

    A name that exists is never a pattern. A folder names its own slides, and not those of the
    folders in it; a folder of a DICOM slide is a slide, and one of several names a file of each.
    A folder without slides names the DICOM slides in the folders below it. A pattern matches the
    way shells do, ``**`` any number of folders; if it states no ending, only slides count.

    Raises
    ------
    SlideError
        If there is no slide in the folder, or none that matches the pattern.
    """
    if exists(path):
        is_one = not path.is_dir() or is_zarr_folder(path) or exists(path / _SLIDEDAT)
        return [path] if is_one else _slides_in(path)
    if not _WILDCARDS & set(str(path)) or not is_probable(str(path)):
        return [path]
    matches = _matches(path)
    if not matches:
        raise SlideError(
            f"{for_people(str(path))}: no slide matches this pattern; check it, or name the slides"
        )
    return matches


def is_slide_folder(path: Path) -> bool:
    """Return whether a folder is one slide, or the data of one (OME-Zarr, DICOM, MIRAX)."""
    if is_zarr_folder(path):
        return True
    try:
        names = [entry.name.lower() for entry in os.scandir(path)]
    except OSError:
        return False
    return (
        _MIRAX_INDEX in names
        or any(name.endswith(_DICOM) and not name.startswith(".") for name in names)
        or len(slides_directly_in(path)) > 0
    )


def exists(path: Path) -> bool:
    """Return whether there is a file or folder; never raises."""
    try:
        path.stat()
    except (OSError, ValueError):
        return False
    return True


def located(readings: Sequence[str], folders: Sequence[Path]) -> Path:
    """Return the path that a line or cell means: the first that exists, else the plain one.

    Parameters
    ----------
    readings : sequence of str
        The text, and other ways to read its bytes.
    folders : sequence of Path
        Where relative paths start, the first of them if there is no such file.
    """
    spellings = _spellings(readings)
    for folder in folders:
        for text in spellings:
            if exists(folder / text):
                return folder / text
    return folders[0] / readings[0]


def with_ending(path: Path) -> Path:
    """Return a path that lacks the ending of its file, as clinical tables have it, with it.

    Raises
    ------
    SlideError
        If there are several such slides.
    """
    if exists(path) or path.suffix.lower() in (*FILE_ENDINGS, _DICOM) or not path.name:
        return path
    files = [path.with_name(path.name + ending) for ending in FILE_ENDINGS]
    files = [file for file in files if exists(file)]
    if len(files) > 1:
        names = " and ".join(file.name for file in files)
        raise SlideError(f"names {for_people(names)} alike; add the ending")
    return files[0] if files else path


def _spellings(readings: Iterable[str]) -> list[str]:
    """Return ways to spell a path: accents as one character or two, folders as Windows has them."""
    texts = [text for text in readings if is_probable(text)]
    texts = [spelling for text in texts for spelling in (text, text.replace("\\", "/"))]
    forms = [[text, *(unicodedata.normalize(form, text) for form in ("NFC", "NFD"))]
             for text in texts]  # fmt: skip
    return list(dict.fromkeys(spelling for form in forms for spelling in form))


def _children(folder: Path) -> list[Path]:
    """Return what a folder holds, without hidden entries, in the order of their names."""
    try:
        children = [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError as error:
        raise SlideError(f"{folder} cannot be read ({error.strerror}); check the folder") from error
    return sorted(children, key=lambda path: (path.name.casefold(), path.name))


def _slides_in(folder: Path) -> list[Path]:
    """Return the slides of a folder; the folder itself if it is one DICOM slide.

    Raises
    ------
    SlideError
        If there are none, or the files of one of several DICOM slides lie in several folders.
    """
    children = _children(folder)
    dicom = {child: slides_directly_in(child) for child in children
             if child.is_dir() and is_slide_folder(child)}  # fmt: skip
    own = slides_directly_in(folder)
    others = [child for child in children if _is_slide(child) and not dicom.get(child)]
    series = Counter(series_of(files[0]) for slides in dicom.values() for files in slides)
    n_slides = len(own) + len(others) + len(series)
    if n_slides == 0 and not slides_in(folder) and not is_slide_folder(folder):
        raise SlideError(
            f"{for_people(str(folder))} is a folder without slides of its own; name the slides, or "
            "a pattern such as 'FOLDER/**/*.svs'"
        )
    is_whole = n_slides == 1 and (own or series.total() > 1)
    if is_whole or (n_slides == 0 and len(slides_in(folder)) < 2):
        return [folder]
    if series.total() > len(series):
        raise SlideError(f"{for_people(str(folder))}{_SPREAD}")
    slides = [
        slide
        for child in children
        for slide in _dicom_paths(child, dicom.get(child) or []) or [child] * (child in others)
    ]
    below = own if n_slides else slides_in(folder)
    if any(len({file.parent for file in files}) > 1 for files in below):
        raise SlideError(f"{for_people(str(folder))}{_SPREAD}")
    return [*slides, *(files[0] for files in below)]


def _dicom_paths(folder: Path, slides: list[tuple[Path, ...]]) -> list[Path]:
    """Return a path for each DICOM slide of a folder: the folder if there is one, else files."""
    return [folder] if len(slides) == 1 else [files[0] for files in slides]


def _is_slide(path: Path) -> bool:
    """Return whether a file or folder looks like a slide, also if it turns out to be damaged."""
    if path.is_dir():
        # The data of a MIRAX slide stand beside its file, which is the slide.
        return is_slide_folder(path) and not exists(path / _SLIDEDAT)
    if path.suffix.lower() in FILE_ENDINGS:
        return True
    passed = ("OpenSlide", *BY_NAME_ONLY)
    others = [row.split(":") for reader, row in REGISTRY.items() if reader not in passed]
    return path.is_file() and any(
        getattr(importlib.import_module(module), kind).can_read(path) for module, kind in others
    )


def _matches(pattern: Path) -> list[Path]:
    """Return what matches a pattern, without hidden files, in the order of their names."""
    stated = pattern.suffix != "" and not _WILDCARDS & set(pattern.suffix)
    # Python before 3.13 takes a final ** for folders alone.
    relative = str(pattern.relative_to(pattern.anchor) / ("*" if pattern.name == "**" else ""))
    try:
        matches = sorted(Path(pattern.anchor).glob(relative))
    except (OSError, ValueError, NotImplementedError, RecursionError) as error:
        raise SlideError(f"{for_people(str(pattern))} is no pattern ({error})") from error
    return [
        path for path in matches if not _is_hidden(path, pattern) and (stated or _is_slide(path))
    ]


def _is_hidden(path: Path, pattern: Path) -> bool:
    """Return whether a match, or a folder of it that the pattern does not name, is hidden."""
    return any(part.startswith(".") and part not in pattern.parts for part in path.parts)
