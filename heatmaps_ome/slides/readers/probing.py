"""Try a slide in a process of its own first, if it is of a kind on which OpenSlide can crash.

The sizes in a TIFF are checked directly (`sizes`). Slides of other kinds have no bounds that could
be checked cheaply: a damaged MIRAX or DICOM slide can end the process, or keep it busy for ever.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import Final

from heatmaps_ome.slides.tiff_head import MAGICS
from heatmaps_ome.storage.file_stamp import file_stamp

logger = logging.getLogger(__name__)

_PROGRAM: Final = Path(__file__).with_name("probe.py")
_LONGEST_S: Final = 60.0
_REMEMBERED = 4096
_NAMES: Final = {"openslide": "OpenSlide", "isyntax": "libisyntax"}


def crashes(path: Path, files: tuple[Path, ...], library: str = "openslide") -> str | None:
    """Return how a library fails on a slide beyond an error, as the end of a sentence; else None.

    Parameters
    ----------
    path : Path
        The file that the library opens.
    files : tuple of Path
        All files of the slide; while these do not change, a slide is tried once.
    library : "openslide" or "isyntax"
        The one that opens it.
    """
    with path.open("rb") as file:
        if file.read(4) in MAGICS:
            return None
    return _outcome(path, library, tuple(file_stamp(file.stat()) for file in files))


@lru_cache(_REMEMBERED)
def _outcome(path: Path, library: str, _state: tuple[tuple[int, int, int], ...]) -> str | None:
    # -P keeps our own module of the name openslide off the path.
    command = [sys.executable, "-P", os.fspath(_PROGRAM), os.fspath(path), library]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, timeout=_LONGEST_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"keeps {_NAMES[library]} busy for more than {_LONGEST_S:g} s"
    except OSError as error:
        # An embedded interpreter may have no program of its own.
        logger.debug("slides are opened without a trial: %s", error)
        return None
    # An error of Python itself, such as no such library there, is 1.
    return f"makes {_NAMES[library]} crash" if done.returncode not in (0, 1) else None
