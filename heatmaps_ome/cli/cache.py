"""The command ``cache``: list the pieces of a cache by slide and kind, and remove some."""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from datetime import datetime
from typing import TYPE_CHECKING

from heatmaps_ome.cli.arguments import OptionsParser
from heatmaps_ome.errors import OptionError
from heatmaps_ome.options import CacheOptions
from heatmaps_ome.storage.disk import bytes_text
from heatmaps_ome.storage.inventory import KINDS, Limits, cache_in, inventory, remove_pieces

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from heatmaps_ome.storage.inventory import StoredPiece

DESCRIPTION = (
    "List the data that a cache holds, by slide and kind, and remove those used longest ago. "
    "Everything in a cache is made anew when it is needed; pieces that a run is using stay."
)
_HEAD = ("slide", "kind", "pieces", "files", "size", "last use")
_NUMBERS = slice(2, 5)
"""Columns that are aligned at their right."""


def cache(words: Sequence[str]) -> int:
    """Run ``cache``."""
    options = OptionsParser(CacheOptions, "heatmaps-ome cache", DESCRIPTION).parse_args(words)
    limits = _limits(options)
    folder = cache_in(options.path)
    pieces = [piece for piece in inventory(folder) if piece.kind in limits.kinds]
    if options.max_size is None and options.older_than is None:
        sys.stdout.write(_listing(folder, pieces))
        return 0
    excess = limits.excess(pieces, time.time())
    if not options.dry_run:
        remove_pieces(folder, excess)
    sys.stdout.write(_removal(folder, pieces, excess, dry_run=options.dry_run))
    return 0


def _limits(options: CacheOptions) -> Limits:
    """Return the limits of the options."""
    unknown = [kind for kind in options.kind if kind not in KINDS]
    if unknown:
        raise OptionError(f"--kind: there is no kind {unknown[0]!r}; kinds are {', '.join(KINDS)}")
    return Limits(options.kind or KINDS, options.max_bytes, options.max_age_s)


def _listing(folder: Path, pieces: Sequence[StoredPiece]) -> str:
    """Return a table of pieces, and their sum."""
    slides = {_slide_key(piece) for piece in pieces}
    n_slides = f"{len(slides)} slide{'' if len(slides) == 1 else 's'}"
    table = f"\n{_table(pieces)}" if pieces else ""
    return f"{folder.absolute()}: {n_slides}, {_amount(pieces)}\n{table}"


def _removal(
    folder: Path, pieces: Sequence[StoredPiece], excess: Sequence[StoredPiece], *, dry_run: bool
) -> str:
    """Return a table of the pieces to remove, and the sum of those that stay."""
    verb = "would remove" if dry_run else "removed"
    table = f"\n{_table(excess)}\n" if excess else ""
    stay = [piece for piece in pieces if piece not in excess]
    used = [piece for piece in stay if piece.in_use]
    shared = sum(piece.shared for piece in excess)
    lines = [
        f"{folder.absolute()}: {verb} {_amount(excess)}",
        *([f"{bytes_text(shared)} of it are files that results have too"] if shared else []),
        f"{'would stay' if dry_run else 'left'}: {_amount(stay)}",
        *([f"in use by a run, and so not removed: {_amount(used)}"] if used else []),
    ]
    return f"{lines[0]}\n{table}" + "".join(f"{line}\n" for line in lines[1:])


def _amount(pieces: Sequence[StoredPiece]) -> str:
    """Return the number and size of pieces in words."""
    size = bytes_text(sum(piece.size for piece in pieces))
    return f"{len(pieces)} piece{'' if len(pieces) == 1 else 's'}, {size}"


def _table(pieces: Iterable[StoredPiece]) -> str:
    """Return a table with a row for each slide and kind."""
    groups: dict[tuple[str, str], list[StoredPiece]] = defaultdict(list)
    names = _names(pieces)
    for piece in pieces:
        groups[names[_slide_key(piece)], piece.kind].append(piece)
    order = sorted(groups, key=lambda group: (group[0], KINDS.index(group[1])))
    rows = [_HEAD, *(_row(*group, groups[group]) for group in order)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "".join(_line(row, widths) for row in rows)


def _row(slide: str, kind: str, pieces: Sequence[StoredPiece]) -> tuple[str, ...]:
    """Return the cells of a row."""
    last_use = datetime.fromtimestamp(max(piece.last_use for piece in pieces)).astimezone()
    return (
        slide,
        kind,
        str(len(pieces)),
        str(sum(piece.n_files for piece in pieces)),
        bytes_text(sum(piece.size for piece in pieces)),
        f"{last_use:%Y-%m-%d %H:%M}" + (" (in use)" if any(p.in_use for p in pieces) else ""),
    )


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    """Return a row of a table."""
    numbers = range(*_NUMBERS.indices(len(row)))
    cells = [
        cell.rjust(width) if column in numbers else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(cells).rstrip() + "\n"


def _slide_key(piece: StoredPiece) -> str:
    return piece.fingerprint or ""


def _names(pieces: Iterable[StoredPiece]) -> Mapping[str, str]:
    """Return the name of each slide by its fingerprint: the last that it was used under.

    Different slides with one name have the beginning of their fingerprints added.
    """
    latest = {
        _slide_key(piece): _printable(piece.slide or "(unknown)")
        for piece in sorted(pieces, key=lambda piece: piece.last_use)
    }
    names = list(latest.values())
    return {
        key: f"{name} {_printable(key[:8])}" if names.count(name) > 1 else name
        for key, name in latest.items()
    }


def _printable(text: str) -> str:
    """Return a text without control characters, which a terminal would obey."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
