"""Pixel size, damaged tiles and artefacts as the user wants them, in whole runs."""

import json
import logging

import numpy as np
import odd_slides
import pytest
from fake_extractors import CLASSES, load_mean_colour
from model_files import make_parts, write_export
from slide_files import speckled, write_slide

from heatmaps_ome import extractors
from heatmaps_ome.cli.summary import of_run
from heatmaps_ome.maps.store import read_values
from heatmaps_ome.options import CreateOptions
from heatmaps_ome.run.pipeline import create
from heatmaps_ome.run.progress import silent


@pytest.fixture
def run(tmp_path, monkeypatch, caplog):
    """Run create on slides; returns outcomes, provenance of the first slide, and warnings."""
    monkeypatch.setitem(extractors.REGISTRY, "mean-colour", "fake_extractors:load_mean_colour")
    load_mean_colour.calls = 0
    write_export(tmp_path / "export.pkl", parts=make_parts(n_inputs=3))

    def run(*slides, **changed):
        options = {
            "slides": slides, "model_path": tmp_path / "export.pkl", "formats": ("cells",),
            "output_path": tmp_path / "out", "true_class": CLASSES[0], "extractor": "mean-colour",
            "block_size": 256, "consistency_tiles": 0, **changed,
        }  # fmt: skip
        caplog.clear()
        outcomes = create(CreateOptions(**options), silent)
        folder = outcomes[0].folder
        record = {} if folder is None else json.loads((folder / "provenance.json").read_text())
        warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
        return outcomes, record, warnings

    return run


def values_in(outcome):
    (path,) = outcome.folder.glob("*.values.ome.zarr")
    return read_values(path)


def test_the_users_pixel_size_is_used_warned_of_and_recorded(run, tmp_path):
    slide = write_slide(tmp_path / "a.svs", speckled(500, 700))
    [outcome], record, warnings = run(slide, mpp=0.25)
    assert [text for text in warnings if "--mpp" in text] == [
        "a.svs: the pixel size of --mpp, 0.25 µm, is used, not the slide's own, 0.5 × 0.5 µm"
    ]
    facts = record["slide"]
    assert (facts["mpp"], facts["mpp_source"], facts["own_mpp"]) == (
        [0.25, 0.25], "--mpp", [0.5, 0.5],
    )  # fmt: skip
    assert values_in(outcome).grid.l0_cell == pytest.approx((32 * 256 / 224 / 0.25,) * 2)
    [outcome], record, warnings = run(slide, overwrite=True)
    assert record["slide"]["mpp_source"] == "slide"
    assert values_in(outcome).grid.l0_cell == pytest.approx((32 * 256 / 224 / 0.5,) * 2)
    assert not any("--mpp" in text for text in warnings)


def test_a_pixel_size_out_of_range_is_asked_for(run, tmp_path):
    slides = [write_slide(tmp_path / f"{mpp}.svs", speckled(500, 700), mpp) for mpp in (0.5, 352)]
    outcomes, *_ = run(*slides)
    assert [outcome.status for outcome in outcomes] == ["done", "failed"]
    assert "352 × 352 µm per pixel (from slide)" in outcomes[1].message
    outcomes, *_ = run(*slides, mpp=0.5, overwrite=True)
    assert [outcome.status for outcome in outcomes] == ["unchanged", "done"]


def test_damaged_tiles_are_blank_counted_and_recorded(run, tmp_path):
    slide = odd_slides.spoil_tiles(odd_slides.jpeg_slide(tmp_path / "a.tif"), 1, 19)
    sound = odd_slides.jpeg_slide(tmp_path / "sound.tif")
    outcomes, *_ = run(sound, slide)
    assert [outcome.status for outcome in outcomes] == ["done", "failed"]
    assert "--bad-tiles blank" in outcomes[1].message
    outcomes, record, warnings = run(slide, bad_tiles="blank", output_path=tmp_path / "blank")
    places = [{"level": 0, "l0_row": 0, "l0_col": 128}, {"level": 0, "l0_row": 256, "l0_col": 384}]
    assert record["bad_tiles"] == {"count": 2, "first": places}
    sentence = "2 damaged tiles were left blank: (y 0, x 128) of level 0, (y 256, x 384) of level 0"
    assert [text for text in warnings if "blank" in text] == [f"a.tif: {sentence}"]
    assert f"warning: {sentence}" in of_run(outcomes, tmp_path / "blank")
    heatmaps = values_in(outcomes[0])
    cell = heatmaps.grid.l0_from_g
    rows, cols = np.indices(heatmaps.tissue.shape)
    centre = cell(type(heatmaps.grid.l0_cell)(rows + 0.5, cols + 0.5))
    inside = (abs(centre.y - 320) < 28) & (abs(centre.x - 448) < 28)
    assert inside.any()
    assert not heatmaps.tissue[inside].any()
    assert heatmaps.tissue_cells > 20


def test_artefacts_are_left_out_counted_and_recorded(run, tmp_path):
    rgb = speckled(600, 900)
    rng = np.random.default_rng(0)
    rgb[:300, :300] = np.array([10, 140, 60]) + rng.integers(0, 16, (300, 300, 3))
    slide = write_slide(tmp_path / "a.svs", rgb)
    [whole], record, _ = run(slide)
    assert record["artefacts"]["excluded"] == {}
    outcomes, record, _ = run(slide, exclude_artefacts=("pen",), overwrite=True)
    counts = record["artefacts"]["excluded"]
    assert counts["pen"] > 10
    assert record["tissue_cells"] == values_in(outcomes[0]).tissue_cells
    assert outcomes[0].prediction != whole.prediction
    sentence = f"artefacts left out of maps and prediction: pen {counts['pen']} cells"
    assert sentence in of_run(outcomes, tmp_path / "out")
    unchanged, *_ = run(slide, exclude_artefacts=("pen",))
    assert unchanged[0].status == "unchanged"
    assert sentence in of_run(unchanged, tmp_path / "out")


def test_kinds_of_artefacts_that_do_not_exist_are_refused_with_the_list():
    with pytest.raises(ValueError, match="--exclude-artefacts: unknown 'fold'; it takes pen, dark"):
        CreateOptions(
            slides=(), model_path=(), output_path=None, true_class="a", exclude_artefacts=("fold",)
        )


def test_fluorescence_is_warned_of_though_nothing_speaks_for_a_class(run, tmp_path):
    grey = np.random.default_rng(0).integers(0, 60, (600, 900, 1), dtype=np.uint8)
    slide = write_slide(tmp_path / "a.svs", grey.repeat(3, axis=2))
    outcomes, _, warnings = run(slide)
    assert any("of the cells look like artefacts" in text for text in warnings)
    assert any("as dark as fluorescence" in text for text in warnings)
    closing = of_run(outcomes, tmp_path / "out")
    assert "warning: the tissue is as dark as fluorescence" in closing


def test_a_slide_replaced_between_planning_and_reading_fails_alone(run, tmp_path, monkeypatch):
    from heatmaps_ome.run import maker

    slides = [write_slide(tmp_path / f"{name}.svs", speckled(500, 700)) for name in "ab"]
    real, seen = maker.open_slide, []

    def replaced(path, *args):
        if path.name in seen:
            write_slide(path, speckled(300, 400))
        if path.name == "a.svs":
            seen.append(path.name)
        return real(path, *args)

    monkeypatch.setattr(maker, "open_slide", replaced)
    outcomes, *_ = run(*slides)
    assert [outcome.status for outcome in outcomes] == ["failed", "done"]
    assert "was replaced or written to" in outcomes[0].message
