"""OME-Zarr as slides: stores of other makers' writers, odd ones, damaged ones."""

import json
import re
import shutil
import threading
import tracemalloc
from contextlib import closing

import numpy as np
import pytest
import zarr
import zarr_slides
from slide_files import speckled
from zarr_slides import by_hand, by_ngff_zarr, by_ome_zarr, omero, planes, with_attributes, zipped

from heatmaps_ome.cli import main as cli
from heatmaps_ome.errors import DamagedTileError, PixelSizeError, SlideError
from heatmaps_ome.geometry import YX, Grid, Shape, Window
from heatmaps_ome.run.slide_paths import slides_named
from heatmaps_ome.slides.opening import open_slide
from heatmaps_ome.slides.paths import files_of
from heatmaps_ome.slides.readers import zarr_level
from heatmaps_ome.slides.stamps import stamp_of

RGB = speckled(301, 437)


def pixels_of(slide, level=0):
    """Return a whole level as its file has it."""
    return slide._file.read_tile(level, Window(0, 0, *slide.level_shapes[level]))


def read(path, mpp=None):
    with closing(open_slide(path, mpp)) as slide:
        return pixels_of(slide)


def refusal(path, mpp=0.5):
    with pytest.raises(SlideError) as error:
        open_slide(path, mpp).close()
    return str(error.value)


# --- Writers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_store_of_ngff_zarr_is_a_slide(tmp_path, version):
    path = by_ngff_zarr(tmp_path / "a.ome.zarr", RGB, version)
    with closing(open_slide(path)) as slide:
        assert (slide.reader, slide.format, slide.name) == ("OME-Zarr", f"OME-Zarr {version}", "a")
        assert (slide.mpp, slide.mpp_source) == ((0.5, 0.5), "slide")
        assert slide.level_shapes == ((301, 437), (150, 218), (75, 109))
        for level in range(3):
            dataset = zarr.open_group(path, mode="r").attrs.asdict()
            dataset = dataset.get("ome", dataset)["multiscales"][0]["datasets"][level]["path"]
            own = np.asarray(zarr.open_array(path / dataset, mode="r"))
            assert np.array_equal(pixels_of(slide, level), np.moveaxis(own, 0, 2))
        lattice = Grid(slide.shape, YX(1, 1), YX(0, 0), slide.mpp)
        assert np.array_equal(slide.read(lattice, Window(0, 0, *slide.shape)), RGB)


def test_a_store_of_ome_zarr_py_with_all_five_axes_is_a_slide(tmp_path):
    path = by_ome_zarr(tmp_path / "a.zarr", RGB)
    with closing(open_slide(path)) as slide:
        assert (slide.mpp, slide.level_shapes) == ((0.5, 0.5), ((301, 437), (151, 219)))
        assert np.array_equal(pixels_of(slide), RGB)
        assert np.array_equal(pixels_of(slide, 1), RGB[::2, ::2])


@pytest.mark.parametrize(
    ("axes", "array"),
    [
        ("yxc", RGB),
        ("xyc", RGB.swapaxes(0, 1)),
        ("xcy", np.moveaxis(RGB, 1, 0).swapaxes(1, 2)),
        ("zcyx", planes(RGB)[None]),
    ],
)
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_axes_may_come_in_any_order(tmp_path, axes, array, zarr_format):
    path = by_hand(tmp_path / "a.zarr", [array], axes, zarr_format=zarr_format)
    assert np.array_equal(read(path), RGB)


def test_shards_are_read_in_their_chunks(tmp_path):
    path = by_hand(
        tmp_path / "a.zarr", [planes(RGB)], zarr_format=3, chunks=(3, 64, 64), shards=(3, 256, 256)
    )
    with closing(open_slide(path)) as slide:
        assert slide._file.facts.tile_shapes == ((64, 64),)
        assert np.array_equal(pixels_of(slide), RGB)


