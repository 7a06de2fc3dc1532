"""The case of VSI, whose library is stood in for: no program at hand writes such slides."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from fake_slideio import modules, write_vsi
from slide_files import speckled

from reader_cases.case import MadeSlide, ReaderCase

if TYPE_CHECKING:
    from pathlib import Path


def made(folder: Path) -> MadeSlide:
    """A scan with two levels beside a smaller overview."""
    levels = [speckled(604 >> scale, 908 >> scale, seed=scale) for scale in range(2)]
    scenes = {"Overview": [speckled(100, 150, seed=5)], "20x_01": levels}
    return MadeSlide(write_vsi(folder / "made.vsi", scenes), tuple(levels))


def renamed(path: Path, folder: Path) -> Path:
    """Copy the file and its folder; its name ends in .vsi by necessity."""
    shutil.copytree(path.with_name(f"_{path.stem}_"), folder / "_other_")
    return shutil.copy(path, folder / "other.vsi")


CASES = (
    ReaderCase("stand-in", "VSI", made, "resolution", renamed=renamed, stand_in=modules),
)  # fmt: skip
