"""Real results for QuPath's scripts, and those scripts run on them by groovy with stand-ins."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import bioformats
import numpy as np
import pytest
from fakes import FakeSlide, covering_grid, display_map, heatmap_set

from heatmaps_ome.exporters.cells import CellsExporter
from heatmaps_ome.exporters.manifest import MANIFEST, manifest
from heatmaps_ome.exporters.protocol import SlideResult
from heatmaps_ome.exporters.regions import RegionsExporter
from heatmaps_ome.exporters.tiff import TiffExporter
from heatmaps_ome.geometry import YX, Shape, Window, raster_pixels
from heatmaps_ome.maps.heatmap_set import class_keys
from heatmaps_ome.maps.regions import find_regions
from heatmaps_ome.storage.digests import write_json
from heatmaps_ome.viewers.qupath_project import write_scripts

SHAPE = Shape(7001, 9003)
# No multiple of any pixel's size, to either side.
BOUNDS = Window(371, 733, 5005, 6011)
CELL, ORIGIN = YX(73.142857, 73.142857), YX(-35.428571, -35.428571)

needed = [
    *bioformats.needed,
    pytest.mark.skipif(
        shutil.which("groovy") is None, reason="needs groovy: run scripts/install-viewers"
    ),
]
"""Marks of tests that run scripts for QuPath."""


def write_results(
    folder: Path, name: str, classes: tuple[str, ...], mpp: YX, n_scores: int = 1
) -> SlideResult:
    """Write all that the scripts read: overlays, values, cells and maps.json of a large slide.

    Parameters
    ----------
    n_scores : int
        Of so many classes there is a map of the score.
    """
    slide = FakeSlide(np.zeros((1, 1, 3), np.uint8), mpp, name)
    slide.shape, slide.bounds = SHAPE, BOUNDS
    grid = covering_grid(SHAPE, CELL, ORIGIN, mpp)
    scores = (
        display_map(f"score-{key}", grid, seed=1, class_name=class_name)
        for key, class_name in zip(class_keys(classes), classes[:n_scores], strict=False)
    )
    maps = (
        display_map("attention", grid, opacity=128),
        *(replace(score, fades=True, alpha=0.7, lower=0.25) for score in scores),
        replace(
            display_map("winner", grid, np.arange(grid.shape.cols)[None] % 3 * np.ones(grid.shape)),
            categories=("a", "b"),
        ),
        display_map("tissue", grid, seed=2),
    )
    heatmaps = heatmap_set(grid, SHAPE, classes, seed=3, slide_name=name)
    heatmaps = replace(heatmaps, artefacts=heatmaps.tissue.astype(np.uint8))
    result = SlideResult(
        slide, heatmaps, maps, classes[0], grid, raster_pixels(SHAPE, mpp, CELL),
        regions=find_regions(heatmaps, classes[0]),
    )  # fmt: skip
    folder.mkdir(parents=True)
    TiffExporter().write(result, folder)
    CellsExporter().write(result, folder)
    RegionsExporter().write(result, folder)
    write_json(folder / MANIFEST, manifest(result, folder))
    return result


def run_cases(cases: list[dict], folder: Path) -> list[dict]:
    """Run each case's script in one java machine and return what came of each."""
    stubs = Path(__file__).parent / "qupath_stubs"
    jar, classes = str(bioformats.jar()), folder / "classes"
    classes.mkdir()
    _groovy("org.codehaus.groovy.tools.FileSystemCompiler", [jar],
            "-d", classes, *sorted(stubs.glob("*.groovy")))  # fmt: skip
    (folder / "cases.json").write_text(json.dumps(cases), encoding="utf-8")
    runner = Path(__file__).parent / "run_qupath_cases.groovy"
    _groovy("groovy.ui.GroovyMain", [jar, str(classes)], runner, folder / "cases.json", folder)
    return json.loads((folder / "answers.json").read_text(encoding="utf-8"))


def _groovy(program: str, class_path: list[str], *words: object) -> None:
    """Run one of groovy's programs; without its launcher, whose loader upsets Bio-Formats' XML."""
    libraries = Path(shutil.which("groovy") or "").resolve().parents[1] / "lib" / "*"
    done = subprocess.run(
        ["java", "-Xmx1g", "-XX:TieredStopAtLevel=1", "-Dfile.encoding=UTF-8",
         "-cp", ":".join([*class_path, str(libraries)]), program, *map(str, words)],
        capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]


def script(folder: Path, name: str) -> str:
    """Return the path of one of our scripts as projects have it, below a folder."""
    scripts = folder / "scripts"
    if not scripts.is_dir():
        write_scripts(scripts)
    return str(scripts / name)


def dumped(folder: Path, level: dict, *, is_float: bool) -> np.ndarray:
    """Return a level as QuPath has it: (bands, rows, cols) floats or (rows, cols, 4) RGBA."""
    found = np.fromfile(folder / level["file"], ">f4" if is_float else ">u4")
    if is_float:
        return found.reshape(level["bands"], level["rows"], level["cols"])
    argb = found.reshape(level["rows"], level["cols"]).astype(np.uint32)
    return np.stack([argb >> shift & 255 for shift in (16, 8, 0, 24)], axis=-1).astype(np.uint8)
