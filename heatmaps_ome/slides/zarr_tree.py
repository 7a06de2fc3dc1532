"""The files of a zarr store that a stranger may have made, in a folder or in a ZIP archive."""

from __future__ import annotations

import json
import os
import stat
import zipfile
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Protocol, cast

from heatmaps_ome.slides.plain_zarr import METADATA, MOST_JSON_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_ROOTS: Final = (".zattrs", ".zgroup", ".zarray", "zarr.json")
"""Files of which a group or an array has one."""
_ZIP_MAGIC: Final = b"PK\3\4"
_MOST_ENTRIES: Final = 10_000
"""Entries of a folder that are looked at for groups."""
_MOST_FILES: Final = 5_000_000
"""Files of a slide; a level of 2^37 pixels in chunks of 256 × 256 has two million."""


class Tree(Protocol):
    """Read access to the files of a store by their names, whose parts are joined by ``/``."""

    @contextmanager
    def open(self, name: str) -> Iterator[tuple[BinaryIO, int] | None]:
        """Open a file, and give its length in bytes; None if there is none.

        Raises
        ------
        ValueError
            If it is no regular file.
        OSError
            If it cannot be read.
        """
        ...

    def folders(self, name: str) -> list[str]:
        """Return the names of the folders in a folder, sorted; not all of very many."""
        ...

    def files(self, names: list[str]) -> list[Path]:
        """Return the paths of the files with these names or below them, always in one order."""
        ...

    def close(self) -> None:
        """Close the archive."""
        ...


class FolderTree:
    """A store in a folder; links in it are not followed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def open(self, name: str) -> Iterator[tuple[BinaryIO, int] | None]:
        """Open a file; see Tree."""
        path = self._folder / name
        try:
            status = path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            yield None
            return
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"{name} is no regular file")
        with path.open("rb") as file:
            yield file, status.st_size

    def folders(self, name: str) -> list[str]:
        """Return the names of folders; see Tree."""
        try:
            with os.scandir(self._folder / name) as entries:
                some = list(islice(entries, _MOST_ENTRIES))
        except OSError:
            return []
        return sorted(entry.name for entry in some if entry.is_dir(follow_symlinks=False))

    def files(self, names: list[str]) -> list[Path]:
        """Return paths in the order of the names, and of the paths below each."""
        paths: list[Path] = []
        for name in names:
            path = self._folder / name
            if not path.is_dir():
                paths += [path] * path.is_file()
                continue
            for folder, folders, files in os.walk(path):
                folders.sort()
                paths += [path.__class__(folder, file) for file in sorted(files)]
                if len(paths) > _MOST_FILES:
                    raise ValueError(f"it has more than {_MOST_FILES} files")
        return paths

    def close(self) -> None:
        """Do nothing: no file stays open."""


class ZipTree:
    """A store in a ZIP archive, at its root or in its only folder.

    Raises
    ------
    ValueError
        If the archive is damaged, or holds no store.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, NotImplementedError) as error:
            raise ValueError(f"it is no whole ZIP archive ({error})") from error
        self._entries = {entry.filename: entry for entry in self._zip.infolist()}
        prefix = _store_in(self._entries)
        if prefix is None:
            self._zip.close()
            raise ValueError("it holds no zarr store")
        self._prefix = prefix

    @contextmanager
    def open(self, name: str) -> Iterator[tuple[BinaryIO, int] | None]:
        """Open a file; see Tree."""
        entry = self._entries.get(self._prefix + name)
        if entry is None:
            yield None
            return
        try:
            with self._zip.open(entry) as file:
                yield cast("BinaryIO", file), entry.file_size
        except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
            # A cut archive, an unknown compression, or one that is encrypted.
            raise ValueError(str(error) or type(error).__name__) from error

    def folders(self, name: str) -> list[str]:
        """Return the names of folders; see Tree."""
        start = self._prefix + (f"{name}/" if name else "")
        below = (entry[len(start) :] for entry in self._entries if entry.startswith(start))
        return sorted({rest.partition("/")[0] for rest in below if "/" in rest})

    def files(self, names: list[str]) -> list[Path]:
        """Return the archive."""
        del names
        return [self._path]

    def close(self) -> None:
        """Close the archive."""
        self._zip.close()


def is_zarr_folder(path: Path) -> bool:
    """Return whether a path is a folder of a zarr store."""
    return path.is_dir() and any((path / name).is_file() for name in _ROOTS)


def is_zipped_zarr(path: Path) -> bool:
    """Return whether a path is a ZIP archive with a zarr store."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        if file.read(len(_ZIP_MAGIC)) != _ZIP_MAGIC:
            return False
    try:
        ZipTree(path).close()
    except (ValueError, OSError):
        return False
    return True


def tree_of(path: Path) -> Tree:
    """Return the files of a store in a folder or an archive."""
    return FolderTree(path) if path.is_dir() else ZipTree(path)


def object_in(tree: Tree, name: str) -> dict[str, Any] | None:
    """Return the object in a JSON file; None if there is no such file.

    Raises
    ------
    ValueError
        If it is too large, no JSON or no object.
    OSError
        If it cannot be read.
    """
    with tree.open(name) as opened:
        if opened is None:
            return None
        file, size = opened
        if size > MOST_JSON_BYTES:
            raise ValueError(f"{name} has more than {MOST_JSON_BYTES >> 20} MiB")
        data = file.read(MOST_JSON_BYTES)
    try:
        content = json.loads(data.decode("utf-8"))
    except RecursionError as error:
        raise ValueError(f"{name} is nested too deeply") from error
    except ValueError as error:
        raise ValueError(f"{name} is no JSON ({error})") from error
    if not isinstance(content, dict):
        raise ValueError(f"{name} holds no object")
    return content


def joined(group: str, name: object) -> str:
    """Return the name of something in a group that a file names.

    Raises
    ------
    ValueError
        If the name leads out of the group.
    """
    parts = name.strip("/").split("/") if isinstance(name, str) else [".."]
    if "\\" in str(name) or any(part in ("", ".", "..") for part in parts):
        raise ValueError(f"{name!r} names nothing in it")
    return "/".join([*([group] if group else []), *parts])


def metadata_names(node: str) -> list[str]:
    """Return the names that metadata of a group or an array may have."""
    return [joined(node, name) for name in sorted(METADATA - {".zmetadata"})]


def _store_in(names: dict[str, Any]) -> str | None:
    """Return the folder of an archive that holds a store, with a ``/``; "" for its root."""
    if any(root in names for root in _ROOTS):
        return ""
    firsts = {name.partition("/")[0] for name in names if "/" in name}
    folders = [
        f"{first}/" for first in firsts if any(f"{first}/{root}" in names for root in _ROOTS)
    ]
    return folders[0] if len(folders) == 1 else None
