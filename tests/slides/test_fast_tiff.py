"""The fast reader gives OpenSlide's pixels, tile by tile, or leaves them to OpenSlide."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np
import odd_slides
import pytest
import pyvips
import tifffile

from heatmaps_ome.errors import DamagedTileError
from heatmaps_ome.geometry import Window
from heatmaps_ome.slides.opening import open_slide
from heatmaps_ome.slides.readers import fast_tiff
from heatmaps_ome.slides.readers.fast_tiff import FastTiff
from heatmaps_ome.slides.readers.openslide import OpenSlideFile
from heatmaps_ome.slides.slide_file import Unsuited

RGB = odd_slides.rgb()
pytest.importorskip("simplejpeg")


def tiles_of(shape):
    return [
        Window(row, col, 256, 256)
        for row in range(0, shape.rows, 256)
        for col in range(0, shape.cols, 256)
    ]


def tile_or_damage(file, level, tile):
    try:
        return file.read_tile(level, tile)
    except DamagedTileError as error:
        return str(error)


def fast_levels(path, damaged=False):
    """Compare all tiles with OpenSlide's, and return which levels were read without it."""
    with closing(FastTiff(path)) as fast, closing(OpenSlideFile(path)) as slow:
        assert fast.facts == slow.facts
        n_damaged = 0
        for level, shape in enumerate(fast.facts.level_shapes):
            for tile in tiles_of(shape):
                own, expected = (tile_or_damage(file, level, tile) for file in (fast, slow))
                if isinstance(expected, str):
                    n_damaged += 1
                    assert isinstance(own, str)
                    assert own == expected
                else:
                    assert np.array_equal(own, expected)
        assert (n_damaged > 0) == damaged
        return [segments is not None for segments in fast._levels]


def jpeg(path, image=RGB, tile=(256, 256), description="Aperio Image Library v1|MPP = 0.5", **args):
    """Write a slide of one level, Aperio's by its description."""
    tifffile.imwrite(
        path, image, photometric="rgb" if image.ndim == 3 else "minisblack", tile=tile,
        compression="jpeg", metadata=None, description=description, **args,
    )  # fmt: skip
    return path


def pyramid(path, rows, cols, **options):
    image = pyvips.Image.new_from_array(odd_slides.speckled(rows, cols))
    image = image.copy(interpretation="srgb", xres=2000, yres=2000)
    image.tiffsave(str(path), tile=True, pyramid=True, compression="jpeg", **options)
    return path


def with_marker(path, marker):
    """Put a marker into all JPEGs of a file, which are rewritten at its end."""
    with tifffile.TiffFile(path, mode="r+") as file:
        page, handle = file.pages[0], file.filehandle
        offsets, counts = [], []
        for begin, size in zip(page.dataoffsets, page.databytecounts, strict=True):
            handle.seek(begin)
            data = handle.read(size)
            handle.seek(0, 2)
            offsets.append(handle.tell())
            handle.write(data[:2] + marker + data[2:])
            counts.append(size + len(marker))
        page.tags[324].overwrite(offsets)
        page.tags[325].overwrite(counts)
    return path


ADOBE_RGB = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"
JFIF = b"\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"


@pytest.mark.parametrize("subsampling", [(1, 1), (2, 1), (2, 2)])
@pytest.mark.parametrize("tile", [(256, 256), (240, 240), (512, 512), (128, 64)])
def test_ycbcr_in_every_sampling_and_tiles_of_every_size_are_equal(tmp_path, subsampling, tile):
    path = jpeg(tmp_path / "a.svs", tile=tile, subsampling=subsampling)
    assert fast_levels(path) == [True]


@pytest.mark.parametrize("marker", [b"", ADOBE_RGB])
def test_jpegs_in_rgb_are_equal_with_and_without_a_marker(tmp_path, marker):
    path = jpeg(tmp_path / "a.svs", compressionargs={"outcolorspace": "rgb"})
    if marker:
        with_marker(path, marker)
    with tifffile.TiffFile(path) as file:
        assert file.pages[0].photometric == 2
    assert fast_levels(path) == [True]


def test_colours_that_would_differ_are_openslides(tmp_path):
    # JFIF's marker states YCbCr, the photometric tag RGB; OpenSlide goes by the tag.
    path = jpeg(tmp_path / "a.svs", compressionargs={"outcolorspace": "rgb"})
    with_marker(path, JFIF)
    with pytest.raises(Unsuited):
        FastTiff(path)
    with closing(open_slide(path)) as slide:
        assert slide.reader == "OpenSlide"


