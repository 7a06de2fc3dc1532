import numpy as np
import pytest
from fake_extractors import MeanColourTiles, seeded_trunk
from fakes import FakeSlide
from hypothesis import given, settings
from hypothesis import strategies as st
from slide_files import speckled, write_slide

from heatmaps_ome.errors import ExtractorError, OutputError, SlideError
from heatmaps_ome.features.blocks import BlockPixels
from heatmaps_ome.features.dense import Extraction, extract, feature_grid
from heatmaps_ome.features.store import kept
from heatmaps_ome.geometry import YX, Window, network_pixels, tiles_of
from heatmaps_ome.slides.opening import open_slide
from heatmaps_ome.slides.tissue import TissueCells

MPP = 256 / 224


def quiet(done, total):
    pass


def how(tmp_path, block_px=128, threads=2):
    return Extraction(target_mpp=MPP, block_px=block_px, threads=threads, cache=tmp_path)


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    path = tmp_path_factory.mktemp("slide") / "a.svs"
    reader = open_slide(write_slide(path, speckled(803, 1077)))
    yield reader
    reader.close()


@settings(max_examples=10, deadline=None)
@given(
    extractor=st.sampled_from([seeded_trunk(), MeanColourTiles()]),
    block_px=st.sampled_from([32, 64, 160, 512, 4096]),
    threads=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_blocks_of_any_size_equal_the_whole_image(
    slide, tmp_path_factory, extractor, block_px, threads, seed
):
    grid = feature_grid(slide, extractor, MPP)
    tissue = np.random.default_rng(seed).random(grid.shape) < 0.3
    store = extract(
        slide, extractor, tissue, how(tmp_path_factory.mktemp("c"), block_px, threads), quiet
    )
    pixels = network_pixels(slide.shape, slide.mpp, MPP)
    whole = extractor(slide.read(pixels, Window(0, 0, *pixels.shape)))
    assert whole.shape[1:] == grid.shape
    found = store.read(Window(0, 0, *grid.shape))
    # Convolutions over other sizes add up in another order: float32 noise, nothing more.
    np.testing.assert_allclose(found[tissue].T, whole[:, tissue], rtol=1e-4, atol=1e-5)


def test_cells_are_placed_around_their_receptive_field(slide):
    scale = MPP / 0.5
    resnet_like = feature_grid(slide, seeded_trunk(), MPP)
    assert resnet_like.l0_from_g(YX(0.5, 0.5)) == pytest.approx((0.5 * scale, 0.5 * scale))
    assert resnet_like.l0_from_g(YX(3.5, 2.5)) == pytest.approx((96.5 * scale, 64.5 * scale))
    tiles = feature_grid(slide, MeanColourTiles(), MPP)
    assert tiles.l0_origin == (0, 0)


def test_a_second_run_computes_nothing(slide, tmp_path):
    extractor = CountingTiles()
    grid = feature_grid(slide, extractor, MPP)
    tissue = np.ones(grid.shape, bool)
    first = extract(slide, extractor, tissue, how(tmp_path), quiet)
    calls = extractor.calls
    told = []
    second = extract(
        slide, extractor, tissue, how(tmp_path), lambda done, total: told.append((done, total))
    )
    assert extractor.calls == calls > 1
    assert told == [(0, 0)]
    everything = Window(0, 0, *grid.shape)
    assert np.array_equal(first.read(everything), second.read(everything))


def test_progress_counts_the_pixels_that_the_network_sees(slide, tmp_path):
    extractor = MeanColourTiles()
    grid = feature_grid(slide, extractor, MPP)
    told = []
    extract(
        slide, extractor, np.ones(grid.shape, bool), how(tmp_path),
        lambda done, total: told.append((done, total)),
    )  # fmt: skip
    pixels = BlockPixels(network_pixels(slide.shape, slide.mpp, MPP).shape, 32, 64)
    areas = [pixels.read(cells).area for cells in tiles_of(grid.shape, 4)]
    assert told == [(done, sum(areas)) for done in np.cumsum([0, *areas])]


def test_tissue_that_is_not_known_yet_is_asked_for_as_the_network_goes_down(slide, tmp_path):
    extractor = CountingTiles()
    grid = feature_grid(slide, extractor, MPP)
    seen = []

    class Slow(TissueCells):
        def __getitem__(self, rows):
            seen.append((rows.stop, extractor.calls))
            return super().__getitem__(rows)

    store = extract(slide, extractor, Slow(slide, grid, 256), how(tmp_path, threads=1), quiet)
    whole = extract(slide, extractor, np.ones(grid.shape, bool), how(tmp_path / "o"), quiet)
    everything = Window(0, 0, *grid.shape)
    assert np.array_equal(store.read(everything), whole.read(everything))
    # The last rows were asked for when most blocks were done, not before the first.
    assert seen[-1][1] > 0.7 * extractor.calls / 2


def test_a_stopped_run_goes_on_where_it_stopped(slide, tmp_path):
    class Stop(Exception):
        pass

    told = []

    def stop_after_three(done, total):
        told.append(done)
        if len(told) == 4:
            raise Stop

    extractor = CountingTiles()
    grid = feature_grid(slide, extractor, MPP)
    tissue = np.ones(grid.shape, bool)
    with pytest.raises(Stop):
        extract(slide, extractor, tissue, how(tmp_path), stop_after_three)
    assert extractor.calls == 3
    store = extract(slide, extractor, tissue, how(tmp_path), quiet)
    undisturbed = extract(slide, MeanColourTiles(), tissue, how(tmp_path / "other"), quiet)
    everything = Window(0, 0, *grid.shape)
    assert extractor.calls == len(tiles_of(grid.shape, 4))
    assert np.array_equal(store.read(everything), undisturbed.read(everything))


def test_more_tissue_adds_only_the_cells_that_were_missing(slide, tmp_path):
    extractor = CountingTiles()
    grid = feature_grid(slide, extractor, MPP)
    tissue = np.zeros(grid.shape, bool)
    tissue[0, 0] = True
    extract(slide, extractor, tissue, how(tmp_path), quiet)
    assert extractor.calls == 1
    tissue[-1, -1] = True
    extract(slide, extractor, tissue, how(tmp_path), quiet)
    assert extractor.calls == 2
    # In the chunk of the first cell too: what is there stays, what was missing joins it.
    tissue[3, 3] = True
    store = extract(slide, extractor, tissue, how(tmp_path), quiet)
    assert extractor.calls == 3
    found = store.read(Window(0, 0, 4, 4))
    assert np.isfinite(found[0, 0]).all()
    assert np.isfinite(found[3, 3]).all()
    assert np.isnan(found[1, 1]).all()


def test_features_of_bfloat16_are_kept_in_float16_and_too_large_ones_refused(tmp_path):
    slide = FakeSlide(np.full((300, 300, 3), 200, np.uint8))
    tissue = np.ones(feature_grid(slide, MeanColourTiles(), MPP).shape, bool)
    rough = MeanColourTiles(digest="rough", precision="bfloat16")
    store = extract(slide, rough, tissue, how(tmp_path), quiet)
    exact = extract(slide, MeanColourTiles(), tissue, how(tmp_path), quiet)
    everything = Window(0, 0, *tissue.shape)
    assert store.read(everything).dtype == np.float16
    np.testing.assert_allclose(store.read(everything), exact.read(everything), rtol=2**-11)

    class Huge(MeanColourTiles):
        def __call__(self, pixels, keep=None):
            return super().__call__(pixels, keep) * 1e6

    with pytest.raises(ExtractorError, match="--precision float32"):
        extract(slide, Huge(digest="huge", precision="bfloat16"), tissue, how(tmp_path), quiet)


@pytest.mark.parametrize(
    ("given", "kept_as", "said"),
    [
        # What a network in float32 calls infinite is; float16 only cannot say more.
        (np.float32([1, np.inf]), np.float16, "no numbers"),
        (np.float32([1, np.nan]), np.float16, "no numbers"),
        (np.float16([1, np.nan]), np.float16, "no numbers"),
        (np.float16([1, -np.inf]), np.float16, "that float16 cannot hold; use --precision float32"),
        (np.float32([1, -1e5]), np.float16, "as large as 100000, which float16 cannot hold"),
        (np.float32([1, np.inf]), np.float32, "no numbers"),
    ],
)
def test_what_cannot_be_kept_is_told_apart(given, kept_as, said):
    with pytest.raises(ExtractorError, match=said):
        kept(given, np.dtype(kept_as))


def test_features_of_zero_are_kept_too(tmp_path):
    slide = FakeSlide(np.zeros((300, 300, 3), np.uint8))
    extractor = CountingTiles()
    tissue = np.ones(feature_grid(slide, extractor, MPP).shape, bool)
    extract(slide, extractor, tissue, how(tmp_path, 4096), quiet)
    extract(slide, extractor, tissue, how(tmp_path, 4096), quiet)
    assert extractor.calls == 1


def test_another_slide_extractor_or_scale_has_features_of_its_own(tmp_path):
    rgb = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    folders = set()
    for slide, extractor in (
        (FakeSlide(rgb), MeanColourTiles()),
        (FakeSlide(255 - rgb), MeanColourTiles()),
        (FakeSlide(rgb, YX(0.5, 0.25)), MeanColourTiles()),
        (FakeSlide(rgb), MeanColourTiles(digest="other")),
        (FakeSlide(rgb, name="another name, the same content"), MeanColourTiles()),
    ):
        tissue = np.ones(feature_grid(slide, extractor, MPP).shape, bool)
        folders.add(extract(slide, extractor, tissue, how(tmp_path), quiet).folder)
    assert len(folders) == 4


def test_a_damaged_block_ends_the_slide_with_its_own_sentence(tmp_path):
    class Damaged(FakeSlide):
        def read(self, lattice, window):
            raise SlideError("a.svs cannot be read near level-0 pixel (y 3, x 4)")

    slide = Damaged(np.zeros((300, 300, 3), np.uint8))
    tissue = np.ones(feature_grid(slide, MeanColourTiles(), MPP).shape, bool)
    with pytest.raises(SlideError, match="y 3"):
        extract(slide, MeanColourTiles(), tissue, how(tmp_path), quiet)


def test_a_cache_that_cannot_be_made_is_named(tmp_path):
    slide = FakeSlide(np.zeros((300, 300, 3), np.uint8))
    (tmp_path / "file").write_text("in the way")
    tissue = np.ones(feature_grid(slide, MeanColourTiles(), MPP).shape, bool)
    with pytest.raises(OutputError, match="--cache-dir"):
        extract(slide, MeanColourTiles(), tissue, how(tmp_path / "file"), quiet)


class CountingTiles(MeanColourTiles):
    """Counts the blocks put through it."""

    calls = 0

    def __call__(self, pixels, keep=None):
        object.__setattr__(self, "calls", self.calls + 1)
        return super().__call__(pixels, keep)