@pytest.mark.parametrize("name", ["a.ome.zarr.zip", "a.ozx"])
@pytest.mark.parametrize("inside", ["", "a.ome.zarr/"])
def test_a_zipped_store_is_a_slide(tmp_path, name, inside):
    folder = by_hand(
        tmp_path / "s", [planes(RGB)], zarr_format=3, chunks=(3, 64, 64), shards=(3, 256, 256)
    )
    path = zipped(folder, tmp_path / name, inside)
    with closing(open_slide(path)) as slide:
        assert (slide.name, slide._file.files()) == ("a", [path])
        assert np.array_equal(pixels_of(slide), RGB)


def test_the_first_series_of_bioformats2raw_is_the_slide(tmp_path):
    root = tmp_path / "a.zarr"
    for series, rgb in enumerate((RGB, RGB[:64, :64])):
        by_ome_zarr(root / str(series), rgb)
    (root / ".zgroup").write_text('{"zarr_format": 2}')
    (root / ".zattrs").write_text('{"bioformats2raw.layout": 3}')
    assert np.array_equal(read(root), RGB)
    with closing(open_slide(root / "1")) as slide:
        assert (slide.name, slide.shape) == ("a-1", (64, 64))
    (root / "OME").mkdir()
    (root / "OME" / ".zattrs").write_text('{"series": ["1", "0"]}')
    assert read(root).shape == (64, 64, 3)


def test_labels_in_a_store_are_no_part_of_its_slide(tmp_path):
    path = by_ome_zarr(tmp_path / "a.zarr", RGB)
    before = files_of(path), open_slide(path).fingerprint(), stamp_of(path)
    by_hand(path / "labels" / "tumour", [RGB[..., 0]], "yx", extra={"image-label": {}})
    assert before == (files_of(path), open_slide(path).fingerprint(), stamp_of(path))
    assert "is an OME-Zarr of labels" in refusal(path / "labels" / "tumour")


# --- Colours, types and sizes -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "colours", "order"),
    [
        (("Red", "Green", "Blue"), ("FF0000", "00FF00", "0000FF"), (0, 1, 2)),
        (("blue", "green", "red"), ("FFFFFF",) * 3, (2, 1, 0)),
        (("Channel 0", "Channel 1", "Channel 2"), ("ff0000", "00ff00", "0000ff"), (0, 1, 2)),
        (("0", "1", "2"), ("808080",) * 3, (0, 1, 2)),
        (("DAPI", "FITC", "TRITC"), ("0000FF", "00FF00", "FF0000"), None),
        (("CD3", "CD8", "PanCK"), ("FF0000", "00FF00", "0000FF"), None),
        (("Channel 0", "Channel 1", "Channel 2"), ("0000FF", "00FF00", "FF0000"), None),
    ],
)
def test_three_channels_are_rgb_unless_they_are_called_otherwise(tmp_path, labels, colours, order):
    stored = planes(RGB) if order is None else planes(RGB)[list(np.argsort(order))]
    path = by_hand(tmp_path / "a.zarr", [stored], extra=omero(labels, colours))
    if order is None:
        assert f"3 separate channels ({labels[0].lower()}, " in refusal(path)
    else:
        assert np.array_equal(read(path), RGB)


@pytest.mark.parametrize(
    ("largest", "full"), [(None, 65535), (65535, 65535), (4095, 4095), (900, 65535)]
)
def test_16_bits_become_8_by_the_full_scale_of_the_window(tmp_path, largest, full):
    deep = np.round(planes(RGB) * (full / 255)).astype(np.uint16)
    extra = omero(("r", "g", "b"), ("",) * 3, largest)
    path = by_hand(tmp_path / "a.zarr", [deep], extra=extra)
    with closing(open_slide(path)) as slide:
        assert np.array_equal(pixels_of(slide), RGB)
        assert slide.notes == (f"16 bits per channel were made 8: {full} became 255",)
        assert slide.pixels


