"""A program of its own that reads a little of each level of a slide: ``probe.py SLIDE LIBRARY``.

Libraries can crash on damaged files, and then this process ends, not the run. It must not import
from the package, whose folder is not on the path of a bare interpreter.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_MEMORY = 4 * 2**30
"""Bytes; opening a slide and reading a few tiles takes a tenth of them."""
_SIDE_PX = 64
_PLACES = 5
"""Places along each side of a level."""


def main(path: str, library: str) -> None:
    """Open a slide and read from places all over each level, the corners too."""
    # libisyntax takes address space ahead, and OpenSlide a tenth of its limit.
    _limit_memory(MOST_MEMORY if library == "openslide" else 4 * MOST_MEMORY)
    if library == "openslide":
        _try_openslide(path)
    else:
        _try_isyntax(path)


def _try_openslide(path: str) -> None:
    import openslide

    try:
        with openslide.OpenSlide(path) as slide:
            for level, (cols, rows) in enumerate(slide.level_dimensions):
                scale = slide.level_downsamples[level]
                for col, row, size in _places(cols, rows):
                    slide.read_region((int(col * scale), int(row * scale)), level, size)
    except openslide.OpenSlideError:
        # The run itself comes to the same error, and reports it.
        return


def _try_isyntax(path: str) -> None:
    from isyntax import ISyntax

    with ISyntax.open(path) as slide:
        for level, (cols, rows) in enumerate(slide.level_dimensions):
            for col, row, (width, height) in _places(cols, rows):
                slide.read_region(int(col), int(row), width, height, level=level)


def _places(cols: int, rows: int) -> Iterator[tuple[float, float, tuple[int, int]]]:
    """Yield first pixels and sizes of windows spread over a level of a size."""
    width, height = min(_SIDE_PX, cols), min(_SIDE_PX, rows)
    for n in range(_PLACES**2):
        across, down = divmod(n, _PLACES)
        last = _PLACES - 1
        yield (cols - width) * across / last, (rows - height) * down / last, (width, height)


def _limit_memory(highest: int) -> None:
    """Bound the memory of this process, where the system can."""
    try:
        import resource
    except ImportError:
        return
    _, ceiling = resource.getrlimit(resource.RLIMIT_AS)
    limit = highest if ceiling == resource.RLIM_INFINITY else min(highest, ceiling)
    resource.setrlimit(resource.RLIMIT_AS, (limit, ceiling))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
