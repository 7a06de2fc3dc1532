"""Measure the readers of slides, in CPU time per tile: ``python -m benchmarks.readers SLIDE …``.

Each reader that takes a slide reads the same tiles in turns with OpenSlide, and their pixels are
compared. The output is a Markdown table.
"""

from __future__ import annotations

import argparse
import importlib
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from heatmaps_ome.errors import SlideError
from heatmaps_ome.slides.opening import REGISTRY
from heatmaps_ome.slides.resampling import tiles_under
from heatmaps_ome.slides.slide_file import Unsuited

if TYPE_CHECKING:
    from collections.abc import Iterator

    from heatmaps_ome.geometry import Window
    from heatmaps_ome.slides.slide_file import SlideFile

HEADER = (
    "| slide | level | reader | CPU ms per tile | OpenSlide's / its | pixels |\n"
    "|---|---|---|---|---|---|"
)
BASE = "OpenSlide"


def readers_of(path: Path) -> dict[str, SlideFile]:
    """Return a slide as each reader opens it; OpenSlide comes first if it does."""
    files = {}
    for name in sorted(REGISTRY, key=lambda name: name != BASE):
        module, kind = REGISTRY[name].split(":")
        reader = getattr(importlib.import_module(module), kind)
        try:
            if reader.can_read(path):
                files[name] = reader(path)
        except (Unsuited, SlideError):
            continue
    return files


def rows(path: Path, side: int, limit: int, repeat: int) -> Iterator[str]:
    """Yield the rows of a slide.

    Parameters
    ----------
    side : int
        Pixels of a tile's side.
    limit : int
        Number of tiles of a level at most, from its beginning.
    repeat : int
        Number of turns; the medians count.
    """
    from heatmaps_ome.geometry import Window

    files = readers_of(path)
    for level, shape in enumerate(next(iter(files.values())).facts.level_shapes if files else ()):
        tiles = [
            tile.common(Window(0, 0, *shape))
            for tile in tiles_under(Window(0, 0, *shape), side)[:limit]
        ]
        turns = [
            {name: _timed(file, level, tiles) for name, file in files.items()}
            for _ in range(repeat)
        ]
        ms = {name: median(turn[name][0] for turn in turns) for name in files}
        for name in files:
            equal = ratio = ""
            if BASE in files:
                pairs = zip(turns[0][name][1], turns[0][BASE][1], strict=True)
                equal = "equal" if all(np.array_equal(*pair) for pair in pairs) else "differ"
                ratio = f"{ms[BASE] / ms[name]:.1f}"
            yield f"| {path.name} | {level} | {name} | {ms[name]:.2f} | {ratio} | {equal} |"


def _timed(file: SlideFile, level: int, tiles: list[Window]) -> tuple[float, list[np.ndarray]]:
    begun = time.process_time()
    pixels = [file.read_tile(level, tile) for tile in tiles]
    return (time.process_time() - begun) / len(tiles) * 1000, pixels


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("slides", type=Path, nargs="+", metavar="SLIDE")
    parser.add_argument("--side", type=int, default=256, help="pixels of a tile (default: 256)")
    parser.add_argument("--tiles", type=int, default=200, help="tiles of a level (default: 200)")
    parser.add_argument("--repeat", type=int, default=3, help="turns (default: 3)")
    options = parser.parse_args()
    print(HEADER)
    for path in options.slides:
        for row in rows(path, options.side, options.tiles, options.repeat):
            print(row, flush=True)


if __name__ == "__main__":
    main()
