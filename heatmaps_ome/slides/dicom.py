"""Find the files of a DICOM slide, those that belong to one series, and its name.

A slide is a file for each level, label and overview. OpenSlide reads them together, but starts
from a single file. Only the heads of files are read here. Slides lie in one folder each, several
in one folder, or with their files in folders below it, as archives export them.
"""

from __future__ import annotations

import os
import struct
from collections import deque
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_PREAMBLE = 128
_MAGIC = b"DICM"
_HEAD_BYTES = 2**18
"""The part of a file that is searched for the series; per-frame data come later."""
_ENDINGS: Final = ("", ".dcm", ".dicom", ".dic", ".ima")
"""Endings that names of DICOM files have, besides numbers, as of UIDs."""
_MOST_FILES = 10_000
"""Entries of a folder that are looked at."""
_SLIDE_CLASS: Final = "1.2.840.10008.5.1.4.1.1.77.1.6"
"""SOP class "VL Whole Slide Microscopy Image Storage" (PS3.4, B.5)."""
_CLASS, _INSTANCE = (0x0002, 0x0002), (0x0002, 0x0003)
"""Media Storage SOP Class UID and SOP Instance UID, of the file meta information (PS3.10, 7.1)."""
_SERIES, _NUMBER = (0x0020, 0x000E), (0x0020, 0x0011)
_CONTAINER = (0x0040, 0x0512)
"""Container Identifier, usually the bar code of the glass (PS3.3, C.7.6.22)."""
_NO_CONTAINER: Final = ("", "unknown", "none", "anonymous", "anonymized", "n/a")
"""Identifiers that writers put where they know none, as the attribute must not be empty."""
_IMAGE_TYPE: Final = (0x0008, 0x0008)
_LEVEL, _RESAMPLED = "VOLUME", "RESAMPLED"
"""Third value of Image Type for levels, and fourth for those made smaller (PS3.3, C.8.12.4.1.1)."""
_PARSED: Final = (_CLASS, _INSTANCE, _SERIES, _NUMBER, _CONTAINER)
_UID_TAIL = 8
_MOST_FOLDERS, _DEEPEST_FOLDER = 1000, 5
_LONG_VRS: Final = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR",
                    b"UT", b"UV")  # fmt: skip
"""Value representations with a length of 32 bits (PS3.5, 7.1.2)."""
_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = (0xFFFE, 0xE000), (0xFFFE, 0xE00D), (0xFFFE, 0xE0DD)
_DEEPEST = 16


class Instance(NamedTuple):
    """Identity of a file of a slide.

    Attributes
    ----------
    series : str
        Series Instance UID, which all files of a slide share.
    instance : str
        SOP Instance UID, of this file alone.
    container : str
        Identifier of the glass; "" if none is stated.
    number : str
        Series Number; "" if none is stated.
    """

    series: str
    instance: str
    container: str = ""
    number: str = ""


def is_dicom(path: Path) -> bool:
    """Return whether a regular file begins like DICOM."""
    with path.open("rb") as file:
        return file.read(_PREAMBLE + len(_MAGIC))[_PREAMBLE:] == _MAGIC


def series_of(path: Path) -> str | None:
    """Return the Series Instance UID of a DICOM file, which all files of a slide share, or None."""
    own = _instance(path)
    return None if own is None else own.series


def series_files(path: Path) -> tuple[Path, ...]:
    """Return the files of the slide that a DICOM file belongs to, in the order of their UIDs.

    Just the file, if it does not state its series.
    """
    own = _instance(path)
    if own is None:
        return (path,)
    others = ((_instance(file), file) for file in _dicom_files(path.parent))
    return _ordered([
        (one.instance, file) for one, file in others if one is not None and one.series == own.series
    ]) or (path,)  # fmt: skip


def lacks_finest_level(files: Sequence[Path]) -> bool:
    """Return whether all levels of a DICOM slide were made smaller from one that is not there."""
    kinds = [kind for kind in map(_image_type, files) if _LEVEL in kind]
    return bool(kinds) and all(_RESAMPLED in kind for kind in kinds)


def _image_type(path: Path) -> list[str]:
    """Return the values of Image Type; none if it cannot be found."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    with suppress(struct.error):
        for tag, value in _elements(head, _PREAMBLE + len(_MAGIC)):
            if tag == _IMAGE_TYPE:
                return value.decode("ascii", "replace").strip("\0 ").split("\\")
            if tag > _IMAGE_TYPE:
                break
    return []


def slides_in(folder: Path) -> list[tuple[Path, ...]]:
    """Return the files of each DICOM slide in a folder, or else in the folders below it."""
    return _by_series(_dicom_files(folder)) or _by_series(_files_below(folder))


def slides_directly_in(folder: Path) -> list[tuple[Path, ...]]:
    """Return the files of each DICOM slide in a folder, folders below it not counted."""
    return _by_series(_dicom_files(folder))


def name_of_slide(path: Path) -> str | None:
    """Return the container of a DICOM slide, at its folder or any file of it; None if unknown.

    Slides of one container that lie together have their series' numbers too, or the ends of
    their UIDs where these are alike.
    """
    try:
        first = path if path.is_file() else _only_slide(path)
        own = None if first is None or not is_dicom(first) else _instance(first)
        if first is None or own is None or own.container.lower() in _NO_CONTAINER:
            return None
        beside = {one.series: one for one in map(_instance, _dicom_files(first.parent)) if one}
    except OSError:
        return None
    alike = [one.number for one in beside.values() if one.container == own.container]
    if len(alike) < 2:
        return own.container
    is_own = own.number != "" and alike.count(own.number) == 1
    return f"{own.container}-{own.number if is_own else own.series[-_UID_TAIL:]}"


def _only_slide(folder: Path) -> Path | None:
    """Return the first file of a folder's slide; None if it has none or several."""
    slides = slides_in(folder)
    return slides[0][0] if len(slides) == 1 else None


