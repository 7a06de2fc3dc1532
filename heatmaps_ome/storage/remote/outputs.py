"""Output folders at URLs as the stages of a run meet them: by the folder that stands for one.

The folder names its URL in a file, so that any process that works in it knows it. Without that
file, an output folder is just a folder, and nothing here does anything.
"""

from __future__ import annotations

import atexit
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from heatmaps_ome.storage.disk import disk_error
from heatmaps_ome.storage.owners import owner_of_this_process
from heatmaps_ome.storage.private import left_over, private_path, remove
from heatmaps_ome.storage.remote.client import remote_client
from heatmaps_ome.storage.remote.mirror import Mirror
from heatmaps_ome.storage.remote.scratch import OPTION, SUFFIX
from heatmaps_ome.storage.remote.urls import last_name, public, url_of
from heatmaps_ome.storage.result_folder import JOB, MAPS, SCALING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_URL_FILE: Final = ".url"
_SMALL: Final = ("maps.json", "{name}.report.json", "previews/slide.png", "sketch.h5")
"""Files of a slide, by its name, that lists, report, project and scaling are made of."""

_lock = threading.Lock()
_mirrors: dict[Path, Mirror] = {}


def open_output(place: Path, scratch: Path, *, writes: bool = True) -> Path:
    """Return the folder to work in for an output folder: itself, or one that stands for a URL.

    The latter has what all runs share, and is removed when this process ends.

    Parameters
    ----------
    place : Path
        A folder, or a URL as a path.
    scratch : Path
        The folder in which the other is made.
    writes : bool
        Whether the output folder will be written to.

    Raises
    ------
    RemoteError
        If the URL cannot be read, or not be written to.
    OutputError
        If scratch cannot be written.
    """
    url = url_of(place)
    if url is None:
        return place
    folder = _made(scratch, last_name(url))
    (folder / _URL_FILE).write_text(public(url), encoding="utf-8")
    mirror = Mirror(remote_client(), url, folder, _SMALL)
    with _lock:
        _mirrors[folder] = mirror
    if writes:
        mirror.require_writable()
    mirror.pull(SCALING, f"{MAPS}/{JOB}")
    return folder


def standing_for(place: Path) -> Path:
    """Return the latest folder of this process that stands for a URL; of a folder, itself."""
    url = url_of(place)
    with _lock:
        folders = [f for f, mirror in _mirrors.items() if url and public(mirror.url) == public(url)]
    return folders[-1] if folders else place


def with_urls(text: str) -> str:
    """Return a text for people, with the URLs of output folders instead of what stands for them."""
    with _lock:
        mirrors = list(_mirrors.items())
    for folder, mirror in mirrors:
        text = text.replace(str(folder), public(mirror.url))
    return text


@atexit.register
def close_outputs() -> None:
    """Remove the folders of this process that stand for URLs."""
    with _lock:
        folders = list(_mirrors)
        _mirrors.clear()
    for folder in folders:
        # A process that was forked from the one that made it leaves it alone.
        if owner_of_this_process().label in folder.parent.name:
            remove(folder.parent)


def mirror_of(output: Path) -> Mirror | None:
    """Return the URL that an output folder stands for; None if it is just a folder."""
    with _lock:
        if output in _mirrors:
            return _mirrors[output]
        try:
            url = (output / _URL_FILE).read_text(encoding="utf-8")
        except OSError:
            return None
        return _mirrors.setdefault(output, Mirror(remote_client(), url, output, _SMALL))


def know_slides(output: Path, names: Iterable[str]) -> None:
    """Fetch the records of slides, by which finished maps and results are recognised."""
    mirror = mirror_of(output)
    if mirror is not None:
        names = list(names)
        mirror.pull_records(names)
        mirror.pull_small(names, MAPS, lists=True)


def know_maps(output: Path) -> None:
    """Fetch all that a scaling is made of."""
    mirror = mirror_of(output)
    if mirror is not None:
        mirror.pull_small(mirror.slides(MAPS), MAPS, lists=True)


def know_again(output: Path, name: str) -> None:
    """Fetch a file that all runs share once more, as another run may have written it meanwhile."""
    mirror = mirror_of(output)
    if mirror is not None:
        mirror.pull(name)


def know_all(output: Path) -> None:
    """Fetch all that lists, the report and the scaling are made of."""
    mirror = mirror_of(output)
    if mirror is not None:
        mirror.pull_shared()
        mirror.pull_small(mirror.slides())
        mirror.pull_small(mirror.slides(MAPS), MAPS, lists=True)


def keep(output: Path, folder: Path) -> None:
    """Put a slide's finished folder where it belongs, if that is a URL.

    Raises
    ------
    ResultError
        If another run has meanwhile finished other results of the slide.
    RemoteError
        If it cannot be written; then it counts as not finished here either.
    """
    mirror = mirror_of(output)
    if mirror is None:
        return
    try:
        mirror.push(folder)
    except BaseException:
        remove(folder)
        raise


def keep_file(output: Path, path: Path) -> None:
    """Put one file where it belongs, if that is a URL."""
    mirror = mirror_of(output)
    if mirror is not None:
        mirror.push_file(path.relative_to(output).as_posix())


def keep_shared(output: Path) -> None:
    """Put the files that all runs share where they belong, if that is a URL."""
    mirror = mirror_of(output)
    if mirror is not None:
        mirror.push_shared()


@contextmanager
def at_hand(output: Path, folder: Path) -> Iterator[None]:
    """Have all files of a folder of a slide here during the block; then it is empty again."""
    mirror = mirror_of(output)
    if mirror is None:
        yield
        return
    place = folder.relative_to(output).as_posix()
    mirror.pull_part(place)
    try:
        yield
    finally:
        remove(folder)
        folder.mkdir()


def forget(output: Path, folder: Path) -> None:
    """Remove a folder of a slide from where it belongs, if that is a URL."""
    mirror = mirror_of(output)
    if mirror is not None:
        mirror.remove_part(folder.relative_to(output).as_posix())


def fetched(output: Path, name: str) -> None:
    """Fetch a slide's finished folder as a whole."""
    mirror = mirror_of(output)
    if mirror is not None:
        mirror.pull_folder(name)


def _made(scratch: Path, name: str) -> Path:
    """Return a new folder of this process, named like the output folder."""
    try:
        scratch.mkdir(parents=True, exist_ok=True)
        for old in left_over(scratch, SUFFIX):
            remove(old)
        folder = private_path(scratch / "heatmaps-ome", SUFFIX) / (name or "output")
        folder.mkdir(parents=True)
    except OSError as error:
        raise disk_error(scratch, error, OPTION) from error
    return folder
