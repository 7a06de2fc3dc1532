"""The case of iSyntax, whose library is stood in for: no program at hand writes such files."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from fake_isyntax import START, modules, write_isyntax
from slide_files import speckled

from heatmaps_ome.geometry import Window
from reader_cases.case import MadeSlide, ReaderCase

if TYPE_CHECKING:
    from pathlib import Path

_SPOILED = Window(256, 512, 256, 256)


def made(folder: Path) -> MadeSlide:
    levels = tuple(speckled(603 >> scale, 909 >> scale, seed=scale) for scale in range(3))
    return MadeSlide(write_isyntax(folder / "made.isyntax", levels, 0.5), levels)


def spoil(path: Path) -> tuple[Window, ...]:
    with np.load(io.BytesIO(path.read_bytes()[len(START) :])) as file:
        levels, sound = [file[f"level{n}"] for n in range(3)], file["sound"].copy()
    sound[300, 600] = 0
    write_isyntax(path, levels, 0.5, sound)
    return (_SPOILED,)


CASES = (
    ReaderCase("stand-in", "iSyntax", made, "XML", damage=spoil, stand_in=modules),
)  # fmt: skip