def test_other_compressions_are_left_to_openslide(tmp_path):
    path = odd_slides.plain_tiff(tmp_path / "b.tif", RGB)
    with closing(open_slide(path, 0.5)) as slide:
        assert slide.reader == "OpenSlide"


def test_jpeg_2000_in_rgb_is_equal(shared_data):
    path = shared_data / "slides" / "TCGA-CR-7395-01A-01-TS1.svs"
    with closing(FastTiff(path)) as fast, closing(OpenSlideFile(path)) as slow:
        assert fast._levels[0] is not None
        for tile in tiles_of(fast.facts.level_shapes[0])[::40]:
            assert np.array_equal(fast.read_tile(0, tile), slow.read_tile(0, tile))


@pytest.mark.parametrize(
    ("name", "levels"),
    [
        ("slides/CMU-1-Small-Region.svs", [True]),
        ("slides/philips-cmu.tiff", [True] * 3),
        ("slides/aperio-3levels-cmu.svs", [True] * 3),
        ("found/generic-72dpi-cmu.tiff", [True] * 3),
        ("broken/broken-3badtiles-cmu.svs", [True] * 3),
    ],
)
def test_real_slides_are_equal(shared_data, name, levels):
    assert fast_levels(shared_data / name, damaged="broken" in name) == levels


@pytest.mark.parametrize(
    ("rows", "cols", "tile"),
    [(1024, 1536, 256), (1201, 1407, 256), (1030, 700, 128), (1333, 1777, 240), (1207, 1601, 512)],
)
def test_levels_of_every_proportion_are_equal(tmp_path, rows, cols, tile):
    assert all(
        fast_levels(pyramid(tmp_path / "a.tif", rows, cols, tile_width=tile, tile_height=tile))
    )


def test_tiles_that_were_left_out_are_openslides(tmp_path):
    path = jpeg(tmp_path / "a.svs", tile=(128, 128))
    with tifffile.TiffFile(path, mode="r+") as file:
        values = list(file.pages[0].tags[325].value)
        values[9] = values[20] = 0
        file.pages[0].tags[325].overwrite(values)
    assert fast_levels(path) == [True]


@pytest.mark.parametrize("seed", range(4))
def test_damage_is_met_where_openslide_meets_it(tmp_path, seed):
    path = jpeg(tmp_path / "a.svs", tile=(128, 128))
    rng = np.random.default_rng(seed)
    with tifffile.TiffFile(path) as file:
        places = list(zip(file.pages[0].dataoffsets, file.pages[0].databytecounts, strict=True))
    content = bytearray(path.read_bytes())
    for number in rng.choice(len(places), 12, replace=False):
        begin, size = places[number]
        for place in rng.integers(0, size, 6):
            content[begin + place] = rng.integers(256)
    begin, size = places[9]
    content[begin : begin + size] = bytes(size)
    path.write_bytes(bytes(content))
    fast_levels(path, damaged=True)


def test_threads_read_the_same_tiles(tmp_path):
    path = jpeg(tmp_path / "a.svs", tile=(240, 240))
    with closing(FastTiff(path)) as fast, ThreadPoolExecutor(4) as pool:
        tiles = tiles_of(fast.facts.level_shapes[0]) * 8
        parts = list(pool.map(lambda tile: fast.read_tile(0, tile), tiles))
    with closing(OpenSlideFile(path)) as slow:
        for tile, part in zip(tiles, parts, strict=True):
            assert np.array_equal(part, slow.read_tile(0, tile))


def test_openslide_reads_no_tile_of_an_exact_level(tmp_path, monkeypatch):
    path = jpeg(tmp_path / "a.svs")
    with closing(open_slide(path)) as slide:
        assert slide.reader == "fast TIFF"
        assert slide.pixels == ""
    with closing(FastTiff(path)) as fast:
        monkeypatch.setattr(OpenSlideFile, "read_tile", None)
        fast.read_tile(0, Window(256, 256, 256, 256))


def test_a_slide_without_an_equal_tile_is_left_to_openslide(tmp_path, monkeypatch):
    path = jpeg(tmp_path / "a.svs")
    real = fast_tiff.Segments.decode
    monkeypatch.setattr(fast_tiff.Segments, "decode", lambda *args: np.bitwise_xor(real(*args), 1))
    with pytest.raises(Unsuited):
        FastTiff(path)
