"""Measures pairs of jobs in turn, and prints their ratios: ``scripts/bench --help``."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.processes import Figures, measured
from benchmarks.slides import BIG, SMALL, SMALL_TENTH, TENTH, Size, networks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Job = tuple[str, ...]


@dataclass(frozen=True)
class Pair:
    """Two jobs, and what is asked of the ratio of what they take.

    Attributes
    ----------
    key, title : str
    ours, other : tuple of str
        Jobs of ``benchmarks.jobs`` with their words.
    before : tuple of str or None
        A job to do first, unmeasured, each time.
    """

    key: str
    title: str
    ours: Job
    other: Job
    before: Job | None = None


def pairs(folder: Path, big: Size, tenth: Size) -> list[Pair]:
    """Return all that can be measured, in the order of the table."""
    weights, model = map(str, networks(folder))
    slide, small = (str(size.path(folder)) for size in (big, tenth))
    out = str(folder / "out")
    whole = ("whole", slide, weights, model, out)
    again = (*whole, "--att-cmap", "viridis", "--score-threshold", "0.9", "--overwrite")
    return [
        Pair("a", "whole run / the reference's", whole,
             ("reference", slide, weights, str(folder / "reference"))),
        Pair("b", "whole run / the bare network", whole, ("network", slide, weights)),
        Pair("c", "reading / the reference's", ("read", slide), ("read_reference", slide)),
        Pair("d", "OME-Zarr image / ome-zarr-py", ("image", slide), ("image_ome_zarr", slide)),
        Pair("e", "overlay / full resolution by libvips", ("overlay",), ("overlay_upsampled",)),
        Pair("f", "whole run / of a tenth of the slide", whole,
             ("whole", small, weights, model, str(folder / "out-tenth"))),
        Pair("g", "other colours and quantiles / first run", again, whole, before=whole),
        Pair("h", "overlay at full resolution / by libvips", ("overlay", "1"),
             ("overlay_upsampled",)),
    ]  # fmt: skip


def measure(pair: Pair, repeat: int, say: Callable[[str], object]) -> list[tuple[Figures, Figures]]:
    """Return the figures of both jobs of a pair, done in turn so often."""
    found = []
    for turn in range(repeat):
        say(f"{pair.key}: {pair.title}, {turn + 1} of {repeat}")
        other = measured(*pair.other)
        if pair.before is not None and pair.before != pair.other:
            measured(*pair.before)
        found.append((measured(*pair.ours), other))
    return found


def row(pair: Pair, found: list[tuple[Figures, Figures]]) -> dict[str, object]:
    """Return a pair's medians, and the medians of the ratios within each turn."""
    keys = ("wall_s", "cpu_s", "rss_mib")
    ratios = {
        key: median(getattr(ours, key) / getattr(other, key) for ours, other in found)
        for key in keys
    }
    medians = [
        {key: round(median(getattr(turn[side], key) for turn in found), 2) for key in keys}
        for side in (0, 1)
    ]
    return {
        "key": pair.key, "title": pair.title, "ours": medians[0], "other": medians[1],
        "ratio": {key: round(value, 4) for key, value in ratios.items()},
        "turns": [[asdict(ours), asdict(other)] for ours, other in found],
    }  # fmt: skip


def table(rows: list[dict]) -> Iterator[str]:
    """Yield the lines of a Markdown table."""
    yield "| | ours / other | wall | CPU | memory | ours: wall s, CPU s, MiB | other |"
    yield "|---|---|---|---|---|---|---|"
    for each in rows:
        ratio = " | ".join(f"{value:.3f}" for value in each["ratio"].values())
        sides = " | ".join(
            ", ".join(f"{value:.1f}" for value in each[side].values()) for side in ("ours", "other")
        )
        yield f"| {each['key']} | {each['title']} | {ratio} | {sides} |"


def main() -> None:
    """Run the benchmarks."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path(".bench"),
        help="where slides and results go; made slides are kept (default: .bench)",
    )
    parser.add_argument("--repeat", type=int, default=3, metavar="N", help="turns (default: 3)")
    parser.add_argument(
        "--only",
        default="abcdefgh",
        metavar="KEYS",
        help="pairs to measure, for example ce (default: all)",
    )
    parser.add_argument(
        "--small", action="store_true", help="slides of a tenth of the size, to try it out"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there too")
    options = parser.parse_args()  # fmt: skip
    options.folder.mkdir(parents=True, exist_ok=True)
    big, tenth = (SMALL, SMALL_TENTH) if options.small else (BIG, TENTH)
    print(f"making slides of {big.cols} × {big.rows} px and a tenth", file=sys.stderr)
    # In a process of its own: a child's peak memory counts from what its parent has.
    measured("make", str(options.folder), big.name, tenth.name)
    chosen = [p for p in pairs(options.folder, big, tenth) if p.key in options.only]
    rows = [
        row(pair, measure(pair, options.repeat, lambda text: print(text, file=sys.stderr)))
        for pair in chosen
    ]
    print("\n".join(table(rows)))
    if options.json is not None:
        machine = {
            "machine": platform.machine(), "system": platform.platform(terse=True),
            "python": platform.python_version(), "torch": version("torch"),
            "cores": os.cpu_count(), "slide": asdict(big), "tenth": asdict(tenth),
        }  # fmt: skip
        options.json.write_text(json.dumps({**machine, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
