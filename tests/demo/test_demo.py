"""The demo finds what it says it finds, measured through the whole pipeline."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import heatmaps_ome.demo.job as demo
from heatmaps_ome.demo.slide import write_demo_slide
from heatmaps_ome.maps.faithfulness import faithfulness
from heatmaps_ome.maps.store import read_values
from heatmaps_ome.options import CreateOptions, DemoOptions
from heatmaps_ome.run.pipeline import create
from heatmaps_ome.run.progress import silent

# Seeds that the training (scripts/train_demo.py) never saw.
UNSEEN = (0, 1, 2)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Slides of unseen seeds, one of them without islands, and what create made of them."""
    folder = tmp_path_factory.mktemp("demo")
    slides = [
        write_demo_slide(folder / f"seed-{seed}.svs", seed, l0_height=2600, l0_width=3200)
        for seed in UNSEEN
    ]
    negative = write_demo_slide(
        folder / "negative.svs", 3, l0_height=1800, l0_width=2200, islands=0
    )
    asked = demo.demo_options(
        DemoOptions(output_path=folder / "out", seed=5), make=lambda path, seed: None
    )
    options = CreateOptions(
        slides=tuple(slide.path for slide in [*slides, negative]),
        model_path=asked.model_path,
        output_path=folder / "out",
        true_class=asked.true_class,
        extractor=asked.extractor,
        formats=("cells",),
    )
    outcomes = create(options, silent)
    maps = [read_values(o.folder / f"{o.folder.name}.values.ome.zarr") for o in outcomes]
    return slides, maps


@pytest.mark.parametrize("index", range(len(UNSEEN)))
def test_the_score_map_finds_the_islands_of_slides_it_never_saw(run, index):
    slides, maps = run
    heatmaps = maps[index]
    grid = heatmaps.grid
    islands = slides[index].island_mask(*grid.shape, grid.l0_origin, grid.l0_cell)
    tissue = heatmaps.tissue
    assert islands[tissue].any()
    found = roc_auc_score(islands[tissue], heatmaps.score("tumour")[tissue])
    assert found >= 0.97


def test_the_score_map_would_fit_worse_a_cell_off(run):
    slides, maps = run
    here, shifted = [], []
    for slide, heatmaps in zip(slides, maps, strict=False):
        grid, score = heatmaps.grid, heatmaps.score("tumour")[heatmaps.tissue]
        for found, cells in ((here, 0.0), (shifted, 1.0)):
            origin = (grid.l0_origin.y + cells * grid.l0_cell.y,
                      grid.l0_origin.x + cells * grid.l0_cell.x)  # fmt: skip
            islands = slide.island_mask(*grid.shape, origin, grid.l0_cell)[heatmaps.tissue]
            found.append(roc_auc_score(islands, score))
    assert np.mean(here) > np.mean(shifted)


def test_predictions_are_right(run):
    _, maps = run
    tumour = [float(m.prediction[m.classes.index("tumour")]) for m in maps]
    assert min(tumour[:-1]) > 0.8
    assert tumour[-1] < 0.2


def test_removing_the_cells_of_the_highest_contribution_unmakes_the_prediction_fastest(run):
    _, maps = run
    for heatmaps in maps[:-1]:
        found = faithfulness(heatmaps, "tumour").aupc
        assert found["contribution"] < found["attention"] < found["random"]


def test_the_demo_makes_its_slide_once(tmp_path):
    made = []

    def make(path, seed):
        made.append(seed)
        path.touch()

    first = demo.demo_options(DemoOptions(output_path=tmp_path / "out", seed=7), make=make)
    second = demo.demo_options(DemoOptions(output_path=tmp_path / "out", seed=7), make=make)
    assert made == [7]
    assert first == second
    assert first.model_path.is_file()
