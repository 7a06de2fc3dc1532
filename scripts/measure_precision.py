#!/usr/bin/env python3
"""Measure what mixed precision does to features and maps, and print it as Markdown.

On GPUs that have it the extractor computes in bfloat16; the same autocast runs here on the CPU.
README, "Numbers", holds what this prints.
"""

from __future__ import annotations

from dataclasses import fields, replace

from measure_reading import (
    TARGET_MPP,
    deviations,
    load_networks,
    maps_of,
    parsed_arguments,
    read_bicubic,
)

from heatmaps_ome.extractors.dense import DenseExtractor
from heatmaps_ome.features import feature_grid
from heatmaps_ome.openslide_reader import OpenSlideReader
from heatmaps_ome.tissue import tissue_cells

SLIDE = "CMU-1-Small-Region.svs"
HEADER = (
    "| slide | network | Δ features | attention r | Δ attention, SD | Δ score logit, SD "
    "| Δ score |\n|---|---|---|---|---|---|---|"
)


class MixedExtractor(DenseExtractor):
    """A dense extractor that computes in bfloat16 wherever it runs."""

    precision = "bfloat16"


def mixed(extractor: DenseExtractor) -> MixedExtractor:
    """Return an extractor in mixed precision."""
    return MixedExtractor(
        **{each.name: getattr(extractor, each.name) for each in fields(extractor)}
    )


def main() -> None:
    """Print the table."""
    options = parsed_arguments(__doc__.splitlines()[0])
    path = options.data / "slides" / SLIDE
    pixels, _ = read_bicubic(path, None, "level")
    slide = OpenSlideReader(path)
    print(HEADER)
    for network in load_networks(options.data, options.weights):
        tissue = tissue_cells(slide, feature_grid(slide, network.extractor, TARGET_MPP), 224)
        exact = maps_of(network, pixels, tissue)
        rough = maps_of(replace(network, extractor=mixed(network.extractor)), pixels, tissue)
        print(f"| {SLIDE} | {network.name} | {' | '.join(deviations(rough, exact))} |")
    slide.close()


if __name__ == "__main__":
    main()
