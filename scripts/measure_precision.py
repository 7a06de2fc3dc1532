#!/usr/bin/env python3
"""Measure how bfloat16 changes features and maps against float32, and print a Markdown table.

The output is in scripts/benchmarks/README.md.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from measure_reading import (
    SLIDES,
    TARGET_MPP,
    deviations,
    load_networks,
    maps_of,
    parsed_arguments,
    read_bicubic,
)

from heatmaps_ome.features.dense import feature_grid
from heatmaps_ome.slides.opening import open_slide
from heatmaps_ome.slides.tissue import tissue_cells

if TYPE_CHECKING:
    import numpy as np
    from measure_reading import Maps, Network

SLIDE_NAMES = ("CMU-1-Small-Region.svs", "TCGA-CR-7395-01A-01-TS1.svs")
PASSES = 4
"""Passes timed; the first one sets up kernels, and other programs slow some down."""
HEADER = (
    "| slide | network | Δ features | attention r | Δ attention, SD | Δ score logit, SD "
    "| Δ score | CPU s, bfloat16 | float32 |\n|---|---|---|---|---|---|---|---|---|"
)


def timed_maps(network: Network, pixels: np.ndarray, tissue: np.ndarray) -> tuple[Maps, float]:
    """Return a network's maps of the pixels, and the CPU seconds of its fastest pass."""
    seconds = []
    for _ in range(PASSES):
        begun = time.process_time()
        network.extractor(pixels)
        seconds.append(time.process_time() - begun)
    return maps_of(network, pixels, tissue), min(seconds)


def main() -> None:
    """Print the table."""
    options = parsed_arguments(__doc__.splitlines()[0])
    rough, exact = (
        load_networks(options.data, options.weights, precision)
        for precision in ("bfloat16", "float32")
    )
    print(HEADER)
    for name in SLIDE_NAMES:
        path, mpp = options.data / "slides" / name, SLIDES[name]
        pixels, _ = read_bicubic(path, mpp, "level")
        slide = open_slide(path, mpp)
        tissue = tissue_cells(slide, feature_grid(slide, exact[0].extractor, TARGET_MPP), 224)
        slide.close()
        for fast, slow in zip(rough, exact, strict=True):
            maps, seconds = timed_maps(fast, pixels, tissue)
            expected, slow_seconds = timed_maps(slow, pixels, tissue)
            far = " | ".join(deviations(maps, expected))
            print(f"| {path.stem} | {fast.name} | {far} | {seconds:.2f} | {slow_seconds:.2f} |")


if __name__ == "__main__":
    main()