@pytest.mark.parametrize(
    ("axes", "shape", "dtype", "reason"),
    [
        ("yx", (64, 64), "uint8", "of a single channel in grey"),
        ("cyx", (1, 64, 64), "uint8", "of a single channel in grey"),
        ("cyx", (5, 64, 64), "uint8", "5 separate channels, as fluorescence"),
        ("cyx", (3, 64, 64), "float32", "of the type float32"),
        ("czyx", (3, 7, 64, 64), "uint8", "7 planes in depth (a z-stack)"),
        ("tcyx", (2, 3, 64, 64), "uint8", "2 points in time"),
    ],
)
def test_other_images_are_refused_with_their_kind(tmp_path, axes, shape, dtype, reason):
    path = by_hand(tmp_path / "a.zarr", [np.zeros(shape, dtype)], axes)
    assert reason in refusal(path)


@pytest.mark.parametrize(
    ("unit", "scale", "um"),
    [("nanometer", 250, 0.25), ("millimeter", 5e-4, 0.5), ("µm", 0.5, 0.5)],
)
def test_units_are_converted(tmp_path, unit, scale, um):
    path = by_hand(tmp_path / "a.zarr", [planes(RGB)], mpp=scale)

    def change(attributes):
        for axis in attributes["multiscales"][0]["axes"][1:]:
            axis["unit"] = unit

    with closing(open_slide(with_attributes(path, change))) as slide:
        assert slide.mpp == pytest.approx((um, um))
        assert slide.mpp_origin == "the scale in its OME-Zarr metadata"


def test_a_scale_of_the_whole_image_multiplies_those_of_its_levels(tmp_path):
    path = by_hand(tmp_path / "a.zarr", [planes(RGB)], mpp=1)
    moves = [{"type": "scale", "scale": [1, 0.25, 0.5]}]
    with_attributes(path, lambda a: a["multiscales"][0].update(coordinateTransformations=moves))
    with closing(open_slide(path)) as slide:
        assert slide.mpp == YX(0.25, 0.5)


def test_a_scale_without_a_unit_is_no_pixel_size(tmp_path):
    path = by_hand(tmp_path / "a.zarr", [planes(RGB)], mpp=0.25)

    def change(attributes):
        for axis in attributes["multiscales"][0]["axes"]:
            axis.pop("unit", None)

    with pytest.raises(PixelSizeError, match=r"0\.25 × 0\.25 without a unit\); give it .* --mpp"):
        open_slide(with_attributes(path, change))
    assert np.array_equal(read(path, 0.5), RGB)


def test_axes_of_early_versions_are_strings_or_none(tmp_path):
    path = by_hand(tmp_path / "a.zarr", [planes(RGB)[None, :, None]], "tczyx", mpp=None)
    with_attributes(path, lambda a: a["multiscales"][0].update(axes=list("tczyx"), version="0.3"))
    assert np.array_equal(read(path, 0.5), RGB)
    with_attributes(path, lambda a: a["multiscales"][0].pop("axes"))
    assert np.array_equal(read(path, 0.5), RGB)


def test_levels_that_are_not_the_first_one_made_smaller_are_left_out(tmp_path):
    levels = [planes(RGB), planes(RGB[::2, ::2]), planes(RGB[::4, ::4])]
    path = by_hand(tmp_path / "a.zarr", levels)
    move = {"type": "translation", "translation": [0, 0, 40]}

    def change(attributes):
        datasets = attributes["multiscales"][0]["datasets"]
        datasets[1]["coordinateTransformations"].append(move)

    with closing(open_slide(with_attributes(path, change))) as slide:
        assert slide.level_shapes == ((301, 437), (76, 110))
        assert slide.notes == ("level 1 was left out, as it is not the first one made smaller",)
        assert np.array_equal(pixels_of(slide, 1), RGB[::4, ::4])
    move["translation"] = [0, 0.25, 0.25]
    with closing(open_slide(with_attributes(path, change))) as slide:
        assert len(slide.level_shapes) == 2


# --- Stores that are no slide -------------------------------------------------------------------


