"""The files behind a slide's path, and refusals of paths that are no readable file.

Nothing is opened before its status has shown that it is a regular file or a folder: opening a
pipe or a device could wait for ever.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Final

from heatmaps_ome.errors import SlideError
from heatmaps_ome.slides.dicom import (
    is_dicom,
    name_of_slide,
    series_files,
    series_of,
    slides_in,
)
from heatmaps_ome.slides.folders import folder_reason
from heatmaps_ome.slides.ngff_image import NoImage, image_files
from heatmaps_ome.slides.tiff_head import MAGICS
from heatmaps_ome.slides.zarr_tree import FolderTree, is_zarr_folder

_MIRAX: Final = ".mrxs"
_VSI: Final = ".vsi"
_HAMAMATSU: Final = (".vms", ".vmu")
ZARR: Final = ".zarr"
ZARR_ARCHIVES: Final = (".zip", ".ozx")
LONGEST_INDEX: Final = 2**20
"""Bytes that are read of a .vms or .vmu file, which is a page of text."""


def printable(path: Path | str) -> str:
    r"""Return a path as text that every stream and file can hold.

    >>> print(printable("a\udce9\x1b.svs"))
    a\xe9\x1b.svs
    """
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def name_of(path: Path) -> str:
    """Return a slide's name: its file's without the last suffix, or its folder's whole name.

    A DICOM slide that states its container has that name. An OME-Zarr's is without both of its
    endings; an image inside of one has the names of both.
    """
    container = name_of_slide(path)
    if container is not None:
        return container
    if not path.is_dir():
        return zarr_name(path.name) if path.suffix.lower() in ZARR_ARCHIVES else path.stem
    stores = [place for place in (path, *path.parents) if place.name.lower().endswith(ZARR)]
    if not stores or not is_zarr_folder(path):
        return path.name
    return "-".join([zarr_name(stores[0].name), *path.relative_to(stores[0]).parts])


def zarr_name(name: str) -> str:
    """Return the name of a file or folder without the endings of OME-Zarr.

    >>> zarr_name("a.b.ome.zarr"), zarr_name("a.zarr.zip"), zarr_name("a.ozx")
    ('a.b', 'a', 'a')
    """
    for ending in (*ZARR_ARCHIVES, ZARR, ".ome"):
        if name.lower().endswith(ending) and len(name) > len(ending):
            name = name[: -len(ending)]
    return name


def files_of(path: Path) -> tuple[Path, ...]:
    """Return all files of the slide at a path, always in the same order.

    A folder or any file of a DICOM slide has the files of the whole slide; an OME-Zarr those of its
    image, without labels. MIRAX and Hamamatsu's VMS slides have the file itself and those that it
    names.

    Raises
    ------
    SlideError
        If there is no readable slide file or folder of one slide.
    """
    require_readable(path)
    if is_zarr_folder(path):
        return _zarr_files(path)
    if path.is_dir():
        slides = slides_in(path)
        reason = folder_reason(path, len(slides))
        if reason is not None:
            raise SlideError(f"{printable(path)} {reason}")
        return slides[0]
    if is_dicom(path):
        return series_files(path)
    if is_vsi(path):
        return (path, *_below(_vsi_folder(path)))
    suffix = path.suffix.lower()
    if suffix == _MIRAX:
        return (path, *_below(_data_folder(path)))
    return (path, *_named_in(path)) if suffix in _HAMAMATSU else (path,)


def slide_identity(path: Path) -> str:
    """Return a text that all paths of one slide share, and no other path has.

    A path without a readable slide has the text of its own place.
    """
    place = os.path.realpath(path)
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            slides = slides_in(path)
            first = slides[0][0] if len(slides) == 1 else None
        else:
            first = path if stat.S_ISREG(mode) and is_dicom(path) else None
        series = None if first is None else series_of(first)
    except (OSError, ValueError):
        return place
    return (
        place if first is None or series is None else f"{os.path.realpath(first.parent)}/{series}"
    )


def require_readable(path: Path) -> None:
    """Refuse a path that is neither a folder nor a regular file with content.

    Raises
    ------
    SlideError
        With the case and the remedy.
    """
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            os.scandir(path).close()
            return
        reason = _special_kind(status.st_mode)
        if reason is None and status.st_size == 0:
            reason = "is empty (0 bytes); copy the slide again"
        if reason is None:
            path.open("rb").close()
    except ValueError as error:
        raise SlideError(
            f"{printable(path)}: no file can have this name, which contains a NUL character; check "
            "the list of slides"
        ) from error
    except OSError as error:
        raise SlideError(f"{printable(path)}{_unreachable(path, error)}") from error
    if reason is not None:
        raise SlideError(f"{printable(path)} {reason}")


def _special_kind(mode: int) -> str | None:
    """Return why something that is neither a folder nor a regular file is refused, else None."""
    if stat.S_ISREG(mode):
        return None
    kinds = {
        stat.S_IFIFO: "a named pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    kind = kinds.get(stat.S_IFMT(mode), "no regular file")
    return f"is {kind}, and slides are read at many places in turn; give a regular file"


def _unreachable(path: Path, error: OSError) -> str:
    """Return the end of the sentence about a path that cannot be reached or opened."""
    if isinstance(error, FileNotFoundError):
        if path.is_symlink():
            return (
                " is a link to a file that does not exist; make its disk available, or give the "
                "slide itself"
            )
        return ": there is no such slide; check the path"
    if error.errno == errno.ELOOP:
        return " is a link that leads back to itself; give the slide itself"
    if error.errno == errno.ENAMETOOLONG:
        return ": no file can have a name of this length; check the path, or the list of slides"
    if isinstance(error, NotADirectoryError):
        return ": a part of this path is a file, not a folder; check the path"
    if isinstance(error, PermissionError):
        return " may not be read (permission denied); ask its owner for the right to read it"
    return f" cannot be reached ({error.strerror}); check the disk"


def _data_folder(path: Path) -> Path:
    """Return the folder beside a MIRAX file that has its data.

    Raises
    ------
    SlideError
        If it is missing.
    """
    folder = path.with_suffix("")
    if not (folder / "Slidedat.ini").is_file():
        raise SlideError(
            f"{printable(path)} is a MIRAX slide without its data: the folder "
            f"{printable(folder.name)} with Slidedat.ini must lie beside it; copy it too"
        )
    return folder


def _zarr_files(path: Path) -> tuple[Path, ...]:
    """Return the files of the image of a zarr folder.

    Raises
    ------
    SlideError
        If it is no image.
    """
    tree = FolderTree(path)
    try:
        return tuple(tree.files(list(image_files(tree))))
    except NoImage as error:
        raise SlideError(f"{printable(path)} {error}") from error
    except OSError as error:
        raise SlideError(f"{printable(path)}{_unreachable(path, error)}") from error


def is_vsi(path: Path) -> bool:
    """Return whether a regular file is an Olympus VSI: a TIFF that stands for a folder of data."""
    if path.suffix.lower() != _VSI or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) in MAGICS


def _vsi_folder(path: Path) -> Path:
    """Return the folder beside a VSI file that has its data.

    Raises
    ------
    SlideError
        If it is missing.
    """
    folder = path.with_name(f"_{path.stem}_")
    if not folder.is_dir() or next(folder.rglob("*.ets"), None) is None:
        raise SlideError(
            f"{printable(path)} is an Olympus VSI slide without its data: the folder "
            f"{printable(folder.name)} with its .ets files must lie beside it; copy it too"
        )
    return folder


def _below(folder: Path) -> list[Path]:
    """Return all regular files below a folder, sorted by their paths."""
    return sorted(file for file in folder.rglob("*") if file.is_file())


def _named_in(path: Path) -> list[Path]:
    """Return the files that a .vms or .vmu file names, which lie beside it.

    Raises
    ------
    SlideError
        If one of them is missing.
    """
    with path.open("rb") as file:
        files = [path.parent / name for name in names_in_index(file.read(LONGEST_INDEX))]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise SlideError(
            f"{printable(path)} is a Hamamatsu slide without its data: it names "
            f"{printable(missing[0])}, which must lie beside it; copy all of its files"
        )
    return files


def names_in_index(data: bytes) -> list[str]:
    """Return the names of the files that the content of a .vms or .vmu file names, each once."""
    entries = (line.partition("=") for line in data.decode("latin-1").splitlines())
    names = [
        value.strip()
        for key, _, value in entries
        if key.strip().startswith(("ImageFile", "MapFile", "OptimisationFile")) and value.strip()
    ]
    return [name for name in dict.fromkeys(names) if Path(name).name == name]
