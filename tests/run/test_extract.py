"""`heatmaps-ome extract`: whole runs, read back with h5py and OpenSlide alone."""

import errno
import shutil

import h5py
import numpy as np
import openslide
import pytest
from fake_extractors import load_mean_colour, seeded_trunk
from slide_files import speckled, write_slide

import heatmaps_ome
from heatmaps_ome import extractors
from heatmaps_ome.cli import main as cli
from heatmaps_ome.errors import OptionError
from heatmaps_ome.features.trident_file import TridentFile
from heatmaps_ome.options import ExtractOptions
from heatmaps_ome.storage.private import private_path

TRIDENT = {
    "name", "patch_size", "patch_size_level0", "level0_magnification", "target_magnification",
    "overlap", "level0_width", "level0_height",
}  # fmt: skip
"""The attributes of TRIDENT's coords but for the private path."""
GLASS = np.full((500, 700, 3), 243, np.uint8)


@pytest.fixture
def world(tmp_path, monkeypatch):
    """A folder with a slide, and the means to run extract there."""
    for name in ("mean_colour", "own_cell", "seeded"):
        monkeypatch.setitem(
            extractors.REGISTRY, name.replace("_", "-"), f"fake_extractors:load_{name}"
        )
    load_mean_colour.tiles = 0
    write_slide(tmp_path / "a.svs", speckled(500, 700))

    class World:
        path, out = tmp_path, tmp_path / "out"

        def run(self, *words, slides=("a.svs",)):
            files = [str(tmp_path / name) for name in slides]
            standard = ["-o", str(self.out), "--extractor", "mean-colour", "--device", "cpu"]
            return cli.main(["extract", *files, *standard, *words])

        def write(self, name, rgb, mpp=0.5):
            return write_slide(tmp_path / name, rgb, mpp)

        def read(self, name="a"):
            with h5py.File(self.out / f"{name}.h5") as file:
                assert set(file) == {"features", "coords"}
                coords, features = file["coords"], file["features"]
                return features[:], coords[:], dict(coords.attrs), dict(features.attrs)

    return World()


def region(path, x, y, side):
    """Return (side, side, 3) uint8 of a slide's level 0 as OpenSlide reads it, white beyond."""
    with openslide.OpenSlide(path) as slide:
        pixels = np.array(slide.read_region((x, y), 0, (side, side)))
    pixels[pixels[..., 3] == 0] = 255
    return pixels[..., :3]


def shares(rgb, side, stride):
    """Return the share of dark 32-px cells in each tile that begins on a slide."""
    rows, cols = rgb.shape[:2]
    luma = rgb.astype(float) @ (0.299, 0.587, 0.114)
    dark = np.zeros((rows + side + 32, cols + side + 32))
    for row in range(0, rows, 32):
        for col in range(0, cols, 32):
            if luma[row : row + 32, col : col + 32].mean() < 224:
                dark[row : row + 32, col : col + 32] = 1
    return {
        (x, y): dark[y : y + side, x : x + side].mean()
        for y in range(0, rows, stride) for x in range(0, cols, stride)
    }  # fmt: skip


@pytest.mark.parametrize(("side", "stride"), [(96, 96), (64, 48), (224, 32)])
def test_places_and_values_are_those_of_openslides_pixels(world, side, stride):
    words = ("--extractor", "seeded", "--target-mpp", "0.5", "--tile-px", side)
    assert world.run(*map(str, words), "--overlap", str(side - stride)) == 0
    features, coords, facts, about = world.read()
    expected = shares(speckled(500, 700), side, stride)
    assert sorted(map(tuple, coords.tolist())) == sorted(
        place for place, share in expected.items() if share >= 0.5
    )
    tiles = np.stack([region(world.path / "a.svs", x, y, side) for x, y in coords])
    own = seeded_trunk().tiles(tiles)
    np.testing.assert_allclose(features, own, rtol=0, atol=1e-5 * np.abs(own).max())
    assert coords.dtype == np.int64
    assert features.dtype == np.float32
    assert facts["patch_size"] == facts["patch_size_level0"] == side
    assert facts["overlap"] == side - stride
    assert (facts["level0_magnification"], facts["target_magnification"]) == (20, 20)
    assert (facts["level0_width"], facts["level0_height"]) == (700, 500)
    assert about["encoder"] == "seeded"
    assert facts["name"] == about["name"] == "a"