def test_what_is_no_image_is_refused_with_what_helps(tmp_path):
    path = by_ome_zarr(tmp_path / "store.zarr" / "images" / "he", RGB)
    root = tmp_path / "store.zarr"
    (root / ".zgroup").write_text('{"zarr_format": 2}')
    assert np.array_equal(read(root), RGB)
    by_ome_zarr(tmp_path / "store.zarr" / "images" / "other", RGB)
    assert "2 images in it; give one of them: images/he, images/other" in refusal(root)
    (root / ".zattrs").write_text('{"plate": {}}')
    assert "a plate of wells, not a slide; give one of its fields, such as images/he" in refusal(
        root
    )
    array = by_hand(tmp_path / "b.zarr", [planes(RGB)]) / "0"
    assert "is a single array of a zarr store; give the folder of the image" in refusal(array)
    shutil.rmtree(path / "s0")
    assert "array s0 is missing" in refusal(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a["multiscales"].clear(),
        lambda a: a["multiscales"][0].update(datasets=[]),
        lambda a: a["multiscales"][0].update(datasets=[{"path": "../0"}]),
        lambda a: a["multiscales"][0].update(datasets=[{"path": 3}]),
        lambda a: a["multiscales"][0].update(axes=[{"name": "q"}]),
        lambda a: a["multiscales"][0].update(axes="cy"),
        lambda a: a.update(multiscales=7),
    ],
    ids=range(7),
)
def test_damaged_metadata_is_one_sentence(tmp_path, change):
    path = with_attributes(by_hand(tmp_path / "a.zarr", [planes(RGB)]), change)
    assert "is an OME-Zarr " in refusal(path)
    assert "\n" not in refusal(path)


def test_arrays_of_codecs_that_run_code_are_refused(tmp_path):
    path = by_hand(tmp_path / "a.zarr", [planes(RGB)])
    file = path / "0" / ".zarray"
    facts = json.loads(file.read_text())
    for change in (
        {"filters": [{"id": "pickle"}]},
        {"compressor": {"id": "pickle"}},
        {"dtype": "|O"},
    ):
        file.write_text(json.dumps(facts | change))
        assert "is an OME-Zarr that is not read" in refusal(path)


# --- Chunks -------------------------------------------------------------------------------------


def chunk_of(path, row, col):
    """Return the file of a chunk of the red channel."""
    return path / "0" / f"0.{row}.{col}"


def test_a_missing_chunk_has_the_fill_value(tmp_path):
    path = by_hand(tmp_path / "a.zarr", [planes(RGB)], fill_value=255, chunks=(1, 128, 128))
    for channel in range(3):
        (path / "0" / f"{channel}.1.1").unlink()
    expected = RGB.copy()
    expected[128:256, 128:256] = 255
    assert np.array_equal(read(path), expected)


@pytest.mark.parametrize("content", [b"", b"no chunk", bytes(300)])
def test_a_damaged_chunk_is_named_by_its_place_or_left_blank(tmp_path, content):
    path = by_hand(tmp_path / "a.zarr", [planes(RGB)], chunks=(1, 128, 128))
    chunk_of(path, 1, 2).write_bytes(content)
    with (
        closing(open_slide(path)) as slide,
        pytest.raises(DamagedTileError, match=r"near level-0 pixel \(y 128, x 256\)"),
    ):
        pixels_of(slide)
    with closing(open_slide(path, bad_tiles="blank")) as slide:
        lattice = Grid(slide.shape, YX(1, 1), YX(0, 0), slide.mpp)
        pixels = slide.read(lattice, Window(0, 0, *slide.shape))
        expected = RGB.copy()
        expected[128:256, 256:384] = 255
        assert np.array_equal(pixels, expected)
        assert slide.bad_tiles.tiles == [(0, 128, 256)]


def test_chunks_that_unpack_to_gigabytes_are_damaged(tmp_path):
    import numcodecs

    path = by_hand(tmp_path / "a.zarr", [planes(RGB)], chunks=(1, 128, 128),
                   compressors=numcodecs.Zstd())  # fmt: skip
    bomb = numcodecs.Zstd().encode(np.zeros(1 << 28, np.uint8))
    chunk_of(path, 0, 0).write_bytes(bomb)
    with closing(open_slide(path)) as slide:
        tracemalloc.start()
        with pytest.raises(DamagedTileError, match="unpacks to 268435456 bytes"):
            pixels_of(slide)
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
        tracemalloc.stop()


