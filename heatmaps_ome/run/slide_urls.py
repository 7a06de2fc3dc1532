"""Finds the slides that a URL, a folder at one, or a pattern of URLs names."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from heatmaps_ome.errors import RemoteError, SlideError
from heatmaps_ome.run.slide_paths import FILE_ENDINGS
from heatmaps_ome.run.slide_row import SlideRow
from heatmaps_ome.slides.paths import ZARR
from heatmaps_ome.slides.remote_zarr import is_zarr_listing
from heatmaps_ome.storage.remote.client import remote_client
from heatmaps_ome.storage.remote.urls import (
    folder_of,
    last_name,
    public,
    scheme_of,
    url_problem,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from heatmaps_ome.storage.remote.client import Client

_DICOM: Final = ".dcm"
_WILDCARDS: Final = set("*?[")
_WEB: Final = ("http", "https")


def rows_at(url: str, origin: str) -> list[SlideRow]:
    """Return the slides that a URL names: itself, those of its folder, or those of its pattern.

    A folder names its own slides, and not those of the folders in it; a folder of a DICOM slide is
    a slide. Web servers list nothing, so their URLs are slides as they are.

    Raises
    ------
    SlideError
        If it cannot be used, or names no slide.
    RemoteError
        If it cannot be listed.
    """
    if problem := url_problem(url):
        raise SlideError(f"{public(url)} {problem}")
    return [row_at(slide, origin) for slide in _slides_named(remote_client(), url)]


def row_at(url: str, origin: str) -> SlideRow:
    """Return the row of a slide at a URL, whose path has no signature."""
    return SlideRow(Path(public(url)), url=url, origin=origin)


def slide_with_ending(url: str) -> str:
    """Return the URL of a slide whose name in a table may lack the ending.

    Raises
    ------
    SlideError
        If it cannot be used, is a folder of slides, or several slides are named so.
    RemoteError
        If its folder cannot be listed.
    """
    if problem := url_problem(url):
        raise SlideError(f"{public(url)} {problem}")
    if _is_slide_name(url) or scheme_of(url) in _WEB:
        return url
    folders, files = remote_client().names(folder_of(url))
    whole = [file for file in files if _is_slide_name(file) and _without_ending(file) == url]
    if len(whole) > 1:
        names = " and ".join(map(last_name, whole))
        raise SlideError(f"{public(url)} names {names} alike; add the ending")
    if whole:
        return whole[0]
    if url in folders and not _is_slide_folder(remote_client(), url):
        raise SlideError(
            f"{public(url)} is a folder, and a row is one slide; give a row to each slide"
        )
    return url


def _slides_named(client: Client, url: str) -> list[str]:
    """Return the URLs of the slides that a URL names."""
    web = scheme_of(url) in _WEB
    if _WILDCARDS & set(url) and not web and not (_is_slide_name(url) and _is_there(client, url)):
        return _matches(client, url)
    if web or _is_slide_name(url) or not client.is_folder(url):
        return [url]
    folders, files = client.names(url)
    if any(_is_dicom(file) for file in files) or is_zarr_listing(files):
        return [url]
    slides = [file for file in files if _is_slide_name(file)]
    slides += [folder for folder in folders if _is_slide_folder(client, folder)]
    slides = [slide for slide in slides if not last_name(slide).startswith(".")]
    if not slides:
        raise SlideError(
            f"{public(url)} is a folder without slides of its own; name the slides, or a pattern "
            "such as 's3://BUCKET/FOLDER/**/*.svs'"
        )
    return _in_order(slides)


def _matches(client: Client, pattern: str) -> list[str]:
    """Return the slides that match a pattern; if it states no ending, only slides count."""
    name = pattern.rpartition("/")[2]
    stated = "." in name and not _WILDCARDS & set(name.rpartition(".")[2])
    matches = [
        url for url in client.matches(pattern)
        if not last_name(url).startswith(".")
        and (stated or _is_slide_name(url) or _is_slide_folder(client, url))
    ]  # fmt: skip
    if not matches:
        # A bucket that is not there, or has no rights for us, matches nothing either.
        client.names(
            pattern[: min(map(pattern.find, _WILDCARDS & set(pattern)))].rpartition("/")[0]
        )
        raise SlideError(
            f"{public(pattern)}: no slide matches this pattern; check it, or name the slides"
        )
    return _in_order(matches)


def _is_slide_name(url: str) -> bool:
    """Return whether a URL ends as slides' files do, or an OME-Zarr."""
    return PurePosixPath(last_name(url)).suffix.lower() in (*FILE_ENDINGS, _DICOM, ZARR)


def _is_slide_folder(client: Client, url: str) -> bool:
    """Return whether a folder is an OME-Zarr, or holds a DICOM slide."""
    if PurePosixPath(last_name(url)).suffix.lower() == ZARR:
        return True
    files = client.names(url)[1]
    return not _is_slide_name(url) and (any(map(_is_dicom, files)) or is_zarr_listing(files))


def _is_dicom(url: str) -> bool:
    name = last_name(url).lower()
    return name.endswith(_DICOM) and not name.startswith(".")


def _is_there(client: Client, url: str) -> bool:
    """Return whether there is a file whose name has the signs of a pattern."""
    try:
        return client.exists(url)
    except RemoteError:
        return False


def _without_ending(url: str) -> str:
    return url.rpartition(".")[0]


def _in_order(urls: Sequence[str]) -> list[str]:
    return sorted(urls, key=lambda url: (last_name(url).casefold(), url))