@pytest.mark.parametrize("mpp", [0.499, 0.2628, 1.3])
def test_the_usual_tiles_are_256_um_wherever_they_end(world, mpp):
    world.write("b.svs", speckled(2100, 2500), mpp)
    assert world.run("--extractor", "own-cell", slides=["b.svs"]) == 0
    features, coords, facts, _ = world.read("b")
    side = 256 / mpp
    assert facts["patch_size"] == 224
    assert facts["patch_size_level0"] == round(side)
    np.testing.assert_allclose(facts["heatmaps_ome_side_level0_xy"], side, rtol=1e-12)
    ratio = facts["level0_magnification"] / facts["target_magnification"]
    assert facts["patch_size"] * ratio == pytest.approx(side)
    k = np.rint(coords / side)
    np.testing.assert_array_equal(coords, np.floor(k * side + 0.5))
    beyond = (k[:, 0] + 1) * side > 2500.5
    beyond |= (k[:, 1] + 1) * side > 2100.5
    assert facts["heatmaps_ome_tiles_beyond_slide"] == beyond.sum()
    own = [region(world.path / "b.svs", x, y, round(side)).mean((0, 1)) / 255 for x, y in coords]
    np.testing.assert_allclose(features, own, atol=0.004)
    assert np.ptp(features, axis=0).max() > 0.008


def test_a_slide_without_tissue_gives_a_file_without_rows(world, capsys):
    world.write("glass.svs", GLASS)
    assert world.run(slides=["glass.svs"]) == 0
    features, coords, facts, _ = world.read("glass")
    assert (features.shape, coords.shape) == ((0, 3), (0, 2))
    assert facts.keys() >= TRIDENT
    out, err = capsys.readouterr()
    assert "glass.svs: done (no tissue found, so no tiles)" in out
    assert "no tissue" in err


def test_a_slide_smaller_than_a_tile_has_one_tile(world, capsys):
    world.write("small.svs", speckled(150, 200))
    assert world.run(slides=["small.svs"]) == 0
    features, coords, _, _ = world.read("small")
    assert coords.tolist() == [[0, 0]]
    assert features.shape == (1, 3)
    assert "1 tile, 1 of them padded with white" in capsys.readouterr().out


def test_a_finished_slide_is_left_as_it_is(world, capsys):
    assert world.run("--tile-um", "64") == 0
    before, n_tiles = (world.out / "a.h5").stat(), load_mean_colour.tiles
    world.write("b.svs", speckled(500, 700, seed=1))
    capsys.readouterr()
    assert world.run("--tile-um", "64", slides=["a.svs", "b.svs"]) == 0
    out = capsys.readouterr().out
    assert f"a.svs: unchanged ({len(world.read()[0])} tiles" in out
    assert "b.svs: done" in out
    assert (world.out / "a.h5").stat() == before
    assert load_mean_colour.tiles == n_tiles + len(world.read("b")[0])


@pytest.mark.parametrize(
    "words",
    [
        ["--tile-um", "128"], ["--overlap", "32"], ["--feature-type", "float16"],
        ["--mask-threshold", "100"], ["--mpp", "0.4"], ["--extractor", "seeded"],
        ["--target-mpp", "1"], ["--read-from", "level0"],
    ],
)  # fmt: skip
def test_features_of_other_options_are_replaced_only_if_asked(world, capsys, words):
    assert world.run() == 0
    before = (world.out / "a.h5").read_bytes()
    assert world.run(*words) == 1
    assert "add --overwrite to replace it" in capsys.readouterr().err
    assert (world.out / "a.h5").read_bytes() == before
    assert world.run(*words, "--overwrite") == 0
    assert (world.out / "a.h5").read_bytes() != before
    assert world.run(*words) == 0
    assert "unchanged" in capsys.readouterr().out


