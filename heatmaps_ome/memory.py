"""Memory that is free goes back to the system, so that a run's does not grow with the slide's."""

from __future__ import annotations

import ctypes
import gc
import platform
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


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
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
