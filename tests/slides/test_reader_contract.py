"""The contract of every reader of slides, checked with slides that other libraries made."""

from __future__ import annotations

import random
import re
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import psutil
import pytest
from reader_cases import all_cases

from heatmaps_ome.errors import DamagedTileError, SlideError
from heatmaps_ome.geometry import YX, Grid, Shape, Window
from heatmaps_ome.slides import opening
from heatmaps_ome.slides.bad_tiles import BadTile
from heatmaps_ome.slides.opening import REGISTRY, open_slide
from heatmaps_ome.slides.resampling import TILE_PX, tiles_under

CASES = all_cases()
LEAST_FILE = b"neither a slide nor anything else that is known here\n" * 100
MOST_BYTES_OF_LIES = 300 * 2**20
"""Memory beside the program that a file with wrong sizes may take before it is refused."""


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    """Make the slide of each case once."""
    made = {}

    def made_slide(case):
        for module in case.needs:
            pytest.importorskip(module)
        key = (case.reader, case.name)
        if key not in made:
            made[key] = case.make(tmp_path_factory.mktemp("made"))
        return made[key]

    return made_slide


@pytest.fixture(autouse=True)
def stand_ins(request, monkeypatch):
    """Put the stand-ins of a case in the places of the libraries."""
    case = request.node.callspec.params.get("case") if hasattr(request.node, "callspec") else None
    if case is not None and case.stand_in is not None:
        for name, module in case.stand_in().items():
            monkeypatch.setitem(sys.modules, name, module)


every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.reader}: {case.name}")


def opened(case, path, **settings):
    if not case.origin:
        settings.setdefault("mpp", 0.5)
    return closing(open_slide(path, reader=case.reader, **settings))


def file_of(case, path):
    """Return the open SlideFile itself, without what all readers share."""
    module, kind = REGISTRY[case.reader].split(":")
    return closing(getattr(opening.importlib.import_module(module), kind)(path))


def whole(slide, window=None):
    lattice = Grid(slide.shape, YX(1, 1), YX(0, 0), slide.mpp)
    return slide.read(lattice, window or Window(0, 0, *slide.shape))


def assert_alike(pixels, expected, case):
    assert pixels.dtype == np.uint8
    assert pixels.shape == expected.shape
    difference = np.abs(pixels.astype(int) - expected).max(initial=0)
    assert difference <= case.tolerance, f"off by {difference}"


def test_every_reader_has_a_case():
    assert {case.reader for case in CASES} == set(REGISTRY)


@every_case
def test_it_recognises_its_slides_and_nothing_else(case, cases, tmp_path):
    path = cases(case).path
    module, kind = REGISTRY[case.reader].split(":")
    can_read = getattr(opening.importlib.import_module(module), kind).can_read
    assert can_read(path)
    (tmp_path / f"text{path.suffix}").write_bytes(LEAST_FILE)
    (tmp_path / f"short{path.suffix}").write_bytes(b"I")
    (tmp_path / f"folder{path.suffix}").mkdir()
    for other in tmp_path.iterdir():
        assert not can_read(other), other


@every_case
def test_it_is_chosen_by_content_where_it_should_be(case, cases, tmp_path):
    made = cases(case)
    for path in (made.path, case.renamed(made.path, tmp_path)):
        with closing(open_slide(path, 0.5)) as slide:
            assert (slide.reader == case.reader) == case.chosen


@every_case
def test_its_levels_are_those_of_the_file(case, cases):
    made = cases(case)
    with opened(case, made.path) as slide:
        assert slide.level_shapes == tuple(Shape(*level.shape[:2]) for level in made.levels)
        assert slide.shape == slide.level_shapes[0]
        assert slide.format


@every_case
def test_every_tile_of_every_level_has_its_pixels(case, cases):
    made = cases(case)
    with file_of(case, made.path) as file:
        for level, expected in enumerate(made.levels):
            size = Shape(*expected.shape[:2])
            for tile in tiles_under(Window(0, 0, *size), TILE_PX):
                on_level = tile.common(Window(0, 0, *size))
                assert_alike(file.read_tile(level, tile), expected[on_level.slices], case)


