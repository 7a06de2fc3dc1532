"""The files of a slide at a URL, as far as they show without downloading it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from heatmaps_ome.errors import SlideError
from heatmaps_ome.slides.folders import SLIDE_ENDINGS
from heatmaps_ome.slides.paths import LONGEST_INDEX, ZARR, names_in_index, zarr_name
from heatmaps_ome.slides.remote_zarr import is_zarr_listing, zarr_files
from heatmaps_ome.storage.remote.urls import folder_of, joined, last_name, public

if TYPE_CHECKING:
    from heatmaps_ome.storage.remote.client import Client, RemoteFile

_DICOM: Final = ".dcm"
_MIRAX: Final = ".mrxs"
_HAMAMATSU: Final = (".vms", ".vmu")
_MIRAX_INDEX: Final = "slidedat.ini"


@dataclass(frozen=True)
class RemoteSlide:
    """A slide at a URL.

    Attributes
    ----------
    url : str
    main : str
        Path of what is opened: a file, or the folder of a DICOM slide or an OME-Zarr.
    files : tuple of (RemoteFile, str)
        All of its files, with their paths, which are relative to a folder of the slide's own.
    """

    url: str
    main: str
    files: tuple[tuple[RemoteFile, str], ...]

    @property
    def size(self) -> int:
        """Bytes of all files.

        Raises
        ------
        SlideError
            If the server does not state the size of one.
        """
        sizes = [file.size for file, _ in self.files]
        if None in sizes:
            raise SlideError(
                f"{public(self.url)}: the server does not state the file's size, which scratch "
                "needs; download the slide"
            )
        return sum(size or 0 for size in sizes)

    def stamp(self) -> list[list[str | int]]:
        """Return what the server states of the files, by which a change shows without reading."""
        return [[path, file.size or 0, file.tag] for file, path in self.files]


def name_at(url: str) -> str:
    """Return the name of the slide at a URL: its file's without the ending, or its folder's.

    >>> name_at("https://host/my%20slide.svs?key=1"), name_at("s3://bucket/1.2.840")
    ('my slide', '1.2.840')
    """
    name = PurePosixPath(last_name(url))
    if name.suffix.lower() == ZARR:
        return zarr_name(name.name)
    return name.stem if name.suffix.lower() in SLIDE_ENDINGS else name.name


def remote_slide(client: Client, url: str) -> RemoteSlide:
    """Return the files of the slide at a URL: one, or all that belong together.

    A DICOM slide's are those of its folder, an OME-Zarr's all of the store but labels; MIRAX and
    Hamamatsu's VMS slides have the file itself and those that it names.

    Raises
    ------
    SlideError
        If there is no slide of this kind.
    RemoteError
        If it cannot be reached.
    """
    name = last_name(url)
    ending = PurePosixPath(name).suffix.lower()
    if ending == _DICOM:
        return RemoteSlide(url, name, _dicom_files(client, folder_of(url)))
    if ending == ZARR:
        return _zarr_slide(client, url)
    if ending not in SLIDE_ENDINGS and client.is_folder(url):
        if is_zarr_listing(client.names(url)[1]):
            return _zarr_slide(client, url)
        files = _dicom_files(client, url)
        if not files:
            raise SlideError(f"{public(url)} is a folder without a DICOM slide; name the slide")
        return RemoteSlide(url, name, tuple((file, f"{name}/{path}") for file, path in files))
    file = client.file(url)
    if file.size == 0:
        raise SlideError(f"{public(url)} is empty (0 bytes); copy the slide again")
    if ending == _MIRAX:
        return RemoteSlide(url, name, ((file, name), *_mirax_files(client, url)))
    if ending in _HAMAMATSU:
        return RemoteSlide(url, name, ((file, name), *_indexed_files(client, file)))
    return RemoteSlide(url, name, ((file, name),))


def _zarr_slide(client: Client, url: str) -> RemoteSlide:
    """Return the slide of an OME-Zarr, which is a folder."""
    name, files = last_name(url), zarr_files(client, url)
    if not files:
        raise SlideError(f"{public(url)}: there is no such slide; check the URL")
    return RemoteSlide(url, name, tuple((file, f"{name}/{path}") for file, path in files))


def _dicom_files(client: Client, folder: str) -> tuple[tuple[RemoteFile, str], ...]:
    """Return the DICOM files directly in a folder; which of them belong together, they state."""
    files = [file for file in client.below(folder) if folder_of(file.url) == folder.rstrip("/")]
    return tuple(
        (file, last_name(file.url)) for file in files
        if last_name(file.url).lower().endswith(_DICOM)
    )  # fmt: skip


def _mirax_files(client: Client, url: str) -> tuple[tuple[RemoteFile, str], ...]:
    """Return the files in the folder beside a MIRAX file."""
    name = PurePosixPath(last_name(url)).stem
    folder = joined(folder_of(url), name)
    files = [(file, f"{name}/{file.url[len(folder) + 1 :]}") for file in client.below(folder)]
    if not any(last_name(file.url).lower() == _MIRAX_INDEX for file, _ in files):
        raise SlideError(
            f"{public(url)} is a MIRAX slide without its data: the folder {name} with Slidedat.ini "
            "must lie beside it; copy it too"
        )
    return tuple(files)


def _indexed_files(client: Client, index: RemoteFile) -> tuple[tuple[RemoteFile, str], ...]:
    """Return the files that a .vms or .vmu file names, which lie beside it."""
    data = client.read(index.url, 0, min(index.size or 0, LONGEST_INDEX))
    folder = folder_of(index.url)
    return tuple((client.file(joined(folder, name)), name) for name in names_in_index(data))
