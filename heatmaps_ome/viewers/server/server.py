"""Runs the server until it is stopped, on the loopback only unless another address is given."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from heatmaps_ome.errors import OptionError
from heatmaps_ome.exporters.manifest import MANIFEST
from heatmaps_ome.slides.plain_zarr import read_object
from heatmaps_ome.storage.remote.urls import url_of
from heatmaps_ome.viewers.files import viewer_files
from heatmaps_ome.viewers.screen import has_screen
from heatmaps_ome.viewers.server.app import LOOPBACK, application
from heatmaps_ome.viewers.server.links import PERMISSION, Linker
from heatmaps_ome.viewers.server.served import Served, served

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import uvicorn
    from starlette.applications import Starlette

    from heatmaps_ome.viewers.server.connections import PatientConnection

USUAL_PORT = 8765
_MOST_CONNECTIONS = 4096
_SLIDES_LISTED = 3


@dataclass(frozen=True)
class Address:
    """Address of the server.

    Attributes
    ----------
    host : str
        Address to listen on.
    port : int
    """

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether no other machine can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def url(self) -> str:
        """The page's address, for people and browsers."""
        host = self.host
        with contextlib.suppress(ValueError):
            if ipaddress.ip_address(host).is_unspecified:
                host = socket.gethostname()
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/"


def view(
    path: Path,
    say: Callable[[str], object],
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    allow_origin: Sequence[str] = (),
    browser: bool = True,
) -> None:
    """Serve results until the user stops it.

    Parameters
    ----------
    path : Path
        Folder of a run, or of one slide's results in it.
    say : callable
        Called with the greeting, in lines for people, once the page can be opened.
    host : str
        Address to listen on.
    port : int or None
        None: the usual one, or any if that is taken.
    allow_origin : sequence of str
        Web pages that may read the files, beside those of this machine and the viewers linked.
    browser : bool
        Whether the page is opened in the browser.

    Raises
    ------
    ResultError
        If the folder holds no results.
    OptionError
        If the address cannot be listened on.
    """
    import uvicorn

    url = url_of(path)
    results = served(path) if url is None else _served_at(url)
    listening = _listen(host, port)
    address = Address(host, listening.getsockname()[1])
    hosts = LOOPBACK if address.is_loopback else ("*",)
    app = application(results, viewer_files() / "page" / "dist", hosts, allow_origin)
    _allow_many_files()
    config = configuration(app)
    say(greeting(results, address))
    if browser:
        _open_browser(address.url)
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listening])


def configuration(
    app: Starlette, connection: type[PatientConnection] | None = None
) -> uvicorn.Config:
    """Return the configuration of the server.

    Parameters
    ----------
    connection : type or None
        How connections are served; None: as a user's.
    """
    import uvicorn

    from heatmaps_ome.viewers.server.connections import PatientConnection

    return uvicorn.Config(
        app, http=connection or PatientConnection, ws="none", lifespan="off", log_level="error",
        access_log=False, server_header=False, limit_concurrency=_MOST_CONNECTIONS,
        timeout_graceful_shutdown=2,
    )  # fmt: skip


def greeting(results: Served, address: Address) -> str:
    """Return the lines printed at the start: the page's address and links to other viewers."""
    description = results.description(Linker(address.url))
    slides = description["slides"]
    count = "1 slide" if len(slides) == 1 else f"{len(slides)} slides"
    lines = [f"{results.name}: {count}", "", f"  {address.url}", ""]
    if not address.is_loopback:
        lines += [
            f"Warning: --host {address.host}: everyone who can reach this machine can see the "
            "slides; there is no password.", "",
        ]  # fmt: skip
    lines.append("In other viewers (they come from the internet; the files stay on this machine):")
    for slide in slides[:_SLIDES_LISTED]:
        lines.append(f"  {slide['name']}")
        lines += [f"    {link['title']:20} {link['url']}" for link in slide["links"]]
        lines.append(f"    {'list of its files':20} {address.url}{slide['files']}maps.json")
    if len(slides) > _SLIDES_LISTED:
        lines.append(
            f"  … the page has the links of the other {len(slides) - _SLIDES_LISTED} slides"
        )
    lines += _links_without_server(results)
    return "\n".join([*lines, f"  {PERMISSION}", "", "Press Ctrl-C to stop.", ""])


def _served_at(url: str) -> Served:
    """Return the files to serve at a URL, whose libraries are imported only then."""
    from heatmaps_ome.viewers.server.remote_results import served_at

    return served_at(url, Path(tempfile.gettempdir()))


def _links_without_server(results: Served) -> list[str]:
    """Return lines with links of viewers to a bucket itself; [] for files of this machine."""
    if not results.address:
        return []
    lines = [
        "",
        "Straight from the bucket, for all who may read it, once it has the CORS rules of",
        "viewer_configs/README.md:",
    ]
    linker = Linker(results.address, composes=False)
    for folder in results.folders()[:_SLIDES_LISTED]:
        lines.append(f"  {folder.name}")
        links = linker.links(read_object(folder / MANIFEST), f"{quote(folder.name)}/")
        lines += [f"    {link.title:20} {link.url}" for link in links]
    return lines


def _listen(host: str, port: int | None) -> socket.socket:
    """Return a listening socket; without a given port, on the usual one or any other.

    Raises
    ------
    OptionError
        If the address cannot be listened on.
    """
    reason = ""
    for number in (USUAL_PORT, 0) if port is None else (port,):
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            return socket.create_server((host, number), family=family, backlog=2048)
        except OSError as error:
            reason = error.strerror or str(error)
    raise OptionError(
        f"cannot listen on {host}, port {port or 'any'} ({reason}); choose another --port or --host"
    )


def _allow_many_files() -> None:
    """Raise this process's limit of open files: every connection counts as one."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * _MOST_CONNECTIONS
    if hard != resource.RLIM_INFINITY:
        wanted = min(hard, wanted)
    if soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _open_browser(url: str) -> None:
    """Open the page in a browser, but never in a text browser in the terminal."""
    import webbrowser

    if has_screen():
        webbrowser.open(url)
