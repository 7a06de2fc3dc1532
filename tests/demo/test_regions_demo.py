"""Hot regions of demo slides, through the whole pipeline: they cover the islands that are there."""

import csv
import json
import re
from pathlib import Path

import pytest
import shapely
from shapely.affinity import translate

import heatmaps_ome
from heatmaps_ome.cli.summary import of_run
from heatmaps_ome.demo.slide import write_demo_slide
from heatmaps_ome.options import CreateOptions
from heatmaps_ome.run.pipeline import create
from heatmaps_ome.run.progress import silent

# Seeds that the training (scripts/train_demo.py) never saw; other sizes, numbers and µm per pixel.
SLIDES = {
    "0": {"l0_height": 2600, "l0_width": 3200},
    "1": {"l0_height": 2600, "l0_width": 3200},
    "10": {},
    "21": {"l0_height": 4000, "l0_width": 5000, "mpp": 0.25},
    "22": {"l0_height": 3000, "l0_width": 3000, "islands": 1},
}
NEGATIVE = {"l0_height": 1800, "l0_width": 2200, "islands": 0}
UM_CELL = 256 / 7


def options_for(folder, slides, **changed):
    return CreateOptions(
        slides=tuple(slide.path for slide in slides),
        model_path=Path(heatmaps_ome.__file__).parent / "demo" / "data" / "demo-export.pkl",
        output_path=folder / "out",
        true_class="tumour",
        extractor="tiny",
        formats=("regions",),
        **changed,
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Demo slides and what create made of them: slides by seed, the folder, its closing lines."""
    folder = tmp_path_factory.mktemp("regions")
    made = {
        seed: write_demo_slide(folder / f"{seed}.svs", int(seed), **how)
        for seed, how in {**SLIDES, "3": NEGATIVE}.items()
    }
    outcomes = create(options_for(folder, made.values()), silent)
    return made, folder, of_run(outcomes, folder / "out")


def hot(folder, seed):
    """Return the polygons of a slide's hot regions, as shapely reads the GeoJSON."""
    path = folder / "out" / seed / f"{seed}.regions.geojson"
    said = json.loads(path.read_text(encoding="utf-8"))
    shapes = [shapely.from_geojson(json.dumps(each["geometry"])) for each in said["features"]]
    names = [each["properties"]["name"] for each in said["features"]]
    return [s for s, name in zip(shapes, names, strict=True) if name.startswith("hot")]


def islands_of(slide):
    return [shapely.Polygon(outline[:, ::-1]) for outline in slide.islands]


def iou(one, other):
    return one.intersection(other).area / one.union(other).area


@pytest.mark.parametrize("seed", SLIDES)
def test_hot_regions_cover_the_known_islands(run, seed):
    made, folder, _ = run
    found = shapely.union_all(hot(folder, seed))
    assert iou(found, shapely.union_all(islands_of(made[seed]))) >= 0.75


@pytest.mark.parametrize("seed", SLIDES)
def test_hot_regions_land_on_the_islands_within_a_cell(run, seed):
    made, folder, _ = run
    found, islands = hot(folder, seed), islands_of(made[seed])
    l0_cell = UM_CELL / made[seed].mpp
    for island in islands:
        here = shapely.union_all([each for each in found if each.intersects(island)])
        assert here.centroid.distance(island.centroid) < l0_cell
    for each in found:
        assert any(each.intersects(island) for island in islands)


def test_hot_regions_would_fit_worse_a_cell_off(run):
    made, folder, _ = run
    fits = {}
    for x, y in ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)):
        for seed in SLIDES:
            cell = UM_CELL / made[seed].mpp
            moved = translate(shapely.union_all(hot(folder, seed)), x * cell, y * cell)
            known = shapely.union_all(islands_of(made[seed]))
            fits[x, y] = fits.get((x, y), 0.0) + iou(moved, known) / len(SLIDES)
    assert fits.pop((0, 0)) > max(fits.values()) + 0.02


def test_a_slide_without_islands_has_no_hot_region(run):
    _, folder, said = run
    assert hot(folder, "3") == []
    carried = r"regions: no hot region, 1 cold region carries (79\.\d|80(\.\d)?) % of the evidence "
    assert re.search(carried + "against", said)


def test_all_outputs_say_the_same_and_with_which_thresholds(run):
    _, folder, said = run
    record = json.loads((folder / "out" / "10" / "provenance.json").read_text())["regions"]
    [slide] = [
        each
        for each in json.loads((folder / "out" / "run.json").read_text())["slides"]
        if each["slide"] == "10.svs"
    ]
    assert slide["regions"] == record
    assert f"regions: {record['sentence']}" in said
    n_hot, text = len(hot(folder, "10")), record["sentence"]
    carried = rf"{n_hot} hot regions carry (79\.\d|80(\.\d)?) % of the evidence for tumour "
    assert re.match(carried + r"\([0-9.]+ of [0-9.]+ logits\) on ", text)
    with (folder / "out" / "10" / "10.regions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for kind in ("hot", "cold"):
        own = [row for row in rows if row["kind"] == kind]
        assert {row["cells with"] for row in own} == {record[kind]["criterion"]}
        area = sum(float(row["area mm²"]) for row in own)
        assert area == pytest.approx(record[kind]["area_mm2"], rel=1e-5)
    maps = json.loads((folder / "out" / "10" / "maps.json").read_text())
    assert maps["regions_geojson"] == "10.regions.geojson"


def test_thresholds_are_options_and_results_there_are_told_of_again(run):
    made, folder, said = run
    again = create(options_for(folder, made.values()), silent)
    assert {outcome.status for outcome in again} == {"unchanged"}
    assert of_run(again, folder / "out").count("regions: ") == said.count("regions: ")
    before = shapely.union_all(hot(folder, "0"))
    create(options_for(folder, [made["0"]], overwrite=True, region_hot=0.3), silent)
    after = shapely.union_all(hot(folder, "0"))
    assert before.buffer(1).covers(after)
    assert after.area < before.area / 2
