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

    All threads take memory from one heap: of those that glibc gives each of them it keeps the free
    ends, whatever `give_back` asks, by and by 100 MiB.
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
    """Give the system what arrays that are gone have left.

    glibc keeps it, and as blocks have many shapes what it keeps is full of gaps: after a dozen
    blocks 500 MiB. malloc_trim(3) gives those back too, for a twenty-fifth of a block's time.
    """
    if _has_glibc():
        ctypes.CDLL(None).malloc_trim(0)


def _has_glibc() -> bool:
    return platform.libc_ver()[0] == "glibc"
