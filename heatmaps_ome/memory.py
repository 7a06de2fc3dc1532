"""Memory and its settings: what is free goes back, so that a run's does not grow with the slide's.

Importing it changes nothing; a process that is the program's alone enters `starting`.
"""

from __future__ import annotations

import ctypes
import gc
import os
import platform
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_ARENA_MAX = -8
"""M_ARENA_MAX of malloc.h."""

_TORCH = {
    # torch asks for it when it is loaded. Activations then lie in huge pages where Linux lends
    # them on request, which spares a ResNet-50 on a CPU a twentieth of its time.
    "THP_MEM_ALLOC_ENABLE": "1",
    # oneDNN keeps compiled layers for each shape of image, of which a slide's blocks have many:
    # 1.5 MiB each time. So many are those of two shapes; compiling one's anew takes a tenth of a
    # second.
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "128",
}


def tune_torch() -> None:
    """Set the environment variables that make torch fast and its memory flat, unless they are set.

    torch reads them when it is imported, so call this before.
    """
    for name, value in _TORCH.items():
        os.environ.setdefault(name, value)


@contextmanager
def starting() -> Iterator[None]:
    """Import modules inside, in a process that is this program's alone.

    torch is tuned before it is imported (see `tune_torch`).

    Modules are not looked through for garbage, neither while they are imported nor later, which
    takes a tenth of the time of importing torch and of a run that needs no network.

    All threads take memory from one heap. With a heap for each thread, glibc would keep the free
    ends of all of them, whatever `give_back` asks: 100 MiB in time.
    """
    tune_torch()
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
