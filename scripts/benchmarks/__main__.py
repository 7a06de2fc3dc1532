"""Measure jobs in turn, and print the ratios of pairs: ``scripts/bench --help``."""

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
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks.processes import Figures, measured
from benchmarks.slides import BIG, SMALL, SMALL_TENTH, TENTH, Size, fourfold, networks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True)
class Pair:
    """Two jobs whose ratio is measured.

    Attributes
    ----------
    key, title : str
    ours, other : str
        Names in `jobs`.
    """

    key: str
    title: str
    ours: str
    other: str


_VIT_B = "timm:vit_base_patch16_224"

PAIRS = (
    Pair("a", "whole run / the reference's", "whole", "reference"),
    Pair("A", "whole run in float32 / the reference's", "whole32", "reference"),
    Pair("b", "whole run / the bare network", "whole", "network"),
    Pair("B", "whole run in float32 / the bare network", "whole32", "network32"),
    Pair("n", "whole run / the network as we make it ready", "whole", "ready"),
    Pair("N", "whole run in float32 / the network as we make it ready", "whole32", "ready32"),
    Pair("c", "reading / the reference's", "read", "read_reference"),
    Pair("d", "OME-Zarr image / ome-zarr-py", "image", "image_ome_zarr"),
    Pair("e", "overlay / full resolution by libvips", "overlay", "overlay_upsampled"),
    Pair("h", "overlay at full resolution / by libvips", "overlay_full", "overlay_upsampled"),
    Pair("f", "whole run / of a tenth of the slide", "whole", "tenth"),
    Pair("F", "whole run of four times the slide / of the slide", "fourfold", "whole"),
    Pair("o", "twelve slides on a stand-in for a GPU / its time alone", "device", "device_alone"),
    Pair("O", "twelve slides on two stand-ins / on one", "two_devices", "device"),
    Pair("t", "tiles of ResNet50-trunc: whole run / the bare encoder", "tiles", "tiles_alone"),
    Pair("v", "tiles of a ViT-B: whole run / the bare encoder", "vit", "vit_alone"),
    Pair("V", "tiles of a ViT-B at half the stride: the same", "vit_half", "vit_half_alone"),
    Pair("g", "other colours and quantiles / first run", "again", "whole"),
    Pair("s", "scaling of 10,000 slides / of 1,000", "fit", "fit_tenth"),
)
"""All that can be measured, in the order of the table."""


def jobs(folder: Path, results: Path, big: Size, tenth: Size) -> dict[str, tuple[str, ...]]:
    """Return the jobs of `benchmarks.jobs` with their words, by name, in the order of a turn.

    Jobs of a pair are near each other, and ``again`` uses the cache of ``whole``.

    Parameters
    ----------
    folder : Path
        Folder of the slides and networks to measure with.
    results : Path
        Folder for results, a new one for each turn.
    """
    weights, model = map(str, networks(folder))
    slide, small, four = (str(size.path(folder)) for size in (big, tenth, fourfold(big)))
    whole = ("whole", slide, weights, model, str(results / "whole"))
    return {
        "reference": ("reference", slide, weights, str(results / "reference")),
        "whole": whole,
        "again": (*whole, "--att-cmap", "viridis", "--score-threshold", "0.9", "--overwrite"),
        "network": ("network", slide, weights, "auto"),
        "ready": ("network", slide, weights, "auto", "ready"),
        "network32": ("network", slide, weights, "float32"),
        "ready32": ("network", slide, weights, "float32", "ready"),
        "whole32": (*whole[:-1], str(results / "whole32"), "--precision", "float32"),
        "tenth": ("whole", small, weights, model, str(results / "tenth")),
        "fourfold": ("whole", four, weights, model, str(results / "fourfold")),
        "device": ("devices", small, str(results / "device"), "cuda:0"),
        "two_devices": ("devices", small, str(results / "two"), "cuda:0", "cuda:1"),
        "device_alone": ("devices_alone", small),
        "tiles": ("tiles", slide, str(results / "tiles"), "resnet50-trunc", "0"),
        "tiles_alone": ("tiles_alone", slide, "resnet50-trunc", "0"),
        "vit": ("tiles", small, str(results / "vit"), _VIT_B, "0"),
        "vit_alone": ("tiles_alone", small, _VIT_B, "0"),
        "vit_half": ("tiles", small, str(results / "vit_half"), _VIT_B, "112"),
        "vit_half_alone": ("tiles_alone", small, _VIT_B, "112"),
        "read_reference": ("read_reference", slide),
        "read": ("read", slide),
        "image_ome_zarr": ("image_ome_zarr", slide),
        "image": ("image", slide),
        "overlay_upsampled": ("overlay_upsampled",),
        "overlay": ("overlay",),
        "overlay_full": ("overlay", "1"),
        "fit": ("fit", "10000"),
        "fit_tenth": ("fit", "1000"),
    }


