"""The script that compares folders of results finds every difference of pixels, and no other."""

import shutil
import subprocess
import sys
from pathlib import Path

import compare_results
import numpy as np
import pytest
import zarr
from fakes import covering_grid
from viewer_results import write_results

from heatmaps_ome.geometry import YX, Shape

SCRIPT = Path(__file__).parents[2] / "scripts" / "compare_results.py"
SLIDE = Shape(400, 500)


@pytest.fixture
def compared(monkeypatch, capsys):
    """A function that returns the script's exit code and the lines that it prints."""

    def run(before, after):
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), str(before), str(after)])
        code = compare_results.main()
        printed = capsys.readouterr()
        assert not printed.err
        return code, printed.out.splitlines()

    return run


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    out = tmp_path_factory.mktemp("compare")
    write_results(out, SLIDE, YX(0.5, 0.5), covering_grid(SLIDE))
    return out


@pytest.fixture
def copy(results, tmp_path):
    shutil.copytree(results, tmp_path / "copy")
    return tmp_path / "copy"


def changed(path, place):
    array = zarr.open_array(path, mode="r+")
    array[place] = np.nan_to_num(array[place]) + 1


def test_equal_results_are_equal(compared, results, copy):
    code, lines = compared(results, copy)
    assert code == 0
    assert lines[-1].endswith("are equal")
    assert all(f" {what}" in lines[-1] for what in ("raw maps", "labels and images", "TIFFs"))


def test_a_raw_value_a_label_and_the_image_are_compared(compared, results, copy):
    folder = copy / "slide"
    changed(folder / "slide.values.ome.zarr" / "0", (2, 3, 4))
    changed(folder / "slide.ome.zarr" / "labels" / "attention" / "0", (5, 6))
    changed(folder / "slide.ome.zarr" / "0", (1, 7, 8))
    code, lines = compared(results, copy)
    assert code == 1
    found = [line.split("/slide/")[1] for line in lines if line.startswith("differs")]
    assert found == [
        "slide.values.ome.zarr/score-nonMSIH",
        "slide.ome.zarr/0",
        "slide.ome.zarr/labels/attention/0",
    ]


def test_an_overlay_is_compared_and_what_is_missing_is_told(compared, results, copy):
    folder = copy / "slide"
    overlays = [folder / f"slide.{name}.ome.tiff" for name in ("attention", "score-MSIH")]
    shutil.copyfile(overlays[0], overlays[1])
    shutil.rmtree(folder / "slide.ome.zarr" / "labels" / "tissue")
    code, lines = compared(results, copy)
    assert code == 1
    assert any("differs" in line and "slide.score-MSIH.ome.tiff/level 0" in line for line in lines)
    assert any("missing" in line and "labels/tissue/0" in line for line in lines)


def test_more_maps_than_before_are_no_fault(compared, results, copy):
    shutil.rmtree(copy / "slide" / "slide.ome.zarr" / "labels" / "tissue")
    code, lines = compared(copy, results)
    assert code == 0
    assert any(line.startswith("new: ") for line in lines)


def test_nothing_to_compare_is_a_fault_of_the_script_too(tmp_path):
    done = subprocess.run([sys.executable, SCRIPT, tmp_path, tmp_path], check=False)
    assert done.returncode == 1
