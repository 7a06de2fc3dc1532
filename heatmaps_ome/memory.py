"""Memory that is free goes back to the system, so that a run's does not grow with the slide's."""

from __future__ import annotations

import ctypes
import gc
import platform
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
"""Of malloc.h."""


@contextmanager
def importing() -> Iterator[None]:
    """Import modules inside that stay as long as the process, which is nobody else's.

    They are not looked through for garbage, neither while they are imported nor later, which takes
    a tenth of the time of importing torch and of a run that needs no network.
    """
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


@contextmanager
def reusing() -> Iterator[None]:
    """Have what is freed inside taken for what is needed next, instead of given back first.

    As a rule glibc gives arrays of more than 32 MiB, as layers of a network put out, back at once,
    and the system clears each page of the next one: a tenth of the time of a ResNet-50. Without
    it the pass leaves gaps: see `give_back`, and mallopt(3).
    """
    if not _has_glibc():
        yield
        return
    mallopt = ctypes.CDLL(None).mallopt
    mallopt(_MMAP_MAX, 0)
    mallopt(_TRIM_THRESHOLD, 2**31 - 1)
    try:
        yield
    finally:
        # The first is glibc's own; to the others it comes by itself once such arrays were freed.
        mallopt(_MMAP_MAX, 65536)
        mallopt(_MMAP_THRESHOLD, 32 * 2**20)
        mallopt(_TRIM_THRESHOLD, 64 * 2**20)


def _has_glibc() -> bool:
    return platform.libc_ver()[0] == "glibc"