def test_resources_change_no_request(world, capsys):
    assert world.run() == 0
    assert world.run("--threads", "1", "--max-memory", "4", "--verbose") == 0
    assert "a.svs: unchanged" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["text", "h5", "folder", "cut"])
def test_a_file_of_anyone_else_is_never_replaced(world, capsys, kind):
    world.out.mkdir()
    path = world.out / "a.h5"
    if kind == "text":
        path.write_text("mine")
    elif kind == "folder":
        path.mkdir()
    elif kind == "h5":
        with h5py.File(path, "w") as file:
            file["coords"] = np.zeros((3, 2))
    else:
        assert world.run() == 0
        path.write_bytes(path.read_bytes()[:1000])
    before = path.read_bytes() if path.is_file() else None
    assert world.run("--overwrite") == 1
    assert "is no file of heatmaps-ome extract" in capsys.readouterr().err
    assert (path.read_bytes() if path.is_file() else None) == before


def test_a_file_is_whole_or_absent(world, monkeypatch, capsys):
    from fake_extractors import MeanColourTiles

    def broken(self, pixels):
        raise RuntimeError("the device is gone")

    monkeypatch.setattr(MeanColourTiles, "tiles", broken)
    assert world.run() == 1
    assert "a.svs: RuntimeError: the device is gone" in capsys.readouterr().err
    assert list(world.out.iterdir()) == []


def test_a_full_disk_is_a_sentence_and_leaves_nothing(world, monkeypatch, capsys):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(TridentFile, "finish", full)
    assert world.run() == 1
    assert f"{world.out / 'a.h5'} cannot be written: no space is left" in capsys.readouterr().err
    assert list(world.out.iterdir()) == []


def test_what_a_killed_run_left_is_removed(world):
    world.out.mkdir()
    name = private_path(world.out / "a.h5").name
    host, pid, begun = name.split(".")[-3].rsplit("_", 2)
    dead = world.out / name.replace(f"{host}_{pid}_{begun}", f"{host}_{2**22 - 1}_{begun}")
    dead.write_bytes(b"half of it")
    assert world.run() == 0
    assert [path.name for path in world.out.iterdir()] == ["a.h5"]


def test_features_that_are_no_numbers_are_no_file(world, monkeypatch, capsys):
    from fake_extractors import MeanColourTiles

    monkeypatch.setattr(
        MeanColourTiles, "tiles", lambda self, pixels: np.full((len(pixels), 3), np.nan, np.float32)
    )
    assert world.run() == 1
    assert "features that are no numbers" in capsys.readouterr().err
    assert list(world.out.iterdir()) == []


