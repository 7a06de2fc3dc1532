#!/usr/bin/env python3
"""Measure how the way of reading a slide changes features and maps; print a Markdown table.

The network's pixels can come from level 0 or from the coarsest level that is fine enough, and be
resampled by Pillow's bicubic filter with antialiasing (as the training tiles of marugoto's models)
or by exact area. Deviations are means over pixels or tissue cells, "SD" the standard
deviation of the map itself; "a / b" is a ResNet-50 with weights of a seed (or those given) / the
demo's small trained network. The output is in scripts/benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import io
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import torch
from make_test_weights import seeded_resnet50
from PIL import Image

import heatmaps_ome
from heatmaps_ome.extractors import load_extractor
from heatmaps_ome.features.dense import feature_grid
from heatmaps_ome.features.pooling import Pooling, pool
from heatmaps_ome.geometry import YX, Grid, Window, network_pixels
from heatmaps_ome.models import read_model
from heatmaps_ome.slides.opening import open_slide
from heatmaps_ome.slides.tissue import tissue_cells

if TYPE_CHECKING:
    from heatmaps_ome.extractors.protocol import Extractor
    from heatmaps_ome.models.attention_mil import AttentionMIL
    from heatmaps_ome.slides.opened_slide import OpenedSlide
    from heatmaps_ome.slides.reader import ReadFrom

TARGET_MPP = 256 / 224
SLIDES = {
    "CMU-1-Small-Region.svs": None,
    "aperio-3levels-cmu.svs": None,
    "TCGA-CR-7395-01A-01-TS1.svs": 0.25,
    "mirax-cmu-bounds.mrxs": None,
    "philips-cmu.tiff": None,
}
"""Slide → µm per pixel if the file does not state it."""
DEMO_MODEL = Path(heatmaps_ome.__file__).parent / "demo" / "data" / "demo-export.pkl"
MODEL = "katherlab-crc2022-isMSIH-export-0.pkl"
HEADER = (
    "| slide | pixels | against | Δ grey | Δ features | attention r | Δ attention, SD "
    "| Δ score logit, SD | Δ score | CPU s |\n|---|---|---|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True)
class Network:
    """An extractor, and a model for its features."""

    name: str
    extractor: Extractor
    model: AttentionMIL


@dataclass(frozen=True, eq=False)
class Maps:
    """A network's results for a slide's tissue cells.

    Attributes
    ----------
    features : (channels, n) float32
    attention, logits, scores : (n,) float32
        The last two are of the first class; its logit is relative to the second's.
    """

    features: np.ndarray
    attention: np.ndarray
    logits: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True, eq=False)
class Way:
    """One way of reading a slide: the network's pixels and the CPU seconds of reading."""

    name: str
    pixels: np.ndarray
    seconds: float


def read_area(slide: OpenedSlide, lattice: Grid) -> np.ndarray:
    """Return a slide on a lattice as exact means over level-0 pixels; white outside the slide."""
    level0 = Grid(slide.shape, YX(1.0, 1.0), YX(0.0, 0.0), slide.mpp)
    darkness = 255 - slide.read(level0, Window(0, 0, *slide.shape)).astype(np.float32)
    down = _overlaps(lattice.shape.rows, lattice.l0_cell.y, slide.shape.rows)
    across = _overlaps(lattice.shape.cols, lattice.l0_cell.x, slide.shape.cols)
    planes = [down @ darkness[..., channel] @ across.T for channel in range(3)]
    return np.rint(255 - np.stack(planes, axis=-1)).clip(0, 255).astype(np.uint8)


def _overlaps(n_pixels: int, pixel: float, n_level0: int) -> np.ndarray:
    """Return each level-0 pixel's share of each pixel: (n_pixels, n_level0) float32."""
    first = np.arange(n_pixels)[:, None] * pixel
    theirs = np.arange(n_level0)[None]
    shared = np.minimum(first + pixel, theirs + 1) - np.maximum(first, theirs)
    return (shared.clip(0) / pixel).astype(np.float32)


def read_bicubic(path: Path, mpp: float | None, read_from: ReadFrom) -> tuple[np.ndarray, int]:
    """Return a slide's network pixels as `create` reads them, and the level they come from."""
    slide = open_slide(path, mpp, read_from)
    lattice = network_pixels(slide.shape, slide.mpp, TARGET_MPP)
    pixels = slide.read(lattice, Window(0, 0, *lattice.shape))
    level = slide.level_for(lattice.l0_cell)
    slide.close()
    return pixels, level


