#!/usr/bin/env python3
"""Measure seconds per slide and the busy share of a device, for cells and for tiles of encoders.

The slides are made, the weights are of a seed, so that nothing need be fetched. Each case makes
the raw maps of a few slides as `heatmaps-ome maps` does: the cells of a ResNet-50, tiles of CLAM's
truncated ResNet-50, and tiles of a ViT-L and a ViT-H in the device's fastest number type. "busy" is
the share of the time from the first slide's begin to the last tile's end in which the device
computed. A case is left out once the time is up. The table goes to stdout, the same as JSON to
--out (or $OUT) as bench_device.json.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))


@dataclass(frozen=True)
class Case:
    """An encoder, and the options that it is measured with."""

    title: str
    encoder: str
    words: tuple[str, ...] = ()


AT_20X: Final = ("--tile-px", "224", "--target-mpp", "0.5")
CASES: Final = (
    Case("cells of a ResNet-50", "retccl"),
    Case("tiles of ResNet50-trunc", "resnet50-trunc", AT_20X),
    Case("tiles of a ViT-L (UNI)", "uni", AT_20X),
    Case("tiles of a ViT-H (Virchow2)", "virchow2", AT_20X),
)
SMALL: Final = (
    Case("cells of the demo's network", "tiny"),
    Case("tiles of the demo's network", "tiny", ("--tile-px", "96", "--target-mpp", "0.5")),
)


@dataclass(frozen=True)
class Figures:
    """What a case took.

    Attributes
    ----------
    seconds : float
        Per slide.
    busy : float
        Share of the time in which the device computed, in [0, 1].
    tiles : int
        Per slide; 0 for cells.
    """

    title: str
    device: str
    precision: str
    seconds: float
    busy: float
    tiles: int


def measure(case: Case, slides: list[Path], folder: Path, words: list[str]) -> Figures:
    """Make the raw maps of slides, and return what it took."""
    from benchmarks.tile_jobs import seeded_weights
    from model_files import make_parts, write_export

    from heatmaps_ome.cli.arguments import OptionsParser
    from heatmaps_ome.extractors import load_extractor
    from heatmaps_ome.options import MapsOptions
    from heatmaps_ome.run import pipeline

    weights = seeded_weights(case.encoder, folder)
    channels = load_extractor(case.encoder, weights, "cpu", "float32").channels
    model = folder / f"{case.encoder}.pkl"
    write_export(model, parts=make_parts(n_inputs=channels))
    out = folder / f"out-{case.encoder}-{len(case.words)}"
    given = [*map(str, slides), "-m", str(model), "-t", "MSIH", "-o", str(out), *case.words, *words]
    given += ["--extractor", case.encoder]
    given += [] if weights is None else ["--extractor-weights", str(weights)]
    options = OptionsParser(MapsOptions, "maps", "").parse_args(given)
    begun = time.perf_counter()
    outcomes = pipeline.maps(options, lambda *_: None)
    seconds = time.perf_counter() - begun
    failed = [outcome.message for outcome in outcomes if outcome.status != "done"]
    if failed:
        raise RuntimeError("; ".join(failed))
    [run] = (out / "runs").glob("*.json")
    record = json.loads(run.read_text(encoding="utf-8"))
    return _figures(case, record, seconds / len(slides), out, outcomes[0].name)


def _figures(case: Case, record: dict[str, Any], seconds: float, out: Path, name: str) -> Figures:
    [used] = record["devices"]
    waited = sum(value for key, value in used.items() if key.startswith("waited_"))
    made = json.loads((out / ".maps" / name / "provenance.json").read_text(encoding="utf-8"))
    return Figures(
        case.title, used["device"], record["extractor"]["precision"], seconds,
        used["seconds"] / (used["seconds"] + waited),
        made["origin"].get("tiles", {}).get("count", 0),
    )  # fmt: skip


def make_slides(folder: Path, side: int, count: int) -> list[Path]:
    """Write a slide at 20x and copies of it that are other slides to the cache."""
    from heatmaps_ome.demo.slide import write_demo_slide

    first = folder / "0.svs"
    write_demo_slide(first, 1, l0_height=side, l0_width=side * 4 // 3, mpp=0.5)
    content = first.read_bytes()
    slides = [first]
    for number in range(1, count):
        slides.append(folder / f"{number}.svs")
        slides[-1].write_bytes(content + bytes([number]))
    return slides


def table(figures: list[Figures]) -> str:
    """Return the figures as a Markdown table."""
    lines = ["| case | device | type | tiles | s per slide | busy |", "|---|---|---|---|---|---|"]
    lines += [
        f"| {one.title} | {one.device} | {one.precision} | {one.tiles or '–'} | "
        f"{one.seconds:.1f} | {100 * one.busy:.0f} % |"
        for one in figures
    ]
    return "\n".join(lines)


def main(words: list[str] | None = None) -> int:
    """Measure all cases, and print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default=os.environ.get("OUT", "."), help="folder for the JSON")
    parser.add_argument("--device", default="auto", help="torch's name of the device")
    parser.add_argument("--slides", type=int, default=3, help="slides in each case")
    parser.add_argument("--side", type=int, default=15_000, help="height of a slide in pixels")
    parser.add_argument("--minutes", type=float, default=8, help="after which no case begins")
    parser.add_argument("--small", action="store_true", help="tiny slides and networks, as a test")
    given = parser.parse_args(words)
    cases, side = (SMALL, 900) if given.small else (CASES, given.side)
    begun, figures = time.monotonic(), []
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        slides = make_slides(folder, side, 2 if given.small else given.slides)
        for case in cases:
            if time.monotonic() - begun > 60 * given.minutes:
                print(f"{case.title}: left out, the time is up", file=sys.stderr)
                continue
            figures.append(measure(case, slides, folder, ["--device", given.device]))
            print(table(figures[-1:]).splitlines()[-1], file=sys.stderr)
            (Path(given.out) / "bench_device.json").write_text(
                json.dumps([asdict(one) for one in figures], indent=1), encoding="utf-8"
            )
    print(table(figures))
    return 0


if __name__ == "__main__":
    from heatmaps_ome.memory import tune_torch

    tune_torch()
    sys.exit(main())