def test_one_bad_slide_never_sinks_the_others(world, capsys):
    data = (world.path / "a.svs").read_bytes()
    (world.path / "cut.svs").write_bytes(data[: len(data) // 3])
    (world.path / "text.svs").write_text("no slide")
    slides = ["cut.svs", "text.svs", "missing.svs", "a.svs"]
    assert world.run(slides=slides) == 1
    out, err = capsys.readouterr()
    for name in slides[:3]:
        assert f"{name}: failed" in out
        assert name in err
    assert "a.svs: done" in out
    assert [path.name for path in world.out.iterdir()] == ["a.h5"]


def test_slides_of_one_name_do_not_share_a_file(world, capsys):
    (world.path / "other").mkdir()
    write_slide(world.path / "other" / "a.svs", speckled(500, 700, seed=2))
    assert world.run(slides=["a.svs", "other/a.svs"]) == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert printed.count("another slide of this run is called a too") == 2
    table = world.path / "cohort.csv"
    table.write_text("slide,name,mpp\na.svs,one,\nother/a.svs,two,0.25\n")
    assert world.run("--slides", str(table), slides=[]) == 0
    assert world.read("two")[2]["patch_size_level0"] == 1024
    assert world.read("one")[2]["patch_size_level0"] == 512


def test_no_private_path_and_no_nonsense_is_in_the_file(world):
    assert world.run() == 0
    _, _, facts, about = world.read()
    assert facts.keys() >= TRIDENT
    assert {*facts, *about} - TRIDENT - {"encoder"} == {
        name for name in {*facts, *about} if name.startswith("heatmaps_ome_")
    }
    assert str(world.path).encode() not in (world.out / "a.h5").read_bytes()


def test_half_precision_is_the_same_but_rounded(world):
    assert world.run() == 0
    features = world.read()[0]
    assert world.run("--feature-type", "float16", "--overwrite") == 0
    halved = world.read()[0]
    assert halved.dtype == np.float16
    np.testing.assert_array_equal(halved, features.astype(np.float16))


def test_python_has_the_same(world):
    steps = []
    done = heatmaps_ome.extract(
        [world.path / "a.svs", world.path / "missing.svs"], world.out, extractor="mean-colour",
        device="cpu", progress=lambda *step: steps.append(step),
    )  # fmt: skip
    assert done.files == {"a": world.out / "a.h5"}
    assert list(done.failed) == ["missing.svs"]
    n_tiles = len(world.read()[0])
    assert steps[-1] == ("a", "features", n_tiles, n_tiles)
    with pytest.raises(OptionError, match="extract has no option 'tile_pix'; did you mean tile_px"):
        heatmaps_ome.extract(world.path / "a.svs", world.out, tile_pix=3)
    with pytest.raises(OptionError, match="--overlap is 224"):
        heatmaps_ome.extract(world.path / "a.svs", world.out, overlap=224)


@pytest.mark.parametrize(
    ("given", "side", "mpp", "stride"),
    [
        ({}, 224, 256 / 224, 224),
        ({"tile_um": 112}, 224, 0.5, 224),
        ({"tile_px": 256}, 256, 256 / 224, 256),
        ({"tile_um": 256, "tile_px": 256}, 256, 1, 256),
        ({"tile_um": 112, "target_mpp": 0.5}, 224, 0.5, 224),
        ({"tile_px": 512, "target_mpp": 0.5, "overlap": 128}, 512, 0.5, 384),
        ({"tile_um": 112, "stride_um": 28.1}, 224, 0.5, 56.2),
        ({"stride_um": 512}, 224, 256 / 224, 448),
        ({"tile_um": 256, "tile_px": 224, "target_mpp": 1.143}, 224, 256 / 224, 224),
    ],
)
def test_two_sizes_settle_the_third(given, side, mpp, stride):
    sizes = ExtractOptions(output_path="o", **given).asked_tiles
    assert sizes.side_px == side
    assert sizes.network_mpp == pytest.approx(mpp)
    assert sizes.stride_px == pytest.approx(stride)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--tile-um", "256", "--tile-px", "256", "--target-mpp", "0.5"], "is 512 network pixels"),
        (["--tile-um", "100", "--target-mpp", "0.3"], "is 333.333 network pixels"),
        (["--tile-um", "9999", "--target-mpp", "1"], "give a side of 32 to 4096"),
        (["--tile-um", "100000"], "give a side for which it is from 0.05 to 20"),
        (["--overlap", "300"], "give less than 224"),
        (["--overlap", "3", "--stride-um", "99"], "--overlap contradicts --stride-um"),
        (["--stride-um", "1"], "less than a network pixel"),
        (["--tile-px", "250"], "give 224 or 256"),
        (["--device", "gpu"], "--device"),
    ],
)
def test_sizes_at_odds_are_refused_before_any_work(world, capsys, words, sentence):
    assert world.run(*words) in (1, 2)
    assert sentence in capsys.readouterr().err
    assert not world.out.exists()


def test_gaps_between_tiles_are_noted(world, capsys):
    assert world.run("--stride-um", "300") == 0
    assert "--stride-um leaves gaps of 44 µm between tiles" in capsys.readouterr().err
    assert world.read()[2]["overlap"] < 0


def test_a_renamed_slide_keeps_its_features(world, capsys):
    assert world.run() == 0
    shutil.move(world.path / "a.svs", world.path / "moved.svs")
    (world.path / "names.csv").write_text("slide,name\nmoved.svs,a\n")
    assert world.run("--slides", str(world.path / "names.csv"), slides=[]) == 0
    assert "moved.svs: unchanged" in capsys.readouterr().out
