"""The registry of formats: options, maps.json and the closing lines of a run go by it."""

import json
import subprocess
import sys
import types
from pathlib import Path

import pytest
from fakes import MPP, covering_grid
from viewer_results import CLASSES, write_results

from heatmaps_ome import exporters
from heatmaps_ome.cli import summary
from heatmaps_ome.exporters import REGISTRY, Format, ResultFile, endings_of, result_files
from heatmaps_ome.exporters.protocol import Settings
from heatmaps_ome.geometry import Shape
from heatmaps_ome.options import FORMATS, CreateOptions, with_usual_values
from heatmaps_ome.run.outcome import Outcome

SHAPE = Shape(300, 400)


def write(out, formats=("ome-zarr",), name="slide"):
    """Write the results of a small slide in these formats."""
    return write_results(
        out, SHAPE, MPP, covering_grid(SHAPE), name=name, formats=formats,
        settings=Settings(threads=1, flattened=True),
    )[0]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write(tmp_path_factory.mktemp("registry"), formats=tuple(REGISTRY))


def closing_lines(folder):
    outcome = Outcome("slide.svs", "done", folder=folder, prediction={CLASSES[0]: 0.5})
    return summary.of_run([outcome], folder.parent)


def test_options_offer_the_formats_of_the_registry():
    assert (*FORMATS, "figures") == tuple(REGISTRY)
    options = CreateOptions(model_path=Path("m.pkl"), output_path=Path("out"))
    assert with_usual_values(options).formats == FORMATS


@pytest.mark.parametrize("name", [name for name in REGISTRY if REGISTRY[name].files])
def test_every_file_of_a_row_is_left_listed_and_explained(folder, name):
    said = json.loads((folder / "maps.json").read_text())
    lines = closing_lines(folder)
    for file in REGISTRY[name].files:
        assert any(path.name.endswith(file.ending) for path in folder.rglob("*")), file
        assert f"  *{file.ending:17} {file.opened_with}\n" in lines
        if file.key is not None:
            assert said[file.key] == f"slide{file.ending}"


def test_files_of_formats_that_were_not_asked_for_are_listed_as_none(tmp_path):
    said = json.loads((write(tmp_path, ("cells",)) / "maps.json").read_text())
    for file in result_files():
        if file.key is not None:
            there = file.ending in (*endings_of("cells"), exporters.VALUES.ending)
            assert (said[file.key] is not None) == there, file


def test_no_ending_or_key_is_given_twice():
    files = list(result_files())
    assert len({file.ending for file in files}) == len(files)
    keys = [file.key for file in files if file.key is not None]
    assert len(set(keys)) == len(keys)


class ClassesExporter:
    """Writes the classes, one a line, as CONTRIBUTING's recipe has it."""

    def __init__(self, settings):
        self.settings = settings

    def refusal(self):
        return None

    def write(self, result, folder):
        [ending] = endings_of("classes")
        path = folder / f"{result.slide.name}{ending}"
        path.write_text("\n".join(result.heatmaps.classes))
        return [path]


def test_a_format_is_a_module_and_a_row(tmp_path, monkeypatch):
    module = types.ModuleType("classes_format")
    module.ClassesExporter = ClassesExporter
    monkeypatch.setitem(sys.modules, "classes_format", module)
    row = Format(
        "classes_format:ClassesExporter", (ResultFile(".classes.txt", "an editor", "class_list"),)
    )
    monkeypatch.setitem(REGISTRY, "classes", row)
    folder = write(tmp_path, ("classes",))
    assert (folder / "slide.classes.txt").read_text().split("\n") == list(CLASSES)
    said = json.loads((folder / "maps.json").read_text())
    assert said["class_list"] == "slide.classes.txt"
    assert "  *.classes.txt      an editor\n" in closing_lines(folder)


def test_the_registry_is_read_without_the_libraries_that_write():
    code = (
        "import sys, heatmaps_ome.options; "
        "print(sorted({'numpy', 'torch', 'zarr', 'pyvips', 'openslide'} & set(sys.modules)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True,
        cwd=Path(exporters.__file__).parents[2],
    )  # fmt: skip
    assert found.stdout.strip() == "[]"
