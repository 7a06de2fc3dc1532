"""The command ``share``: what to share, and the lines that tell what was shared."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from heatmaps_ome.cli.streams import one_line
from heatmaps_ome.memory.limits import usable_cores
from heatmaps_ome.run import progress
from heatmaps_ome.storage.disk import bytes_text
from heatmaps_ome.viewers.share.page import START
from heatmaps_ome.viewers.share.share import Shared, Wishes, share

if TYPE_CHECKING:
    from heatmaps_ome.options import ShareOptions

_MOST_THREADS = 4


def run_share(options: ShareOptions) -> int:
    """Share results and print where they are; 1 if a slide could not be shared."""
    threads = options.threads
    wishes = Wishes(
        results=options.path, target=options.target, names=options.slides,
        places=options.slide_paths, anonymous=options.anonymous, zipped=options.zip,
        finest_um=options.finest, most_bytes=options.max_bytes, dry_run=options.dry_run,
        overwrite=options.overwrite,
        threads=min(_MOST_THREADS, usable_cores()) if threads is None else threads,
    )  # fmt: skip
    display = progress.for_stream(sys.stderr)

    def say(text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()

    try:
        shared = share(wishes, say, display)
    finally:
        display.close()
    sys.stdout.write(closing_lines(shared, wishes))
    return 1 if shared.failed else 0


def closing_lines(shared: Shared, wishes: Wishes) -> str:
    """Return what was shared, and how to open it, in lines for people."""
    lines = [
        f"{word}: {one_line(name)}: {one_line(reason)}"
        for word, reasons in (("failed", shared.failed), ("no results", shared.absent))
        for name, reason in reasons.items()
    ]
    if not wishes.dry_run:
        count = "1 slide" if len(shared.slides) == 1 else f"{len(shared.slides)} slides"
        places = [wishes.target, *([wishes.zip_path] if wishes.zipped else ())]
        lines.append(f"{count}, {bytes_text(shared.size)}: {' and '.join(map(str, places))}")
        for slide, note in shared.slides:
            renamed = [f"is {slide.title}"] if slide.title != slide.folder.name else []
            texts = [*renamed, *([note] if note else ())]
            if texts:
                lines.append(f"  {one_line(slide.folder.name)}: {one_line('; '.join(texts))}")
        unpacked = "unpack the zip file, then " if wishes.zipped else ""
        lines.append(f"To look at it: {unpacked}open {START} in a browser")
    return "".join(f"{line}\n" for line in lines)