@every_case
def test_parts_of_tiles_are_the_same_parts(case, cases):
    made = cases(case)
    size = Shape(*made.levels[0].shape[:2])
    last = Window((size.rows - 1) // TILE_PX * TILE_PX, (size.cols - 1) // TILE_PX * TILE_PX, 5, 3)
    parts = [Window(7, 11, 40, 60), Window(0, 13, 1, 1), last]
    with file_of(case, made.path) as file:
        for part in parts:
            expected = made.levels[0][part.common(Window(0, 0, *size)).slices]
            assert_alike(file.read_tile(0, part), expected, case)


@every_case
def test_the_whole_slide_comes_back_with_white_around_it(case, cases):
    made = cases(case)
    rows, cols = made.levels[0].shape[:2]
    with opened(case, made.path) as slide:
        around = whole(slide, Window(-20, -30, rows + 45, cols + 55))
    assert_alike(around[20 : 20 + rows, 30 : 30 + cols], made.levels[0], case)
    around[20 : 20 + rows, 30 : 30 + cols] = 255
    assert (around == 255).all()


@every_case
def test_several_threads_get_the_pixels_of_one(case, cases):
    made = cases(case)
    tiles = [
        (level, tile)
        for level, expected in enumerate(made.levels)
        for tile in tiles_under(Window(0, 0, *expected.shape[:2]), TILE_PX)
    ]
    order = tiles * 4
    random.Random(0).shuffle(order)
    together = threading.Barrier(4)

    def read(mine):
        together.wait(60)
        return [file.read_tile(*place) for place in mine]

    with file_of(case, made.path) as file, ThreadPoolExecutor(4) as pool:
        alone = {place: file.read_tile(*place) for place in tiles}
        shares = [order[n::4] for n in range(4)]
        for share, pixels in zip(shares, pool.map(read, shares), strict=True):
            for place, tile in zip(share, pixels, strict=True):
                assert np.array_equal(tile, alone[place]), place


@every_case
def test_its_pixel_size_and_bounds_are_those_of_the_file(case, cases):
    made = cases(case)
    with opened(case, made.path, mpp=None if made.mpp else 0.5) as slide:
        assert slide.own_mpp == (made.mpp and pytest.approx(made.mpp, rel=1e-4))
        assert slide.bounds == (made.bounds or Window(0, 0, *slide.shape))
        assert case.origin in slide.mpp_origin
        assert bool(slide.mpp_origin) == (made.mpp is not None)
    with opened(case, made.path, mpp=0.25) as slide:
        assert (slide.mpp, slide.mpp_source) == (YX(0.25, 0.25), "--mpp")


@every_case
def test_its_fingerprint_is_of_the_content_alone(case, cases, tmp_path):
    made = cases(case)
    with opened(case, made.path) as slide, file_of(case, made.path) as file:
        first, files = slide.fingerprint(), file.files()
        assert files == file.files()
        assert all(part.is_file() for part in files)
    moved = case.renamed(made.path, tmp_path)
    with opened(case, moved) as slide, file_of(case, moved) as file:
        assert slide.fingerprint() == first
        part = max(file.files(), key=lambda part: part.stat().st_size)
        assert part not in files
    changed_byte(part)
    with file_of(case, made.path) as file:
        moved_slide = opening.OpenedSlide(
            made.path, _Elsewhere(file, part, files), 0.5, "level", opening.BadTiles(), "x"
        )
        assert moved_slide.fingerprint() != first


class _Elsewhere:
    """An open file whose largest part is another one."""

    def __init__(self, file, part, files):
        self.facts, self.close = file.facts, lambda: None
        largest = max(files, key=lambda one: one.stat().st_size)
        self._files = [part if one == largest else one for one in files]

    def files(self):
        return self._files


def changed_byte(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 255
    path.write_bytes(content)


@every_case
def test_it_is_closed_and_opens_again(case, cases, tmp_path):
    path = case.renamed(cases(case).path, tmp_path)
    process, pixels = psutil.Process(), []
    for _ in range(2):
        with opened(case, path) as slide:
            pixels.append(whole(slide))
        assert not [file.path for file in process.open_files() if file.path.startswith(str(path))]
    assert np.array_equal(*pixels)


@every_case
def test_a_damaged_tile_fails_with_its_place_or_is_blank(case, cases, tmp_path):
    if case.damage is None:
        pytest.skip("has no tile that can be damaged alone")
    made = cases(case)
    path = case.renamed(made.path, tmp_path)
    tiles = case.damage(path)
    first = min(tiles)
    with opened(case, path) as slide, pytest.raises(DamagedTileError) as caught:
        whole(slide)
    sentence = str(caught.value)
    place = re.search(r"\(y (\d+), x (\d+)\)", sentence)
    assert path.name in sentence
    assert sentence.endswith("--bad-tiles blank")
    assert abs(int(place[1]) - first.row) < TILE_PX
    assert abs(int(place[2]) - first.col) < TILE_PX
    expected = made.levels[0].copy()
    for tile in tiles:
        expected[tile.slices] = 255
    with opened(case, path, bad_tiles="blank") as slide:
        assert_alike(whole(slide), expected, case)
        assert slide.bad_tiles.tiles == [BadTile(0, tile.row, tile.col) for tile in sorted(tiles)]


def lie_id(value):
    return getattr(value, "__name__", None) or f"{value.reader}: {value.name}"


@pytest.mark.parametrize(
    ("case", "lie"), [(case, lie) for case in CASES for lie in case.lies], ids=lie_id
)
def test_wrong_sizes_are_refused_without_filling_the_memory(case, lie, tmp_path):
    path = lie(tmp_path)
    before = reset_peak()
    with pytest.raises(SlideError) as caught, closing(open_slide(path, 0.5)) as slide:
        slide.read(Grid(slide.shape, YX(1, 1), YX(0, 0), slide.mpp), Window(0, 0, 300, 300))
    assert path.name in str(caught.value)
    assert len(str(caught.value)) < 400
    assert peak() - before < MOST_BYTES_OF_LIES


def reset_peak():
    """Forget the process's peak of memory, and return what it takes now, in bytes."""
    with Path("/proc/self/clear_refs").open("w") as file:
        file.write("5")
    return psutil.Process().memory_info().rss


def peak():
    text = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", text)[1]) * 1024


@every_case
def test_a_slide_cut_off_is_refused_or_fails_in_a_sentence(case, cases, tmp_path):
    path = case.renamed(cases(case).path, tmp_path)
    files = [part for part in tmp_path.rglob("*") if part.is_file()]
    largest = max(files, key=lambda one: one.stat().st_size)
    for share in (0.95, 0.4, 0.02):
        with largest.open("r+b") as file:
            file.truncate(int(largest.stat().st_size * share))
        pixels, sentence = None, ""
        try:
            with opened(case, path, mpp=0.5) as slide:
                for level, shape in enumerate(slide.level_shapes):
                    for tile in tiles_under(Window(0, 0, *shape), TILE_PX):
                        slide._file.read_tile(level, tile)
                pixels = whole(slide)
        except SlideError as error:
            sentence = str(error)
        # The end of a file may hold nothing that is read.
        if pixels is not None and share > 0.9:
            assert_alike(pixels, cases(case).levels[0], case)
        else:
            assert path.name in sentence
