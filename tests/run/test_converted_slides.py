"""A slide in another format has the maps of the slide: OME-Zarr, DICOM, a plain picture."""

import json

import numpy as np
import pytest
import zarr
from converted_slides import as_dicom, as_ome_zarr, levels_of
from fake_extractors import CLASSES
from model_files import make_parts, write_export
from PIL import Image
from slide_files import speckled, write_slide

from heatmaps_ome import extractors
from heatmaps_ome.options import CreateOptions
from heatmaps_ome.run.pipeline import create
from heatmaps_ome.run.progress import silent
from heatmaps_ome.validate.result import validate


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """The folder with the results of one slide in five formats."""
    folder = tmp_path_factory.mktemp("converted")
    slide = write_slide(folder / "original.svs", speckled(500, 700))
    write_export(folder / "export.pkl", parts=make_parts(n_inputs=3))
    levels, _ = levels_of(slide)
    Image.fromarray(levels[0]).save(folder / "picture.png", dpi=(72, 72))
    slides = (
        slide,
        as_ome_zarr(slide, folder / "zarr-2.ome.zarr"),
        as_ome_zarr(slide, folder / "zarr-3.zarr", zarr_format=3),
        as_dicom(slide, folder / "dicom", container="S22-1 B4"),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(extractors.REGISTRY, "mean-colour", "fake_extractors:load_mean_colour")
        for some, changed in (
            (slides, {"formats": ("cells",)}),
            ((folder / "picture.png",), {"mpp": 0.5, "formats": ("ome-zarr", "cells", "tiles")}),
        ):
            outcomes = create(
                CreateOptions(
                    slides=some, model_path=folder / "export.pkl", output_path=folder / "out",
                    true_class=CLASSES[0], extractor="mean-colour", block_size=256, **changed,
                ),
                silent,
            )  # fmt: skip
            assert [outcome.status for outcome in outcomes] == ["done"] * len(some)
    return folder / "out"


def values_of(results, name):
    """Return the raw maps of a slide, and the place and size of a cell in µm."""
    store = zarr.open_group(results / name / f"{name}.values.ome.zarr", mode="r")
    [multiscale] = store.attrs["multiscales"]
    return np.asarray(store["0"]), multiscale["datasets"][0]["coordinateTransformations"]


@pytest.mark.parametrize("name", ["zarr-2", "zarr-3", "S22-1 B4", "picture"])
def test_a_converted_slide_has_the_same_maps_at_the_same_place(results, name):
    expected, place = values_of(results, "original")
    values, own_place = values_of(results, name)
    assert own_place == place
    assert values.shape == expected.shape
    assert np.array_equal(np.isnan(values), np.isnan(expected))
    for one, other in zip(values, expected, strict=True):
        tissue = ~np.isnan(other)
        assert np.allclose(one[tissue], other[tissue], atol=1e-3)
        if other[tissue].std() > 1e-6:
            assert np.corrcoef(one[tissue], other[tissue])[0, 1] >= 0.999


def test_the_records_have_the_source_of_the_pixel_size(results):
    sources = {
        name: json.loads((results / name / "provenance.json").read_text())["slide"]["mpp_source"]
        for name in ("original", "zarr-2", "S22-1 B4", "picture")
    }
    assert sources == {
        "original": "slide", "zarr-2": "slide", "S22-1 B4": "slide", "picture": "--mpp",
    }  # fmt: skip


def test_all_files_of_a_picture_are_valid(results):
    assert validate(results / "picture").problems == ()
