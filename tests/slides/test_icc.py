"""``--icc apply``: colours by the slide's own profile, as libvips converts them."""

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np
import pytest
import pyvips
import tifffile
from model_files import make_parts, write_export
from PIL import ImageCms
from slide_files import speckled

from heatmaps_ome.cli import main as cli
from heatmaps_ome.errors import SlideError
from heatmaps_ome.extractors.tiny import CHANNELS
from heatmaps_ome.geometry import YX, Grid, Window
from heatmaps_ome.options import CreateOptions
from heatmaps_ome.run.pipeline import create
from heatmaps_ome.run.progress import silent
from heatmaps_ome.slides.opening import open_slide
from heatmaps_ome.slides.reader import source_of


def profile_of(name):
    """Return one of the profiles that libvips has: p3 is of RGB, cmyk is not."""
    return bytes(pyvips.Operation.call("profile_load", name))


def slide_with(path, profile, rgb=None):
    rgb = speckled(300, 420) if rgb is None else rgb
    tifffile.imwrite(
        path, rgb, photometric="rgb", tile=(256, 256), compression="deflate", metadata=None,
        description="Aperio Image Library v12\n420x300|AppMag = 20|MPP = 0.5", iccprofile=profile,
    )  # fmt: skip
    return path


def converted_by_vips(rgb, profile):
    image = pyvips.Image.new_from_array(rgb).copy(interpretation="srgb")
    image.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    return image.icc_transform("srgb", embedded=True, intent="relative").numpy()


def pixels_of(slide, window=None):
    lattice = Grid(slide.shape, YX(1, 1), YX(0, 0), slide.mpp)
    return slide.read(lattice, window or Window(0, 0, *slide.shape))


def test_pixels_are_those_of_another_converter(tmp_path):
    profile = profile_of("p3")
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (300, 420, 3)).astype(np.uint8)
    path = slide_with(tmp_path / "a.svs", profile, rgb)
    expected = converted_by_vips(rgb, profile).astype(int)
    assert np.abs(expected - rgb).max() > 20
    with closing(open_slide(path, icc="apply")) as slide:
        assert np.abs(pixels_of(slide) - expected).max() <= 1
    with closing(open_slide(path)) as slide:
        assert (pixels_of(slide) == rgb).all()


def test_white_stays_white_and_threads_agree(tmp_path):
    rgb = speckled(300, 420)
    rgb[:40] = 255
    path = slide_with(tmp_path / "a.svs", profile_of("p3"), rgb)
    with closing(open_slide(path, icc="apply")) as slide, ThreadPoolExecutor(4) as pool:
        whole = pixels_of(slide, Window(-10, -10, 330, 450))
        assert (whole[:50] == 255).all()
        assert (whole[-20:] == 255).all()
        windows = [
            Window(row, col, 30, 60) for row in range(0, 300, 30) for col in range(0, 420, 60)
        ]
        slide.forget()
        parts = pool.map(lambda window: pixels_of(slide, window), windows)
        for window, part in zip(windows, parts, strict=True):
            assert (part == whole[10:310, 10:430][window.slices]).all()


def test_the_profile_enters_the_keys_of_the_cache_where_it_is_used(tmp_path):
    profile = profile_of("p3")
    path = slide_with(tmp_path / "a.svs", profile)
    with closing(open_slide(path)) as plain, closing(open_slide(path, icc="apply")) as converted:
        assert plain.icc_profile == profile
        assert plain.fingerprint() == converted.fingerprint()
        assert source_of(plain) != source_of(converted)
        assert plain.decoding["icc"]["applied"] is False
        assert converted.decoding["icc"] == {**plain.decoding["icc"], "applied": True}
        assert "P3" in plain.decoding["icc"]["name"]


def test_a_slide_without_a_profile_is_as_it_is_with_a_warning(tmp_path):
    path = slide_with(tmp_path / "a.svs", None)
    with closing(open_slide(path, icc="apply")) as slide, closing(open_slide(path)) as plain:
        assert slide.warnings == (
            "a.svs has no ICC profile to apply: its colours are used as they are",
        )
        assert source_of(slide) == source_of(plain)
        assert plain.warnings == ()


@pytest.mark.parametrize(
    ("profile", "reason"),
    [
        (profile_of("p3")[:100], r"has a damaged ICC profile \("),
        (b"\0" * 3000, "has an ICC profile of the colour space"),
        (profile_of("cmyk"), "has an ICC profile of the colour space 'CMYK', not of RGB"),
        (ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes(), "'Lab', not of RGB"),
    ],
    ids=["cut", "zeros", "CMYK", "Lab"],
)
def test_a_profile_that_cannot_be_used_is_refused_only_where_it_is_asked_for(
    tmp_path, profile, reason
):
    path = slide_with(tmp_path / "a.svs", profile)
    with pytest.raises(SlideError, match=rf"a\.svs .*{reason}.*; leave out --icc apply$"):
        open_slide(path, icc="apply")
    with closing(open_slide(path)) as slide:
        assert (pixels_of(slide) == speckled(300, 420)).all()


def test_a_run_applies_it_records_it_and_takes_no_maps_made_without(tmp_path, capsys):
    slide = slide_with(tmp_path / "a.svs", profile_of("p3"))
    write_export(tmp_path / "m.pkl", parts=make_parts(n_inputs=CHANNELS))
    for icc in ("ignore", "apply"):
        options = CreateOptions(
            slides=(slide,), model_path=tmp_path / "m.pkl", true_class="MSIH", extractor="tiny",
            output_path=tmp_path / icc, formats=("ome-zarr",), cache_dir=tmp_path / "cache",
            icc=icc, reader="openslide",
        )  # fmt: skip
        assert [outcome.status for outcome in create(options, silent)] == ["done"]
        record = json.loads((tmp_path / icc / "a" / "provenance.json").read_text())
        assert record["options"]["icc"] == icc
        assert record["options"]["reader"] == "openslide"
        assert record["slide"]["reader"] == "OpenSlide"
        assert record["slide"]["icc"]["applied"] is (icc == "apply")
        assert record["slide"]["mpp_origin"] == "MPP of Aperio's ImageDescription"
    for kind in ("pixels", "features", "maps"):
        assert len(list((tmp_path / "cache" / kind).iterdir())) == 2
    capsys.readouterr()
    assert cli.main(["validate", str(tmp_path / "apply"), "--slide", str(slide)]) == 0, (
        capsys.readouterr()
    )


def test_info_names_it(tmp_path, capsys):
    profile = profile_of("p3")
    slide_with(tmp_path / "a.svs", profile)
    assert cli.main(["info", str(tmp_path / "a.svs")]) == 0
    lines = capsys.readouterr().out.splitlines()
    [line] = [line for line in lines if line.strip().startswith("ICC profile")]
    assert "P3" in line
    assert "kB" in line or f"{len(profile)} B" in line