Turn = dict[str, Figures]


def measure(
    wanted: Callable[[int], dict[str, tuple[str, ...]]], repeat: int, say: Callable[[str], object]
) -> list[Turn]:
    """Return the figures of all jobs; each runs once a turn, so that all meet the same load.

    Parameters
    ----------
    wanted : callable
        Returns the jobs of a turn; called with its number.
    """
    turns = []
    for number in range(repeat):
        turn = {}
        for name, words in wanted(number).items():
            say(f"turn {number + 1} of {repeat}: {name}")
            turn[name] = measured(*words)
        turns.append(turn)
    return turns


def row(pair: Pair, turns: list[Turn]) -> dict[str, object]:
    """Return a pair's medians, and the medians of the ratios within each turn."""
    keys = ("wall_s", "cpu_s", "rss_mib")
    figures = [(turn[pair.ours], turn[pair.other]) for turn in turns]
    ratios = {
        key: median(getattr(ours, key) / getattr(other, key) for ours, other in figures)
        for key in keys
    }
    medians = [
        {key: round(median(getattr(sides[side], key) for sides in figures), 2) for key in keys}
        for side in (0, 1)
    ]
    return {
        "key": pair.key, "title": pair.title, "ours": medians[0], "other": medians[1],
        "ratio": {key: round(value, 4) for key, value in ratios.items()},
        "turns": [[asdict(ours), asdict(other)] for ours, other in figures],
    }  # fmt: skip


def table(rows: list[dict]) -> Iterator[str]:
    """Yield the lines of a Markdown table."""
    yield "| | ours / other | wall | CPU | memory | ours: wall s, CPU s, MiB | other |"
    yield "|---|---|---|---|---|---|---|"
    for entry in rows:
        ratio = " | ".join(f"{value:.3f}" for value in entry["ratio"].values())
        sides = " | ".join(
            ", ".join(f"{value:.1f}" for value in entry[side].values())
            for side in ("ours", "other")
        )
        yield f"| {entry['key']} | {entry['title']} | {ratio} | {sides} |"


def processor() -> str:
    """Return the processor's name and its instructions for bfloat16, from /proc/cpuinfo."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    pairs = (line.partition(":") for line in lines)
    facts = {key.strip(): value.strip() for key, _, value in pairs}
    flags = facts.get("flags", "").split()
    bfloat16 = [flag for flag in ("amx_bf16", "avx512_bf16") if flag in flags]
    return " ".join([facts.get("model name", ""), *bfloat16])


def main() -> None:
    """Run the benchmarks."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path(".bench"),
        help="for slides, which are kept, and results: some 3 GB a turn (default: .bench)",
    )
    parser.add_argument("--repeat", type=int, default=3, metavar="N", help="turns (default: 3)")
    parser.add_argument(
        "--only",
        default="".join(pair.key for pair in PAIRS),
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
    print(f"making slides of {big.cols} × {big.rows} px, a tenth and fourfold", file=sys.stderr)
    # In its own process: a child's peak memory includes the memory of its parent.
    measured("make", str(options.folder), big.name, tenth.name, fourfold(big).name)
    chosen = [pair for pair in PAIRS if pair.key in options.only]
    needed = {name for pair in chosen for name in (pair.ours, pair.other)}
    # Deleted at the end: ext4 is slow to make files for minutes after thousands were deleted.
    with TemporaryDirectory(dir=options.folder) as results:

        def wanted(turn: int) -> dict[str, tuple[str, ...]]:
            every = jobs(options.folder, Path(results, str(turn)), big, tenth)
            return {name: words for name, words in every.items() if name in needed}

        turns = measure(wanted, options.repeat, lambda text: print(text, file=sys.stderr))
    rows = [row(pair, turns) for pair in chosen]
    print("\n".join(table(rows)))
    if options.json is not None:
        machine = {
            "machine": platform.machine(), "system": platform.platform(terse=True),
            "processor": processor(),
            "python": platform.python_version(), "torch": version("torch"),
            "cores": os.cpu_count(), "slide": asdict(big), "tenth": asdict(tenth),
        }  # fmt: skip
        options.json.write_text(json.dumps({**machine, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
