"""Results and slides at URLs for commands that read them once: fetched, read and removed."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from heatmaps_ome.storage.remote.urls import url_of

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def at_hand(path: Path) -> Iterator[Path]:
    """Yield the path of a file or folder on a disk; what lies at a URL is there during the block.

    Raises
    ------
    RemoteError
        If it cannot be fetched, or is larger than half of what is free on the disk.
    """
    url = url_of(path)
    if url is None:
        yield path
        return
    from heatmaps_ome.slides.remote_slide import remote_slide
    from heatmaps_ome.storage.remote.client import remote_client
    from heatmaps_ome.storage.remote.download import Download, download
    from heatmaps_ome.storage.remote.scratch import Scratch
    from heatmaps_ome.storage.remote.upload import files_at
    from heatmaps_ome.storage.remote.urls import last_name, public

    client, name = remote_client(), last_name(url)
    if client.is_folder(url):
        files = {f"{name}/{place}": file for place, file in files_at(client, url).items()}
    else:
        files = {place: file for file, place in remote_slide(client, url).files}
    scratch = Scratch(Path(tempfile.gettempdir()))
    try:
        held = scratch.hold(sum(file.size or 0 for file in files.values()), public(url))
        if held is None:
            return
        downloads = [Download(file, held.folder / place) for place, file in files.items()]
        for one in downloads:
            one.path.parent.mkdir(parents=True, exist_ok=True)
        download(client, downloads)
        yield held.folder / name
    finally:
        scratch.close()


def named(text: str, path: Path, place: Path) -> str:
    """Return a text for people with the URL instead of the place it was fetched to."""
    return text if path == place else text.replace(str(place), str(url_of(path)))