def test_chunks_of_absurd_size_are_refused_unread(tmp_path):
    path = by_hand(tmp_path / "a.zarr", [planes(RGB)])
    file = path / "0" / ".zarray"
    facts = json.loads(file.read_text())
    file.write_text(json.dumps(facts | {"shape": [3, 50000, 50000], "chunks": [3, 50000, 50000]}))
    assert "is too large" in refusal(path)
    file.write_text(json.dumps(facts | {"shape": [3, 1 << 22, 1 << 22]}))
    assert "pixels at level 0" in refusal(path)


def test_links_and_pipes_in_a_store_are_not_opened(tmp_path):
    path = by_hand(tmp_path / "a.zarr", [planes(RGB)], chunks=(1, 128, 128))
    chunk_of(path, 0, 0).unlink()
    chunk_of(path, 0, 0).symlink_to("/dev/zero")
    with (
        closing(open_slide(path)) as slide,
        pytest.raises(DamagedTileError, match="no regular file"),
    ):
        pixels_of(slide)


def test_each_chunk_is_decoded_once_by_several_threads(tmp_path, monkeypatch):
    path = by_hand(tmp_path / "a.zarr", [planes(RGB)], chunks=(3, 301, 437))
    calls = []
    real = zarr_level.ZarrLevel.read
    monkeypatch.setattr(
        zarr_level.ZarrLevel,
        "read",
        lambda self, window: calls.append(window) or real(self, window),
    )
    monkeypatch.setattr(zarr_level, "_LARGE_BYTES", 1000)
    with closing(open_slide(path)) as slide:
        results = {}

        def work(n):
            window = Window(0, 0, 256, 256) if n % 2 else Window(256, 256, 256, 256)
            results[n] = window, slide._file.read_tile(0, window)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert calls == [Window(0, 0, 301, 437)]
    for window, pixels in results.values():
        inside = window.common(Window(0, 0, *RGB.shape[:2]))
        assert np.array_equal(pixels, RGB[inside.slices])


def test_the_cache_of_chunks_is_bounded(tmp_path, monkeypatch):
    path = by_hand(tmp_path / "a.zarr", [planes(RGB)], chunks=(3, 64, 64))
    monkeypatch.setattr(zarr_level, "_CACHED_BYTES", 5 * 64 * 64 * 3)
    with closing(open_slide(path)) as slide:
        assert np.array_equal(pixels_of(slide), RGB)
        assert slide._file._cache._n_bytes <= 5 * 64 * 64 * 3
        assert (
            sum(c.nbytes for c in slide._file._cache._chunks.values())
            == slide._file._cache._n_bytes
        )


def test_streams_of_zstd_that_state_no_size_are_read(tmp_path):
    import numcodecs

    path = by_hand(tmp_path / "a.zarr", [planes(RGB)], chunks=(1, 128, 128),
                   compressors=numcodecs.Zstd())  # fmt: skip
    for file in (path / "0").glob("*.*.*"):
        data = numcodecs.Zstd().decode(file.read_bytes())
        # A frame of raw blocks without a size, as RFC 8878 has it.
        header = (len(data) << 3 | 1).to_bytes(3, "little")
        file.write_bytes(b"\x28\xb5\x2f\xfd\x00\x58" + header + bytes(data))
    assert np.array_equal(read(path), RGB)


# --- Identity and folders -----------------------------------------------------------------------


def test_a_changed_chunk_shows_in_fingerprint_and_stamp_and_a_new_place_does_not(tmp_path):
    path = by_hand(tmp_path / "a.zarr", [planes(RGB)], chunks=(1, 128, 128))
    before, stamp = open_slide(path).fingerprint(), stamp_of(path)
    copy = shutil.copytree(path, tmp_path / "b.zarr")
    assert open_slide(copy).fingerprint() == before
    zarr.open_array(path / "0", mode="r+")[2, 10, 10] ^= 7
    assert open_slide(path).fingerprint() != before
    assert stamp_of(path) != stamp


