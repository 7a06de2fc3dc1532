"""Memory and its settings: what is free goes back, so that a run's does not grow with the slide's.

`limits` has what this process may use of the machine.

Importing it changes nothing; a process that is the program's alone enters `starting`.
"""

from __future__ import annotations

import ctypes
import errno
import gc
import os
import platform
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_ARENA_MAX = -8
"""M_ARENA_MAX of malloc.h."""

_ADDRESS_SPACE_GIB = 8
"""Address space that runs need: torch's libraries and threads take 3 GiB before any work."""

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

    torch is tuned before it is imported (see `tune_torch`), and no library computes with more
    threads than this process has cores.

    Modules are not looked through for garbage, neither while they are imported nor later, which
    takes a tenth of the time of importing torch and of a run that needs no network.

    All threads take memory from one heap. With a heap for each thread, glibc would keep the free
    ends of all of them, whatever `give_back` asks: 100 MiB in time.
    """
    tune_torch()
    _limit_threads()
    if _has_glibc():
        ctypes.CDLL(None).mallopt(_ARENA_MAX, 1)
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
    _fit_torch()


def _limit_threads() -> None:
    """Set the environment variables that give libraries a thread per core, unless they are set.

    The libraries count the machine's cores, of which a container may have a share (cpu.max).
    Threads beyond it take memory, and use the share up while they wait for one another.
    """
    from heatmaps_ome.memory.limits import usable_cores

    cores = str(usable_cores())
    os.environ.setdefault("VIPS_CONCURRENCY", cores)
    # NumPy's OpenBLAS takes the general number where it has none of its own.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", os.environ.get("OMP_NUM_THREADS", cores))


def _fit_torch() -> None:
    """Let torch compute with no more threads than this process has cores.

    torch counts the machine's cores, and threads beyond a container's share only wait in turn.
    """
    from heatmaps_ome.memory.limits import usable_cores

    torch = sys.modules.get("torch")
    if torch is not None and torch.get_num_threads() > usable_cores():
        torch.set_num_threads(usable_cores())


def give_back() -> None:
    """Return the memory of freed arrays to the system.

    glibc keeps such memory. As blocks have many shapes, it becomes full of gaps: 500 MiB after a
    dozen blocks. malloc_trim(3) returns the gaps too, in a twenty-fifth of a block's time.
    """
    if _has_glibc():
        ctypes.CDLL(None).malloc_trim(0)


def out_of_memory(error: BaseException) -> str | None:
    """Return a sentence about an error that comes of too little memory; None if it does not.

    Under ``ulimit -v``, libraries that find no room for themselves, an array or a thread fail in
    many ways.
    """
    from heatmaps_ome.memory.limits import address_space_limit

    limit = address_space_limit()
    if limit is not None and _may_lack_memory(error):
        return (
            f"{limit / 2**30:.3g} GiB of address space do not suffice ({type(error).__name__}: "
            f"{error}); raise the limit, ulimit -v {_ADDRESS_SPACE_GIB * 2**20} or more"
        )
    if isinstance(error, MemoryError):
        return f"the memory does not suffice ({error or 'none is left'}); free some"
    return None


def _may_lack_memory(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    if isinstance(error, RuntimeError):
        return any(word in str(error) for word in ("memory", "alloc", "thread"))
    is_installed = not isinstance(error, ModuleNotFoundError)
    return isinstance(error, MemoryError) or (isinstance(error, ImportError) and is_installed)


def _has_glibc() -> bool:
    return platform.libc_ver()[0] == "glibc"
