"""Finds and copies the files for viewers: the page, and the scripts for QuPath and napari."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote_to_bytes

import heatmaps_ome
from heatmaps_ome.storage.private import replacing

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import PurePath

_NAME = "viewer_configs"
_SCHEME = "file://"


def viewer_files() -> Path:
    """Return the folder ``viewer_configs``: part of an installed package, beside it in a checkout.

    >>> (viewer_files() / "page" / "dist" / "index.html").is_file()
    True
    """
    package = Path(heatmaps_ome.__file__).parent
    installed = package / _NAME
    return installed if installed.is_dir() else package.parent / _NAME


def copy_viewer_files(
    kind: str, folder: Path, names: Iterable[str], ending: str | None = None
) -> None:
    """Copy files of a viewer into a folder; no file is ever half written.

    Parameters
    ----------
    kind : str
        The folder below ``viewer_configs``: "qupath" or "napari".
    ending : str or None
        Name of a file to append to every copy: the part that all of them share.
    """
    source = viewer_files() / kind
    end = b"" if ending is None else (source / ending).read_bytes()
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        with replacing(folder / name) as partial:
            partial.write_bytes((source / name).read_bytes() + end)


def file_uri(path: PurePath) -> str:
    r"""Return the URI of an absolute path in the form that Java understands.

    >>> from pathlib import PurePosixPath, PureWindowsPath
    >>> file_uri(PurePosixPath("/data/Müller 1.svs"))
    'file:///data/M%C3%BCller%201.svs'
    >>> file_uri(PureWindowsPath("C:\\slides\\a#1.svs"))
    'file:///C:/slides/a%231.svs'
    >>> file_uri(PureWindowsPath("\\\\server\\share\\a.svs"))
    'file:////server/share/a.svs'
    """
    place = path.as_posix()
    rooted = place if place.startswith("/") else f"/{place}"
    return _SCHEME + quote(rooted.encode("utf-8", "surrogateescape"), safe="/:")


def path_of_uri(uri: str) -> Path:
    """Return the path whose URI `file_uri` returned.

    Raises
    ------
    ValueError
        If it is no such URI.

    >>> path_of_uri("file:///data/M%C3%BCller%201.svs").name
    'Müller 1.svs'
    """
    if not uri.startswith(_SCHEME):
        raise ValueError(f"{uri!r} is no URI of a file")
    return Path(os.fsdecode(unquote_to_bytes(uri.removeprefix(_SCHEME))))
