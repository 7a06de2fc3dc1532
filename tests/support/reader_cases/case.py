"""A case of the readers' contract: how its slide is made, and the truth about it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from heatmaps_ome.geometry import YX, Window

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import ModuleType

    import numpy as np


@dataclass(frozen=True)
class MadeSlide:
    """A slide made by another library than the one that reads it, and what it holds.

    Attributes
    ----------
    path : Path
        Its file or folder.
    levels : tuple of (rows, cols, 3) uint8
        The pixels of its levels, finest first: those that were written, or, where they are stored
        with loss, those that an independent decoder gives.
    mpp : YX or None
        µm per pixel, as the file states it.
    bounds : Window or None
        The non-empty rectangle; None for the whole slide.
    """

    path: Path
    levels: tuple[np.ndarray, ...]
    mpp: YX | None = YX(0.5, 0.5)
    bounds: Window | None = None


def renamed_file(path: Path, folder: Path) -> Path:
    """Copy a slide of one file under a name that tells nothing of its format."""
    return shutil.copy(path, folder / "other.bin")


@dataclass(frozen=True)
class ReaderCase:
    """A kind of slide that a reader reads.

    Attributes
    ----------
    name : str
        The kind, for the tests' names.
    reader : str
        The reader's name in the registry.
    make : callable
        Makes the slide in an empty folder.
    origin : str
        A part of the words for where the file states its pixel size; "" if it states none.
    chosen : bool
        Whether the reader is the one chosen by itself; else another reads it sooner.
    needs : tuple of str
        Modules that must be there; without one the case is skipped.
    renamed : callable
        Copies the slide into a folder under another name.
    damage : callable or None
        Takes the slide's path, spoils some tiles of its level 0, and returns them; None if the
        format has no tiles that can be damaged alone.
    lies : tuple of callables
        Each makes a file in a folder that claims sizes that would fill the memory.
    stand_in : callable or None
        Returns modules by name, which stand in for a library whose files nothing here can write.
    tolerance : int
        Grey levels by which pixels may differ from the independent decoder's; 0 but for formats
        that are stored with loss and whose decoders round otherwise, with the reason.
    """

    name: str
    reader: str
    make: Callable[[Path], MadeSlide]
    origin: str = ""
    chosen: bool = True
    needs: tuple[str, ...] = ()
    renamed: Callable[[Path, Path], Path] = renamed_file
    damage: Callable[[Path], tuple[Window, ...]] | None = None
    lies: tuple[Callable[[Path], Path], ...] = ()
    stand_in: Callable[[], dict[str, ModuleType]] | None = None
    tolerance: int = 0