def as_jpeg(pixels: np.ndarray) -> np.ndarray:
    """Return pixels after JPEG, as in all runs of create_heatmaps.py:324-330 but the first."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG")
    return np.array(Image.open(file))


def ways_of(path: Path, mpp: float | None) -> list[Way]:
    """Return a slide read in every way; the way of the models' training comes first."""
    ways = []
    for read_from in ("level0", "level"):
        begun = time.process_time()
        pixels, level = read_bicubic(path, mpp, read_from)
        if read_from == "level0" or level > 0:
            ways.append(Way(f"level {level}, bicubic", pixels, time.process_time() - begun))
    begun = time.process_time()
    slide = open_slide(path, mpp)
    pixels = read_area(slide, network_pixels(slide.shape, slide.mpp, TARGET_MPP))
    slide.close()
    ways.append(Way("level 0, area", pixels, time.process_time() - begun))
    ways.append(Way("level 0, bicubic, JPEG", as_jpeg(ways[0].pixels), ways[0].seconds))
    return ways


def maps_of(network: Network, pixels: np.ndarray, tissue: np.ndarray) -> Maps:
    """Return a network's maps of the pixels."""
    pooling = Pooling()
    margin = (pooling.reach, pooling.reach)
    features = network.extractor(pixels)
    cells = np.moveaxis(features, 0, -1)
    pooled = pool(
        np.pad(cells, (margin, margin, (0, 0))), np.pad(tissue, (margin, margin)), pooling
    )
    with torch.inference_mode():
        embeddings = network.model.embed(torch.from_numpy(pooled[tissue]))
        attention = network.model.attention_logits(embeddings).numpy()
        logits = network.model.class_logits(embeddings)
        scores = logits.softmax(dim=1)[:, 0].numpy()
    return Maps(features[:, tissue], attention, (logits[:, 0] - logits[:, 1]).numpy(), scores)


def deviations(maps: Maps, other: Maps) -> list[str]:
    """Return the deviations of maps from others: features, attention, score."""
    error = np.linalg.norm(maps.features - other.features) / np.linalg.norm(other.features)
    r = np.corrcoef(maps.attention, other.attention)[0, 1]
    attention = np.abs(maps.attention - other.attention).mean() / other.attention.std()
    logit = np.abs(maps.logits - other.logits).mean() / other.logits.std()
    score = np.abs(maps.scores - other.scores).mean()
    return [f"{error:.1%}", f"{r:.3f}", f"{attention:.2f}", f"{logit:.2f}", f"{score:.4f}"]


def measure(path: Path, mpp: float | None, networks: list[Network]) -> list[str]:
    """Return a slide's rows of the table."""
    ways = ways_of(path, mpp)
    slide = open_slide(path, mpp)
    tissue = tissue_cells(slide, feature_grid(slide, networks[0].extractor, TARGET_MPP), 224)
    slide.close()
    pairs = [(way, ways[0]) for way in ways[1:]]
    if len(ways) == 4:
        pairs.append((ways[1], ways[2]))
    maps = {(n.name, w.name): maps_of(n, w.pixels, tissue) for n in networks for w in ways}
    rows = []
    for way, other in pairs:
        grey = f"{np.abs(way.pixels.astype(float) - other.pixels).mean():.2f}"
        far = [deviations(maps[n.name, way.name], maps[n.name, other.name]) for n in networks]
        seconds = f"{way.seconds:.1f}, {other.seconds:.1f}"
        cells = [path.stem, way.name, other.name, grey, *map(" / ".join, zip(*far, strict=True))]
        rows.append(f"| {' | '.join(cells)} | {seconds} |")
    return rows


def load_networks(data: Path, weights: Path | None, precision: str) -> list[Network]:
    """Return a ResNet-50 with a published model, and the demo's trained pair.

    Parameters
    ----------
    weights : Path or None
        Weights of the ResNet-50; None: made from a seed.
    precision : "float32" or "bfloat16"
        Precision of both extractors.
    """
    with TemporaryDirectory() as folder:
        seeded = Path(folder) / "seeded.pth"
        if weights is None:
            torch.save(seeded_resnet50(0), seeded)
        resnet = load_extractor("retccl", weights or seeded, "cpu", precision)
        # Before the folder with the seeded weights is removed.
        resnet.prepare()
    tiny = load_extractor("tiny", None, "cpu", precision)
    return [
        Network("seeded ResNet-50" if weights is None else weights.stem, resnet,
                read_model(data / "models" / MODEL)),
        Network("trained tiny", tiny, read_model(DEMO_MODEL)),
    ]  # fmt: skip


def parsed_arguments(purpose: str) -> argparse.Namespace:
    """Return the command line's ``data`` and ``weights``."""
    parser = argparse.ArgumentParser(description=purpose)
    parser.add_argument("data", type=Path, help="folder with slides/ and models/")
    parser.add_argument("--weights", type=Path, help="a ResNet-50's (default: made from a seed)")
    return parser.parse_args()


def main() -> None:
    """Print the table."""
    options = parsed_arguments(__doc__.splitlines()[0])
    networks = load_networks(options.data, options.weights, "float32")
    print(HEADER)
    for name, mpp in SLIDES.items():
        for row in measure(options.data / "slides" / name, mpp, networks):
            print(row, flush=True)


if __name__ == "__main__":
    main()
