"""Memory that is free goes back to the system, so that a run's does not grow with the slide's."""

from __future__ import annotations

import ctypes
import gc
import platform
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_MMAP_THRESHOLD, _ARENA_MAX = -3, -8
"""Of malloc.h."""


@contextmanager
def starting() -> Iterator[None]:
    """Import modules inside, in a process that is this program's alone.

    They are not looked through for garbage, neither while they are imported nor later, which takes
    a tenth of the time of importing torch and of a run that needs no network.

    Large arrays go back to the system when they are gone, and all threads take memory from one
    heap. As a rule glibc keeps arrays of up to 32 MiB, between which large ones do not fit, and
    the free end of each thread's heap: together 200 MiB of a run.
    """
    if _has_glibc():
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_ARENA_MAX, 1)
        mallopt(_MMAP_THRESHOLD, 8 * 2**20)
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def give_back() -> None:
    """Give the system what arrays that are gone have left.

    glibc keeps it, and as blocks have many shapes what it keeps is full of gaps: after a dozen
    blocks 500 MiB. malloc_trim(3) gives those back too, for a twenty-fifth of a block's time.
    """
    if _has_glibc():
        ctypes.CDLL(None).malloc_trim(0)


def _has_glibc() -> bool:
    return platform.libc_ver()[0] == "glibc"
