"""Texts of strangers (names of slides, classes, folders) as every file and screen can hold them."""

from __future__ import annotations

import re
from typing import Final

_REPLACEMENT: Final = "\ufffd"
_LINE_END: Final = "\N{SYMBOL FOR NEWLINE}"
_DELETE: Final = 0x7F
_FIRST_PICTURE: Final = 0x2400
"""The picture of the first control character; Unicode has them in the same order."""
_UNFIT = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # control characters: XML 1.0 forbids most, terminals obey some
    "\u2028\u2029"  # ends of lines and paragraphs
    "\u202a-\u202e\u2066-\u2069"  # they turn the text around them; mere marks of direction do not
    "\ud800-\udfff"  # halves of characters, and bytes of file names that are not UTF-8
    "\ufdd0-\ufdef\ufffe\uffff]"  # no characters
)
_HALVES = re.compile("[\ud800-\udfff]")


def printable(text: str) -> str:
    r"""Return a text in one line that UTF-8, XML and a terminal can hold; usually it is the same.

    Control characters become their pictures, anything else that is unfit becomes U+FFFD. Two names
    may become the same.

    >>> printable("MSI-H <3>"), printable("a\x1b[31m\nb"), printable("latin1-\udce9")
    ('MSI-H <3>', 'a␛[31m␊b', 'latin1-�')
    """
    return _UNFIT.sub(_picture, text)


def encodable(text: str) -> str:
    r"""Return a text that UTF-8 can hold, with U+FFFD for halves of characters.

    >>> encodable("latin1-\udce9\n")
    'latin1-�\n'
    """
    return text if text.isascii() else _HALVES.sub(_REPLACEMENT, text)


def _picture(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < ord(" "):
        return chr(_FIRST_PICTURE + code)
    if code == _DELETE:
        return "\N{SYMBOL FOR DELETE}"
    return _LINE_END if match[0] in "\u2028\u2029" else _REPLACEMENT
