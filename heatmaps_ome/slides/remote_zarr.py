"""The files of an OME-Zarr at a URL: as listed, or by its metadata where servers list nothing."""

from __future__ import annotations

import io
import math
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import product
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from heatmaps_ome.errors import SlideError
from heatmaps_ome.slides.ngff_image import MOST_CHUNK_BYTES, NoImage, image_in
from heatmaps_ome.slides.plain_zarr import MOST_JSON_BYTES, layout_of
from heatmaps_ome.slides.zarr_tree import metadata_names, object_in
from heatmaps_ome.storage.remote.urls import joined, last_name, public, scheme_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from heatmaps_ome.slides.ngff_image import NgffImage
    from heatmaps_ome.storage.remote.client import Client, RemoteFile

_WEB: Final = ("http", "https")
_MOST_CHUNKS: Final = 200_000
"""Chunks that a web server is asked for, one by one."""
_AT_ONCE: Final = 16


def zarr_files(client: Client, url: str) -> tuple[tuple[RemoteFile, str], ...]:
    """Return the files of the store at a URL without its labels, with their paths in its folder.

    Raises
    ------
    SlideError
        If a web server has no image there, or one of too many chunks.
    RemoteError
        If it cannot be reached.
    """
    if scheme_of(url) in _WEB:
        return tuple((file, name) for name, file in _asked_for(client, url))
    start = len(url.rstrip("/")) + 1
    files = [(file, file.url[start:]) for file in client.below(url)]
    return tuple((file, name) for file, name in files if "labels" not in name.split("/"))


class _WebTree:
    """The metadata of a store on a web server; see Tree. It lists no folders."""

    def __init__(self, client: Client, url: str) -> None:
        self._client, self._url = client, url
        self.names: list[str] = []
        """Names of the files that were there."""

    @contextmanager
    def open(self, name: str) -> Iterator[tuple[BinaryIO, int] | None]:
        url = joined(self._url, name)
        if not self._client.exists(url):
            yield None
            return
        size = self._client.file(url).size
        if size is None or size > MOST_JSON_BYTES:
            raise ValueError(f"{name} has more than {MOST_JSON_BYTES >> 20} MiB")
        self.names.append(name)
        data = self._client.read(url)
        yield io.BytesIO(data), len(data)

    def folders(self, name: str) -> list[str]:
        del name
        return []

    def files(self, names: list[str]) -> list[Path]:
        raise NotImplementedError(names)

    def close(self) -> None:
        pass


def _asked_for(client: Client, url: str) -> list[tuple[str, RemoteFile]]:
    """Return the name and the facts of each file of an image on a web server."""
    tree = _WebTree(client, url)
    try:
        image = image_in(tree)
        chunks = [name for level in image.levels for name in _chunk_names(tree, level.path)]
        _keep_metadata(tree, image)
    except NoImage as error:
        raise SlideError(f"{public(url)} {error}") from error
    except ValueError as error:
        raise SlideError(f"{public(url)} is an OME-Zarr that is not read ({error})") from error
    names = list(dict.fromkeys([*tree.names, *chunks]))
    in_parts = client.file(joined(url, names[0])).in_parts
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="ask") as pool:
        files = pool.map(
            lambda name: client.file_or_none(joined(url, name), in_parts=in_parts), names
        )
        return [(name, file) for name, file in zip(names, files, strict=True) if file is not None]


def _keep_metadata(tree: _WebTree, image: NgffImage) -> None:
    """Ask for all metadata that a reader of the folder would look for."""
    for node in dict.fromkeys(["", image.group, *(level.path for level in image.levels)]):
        for name in metadata_names(node):
            object_in(tree, name)


def _chunk_names(tree: _WebTree, path: str) -> list[str]:
    """Return the names of all files of chunks that an array may have."""
    facts = object_in(tree, f"{path}/zarr.json") or object_in(tree, f"{path}/.zarray")
    if facts is None:
        raise ValueError(f"array {path} is missing")
    layout = layout_of(facts, MOST_CHUNK_BYTES)
    counts = [-(-size // chunk) for size, chunk in zip(layout.shape, layout.chunk, strict=True)]
    if math.prod(counts) > _MOST_CHUNKS:
        raise ValueError(
            f"array {path} has {math.prod(counts)} chunks, too many to ask a web server for; "
            "download the store"
        )
    prefix, separator = _key_encoding(facts)
    return [
        f"{path}/{prefix}{separator.join(map(str, place))}"
        for place in product(*map(range, counts))
    ]


def _key_encoding(facts: dict[str, Any]) -> tuple[str, str]:
    """Return the beginning of chunks' names, and what is between their numbers."""
    encoding = facts.get("chunk_key_encoding")
    if not isinstance(encoding, dict):
        return "", "/" if facts.get("dimension_separator") == "/" else "."
    configuration = encoding.get("configuration")
    stated = configuration.get("separator") if isinstance(configuration, dict) else None
    if encoding.get("name") == "v2":
        return "", "/" if stated == "/" else "."
    separator = "." if stated == "." else "/"
    return f"c{separator}", separator


def is_zarr_listing(files: list[str]) -> bool:
    """Return whether the URLs of a folder's files are those of a zarr group."""
    return bool({last_name(file) for file in files} & {".zattrs", ".zgroup", "zarr.json"})
