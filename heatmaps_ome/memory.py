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

    All threads take memory from one heap: of those that glibc gives each of them it keeps the free
    ends, whatever `give_back` asks, by and by 100 MiB.
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
    """Give the system what arrays that are gone have left.

    glibc keeps it, and as blocks have many shapes what it keeps is full of gaps: after a dozen
    blocks 500 MiB. malloc_trim(3) gives those back too, for a twenty-fifth of a block's time.
    """
    if _has_glibc():
        ctypes.CDLL(None).malloc_trim(0)


def _has_glibc() -> bool:
    return platform.libc_ver()[0] == "glibc"