def _by_series(files: Iterator[Path]) -> list[tuple[Path, ...]]:
    """Return files in slides, in the order of their series."""
    slides: dict[str, list[tuple[str, Path]]] = {}
    for file in files:
        one = _instance(file)
        if one is not None:
            slides.setdefault(one.series, []).append((one.instance, file))
    return [_ordered(slides[series]) for series in sorted(slides)]


def _files_below(folder: Path) -> Iterator[Path]:
    """Yield the DICOM files in the folders below a folder; links are not followed."""
    ahead, count = deque([(folder, 0)]), 0
    while ahead and count < _MOST_FOLDERS:
        place, depth = ahead.popleft()
        count += 1
        try:
            with os.scandir(place) as entries:
                names = sorted(
                    entry.name for entry in islice(entries, _MOST_FILES)
                    if entry.is_dir(follow_symlinks=False)
                )  # fmt: skip
            if depth > 0:
                yield from _dicom_files(place)
        except OSError:
            # A folder that cannot be read holds no slide for us.
            continue
        if depth < _DEEPEST_FOLDER:
            ahead.extend((place / name, depth + 1) for name in names)


def _ordered(instances: list[tuple[str, Path]]) -> tuple[Path, ...]:
    """Return files in the order of their UIDs, which stay when files are renamed."""
    return tuple(file for _, file in sorted(instances))


def _dicom_files(folder: Path) -> Iterator[Path]:
    """Yield the DICOM files of a folder."""
    with os.scandir(folder) as entries:
        for count, entry in enumerate(entries):
            if count >= _MOST_FILES:
                return
            path = folder / entry.name
            ending = path.suffix.lower()
            try:
                is_candidate = ending in _ENDINGS or ending[1:].isdigit()
                if is_candidate and entry.is_file() and is_dicom(path):
                    yield path
            except OSError:
                # A file that cannot be read is not part of any slide.
                continue


def _instance(path: Path) -> Instance | None:
    """Return the identity of a slide's file; None if it is none, or its head is damaged."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    texts: dict[tuple[int, int], str] = {}
    # A slide is known by its series, even if its head is cut behind it.
    with suppress(struct.error):
        for tag, value in _elements(head, _PREAMBLE + len(_MAGIC)):
            if tag in _PARSED:
                texts[tag] = value.decode("utf-8", "replace").strip("\0 ")
            if tag >= _CONTAINER:
                break
    if texts.get(_CLASS) != _SLIDE_CLASS or not {_INSTANCE, _SERIES} <= texts.keys():
        return None
    container = "".join(filter(str.isprintable, texts.get(_CONTAINER, "")))
    return Instance(texts[_SERIES], texts[_INSTANCE], container, texts.get(_NUMBER, ""))


def _elements(head: bytes, start: int) -> Iterator[tuple[tuple[int, int], bytes]]:
    """Yield the tags and values of a data set; struct.error at its end.

    The values have explicit representations in little endian, as all slides do: other encodings
    hold no compressed frames (PS3.5, A.4).
    """
    place = start
    while True:
        tag, value, place = _element(head, place)
        yield tag, value


def _element(head: bytes, place: int, depth: int = 0) -> tuple[tuple[int, int], bytes, int]:
    """Return an element's tag and value, and the place of the next; struct.error at the end."""
    group, element, vr = struct.unpack_from("<HH2s", head, place)
    if (group, element) in (_ITEM, _ITEM_END, _SEQUENCE_END):
        (length,), first = struct.unpack_from("<I", head, place + 4), place + 8
    elif vr in _LONG_VRS:
        (length,), first = struct.unpack_from("<I", head, place + 8), place + 12
    else:
        (length,), first = struct.unpack_from("<H", head, place + 6), place + 8
    if length == _UNDEFINED:
        return (group, element), b"", _skipped(head, first, depth + 1)
    return (group, element), head[first : first + length], first + length


def _skipped(head: bytes, place: int, depth: int) -> int:
    """Return the place behind a sequence or item of undefined length."""
    if depth > _DEEPEST:
        raise struct.error
    while True:
        tag, _, place = _element(head, place, depth)
        if tag in (_ITEM_END, _SEQUENCE_END):
            return place
