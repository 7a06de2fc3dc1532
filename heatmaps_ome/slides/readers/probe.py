"""A program of its own that opens a slide and reads a little of each level: ``probe.py SLIDE``.

OpenSlide can crash on damaged files, and then this process ends, not the run. It must not import
from the package, whose folder is not on the path of a bare interpreter.
"""

from __future__ import annotations

import sys

MOST_MEMORY = 4 * 2**30
"""Bytes; opening a slide and reading a few tiles takes a tenth of them."""
_SIDE_PX = 64
_PLACES = 5
"""Places along each side of a level."""


def main(path: str) -> None:
    """Open a slide and read from places all over each level, the corners too."""
    _limit_memory()
    import openslide

    try:
        with openslide.OpenSlide(path) as slide:
            for level, (cols, rows) in enumerate(slide.level_dimensions):
                size = (min(_SIDE_PX, cols), min(_SIDE_PX, rows))
                scale = slide.level_downsamples[level]
                for n in range(_PLACES**2):
                    col, row = (
                        int((whole - part) * step / (_PLACES - 1) * scale)
                        for whole, part, step in zip(
                            (cols, rows), size, divmod(n, _PLACES), strict=True
                        )
                    )
                    slide.read_region((col, row), level, size)
    except openslide.OpenSlideError:
        # The run itself comes to the same error, and reports it.
        return


def _limit_memory() -> None:
    """Bound the memory of this process, where the system can."""
    try:
        import resource
    except ImportError:
        return
    _, ceiling = resource.getrlimit(resource.RLIMIT_AS)
    limit = MOST_MEMORY if ceiling == resource.RLIM_INFINITY else min(MOST_MEMORY, ceiling)
    resource.setrlimit(resource.RLIMIT_AS, (limit, ceiling))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    main(sys.argv[1])
