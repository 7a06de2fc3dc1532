"""Names of files and folders that every disk takes, from names that strangers chose."""

from __future__ import annotations

import hashlib
from typing import Final

LONGEST: Final = 120
"""Bytes of a slide's name in names of files, which have a map, a class and an ending behind it:
most disks take 255 bytes in all."""


def safe_name(text: str, taken: frozenset[str] = frozenset()) -> str:
    """Return a text as the name of a folder; the same text if it can be one.

    Bytes that are no text, control characters and slashes are written as in a URL, so names that
    differ stay different, and so is a first dot, which would hide the folder.

    Parameters
    ----------
    taken : frozenset of str
        Names that mean something else, in small letters.

    >>> safe_name("slide 1"), safe_name(".cache"), safe_name("run.json", frozenset({"run.json"}))
    ('slide 1', '%2Ecache', 'run.json_slide')
    """
    plain = "".join(_escaped(char) if _is_odd(char) else char for char in text)
    if plain.startswith("."):
        plain = f"%2E{plain[1:]}"
    plain = plain or "slide"
    return shortened(f"{plain}_slide" if plain.casefold() in taken else plain, LONGEST)


def shortened(text: str, most_bytes: int) -> str:
    """Return a text of at most so many bytes in UTF-8; a shorter one ends with a digest of it all.

    >>> shortened("MSIH", 20), shortened("microsatellite instability", 20)
    ('MSIH', 'microsatell-dcf69e24')
    """
    encoded = _encoded(text)
    if len(encoded) <= most_bytes:
        return text
    ending = f"-{hashlib.sha256(encoded).hexdigest()[:8]}"
    return encoded[: most_bytes - len(ending)].decode("utf-8", "ignore").rstrip(" .") + ending


def _is_odd(char: str) -> bool:
    """Return whether a character is not one that names of files should have."""
    return char in "/\\" or not (char.isprintable() or char == "\u3000")


def _escaped(char: str) -> str:
    """Return a character's bytes as in a URL; a byte that was no text is itself."""
    return "".join(f"%{byte:02X}" for byte in _encoded(char))


def _encoded(text: str) -> bytes:
    """Return a text in UTF-8; bytes that were no text are themselves, as in names of files."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
