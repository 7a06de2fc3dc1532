"""The fiducial self-test: marks lie on landmarks, and the errors it announces are right."""

import json
import re
from types import SimpleNamespace

import numpy as np
import openslide
import pytest
import tifffile
import zarr
from fakes import FakeSlide
from independent_readers import label, overlay_by_tifffile, raw_values, slide_image
from made_once import fiducials_run

from heatmaps_ome.cli import main as cli
from heatmaps_ome.demo.fiducials import make_fiducials
from heatmaps_ome.demo.landmarks import GRID, LANDMARKS, MPP, SHAPE
from heatmaps_ome.errors import OutputError
from heatmaps_ome.features.dense import feature_grid
from heatmaps_ome.geometry import YX
from heatmaps_ome.options import DemoOptions


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """What the command says, and where its results are."""
    return fiducials_run(tmp_path_factory)


def middle_of_black(pixels, y, x, reach=92):
    """Return the middle (y, x) of the black pixels around a place, in pixels from the corner."""
    top, left = max(0, int(y) - reach), max(0, int(x) - reach)
    window = pixels[top : int(y) + reach, left : int(x) + reach]
    rows, cols = np.nonzero(window.max(axis=2) < 60)
    return (rows.min() + rows.max() + 1) / 2 + top, (cols.min() + cols.max() + 1) / 2 + left


def inner():
    """Return the landmarks that no border cuts."""
    return [
        each for each in LANDMARKS
        if all(92 < place < size - 92 for place, size in zip(each.l0_centre, SHAPE, strict=True))
    ]  # fmt: skip


def test_landmarks_are_where_they_are_said_to_be(made):
    with openslide.OpenSlide(made[1] / "fiducials.svs") as slide:
        assert slide.dimensions == (SHAPE.cols, SHAPE.rows)
        assert float(slide.properties["openslide.mpp-x"]) == MPP
        pixels = np.asarray(slide.read_region((0, 0), 0, slide.dimensions))[..., :3]
    assert len(inner()) == 7
    for landmark in inner():
        found = middle_of_black(pixels, *landmark.l0_centre)
        assert found == pytest.approx(tuple(landmark.l0_centre), abs=0.5)


def test_the_grid_is_that_of_a_real_run():
    """Cells of a whole number of pixels would hide what is rounded to whole pixels."""
    slide = FakeSlide(np.broadcast_to(np.uint8(0), (*SHAPE, 3)), YX(MPP, MPP))
    network = SimpleNamespace(stride_px=32, centre_px=0.5)
    assert feature_grid(slide, network, 0.5) == GRID
    assert GRID.l0_cell.x == pytest.approx(73.29, abs=0.01)
    assert GRID.l0_origin.x < 0


READERS = {"raw": raw_values, "label": label, "overlay": overlay_by_tifffile}


@pytest.mark.parametrize("name", READERS)
def test_marks_lie_in_the_middle_of_landmarks_and_nowhere_else(name, made):
    """To 1 µm: labels and overlays are drawn on whole pixels of the slide, raw values are not."""
    reading = READERS[name](made[1] / "fiducials", "attention")[0]
    rows, cols = np.nonzero(reading.values > 0.5)
    um_marks = np.stack([reading.um_y[rows], reading.um_x[cols]], axis=1)
    um_landmarks = np.array([each.l0_centre for each in LANDMARKS]) * MPP
    apart = np.abs(um_marks[:, None] - um_landmarks[None]).max(axis=2)
    owner = apart.argmin(axis=1)
    assert apart.min(axis=1).max() < 10
    for number, landmark in enumerate(LANDMARKS):
        off = um_marks[owner == number].mean(axis=0) - um_landmarks[number]
        assert np.abs(off).max() < (1e-6 if name == "raw" else 1)
        assert off[::-1] == pytest.approx(announced(made, landmark)[name], abs=0.006)


def test_the_slides_image_in_the_ome_zarr_shows_landmarks_in_the_same_place(made):
    image = slide_image(made[1] / "fiducials", 0)[0]
    pixels = np.repeat(image.values[..., None], 3, axis=2)
    step = image.um_y[1] - image.um_y[0]
    for landmark in inner():
        um = [place * MPP for place in landmark.l0_centre]
        found = middle_of_black(pixels, *(place / step for place in um))
        assert [place * step for place in found] == pytest.approx(um, abs=step / 2)


def numbers(line):
    return [float(number) for number in re.findall(r"[+-]?\d+(?:\.\d+)?", line)]


def announced(made, landmark):
    """Return a landmark's line of the table: places, and the error of each convention."""
    (line,) = (each for each in made[0].splitlines() if each.startswith(landmark.name + " "))
    found = numbers(line)
    names = ("px", "um", "overlay", "cropped", "label", "centred")
    pairs = dict(zip(names, np.reshape(found, (-1, 2)).tolist(), strict=True))
    return pairs | {"raw": [0, 0]}


def test_the_table_says_where_landmarks_are_and_what_each_convention_shifts(made):
    shift = np.array(expected_of_centred_viewers(made[1] / "fiducials"))
    for landmark in LANDMARKS:
        y, x = landmark.l0_centre
        told = announced(made, landmark)
        assert told["px"] == pytest.approx([x, y], abs=0.051)
        assert told["um"] == pytest.approx([x * MPP, y * MPP], abs=0.051)
        assert told["cropped"] == told["overlay"], "this slide is all bounds"
        assert told["centred"] == pytest.approx(told["label"] + shift, abs=0.011)
        errors = [told[each] for each in ("overlay", "cropped", "label", "centred")]
        assert np.abs(errors).max() <= 1, landmark.name


def expected_of_centred_viewers(folder):
    """Return by how much a label leads its image if both put the first centre at the origin."""
    group = zarr.open_group(folder / "fiducials.ome.zarr", mode="r")
    sizes = [
        each.attrs["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]["scale"][-2:]
        for each in (
            group,
            zarr.open_group(folder / "fiducials.ome.zarr/labels/attention", mode="r"),
        )
    ]
    return [(image - label_) / 2 for image, label_ in zip(*sizes, strict=True)]


def test_the_results_are_known_as_results(made, capsys):
    assert cli.main(["info", str(made[1] / "fiducials")]) == 0
    assert "extractor   fiducials" in capsys.readouterr().out
    record = json.loads((made[1] / "fiducials" / "provenance.json").read_text())
    assert record["slide"]["name"] == "fiducials.svs"
    with tifffile.TiffFile(made[1] / "fiducials" / "fiducials.score-landmark.ome.tiff") as file:
        assert file.is_ome


def test_asking_again_changes_nothing_and_other_results_are_kept(made, tmp_path):
    said, output = made
    path = output / "fiducials" / "provenance.json"
    before = path.stat().st_mtime_ns
    assert make_fiducials(DemoOptions(output_path=output, fiducials=True)) == said
    assert path.stat().st_mtime_ns == before
    (tmp_path / "fiducials").mkdir()
    (tmp_path / "fiducials" / "provenance.json").write_text("{}")
    with pytest.raises(OutputError, match="--overwrite"):
        make_fiducials(DemoOptions(output_path=tmp_path, fiducials=True))


def test_the_command_line_prints_the_table(made, capsys):
    assert cli.main(["demo", "--fiducials", "--output-path", str(made[1])]) == 0
    assert capsys.readouterr().out == made[0]
