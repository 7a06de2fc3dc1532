"""A file that is read in pieces by several threads, as long as a slide is open."""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class OpenFile:
    """A file open for reading; closed with the object where `close` is forgotten.

    As OpenSlide's handles are: slides are often opened in a notebook, and left to themselves.
    """

    def __init__(self, path: Path) -> None:
        # O_BINARY is Windows' alone.
        number = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        self._number, self._close = number, weakref.finalize(self, os.close, number)

    def fileno(self) -> int:
        """Return the file's number in the system."""
        return self._number

    def read(self, size: int, place: int) -> bytes:
        """Return bytes from a place on; fewer at the file's end."""
        return os.pread(self._number, size, place)

    def close(self) -> None:
        """Close the file; it may be closed already."""
        self._close()
