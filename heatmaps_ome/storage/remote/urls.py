"""URLs among paths: recognised, joined, and shortened to what a message or record may have.

Options are paths, and a path keeps all of a URL but the second slash behind its scheme.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

if TYPE_CHECKING:
    from pathlib import Path

_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+(?=[^/])")
_PASSWORD: Final = re.compile(r"(?<=://)([^/@:]*):[^/@]*@")
_WEB: Final = ("http", "https")


def url_of(place: Path | str) -> str | None:
    """Return the URL that a path or text is; None if it is a path.

    >>> url_of("s3:/bucket/slide.svs"), url_of("slides/1.svs"), url_of("C:/slide.svs")
    ('s3://bucket/slide.svs', None, None)
    """
    text = os.fspath(place)
    match = _URL.match(text)
    if match is None:
        return None
    return f"{match[1].lower()}://{text[match.end() :]}"


def url_problem(text: str) -> str:
    """Return the reason why a URL cannot be used, as a predicate; "" if it may be.

    >>> url_problem("s3://bucket/folder//slide.svs")
    'has two slashes in a row, which a path cannot keep; write the second one as %2F, or rename'
    """
    url = url_of(text) or text
    if scheme_of(url) == "file":
        return "is the URL of a file on a disk; give its path"
    rest = url.partition("://")[2]
    if "//" in rest:
        return (
            "has two slashes in a row, which a path cannot keep; write the second one as %2F, or "
            "rename"
        )
    if any(part in (".", "..") for part in rest.partition("?")[0].split("/")):
        return "has a part . or .., which object storage does not resolve; leave it out"
    return ""


def scheme_of(url: str) -> str:
    """Return the scheme of a URL, in small letters."""
    return url.partition("://")[0]


def public(url: str) -> str:
    """Return a URL without its password and its query, which may be a signature.

    >>> public("https://me:secret@host/a.svs?X-Amz-Signature=1f"), public("s3://bucket/a?.svs")
    ('https://me@host/a.svs', 's3://bucket/a?.svs')
    """
    return _PASSWORD.sub(r"\1@", _without_query(url))


def joined(url: str, *parts: str) -> str:
    """Return the URL of something below a folder's URL; a signature stays behind.

    >>> joined("s3://bucket/run/", "slide 1", "maps.json")
    's3://bucket/run/slide 1/maps.json'
    """
    return "/".join([_without_query(url).rstrip("/"), *parts])


def last_name(url: str) -> str:
    """Return the last part of a URL as the name of a file.

    >>> last_name("https://host/slides/a%20b.svs?key=1"), last_name("s3://bucket/run/")
    ('a b.svs', 'run')
    """
    name = _without_query(url).rstrip("/").rpartition("/")[2]
    return unquote(name) if scheme_of(url) in _WEB else name


def folder_of(url: str) -> str:
    """Return the URL of the folder that something lies in, without a slash at its end.

    >>> folder_of("s3://bucket/slides/1.mrxs")
    's3://bucket/slides'
    """
    return _without_query(url).rstrip("/").rpartition("/")[0]


def _without_query(url: str) -> str:
    """Return a URL without its query, which URLs of the web alone have."""
    if scheme_of(url) not in _WEB:
        return url
    return url.partition("#")[0].partition("?")[0]
