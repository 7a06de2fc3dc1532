"""The features of tiles are those of each tile alone, in any batch and any block."""

import numpy as np
import pytest
from fake_extractors import MeanColourTiles, seeded_trunk
from fakes import FakeSlide, noise_rgb

from heatmaps_ome.errors import ExtractorError
from heatmaps_ome.extractors.dense import DenseExtractor
from heatmaps_ome.features.tile_features import require_side, tile_features
from heatmaps_ome.features.tile_lattice import CELL_PX, TileLattice, TileSize
from heatmaps_ome.geometry import Shape


def padded(rgb, tile):
    out = np.full((tile.rows, tile.cols, 3), 255, np.uint8)
    part = rgb[tile.slices]
    out[: len(part), : part.shape[1]] = part
    return out


@pytest.mark.parametrize(
    ("side", "stride"), [(224, 224), (256, 64), (32, 32), (96, 100), (320, 250.5)]
)
def test_features_are_those_of_each_tile_alone(side, stride):
    rgb = noise_rgb(Shape(500, 420), seed=3)
    slide, extractor = FakeSlide(rgb), seeded_trunk()
    lattice = TileLattice(slide, TileSize(side, stride, 0.5))
    chosen = lattice.on(np.ones(lattice.cells.shape, bool))
    batches = list(tile_features(slide, extractor, lattice, chosen, 5, threads=2))
    assert len(batches) > 1 or chosen.count < 20
    tiles = [tile for batch in batches for tile in batch.tiles]
    assert len(tiles) == chosen.count
    alone = np.concatenate([extractor.tiles(padded(rgb, tile)[None]) for tile in tiles])
    features = np.concatenate([batch.features for batch in batches])
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, alone, rtol=0, atol=1e-5 * np.abs(alone).max())
    assert np.ptp(alone, axis=0).max() > 1e-3 * np.abs(alone).max()


def test_a_resnet_takes_tiles_of_any_multiple_of_its_stride():
    import torch

    from heatmaps_ome.extractors.resnet50 import ResNet50

    torch.manual_seed(0)
    trunk = ResNet50().eval()
    extractor = DenseExtractor("r", lambda: trunk, "cpu", "float32", "seed 0", 2048, 140)
    for side in (32, 96, 256):
        tiles = np.stack([noise_rgb(Shape(side, side), seed) for seed in range(3)])
        mean, std = (np.array(v) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
        images = torch.from_numpy(((tiles / 255 - mean) / std).transpose(0, 3, 1, 2)).float()
        with torch.inference_mode():
            plain = torch.stack([trunk(image[None])[0].mean((1, 2)) for image in images]).numpy()
        features = extractor.tiles(tiles)
        np.testing.assert_allclose(features, plain, rtol=0, atol=1e-4 * np.abs(plain).max())


def test_only_tissue_is_read():
    slide = FakeSlide(noise_rgb(Shape(4096, 4096)))
    lattice = TileLattice(slide, TileSize(224, 224, 0.5))
    tissue = np.zeros(lattice.cells.shape, bool)
    tissue[:7, :14] = True
    chosen = lattice.on(tissue)
    [batch] = tile_features(slide, MeanColourTiles(), lattice, chosen, 64, threads=1)
    assert [tile[:2] for tile in batch.tiles] == [(0, 0), (0, 224)]
    assert slide.l0_reads == [(224, 448)]


@pytest.mark.parametrize(("side", "nearest"), [(250, "224 or 256"), (33, "32 or 64")])
def test_a_side_between_cells_is_refused_with_the_nearest(side, nearest):
    with pytest.raises(ExtractorError, match=nearest):
        require_side(MeanColourTiles(), side)
    require_side(MeanColourTiles(), 224)


def test_an_extractor_that_gives_too_few_features_is_refused():
    class Short(MeanColourTiles):
        def tiles(self, pixels):
            return super().tiles(pixels)[:-1]

    slide = FakeSlide(noise_rgb(Shape(CELL_PX, CELL_PX)))
    lattice = TileLattice(slide, TileSize(32, 32, 0.5))
    chosen = lattice.on(np.ones((1, 1), bool))
    with pytest.raises(ExtractorError, match="not one of 3 numbers"):
        list(tile_features(slide, Short(), lattice, chosen, 32, threads=1))
