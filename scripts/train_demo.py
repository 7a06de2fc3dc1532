"""Train the demo's networks: the tiny extractor on tiles, then an attention-MIL model on bags.

Both learn from synthetic slides of training seeds (1000 and up; tests and the demo use others):

1. slides with and without tumour islands are written, read back and brought to 256/224 µm/px;
2. TinyTrunk learns to distinguish tumour from stroma on 224-px tiles: each cell's target is the
   share of the tissue around it that is inside an island (so mixed cells have a soft label);
3. every slide, augmented several times, becomes bags of tile features with the slide's label, and
   fastai's Learner trains marugoto's attention MIL on them and exports it.

It takes about ten minutes on two cores::

    python scripts/train_demo.py --output heatmaps_ome/demo/data

"""

from __future__ import annotations

import argparse
import contextlib
import logging
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import marugoto_like
import numpy as np
import openslide
import torch
from PIL import Image, ImageFilter
from torch import nn
from torch.nn import functional

from heatmaps_ome.demo.slide import write_demo_slide
from heatmaps_ome.extractors.tiny import CHANNELS, WEIGHTS_NAME, TinyTrunk

logger = logging.getLogger("train_demo")

EXPORT_NAME = "demo-export.pkl"
CLASSES = ("normal", "tumour")
TARGET_MPP = 256 / 224
TILE_PX = 224
BAGS_PER_SLIDE = 6
FIRST_TRAINING_SEED = 1000
BRIGHTNESS_OF_GLASS = 224
IMAGENET_MEAN = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
IMAGENET_DEVIATION = torch.tensor([0.229, 0.224, 0.225])[:, None, None]


@dataclass(frozen=True)
class TrainingSlide:
    """A slide at the network's resolution.

    Attributes
    ----------
    pixels : (h, w, 3) uint8 RGB at 256/224 µm per pixel
    tissue, island : (h, w) bool
    label : str, one of CLASSES
    """

    pixels: np.ndarray
    tissue: np.ndarray
    island: np.ndarray
    label: str


def make_slide(folder: Path, number: int, rng: np.random.Generator) -> TrainingSlide:
    """Write a training slide, read it back with OpenSlide and return it at the network's size."""
    has_tumour = number % 2 == 1
    height, width = (int(side) for side in rng.integers(2400, 4800, 2))
    path = folder / f"demo-{number:03d}.svs"
    demo = write_demo_slide(
        path,
        FIRST_TRAINING_SEED + number,
        l0_height=height,
        l0_width=width,
        islands=None if has_tumour else 0,
    )
    with openslide.OpenSlide(path) as slide:
        whole = slide.read_region((0, 0), 0, slide.dimensions).convert("RGB")
    path.unlink()
    cols, rows = (round(side * demo.mpp / TARGET_MPP) for side in whole.size)
    how = rng.choice([Image.Resampling.BOX, Image.Resampling.BILINEAR, Image.Resampling.LANCZOS])
    small = whole.resize((cols, rows), Image.Resampling(int(how)))
    grey = np.asarray(small.convert("L").filter(ImageFilter.BoxBlur(8)))
    island = demo.island_mask(rows, cols, (0, 0), (height / rows, width / cols))
    tissue = grey < BRIGHTNESS_OF_GLASS
    return TrainingSlide(np.asarray(small), tissue, island, CLASSES[int(has_tumour)])