def test_the_fingerprint_of_many_chunks_reads_few(tmp_path, monkeypatch):
    from heatmaps_ome.slides import opened_slide, stamps

    monkeypatch.setattr(opened_slide, "_SAMPLED_CHUNKS", 4)
    monkeypatch.setattr(stamps, "_MOST_ENTRIES", 4)
    path = by_hand(tmp_path / "a.zarr", [planes(RGB)], chunks=(1, 64, 64))
    slide = open_slide(path)
    before, stamp = slide.fingerprint(), stamp_of(path)
    assert len(stamp) == 1
    assert open_slide(path).fingerprint() == before
    largest = max((path / "0").glob("0.*"), key=lambda file: file.stat().st_size)
    with largest.open("ab") as file:
        file.write(b"0")
    assert slide.fingerprint() != before
    assert stamp_of(path) != stamp


def test_stores_in_a_folder_are_slides(tmp_path):
    for name in ("b.ome.zarr", "a.zarr"):
        by_hand(tmp_path / name, [planes(RGB)])
    (tmp_path / "notes.txt").write_text("no slide")
    assert slides_named(tmp_path) == [tmp_path / "a.zarr", tmp_path / "b.ome.zarr"]
    assert slides_named(tmp_path / "a.zarr") == [tmp_path / "a.zarr"]
    assert slides_named(tmp_path / "*.zarr") == [tmp_path / "a.zarr", tmp_path / "b.ome.zarr"]


def test_an_odd_size_has_its_last_rows(tmp_path):
    rgb = speckled(129, 257)
    assert np.array_equal(read(by_hand(tmp_path / "a.zarr", [planes(rgb)])), rgb)
    assert Shape(*rgb.shape[:2]) == (129, 257)
    assert zarr_slides.UM == "micrometer"


# --- info ---------------------------------------------------------------------------------------


def info(capsys, path):
    status = cli.main(["info", str(path)])
    out, err = capsys.readouterr()
    return status, out, err


def test_info_describes_a_store_as_a_slide(tmp_path, capsys):
    path = by_hand(tmp_path / "a.zarr", [planes(RGB), planes(RGB[::2, ::2])])
    status, out, _ = info(capsys, path)
    assert status == 0
    assert re.search(r"reader +OME-Zarr\n", out)
    assert re.search(r"size +437 × 301 px\n", out)
    assert re.search(r"pixel size +0\.5 × 0\.5 µm \(the scale in its OME-Zarr metadata\)\n", out)
    assert re.search(r"level 1 +219 × 151 px, 1\.99. times smaller\n", out)
    by_hand(tmp_path / "b.zarr", [planes(RGB)], mpp=None)
    _, out, _ = info(capsys, tmp_path / "b.zarr")
    assert re.search(r"pixel size +not given: create needs --mpp\n", out)


def test_info_gives_the_reason_why_a_store_is_no_slide(tmp_path, capsys):
    path = by_hand(tmp_path / "a.zarr", [planes(RGB), planes(RGB[::2, ::2])])
    shutil.rmtree(path / "0")
    status, out, _ = info(capsys, path)
    assert status == 0
    assert re.search(r"as a slide +cannot be read: .*a\.zarr .*array 0 is missing\); copy it", out)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{}", "is a zarr folder without an OME-Zarr image; give"),
        ('{"multisc', "is an OME-Zarr with damaged metadata"),
    ],
)
def test_info_refuses_a_store_without_an_image_in_one_sentence(tmp_path, capsys, text, reason):
    path = by_hand(tmp_path / "a.zarr", [planes(RGB)])
    (path / ".zattrs").write_text(text)
    status, _, err = info(capsys, path)
    assert status == 1
    assert err.startswith(f"heatmaps-ome: {path} {reason}")
    assert err.count("\n") == 1
