"""Runs of the profile archive: the cache keeps no pixels of slides that are done."""

import numpy as np
import pytest
from fake_extractors import CLASSES
from model_files import make_parts, write_export
from slide_files import speckled, write_slide

from heatmaps_ome import extractors
from heatmaps_ome.maps.store import read_values
from heatmaps_ome.options import CreateOptions, DrawOptions, MapsOptions
from heatmaps_ome.run import pipeline
from heatmaps_ome.run.fitting import fit
from heatmaps_ome.run.progress import silent
from heatmaps_ome.validate.result import validate


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with a slide and a model, and the options of runs there."""
    path = tmp_path_factory.mktemp("archives")
    write_slide(path / "a.svs", speckled(300, 420, 1))
    write_export(path / "export.pkl", parts=make_parts(n_inputs=3))

    def options(output, kind=CreateOptions, **changed):
        return kind(
            slides=(path / "a.svs",), model_path=path / "export.pkl",
            output_path=path / output, true_class=CLASSES[0], extractor="mean-colour",
            formats=("cells", "tiles"), top_tiles=1, **changed,
        )  # fmt: skip

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(extractors.REGISTRY, "mean-colour", "fake_extractors:load_mean_colour")
        yield options


def kept(output, *kinds):
    """Return the number of pieces of each kind in the cache of an output folder."""
    folders = [output / ".cache" / kind for kind in kinds]
    return [len(list(folder.iterdir())) if folder.is_dir() else 0 for folder in folders]


def statuses(outcomes):
    return {outcome.status for outcome in outcomes}


@pytest.fixture(scope="module")
def standard(world):
    options = world("standard")
    assert statuses(pipeline.create(options, silent)) == {"done"}
    return options.output_path


def test_the_cache_keeps_pixels_unless_it_is_told_otherwise(standard):
    assert kept(standard, "features", "pixels", "pictures") == [1, 1, 1]


@pytest.mark.parametrize(("keep", "between"), [("until-drawn", 1), ("never", 0)])
def test_an_archive_keeps_features_and_no_pixels(world, standard, keep, between):
    options = world(keep, MapsOptions, profile="archive", keep_pixels=keep)
    output = options.output_path
    assert statuses(pipeline.maps(options, silent)) == {"done"}
    assert kept(output, "features", "pixels") == [1, between]
    fit((output,), {})
    assert statuses(pipeline.draw(DrawOptions(output), silent)) == {"done"}
    assert kept(output, "features", "pixels", "pictures") == [1, 0, 0]
    one, two = (read_values(out / "a/a.values.ome.zarr") for out in (standard, output))
    np.testing.assert_array_equal(one.attention, two.attention)
    assert validate(output / "a").problems == ()