def jittered(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return uint8 RGB pixels with another stain, brightness and focus."""
    densities = rng.uniform(0.8, 1.25) * rng.uniform(0.9, 1.1, 3)
    gains = rng.uniform(0.95, 1.04) * rng.uniform(0.98, 1.02, 3)
    levels = np.arange(256)[:, None] / 244
    table = np.clip(244 * levels**densities * gains, 0, 255).astype(np.uint8)
    changed = np.stack([table[:, c][pixels[..., c]] for c in range(3)], axis=-1)
    if rng.random() < 0.4:
        blur = ImageFilter.GaussianBlur(rng.uniform(0.2, 0.9))
        changed = np.asarray(Image.fromarray(changed).filter(blur))
    return changed


def turned(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return pixels turned and mirrored at random."""
    pixels = np.rot90(pixels, rng.integers(4))
    return pixels[::-1] if rng.random() < 0.5 else pixels


def normalised(pixels: np.ndarray) -> torch.Tensor:
    """Return (n, 3, h, w) float32 from (n, h, w, 3) uint8, normalised as for ImageNet."""
    batch = torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float() / 255
    return (batch - IMAGENET_MEAN) / IMAGENET_DEVIATION


def sample_tiles(
    slides: list[TrainingSlide], per_slide: int, rng: np.random.Generator
) -> np.ndarray:
    """Return random tiles, (n, 224, 224, 5) uint8: RGB, then tissue and island as 0 or 1.

    Slides with tumour give many tiles at or in an island and few others.
    """
    tiles = []
    for slide in slides:
        layers = np.dstack([slide.pixels, slide.tissue, slide.island]).astype(np.uint8)
        wanted = per_slide
        while wanted > 0:
            top, left = (int(rng.integers(0, side - TILE_PX)) for side in slide.tissue.shape)
            tile = layers[top : top + TILE_PX, left : left + TILE_PX]
            is_plain = slide.label == CLASSES[1] and not tile[..., 4].any()
            if tile[..., 3].mean() > 0.1 and not (is_plain and rng.random() < 0.8):
                tiles.append(tile)
                wanted -= 1
    return np.stack(tiles)


def cell_targets(tiles: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Return each cell's share of tumour in its tissue, and its tissue: two (n, 7, 7) float32.

    Both are means over the 64 px around network pixel 32·j, the centre of cell j's receptive field.
    A target for the whole tile would teach the network to look off its cells' centres, as the
    middle of a tile's cells, 32·3, is not the tile's middle.
    """
    tissue, island = torch.from_numpy(tiles[..., 3:].copy()).float().unbind(-1)

    def around_cells(layer: torch.Tensor) -> torch.Tensor:
        means = functional.avg_pool2d(layer[:, None], 64, 32, 32, count_include_pad=False)
        return means[:, 0, :-1, :-1]

    share_of_tissue = around_cells(tissue)
    return around_cells(island * tissue) / share_of_tissue.clamp(min=1e-3), share_of_tissue


def train_trunk(tiles: np.ndarray, epochs: int, rng: np.random.Generator) -> TinyTrunk:
    """Return the trunk, trained so that a cell's feature predicts its share of tumour."""
    trunk, classifier = TinyTrunk(), nn.Conv2d(CHANNELS, 1, 1)
    batch_size = 32
    steps = len(tiles) // batch_size
    weights = [*trunk.parameters(), *classifier.parameters()]
    optimiser = torch.optim.AdamW(weights, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps * epochs)
    trunk.train()
    for epoch in range(epochs):
        losses = []
        for chosen in np.split(rng.permutation(len(tiles))[: steps * batch_size], steps):
            batch = np.stack([turned(tiles[i], rng) for i in chosen])
            pixels = np.stack([jittered(tile[..., :3], rng) for tile in batch])
            share, tissue = cell_targets(batch)
            # Half of the channels are dropped at a time, so that each has to be predictive alone.
            features = functional.dropout2d(trunk(normalised(pixels)), 0.5)
            loss = functional.binary_cross_entropy_with_logits(
                classifier(features)[:, 0], share, weight=tissue
            )
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            losses.append(loss.item())
        logger.info("extractor, epoch %d: loss %.4f", epoch + 1, np.mean(losses))
    return trunk.eval()


def bag_of(slide: TrainingSlide, trunk: TinyTrunk, rng: np.random.Generator) -> torch.Tensor:
    """Return the features of a slide's tiles with tissue, (tiles, channels) float32.

    Tiles overlap by half, begin at a random corner, and share one augmentation.
    """
    pixels = jittered(slide.pixels, rng)
    step = TILE_PX // 2
    tops, lefts = (
        range(int(rng.integers(step)), side - TILE_PX, step) for side in slide.tissue.shape
    )
    windows = [(slice(y, y + TILE_PX), slice(x, x + TILE_PX)) for y in tops for x in lefts]
    tiles = [pixels[window] for window in windows if slide.tissue[window].mean() > 0.25]
    features = []
    with torch.inference_mode():
        for start in range(0, len(tiles), 32):
            batch = normalised(np.stack(tiles[start : start + 32]))
            features.append(trunk(batch).mean(dim=(2, 3)))
    return torch.cat(features).clone()


def train_mil(names: list[str], labels: list[str], is_validation: np.ndarray, epochs: int) -> Any:
    """Return fastai's Learner after training on the bags in ``marugoto_like.FEATURES``.

    The steps are those of marugoto/mil/_mil.py: bags of 512, one cycle, the best epoch kept.
    """
    from fastai.vision.all import DataLoader, DataLoaders, Learner, RocAuc, SaveModelCallback
    from sklearn.preprocessing import OneHotEncoder

    encoder = OneHotEncoder(sparse_output=False).fit(np.array(CLASSES, dtype=object)[:, None])

    def dataset(keep: np.ndarray, bag_size: int | None) -> marugoto_like.MapDataset:
        bags = np.empty(int(keep.sum()), dtype=object)
        bags[:] = [[name] for name in np.array(names, dtype=object)[keep]]
        targets = np.array(labels, dtype=object)[keep]
        return marugoto_like.MapDataset(
            marugoto_like.zip_bag_targ,
            marugoto_like.BagDataset(bags, bag_size),
            marugoto_like.EncodedDataset(encoder, targets),
        )

    training = DataLoader(
        dataset(~is_validation, 512), batch_size=16, shuffle=True, num_workers=0, drop_last=True
    )
    validation = DataLoader(
        dataset(is_validation, None), batch_size=1, shuffle=False, num_workers=0
    )
    learn = Learner(
        DataLoaders(training, validation, device=torch.device("cpu")),
        marugoto_like.MILModel(CHANNELS, len(CLASSES)),
        # Smoothed labels keep the logits small, so scores stay graded instead of all 0 or 1.
        loss_func=nn.CrossEntropyLoss(label_smoothing=0.01),
        metrics=[RocAuc()],
        path=Path(),
    )
    with learn.no_bar():
        learn.fit_one_cycle(epochs, lr_max=1e-3, cbs=[SaveModelCallback(fname="best_valid")])
    return learn


def export_mil(
    slides: list[TrainingSlide], trunk: TinyTrunk, output: Path, rng: np.random.Generator
) -> None:
    """Make the bags, train the MIL model on them and write its export.pkl."""
    names, labels, is_validation = [], [], []
    for number, slide in enumerate(slides):
        for _ in range(BAGS_PER_SLIDE):
            names.append(f"demo-bag-{len(names):03d}")
            labels.append(slide.label)
            is_validation.append(number >= 0.8 * len(slides))
            marugoto_like.FEATURES[names[-1]] = bag_of(slide, trunk, rng)
    logger.info("MIL model: %d bags", len(names))
    # The working folder is a temporary one so that the export holds relative paths alone.
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.chdir(folder),
        marugoto_like.installed(),
    ):
        learn = train_mil(names, labels, np.array(is_validation), epochs=16)
        learn.export("export.pkl")
        shutil.copyfile("export.pkl", output / EXPORT_NAME)


def main() -> None:
    """Train both networks and write them to the output folder."""
    from safetensors.torch import load_file, save_file

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, help="folder for the two files")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything random [0]")
    parser.add_argument("--slides", type=int, default=28, help="training slides, at least 10 [28]")
    parser.add_argument("--epochs", type=int, default=4, help="the extractor's epochs [4]")
    parser.add_argument(
        "--keep-extractor", action="store_true", help="take the extractor that is there already"
    )
    options = parser.parse_args()
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logger.setLevel(logging.INFO)
    torch.manual_seed(options.seed)
    rng = np.random.default_rng(options.seed)
    output = options.output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        slides = [make_slide(Path(folder), number, rng) for number in range(options.slides)]
    logger.info("%d slides", len(slides))
    if options.keep_extractor:
        trunk = TinyTrunk()
        trunk.load_state_dict(load_file(output / WEIGHTS_NAME))
        trunk.eval()
    else:
        trunk = train_trunk(sample_tiles(slides, 80, rng), options.epochs, rng)
        save_file(trunk.state_dict(), output / WEIGHTS_NAME)
    export_mil(slides, trunk, output, rng)


if __name__ == "__main__":
    main()
