"""Writes ``viewers/qupath/``: a project that opens the slides of all runs in QuPath 0.5-0.7.

QuPath's own files beside ours hold the annotations that people made. So an existing project is
extended, never replaced, and nothing in its ``data/`` is changed or removed.
"""

from __future__ import annotations

import copy
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from heatmaps_ome.display.colour import class_colours
from heatmaps_ome.display.numbers import probability
from heatmaps_ome.errors import OutputError, ResultError
from heatmaps_ome.exporters.cells import qupath_class
from heatmaps_ome.slides.paths import files_of
from heatmaps_ome.storage.digests import write_json
from heatmaps_ome.storage.private import replacing
from heatmaps_ome.storage.regular_file import read_json
from heatmaps_ome.storage.result_folder import VIEWERS
from heatmaps_ome.viewers.files import copy_viewer_files, file_uri

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

PROJECT = "project.qpproj"
_SCRIPTS = ("show_heatmap.groovy", "import_tiles.groovy", "import_regions.groovy")
_PRELUDE = "prelude.groovy"
"""Appended to every script, because QuPath runs single files."""
_VERSION = "0.6.0"
_OPENSLIDE = "qupath.lib.images.servers.openslide.OpenslideServerBuilder"
_RESULTS, _DRAWN_HOT, _PREDICTION = "heatmaps-ome results", "drawn hot", "prediction: "
"""Keys of an entry's metadata that are ours."""
_EARLIER_DRAWN_HOT = "true class"
"""The key of earlier versions, which reads as ground truth."""
_THUMBNAIL_PX = 256

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
    output: Path, slides: Sequence[ProjectSlide], classes: Sequence[str], now_ms: int
) -> Path:
    """Add slides to the project of an output folder, or create one, and return its path.

    The project is the one file of a run with the slides' absolute paths, which QuPath needs.

    Parameters
    ----------
    now_ms : int
        The time, in ms since 1970.

    Raises
    ------
    ResultError
        If the existing project cannot be read; it is not changed.
    OutputError
        If the project cannot be written.
    """
    folder = output / VIEWERS / "qupath"
    path, classes_path = folder / PROJECT, folder / "classifiers" / "classes.json"
    try:
        old_project = _read(path, _is_project)
        old_classes = _read(classes_path, _is_classes)
        project = copy.deepcopy(old_project) or _new_project(path, now_ms)
        entries = {
            slide.name: entry
            for slide in slides
            if (entry := _update(project, slide, folder)) is not None
        }
        write_scripts(folder / "scripts")
        _write_if_changed(classes_path, old_classes, _with_classes(old_classes, classes))
        for name, entry in entries.items():
            _write_thumbnail(output / name / "previews" / "slide.png", folder, entry["entryID"])
        if project != old_project:
            _write(path, {**project, "modifyTimestamp": now_ms})
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


def _update(project: _Json, slide: ProjectSlide, folder: Path) -> _Json | None:
    """Write a slide's path and facts into a project; return its entry, if there is one."""
    images: list[_Json] = project.setdefault("images", [])
    same_place = same_results = [
        entry for entry in images if entry.get("metadata", {}).get(_RESULTS) == slide.name
    ]
    if slide.path is not None:
        # The name itself may be a link to a file without a suffix: only the folder is resolved.
        # QuPath opens a file of a DICOM slide, not its folder.
        path = files_of(slide.path)[0] if slide.path.is_dir() else slide.path
        uri = file_uri(path.parent.resolve() / path.name)
        same_place = [entry for entry in images if _place(uri) in map(_place, _uris_of(entry))]
        if not same_place and same_results:
            _move(same_results[0], uri)
            same_place = same_results[:1]
        if not same_place:
            same_place = [_new_entry(project, slide.path.name, uri, folder)]
            images.extend(same_place)
    for entry in same_place:
        entry["metadata"] = _metadata(entry.get("metadata", {}), slide)
    return same_place[0] if same_place else None


def _new_entry(project: _Json, name: str, uri: str, folder: Path) -> _Json:
    """Return an entry whose identity is new to the project and to data of deleted entries."""
    left_over = [path.name for path in folder.glob("data/*") if path.name.isdecimal()]
    used = [entry["entryID"] for entry in project["images"]]
    number = 1 + max([project.get("lastID", 0), *used, *map(int, left_over)])
    project["lastID"] = number
    return {
        "serverBuilder": {
            "builderType": "uri",
            "providerClassName": _OPENSLIDE,
            "uri": uri,
            # Otherwise QuPath crops the slide to its bounds, which moves (0, 0).
            "args": ["--no-crop"],
        },
        "entryID": number,
        "randomizedName": f"image-{number:04d}",
        "imageName": _as_text(name),
        "metadata": {},
    }


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


def _uris_of(entry: _Json) -> list[str]:
    """Return the addresses of the files that an entry opens."""
    return [builder["uri"] for builder in _builders_of(entry.get("serverBuilder"))]


def _place(uri: str) -> str:
    """Return the path in a URI: Java writes ``file:/a``, others ``file:///a``."""
    return unquote(re.sub(r"^file:/+", "/", uri))


def _move(entry: _Json, uri: str) -> None:
    """Point an entry to the slide's current path."""
    for builder in _builders_of(entry.get("serverBuilder")):
        builder["uri"] = uri


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


def _write_thumbnail(preview: Path, folder: Path, entry_id: int) -> None:
    """Write an entry's thumbnail, unless it has one or the slide has no preview."""
    path = folder / "data" / str(entry_id) / "thumbnail.jpg"
    if path.exists() or not preview.is_file():
        return
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(preview) as image:
        small = image.convert("RGB")
    small.thumbnail((_THUMBNAIL_PX, _THUMBNAIL_PX))
    with replacing(path) as partial:
        small.save(partial, "JPEG", quality=90)
