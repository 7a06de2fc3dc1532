"""Answers with content that is in memory, as files on disk are answered with: ETag and Range."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final

from starlette.responses import Response
from starlette.status import (
    HTTP_200_OK,
    HTTP_206_PARTIAL_CONTENT,
    HTTP_304_NOT_MODIFIED,
    HTTP_416_RANGE_NOT_SATISFIABLE,
)

if TYPE_CHECKING:
    from starlette.datastructures import Headers

    from heatmaps_ome.viewers.server.burnt_pictures import ServedFile

_RANGE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def answer(file: ServedFile, asked: Headers) -> Response:
    """Return the answer to a request for a file.

    Parameters
    ----------
    asked : Headers
        The request's. One range of bytes is answered in part, several with the whole file.
    """
    content, size = file.content, len(file.content)
    etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {"etag": etag, "accept-ranges": "bytes"}
    known = [tag.strip().removeprefix("W/") for tag in asked.get("if-none-match", "").split(",")]
    if etag in known or "*" in known:
        return Response(status_code=HTTP_304_NOT_MODIFIED, headers=headers)
    ranges = _RANGE.fullmatch(asked.get("range", "").strip())
    if ranges is None or not any(ranges.groups()) or asked.get("if-range", etag) != etag:
        return Response(content, HTTP_200_OK, headers, file.media_type)
    first, last = ranges.groups()
    # "-5" are the last five bytes.
    start = int(first) if first else max(0, size - int(last))
    stop = min(size, int(last) + 1) if first and last else size
    if start >= stop:
        headers["content-range"] = f"bytes */{size}"
        return Response(status_code=HTTP_416_RANGE_NOT_SATISFIABLE, headers=headers)
    headers["content-range"] = f"bytes {start}-{stop - 1}/{size}"
    return Response(content[start:stop], HTTP_206_PARTIAL_CONTENT, headers, file.media_type)
