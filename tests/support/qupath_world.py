"""Real results for QuPath's scripts, and those scripts run on them by groovy with stand-ins."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import bioformats
import numpy as np
from fakes import FakeSlide, covering_grid, heatmap_set

from heatmaps_ome.display.rendering import Style, display_maps
from heatmaps_ome.display.scaling import Quantiles
from heatmaps_ome.display.scaling_fit import ScalingFit
from heatmaps_ome.exporters.cells import CellsExporter
from heatmaps_ome.exporters.manifest import MANIFEST, manifest
from heatmaps_ome.exporters.protocol import SlideResult
from heatmaps_ome.exporters.regions import RegionsExporter
from heatmaps_ome.exporters.value_tiff import write_value_tiff
from heatmaps_ome.geometry import YX, Shape, Window, raster_pixels
from heatmaps_ome.maps.regions import find_regions
from heatmaps_ome.storage.digests import write_json
from heatmaps_ome.viewers.qupath_project import write_scripts

if TYPE_CHECKING:
    from heatmaps_ome.maps.heatmap_set import HeatmapSet

SHAPE = Shape(7001, 9003)
# No multiple of any pixel's size, to either side.
BOUNDS = Window(371, 733, 5005, 6011)
CELL, ORIGIN = YX(73.142857, 73.142857), YX(-35.428571, -35.428571)

_RING = np.s_[40:49, 50:59]

needed = bioformats.needed
"""Marks of tests that run scripts for QuPath."""


def write_results(
    folder: Path, name: str, classes: tuple[str, ...], mpp: YX, seed: int = 3, **style: object
) -> SlideResult:
    """Write all that the scripts read: values, cells, regions and maps.json of a large slide."""
    slide = FakeSlide(np.zeros((1, 1, 3), np.uint8), mpp, name)
    slide.shape, slide.bounds = SHAPE, BOUNDS
    grid = covering_grid(SHAPE, CELL, ORIGIN, mpp)
    rng = np.random.default_rng(seed)
    tissue = rng.random(grid.shape) < 2 / 3
    tissue[_RING] = True
    heatmaps = heatmap_set(grid, SHAPE, classes, seed=seed, tissue=tissue, slide_name=name)
    _make_ring(heatmaps)
    kinds = rng.integers(0, 5, grid.shape, np.uint8)
    heatmaps = replace(heatmaps, artefacts=np.where(heatmaps.tissue, kinds, 0))
    fit = ScalingFit(Quantiles())
    fit.add(heatmaps)
    maps = display_maps(heatmaps, fit.fit("", "", ""), Style(**style), classes, classes[0])
    result = SlideResult(
        slide, heatmaps, maps, classes[0], grid, raster_pixels(SHAPE, mpp, CELL),
        regions=find_regions(heatmaps, classes[0]), label=classes[1],
    )  # fmt: skip
    folder.mkdir(parents=True)
    write_value_tiff(result, folder)
    CellsExporter().write(result, folder)
    RegionsExporter().write(result, folder)
    write_json(folder / MANIFEST, manifest(result, folder))
    return result


def _make_ring(heatmaps: HeatmapSet) -> None:
    """Have cells speak for the first class all round some that speak against it: a hole."""
    own = heatmaps.contributions[0][_RING]
    own[:] = 0.001
    own[3:-3, 3:-3] = -0.001


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
    """Run one of groovy's programs."""
    classes = ":".join([*class_path, str(bioformats.groovy_libraries())])
    done = subprocess.run(
        ["java", "-Xmx1g", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dfile.encoding=UTF-8",
         "-cp", classes, program, *map(str, words)],
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


def dumped(folder: Path, tile: dict) -> np.ndarray:
    """Return a tile as QuPath has it: (rows, cols, 4) RGBA."""
    argb = np.fromfile(folder / tile["file"], ">u4").reshape(tile["rows"], tile["cols"])
    argb = argb.astype(np.uint32)
    return np.stack([argb >> shift & 255 for shift in (16, 8, 0, 24)], axis=-1).astype(np.uint8)


def number(value: float) -> str:
    """Return a number as people read it; by a way of its own: three significant digits."""
    exact = Decimal(float(value))
    if exact == 0:
        return "0"
    rounded = abs(exact.quantize(Decimal(1).scaleb(exact.adjusted() - 2), ROUND_HALF_EVEN))
    sign = "\u2212" if exact < 0 else ""
    if Decimal("1e-4") <= abs(exact) < 1000:
        text = f"{rounded:f}"
        return sign + (text.rstrip("0").rstrip(".") if "." in text else text)
    if 1000 <= abs(exact) < 1_000_000:
        return sign + f"{abs(exact).quantize(Decimal(1), ROUND_HALF_EVEN):f}"
    mantissa, exponent = f"{rounded:.2e}".split("e")
    return sign + f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent):+03d}"


def probability(p: float) -> str:
    """Return a probability as people read it: above one half, three digits of 1 - p."""
    if not 1e-4 <= p < 1:
        return number(p)
    if 1 - p < 1e-4:
        return f"1 \u2212 {number(1 - p)}"
    least = Decimal(min(float(p), 1 - float(p)))
    least = least.quantize(Decimal(1).scaleb(least.adjusted() - 2), ROUND_HALF_EVEN)
    digits = Decimal(1).scaleb(least.adjusted() - 2)
    text = f"{Decimal(float(p)).quantize(digits, ROUND_HALF_EVEN):f}"
    while len(text) > 5 and text.endswith("0"):
        text = text[:-1]
    return text


def told(entry: dict, raw: float) -> str | None:
    """Return what QuPath must say of a cell of a map of maps.json."""
    if np.isnan(raw):
        return None
    if entry["levels"] is None:
        kinds = ["none", *entry["categories"]]
        return f"{entry['title']}: {kinds[int(raw)]}" if entry["categories"] else entry["title"]
    words = probability if entry["unit"] == "probability" else number
    text = f"{entry['title']}: {words(float(raw) * entry['factor'])}"
    return text if entry["factor"] == 1 else f"{text} (raw: {number(raw)})"


def raw_plane(heatmaps: HeatmapSet, entry: dict) -> np.ndarray:
    """Return the raw values of a map of maps.json, (rows, cols), NaN where a cell has none."""
    kind, tissue = entry["kind"], heatmaps.tissue
    scores = heatmaps.scores
    if kind == "tissue":
        return np.where(tissue, 1.0, np.nan)
    if kind == "artefacts":
        return np.where(tissue, heatmaps.artefacts, np.nan)
    if kind == "winner":
        return np.where(tissue, np.nan_to_num(scores).argmax(axis=0) + 1.0, np.nan)
    values = scores if kind == "margin" else heatmaps.values(kind)
    if entry["class"] is None:
        return values
    own = heatmaps.classes.index(entry["class"])
    if kind == "margin":
        return scores[own] - np.delete(scores, own, axis=0).max(axis=0)
    return values[own]
