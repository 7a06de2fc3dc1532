"""Writes ``viewers/qupath/``: a project that opens the slides of all runs in QuPath 0.5-0.7.

QuPath's own files beside ours hold the annotations that people made. So an existing project is
extended, never replaced, and nothing in its ``data/`` is changed or removed.
"""

from __future__ import annotations

import copy
import math
import re
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from heatmaps_ome.display.colour import class_colours
from heatmaps_ome.errors import OutputError, ResultError
from heatmaps_ome.exporters.cells import qupath_class
from heatmaps_ome.maps.numbers import probability
from heatmaps_ome.storage.digests import write_json
from heatmaps_ome.storage.private import private_path
from heatmaps_ome.storage.regular_file import read_json
from heatmaps_ome.storage.result_folder import VIEWERS
from heatmaps_ome.viewers.files import copy_viewer_files, file_uri
from heatmaps_ome.viewers.qupath_servers import opened_path, server_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

QUPATH = "qupath"
"""Folder of the project of all slides."""
PROJECT = "project.qpproj"
_SCRIPTS = ("show_heatmap.groovy", "import_tiles.groovy", "import_regions.groovy")
_PRELUDE = "prelude.groovy"
"""Appended to every script, because QuPath runs single files."""
_VERSION = "0.6.0"
_RESULTS, _DRAWN_HOT, _PREDICTION = "heatmaps-ome results", "drawn hot", "prediction: "
"""Keys of an entry's metadata that are ours."""
_EARLIER_DRAWN_HOT = "true class"
"""The key of earlier versions, which reads as ground truth."""
_THUMBNAIL_PX = 256
_MOST_THUMBNAILS = 40
"""Thumbnails written at a time: about a second."""

_Json = dict[str, Any]


@dataclass(frozen=True)
class ProjectSlide:
    """A slide whose results are on disk.

    Attributes
    ----------
    path : Path or None
        The slide's file; None if it is not known: a new slide is left out then.
    name : str
        Name of the results' folder.
    prediction : mapping of class → probability
        None or NaN for a slide without tissue.
    true_class : str
        The class drawn hot.
    """

    path: Path | None
    name: str
    prediction: Mapping[str, float | None]
    true_class: str


def write_project(
    output: Path,
    slides: Sequence[ProjectSlide],
    classes: Sequence[str],
    now_ms: int,
    name: str = QUPATH,
) -> Path:
    """Add slides to the project of an output folder, or create one, and return its path.

    The project is the one file of a run with the slides' absolute paths, which QuPath needs.

    Parameters
    ----------
    now_ms : int
        The time, in ms since 1970.
    name : str
        Name of the project's folder.

    Raises
    ------
    ResultError
        If the existing project cannot be read; it is not changed.
    OutputError
        If the project cannot be written.
    """
    folder = output / VIEWERS / name
    path, classes_path = folder / PROJECT, folder / "classifiers" / "classes.json"
    try:
        old_project = _read(path, _is_project)
        old_classes = _read(classes_path, _is_classes)
        entries = _Entries(copy.deepcopy(old_project) or _new_project(path, now_ms), folder)
        numbers = [(slide.name, entries.update(slide)) for slide in slides]
        write_scripts(folder / "scripts")
        _write_if_changed(classes_path, old_classes, _with_classes(old_classes, classes))
        _write_thumbnails(output, folder, numbers)
        if entries.project != old_project:
            _write(path, {**entries.project, "modifyTimestamp": now_ms})
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written ({error.strerror or error}); the results are complete, only "
            "QuPath has no project of them"
        ) from error
    return path


def write_scripts(folder: Path) -> None:
    """Write QuPath's scripts into a folder; every script runs by itself."""
    copy_viewer_files("qupath", folder, _SCRIPTS, _PRELUDE)


def _read(path: Path, known: Callable[[Any], bool]) -> _Json | None:
    """Return the content of a file of the project, or None if there is no such file.

    Raises
    ------
    ResultError
        If the file is not one that QuPath writes.
    """
    if not path.exists():
        return None
    try:
        facts = read_json(path)
    except (OSError, ValueError):
        facts = None
    if not known(facts):
        raise ResultError(
            f"{path} is damaged or not QuPath's, so it was left as it is and lacks this run's "
            "slides; move it away, and the next run makes a new one"
        )
    return facts


