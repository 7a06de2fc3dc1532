"""The web application: the page, its description of the run, and the results' files.

Files are served with Range and CORS.

Memory: at most 256 answers are read at once, and further requests wait. Files are read in pieces of
64 KiB, and a connection holds two. So a thousand requests at once need some 32 MiB more than one.
An answer that its client takes nothing of for a second gives its turn to another.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING

from anyio import CapacityLimiter, to_thread
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.status import (
    HTTP_204_NO_CONTENT,
    HTTP_404_NOT_FOUND,
    HTTP_500_INTERNAL_SERVER_ERROR,
    HTTP_502_BAD_GATEWAY,
)

from heatmaps_ome.errors import HeatmapsError
from heatmaps_ome.memory.limits import usable_cores
from heatmaps_ome.viewers.palettes import palettes as colour_maps
from heatmaps_ome.viewers.server.answers import answer
from heatmaps_ome.viewers.server.burnt_pictures import BurntPictures, DamagedResultError
from heatmaps_ome.viewers.server.links import ORIGINS, Linker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from heatmaps_ome.viewers.server.burnt_pictures import ServedFile
    from heatmaps_ome.viewers.server.served import Served

LOOPBACK = ("127.0.0.1", "localhost", "::1", "[::1]")
_LOOPBACK_ORIGIN = r"https?://(127\.0\.0\.1|localhost|\[::1\])(:\d+)?"
_AT_ONCE = 256
_STALL_S = 1.0
_PAGE_HEADERS = {
    "content-security-policy": (
        "default-src 'self'; img-src 'self' blob: data:; style-src 'self' 'unsafe-inline'; "
        "script-src 'self'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; "
        "form-action 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
}
_DATA_HEADERS = {"content-security-policy": "default-src 'none'; sandbox"}
_MISSING_AS = "missing-as"
"""Header of requests for files that may well be absent: an empty chunk, another version's metadata.
Browsers write every 404 into their console, where it looks like an error."""
_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    # Results may be replaced while the page is open; the browser asks whether a file has changed.
    "cache-control": "no-cache",
}


def application(
    results: Served, page: Path, hosts: Sequence[str], origins: Sequence[str] = ()
) -> Starlette:
    """Return the application that serves some results.

    Parameters
    ----------
    page : Path
        Folder of the built page.
    hosts : sequence of str
        Names of this machine that requests may carry. A stranger's page can map its own name to
        our address (DNS rebinding), but cannot change the name in the request.
    origins : sequence of str
        Pages elsewhere that may read the results, beside well-known viewers; "*" for all.
    """

    def index(_: Request) -> Response:
        return FileResponse(page / "index.html")

    def run(request: Request) -> Response:
        return JSONResponse(results.description(Linker(str(request.base_url))))

    def palettes(_: Request) -> Response:
        return JSONResponse(colour_maps())

    return Starlette(
        routes=[
            Route("/", index),
            Route("/api/run.json", run),
            Route("/api/palettes.json", palettes),
            Mount("/page", StaticFiles(directory=page)),
            Mount("/files", _Results(results)),
        ],
        middleware=[
            Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False),
            Middleware(_Queue, at_once=_AT_ONCE),
            Middleware(_Headers),
            Middleware(
                CORSMiddleware,
                allow_origins=[*ORIGINS, *origins],
                allow_origin_regex=_LOOPBACK_ORIGIN,
                allow_methods=["GET", "HEAD"],
                allow_headers=["Range", "If-Range", "Cache-Control"],
                expose_headers=["Content-Range", "Content-Length", "Accept-Ranges", "ETag"],
                allow_private_network=True,
            ),
        ],
    )


class _Results(StaticFiles):
    """Files of results, but no others; links that lead out of the folder are not followed."""

    def __init__(self, results: Served) -> None:
        super().__init__(directory=results.root, follow_symlink=False)
        self._served = results
        self._pictures = BurntPictures()
        # Each chunk that is composed takes some 16 MiB.
        self._composing = CapacityLimiter(usable_cores())

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Return a file, or 404; for an absent chunk our page asks for 204, which is no error."""
        try:
            return await super().get_response(path, scope)
        except HTTPException as error:
            if error.status_code != HTTP_404_NOT_FOUND:
                raise
            composed = await self._composed(path)
            if composed is not None:
                return answer(composed, Headers(scope=scope))
            if Headers(scope=scope).get(_MISSING_AS):
                return Response(status_code=HTTP_204_NO_CONTENT)
            raise

    async def _composed(self, path: str) -> ServedFile | None:
        """Return a file of a picture with a map burnt in, made now; None if there is none."""
        parts = Path(path).parts
        if not self._served.allows(parts) or len(parts) < 2:
            return None
        folder = self._served.root / parts[0]
        # A picture that is stored is served as it is.
        if os.path.lexists(folder / parts[1]):
            return None
        try:
            return await to_thread.run_sync(
                self._pictures.file, folder, parts[1:], limiter=self._composing
            )
        except DamagedResultError as error:
            raise HTTPException(HTTP_500_INTERNAL_SERVER_ERROR, str(error)) from error

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        """Return a file's real path and status, or nothing if it is absent or not served."""
        try:
            if not self._served.allows(Path(path).parts):
                return "", None
            self._make_ready(Path(path).parts)
            real_path, status = super().lookup_path(path)
            # A link may lead to a file of the folder that is not served.
            if status is None or not self._served.allows(self._parts(real_path)):
                return "", None
        except (OSError, ValueError):
            return "", None
        return real_path, status

    def _make_ready(self, parts: tuple[str, ...]) -> None:
        """Have the files of a slide here, if they are fetched."""
        if self._served.ready is None or len(parts) < 2:
            return
        try:
            self._served.ready(parts[0])
        except HeatmapsError as error:
            raise HTTPException(HTTP_502_BAD_GATEWAY, str(error)) from error

    def _parts(self, real_path: str) -> tuple[str, ...]:
        """Return a real path's parts below the root."""
        return Path(real_path).relative_to(self._served.root.resolve()).parts


class _Queue:
    """Limits how many requests are served at once; the others wait for their turn."""

    def __init__(self, app: ASGIApp, at_once: int) -> None:
        self._app = app
        self._turns = asyncio.Semaphore(at_once)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        turn = _Turn(self._turns)
        await turn.take()

        async def patient_send(message: Message) -> None:
            sending = asyncio.ensure_future(send(message))
            try:
                await asyncio.wait({sending}, timeout=_STALL_S)
                if not sending.done():
                    turn.give_back()
                await sending
            finally:
                sending.cancel()

        try:
            await self._app(scope, receive, patient_send)
        finally:
            turn.give_back()


class _Turn:
    """A request's turn, which is given back once."""

    def __init__(self, turns: asyncio.Semaphore) -> None:
        self._turns, self._taken = turns, False

    async def take(self) -> None:
        """Wait for it."""
        await self._turns.acquire()
        self._taken = True

    def give_back(self) -> None:
        """Let another request have it."""
        if self._taken:
            self._taken = False
            self._turns.release()


class _Headers:
    """Adds the headers that isolate the page and the files from other pages."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_file = scope.get("path", "").startswith("/files/")
        added = _HEADERS | (_DATA_HEADERS if is_file else _PAGE_HEADERS)

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                more = [(name.encode(), value.encode()) for name, value in added.items()]
                message["headers"] = [*message.get("headers", []), *more]
            await send(message)

        await self._app(scope, receive, with_headers)
