"""Memory that is free goes back to the system, so that a run's does not grow with the slide's."""

from __future__ import annotations

import ctypes
import gc
import platform
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_ARENA_MAX = -8
"""M_ARENA_MAX of malloc.h."""


@contextmanager
def starting() -> Iterator[None]:
    """Import modules inside, in a process that is this program's alone.

    They are not looked through for garbage, neither while they are imported nor later, which takes
    a tenth of the time of importing torch and of a run that needs no network.

    All threads take memory from one heap. With a heap for each thread, glibc would keep the free
    ends of all of them, whatever `give_back` asks: 100 MiB in time.
    """
    if _has_glibc():
        ctypes.CDLL(None).mallopt(_ARENA_MAX, 1)
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def give_back() -> None:
    """Return the memory of freed arrays to the system.

    glibc keeps such memory. As blocks have many shapes, it becomes full of gaps: 500 MiB after a
    dozen blocks. malloc_trim(3) returns the gaps too, in a twenty-fifth of a block's time.
    """
    if _has_glibc():
        ctypes.CDLL(None).malloc_trim(0)


def _has_glibc() -> bool:
    return platform.libc_ver()[0] == "glibc"