def _is_project(facts: Any) -> bool:
    """Return whether JSON values are a project as QuPath 0.5-0.7 writes it."""
    return (
        isinstance(facts, dict)
        and isinstance(facts.get("lastID", 0), int)
        and _are_dicts(facts.get("images", []))
        and all(isinstance(entry.get("entryID"), int) for entry in facts.get("images", []))
        and all(isinstance(entry.get("metadata", {}), dict) for entry in facts.get("images", []))
    )


def _is_classes(facts: Any) -> bool:
    """Return whether JSON values are a project's list of classes."""
    return isinstance(facts, dict) and _are_dicts(facts.get("pathClasses", []))


def _are_dicts(values: Any) -> bool:
    """Return whether JSON values are a list of objects."""
    return isinstance(values, list) and all(isinstance(value, dict) for value in values)


def _new_project(path: Path, now_ms: int) -> _Json:
    """Return a project without slides."""
    return {
        "version": _VERSION,
        "createTimestamp": now_ms,
        "modifyTimestamp": now_ms,
        "uri": file_uri(path.parent.resolve() / path.name),
        "lastID": 0,
        "images": [],
    }


class _Entries:
    """The entries of a project by place and by results, so that a slide is not searched for.

    Attributes
    ----------
    project : dict
        Changed by `update`.
    """

    def __init__(self, project: _Json, folder: Path) -> None:
        self.project, self._folder = project, folder
        self._images: list[_Json] = project.setdefault("images", [])
        self._by_place: dict[str, list[_Json]] = {}
        self._by_results: dict[str, list[_Json]] = {}
        self._parents: dict[Path, Path] = {}
        for entry in self._images:
            self._note(entry)

    def update(self, slide: ProjectSlide) -> int | None:
        """Write a slide's path and facts into the project; return its entry's identity, if any."""
        same_place = same_results = self._with_results(_as_text(slide.name))
        if slide.path is not None:
            uri = self._uri(slide.path)
            same_place = self._by_place.get(_place(uri), [])
            if not same_place and same_results:
                same_place = same_results[:1]
                self._move(same_place[0], uri)
            if not same_place:
                same_place = [self._new(slide.path, uri)]
        for entry in same_place:
            entry["metadata"] = _metadata(entry.get("metadata", {}), slide)
        return same_place[0]["entryID"] if same_place else None

    def _with_results(self, name: str) -> list[_Json]:
        """Return the entries of a slide's results; others may have got its name since."""
        entries = self._by_results.get(name, [])
        return [entry for entry in entries if entry["metadata"].get(_RESULTS) == name]

    def _note(self, entry: _Json) -> None:
        """Make an entry known by the places of its files, and by its results."""
        for place in _places_of(entry):
            self._by_place.setdefault(place, []).append(entry)
        name = entry.get("metadata", {}).get(_RESULTS)
        if isinstance(name, str):
            self._by_results.setdefault(name, []).append(entry)

    def _move(self, entry: _Json, uri: str) -> None:
        """Point an entry to the slide's current path."""
        for place in _places_of(entry):
            self._by_place[place] = [one for one in self._by_place[place] if one is not entry]
        for builder in _builders_of(entry.get("serverBuilder")):
            builder["uri"] = uri
        for place in _places_of(entry):
            self._by_place.setdefault(place, []).append(entry)

    def _uri(self, path: Path) -> str:
        """Return the address of the file that QuPath opens."""
        # The name itself may be a link to a file without a suffix: only the folder is resolved.
        file = opened_path(path)
        if file.parent not in self._parents:
            self._parents[file.parent] = file.parent.resolve()
        return file_uri(self._parents[file.parent] / file.name)

    def _new(self, path: Path, uri: str) -> _Json:
        """Add an entry whose identity is new to the project and to data of deleted entries."""
        number, (provider, arguments) = self._last + 1, server_of(path)
        self._last = self.project["lastID"] = number
        entry = {
            "serverBuilder": {
                "builderType": "uri",
                "providerClassName": provider,
                "uri": uri,
                "args": arguments,
            },
            "entryID": number,
            "randomizedName": f"image-{number:04d}",
            "imageName": _as_text(path.name),
            "metadata": {},
        }
        self._images.append(entry)
        self._note(entry)
        return entry

    @cached_property
    def _last(self) -> int:
        """The largest identity so far, also of deleted entries, whose data may be annotations."""
        left_over = (
            int(path.name) for path in self._folder.glob("data/*") if path.name.isdecimal()
        )
        used = (entry["entryID"] for entry in self._images)
        return max(chain([self.project.get("lastID", 0)], used, left_over))


def _metadata(known: Mapping[str, str], slide: ProjectSlide) -> dict[str, str]:
    """Return an entry's metadata with our keys brought up to date."""
    others = {
        key: value
        for key, value in known.items()
        if not key.startswith(_PREDICTION) and key != _EARLIER_DRAWN_HOT
    }
    predictions = {
        _PREDICTION + qupath_class(name): probability(predicted)
        for name, predicted in slide.prediction.items()
        if predicted is not None and math.isfinite(predicted)
    }
    ours = {_RESULTS: _as_text(slide.name), _DRAWN_HOT: qupath_class(slide.true_class)}
    return {**others, **ours, **predictions}


def _as_text(name: str) -> str:
    """Return a file's name with undecodable bytes replaced; Linux allows any bytes in names."""
    return name.encode("utf-8", "replace").decode("utf-8")


def _builders_of(value: Any) -> Iterator[_Json]:
    """Yield all builders that open a file, however QuPath has wrapped them (rotated, cropped)."""
    if isinstance(value, dict):
        if isinstance(value.get("uri"), str):
            yield value
        for child in value.values():
            yield from _builders_of(child)
    elif isinstance(value, list):
        for child in value:
            yield from _builders_of(child)


def _places_of(entry: _Json) -> set[str]:
    """Return the paths of the files that an entry opens."""
    return {_place(builder["uri"]) for builder in _builders_of(entry.get("serverBuilder"))}


def _place(uri: str) -> str:
    """Return the path in a URI: Java writes ``file:/a``, others ``file:///a``."""
    return unquote(re.sub(r"^file:/+", "/", uri))


def _with_classes(facts: _Json | None, classes: Sequence[str]) -> _Json:
    """Return a project's classes with ours added; existing classes keep their colours."""
    known = list((facts or {}).get("pathClasses", []))
    names = {entry.get("name") for entry in known}
    for name, colour in class_colours(classes).items():
        class_name = qupath_class(name)
        if class_name not in names:
            names.add(class_name)
            known.append({"name": class_name, "color": signed_argb(colour)})
    return {**(facts or {}), "pathClasses": known}


def signed_argb(colour: str) -> int:
    """Return an opaque colour as the signed integer into which Java packs it.

    >>> signed_argb("#ffffff"), signed_argb("#0072b2")
    (-1, -16747854)
    """
    return int(colour[1:], 16) - (1 << 24)


def _write_if_changed(path: Path, before: _Json | None, after: _Json) -> None:
    """Write a file of the project if its content changes."""
    if before != after:
        _write(path, after)


def _write(path: Path, facts: _Json) -> None:
    """Write a file of the project, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, facts)


def _write_thumbnails(
    output: Path, folder: Path, numbers: Sequence[tuple[str, int | None]]
) -> None:
    """Write thumbnails of entries that have none, at most so many that no run waits long for them.

    QuPath makes the others when they come into view, from the slides.

    Parameters
    ----------
    numbers : sequence of (name of the results, identity of the entry or None)
    """
    missing = (
        (preview, path)
        for name, number in numbers
        if number is not None
        and not (path := folder / "data" / str(number) / "thumbnail.jpg").exists()
        and (preview := output / name / "previews" / "slide.png").is_file()
    )
    for preview, path in islice(missing, _MOST_THUMBNAILS):
        _write_thumbnail(preview, path)


def _write_thumbnail(preview: Path, path: Path) -> None:
    """Write an entry's thumbnail from the slide's preview."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(preview) as image:
        small = image.convert("RGB")
    small.thumbnail((_THUMBNAIL_PX, _THUMBNAIL_PX), reducing_gap=2.0)
    # Not beside it: what killed runs left is looked for in few folders, not in one per slide.
    partial = private_path(path.parents[2] / path.name)
    try:
        small.save(partial, "JPEG", quality=90)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
