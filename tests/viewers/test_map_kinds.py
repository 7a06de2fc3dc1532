"""Page and report, in a real browser, go by what is stated of a map's kind and class, not by names.

QuPath's scripts and napari are held to the same in their own tests.
"""

import json

import numpy as np
import pytest
from new_kind import ALIKE, KIND, KIND_TITLE, UNIT, add_new_kind
from report_page import opened as opened_report
from report_world import made_maps, made_result, run_facts, with_everything, write_slide_folder
from view_page import opened
from view_server import viewing
from viewer_results import write_result

from heatmaps_ome.exporters.manifest import MANIFEST
from heatmaps_ome.exporters.protocol import Settings
from heatmaps_ome.geometry import YX
from heatmaps_ome.viewers.report.page import write_report

pytestmark = pytest.mark.slow

KINDS = [
    "Attention", "Score", "Contribution", "Leave-one-out", "Evidence", "Spread of score",
    "Winner", "Margin", "Artefacts", KIND_TITLE,
]  # fmt: skip
"""What a chooser offers of several models' maps, once each whatever the number of classes."""

UNITS = {KIND_TITLE: UNIT, "Evidence": "logit"}
"""Of kinds whose quantity does not name its unit."""


@pytest.fixture(scope="module")
def result():
    """Maps of all kinds, of three models and of classes that differ in punctuation alone."""
    return with_everything(made_result(made_maps("alike", classes=ALIKE)))


@pytest.fixture(scope="module")
def server(result, tmp_path_factory):
    out = tmp_path_factory.mktemp("page")
    folder = write_result(out, result, ("ome-zarr",), Settings())
    add_new_kind(folder / MANIFEST)
    earlier = write_result(tmp_path_factory.mktemp("earlier"), result, (), Settings())
    said = json.loads((earlier / MANIFEST).read_text())
    (earlier / MANIFEST).write_text(json.dumps({**said, "format": "heatmaps-ome maps 1"}))
    earlier.rename(out / "earlier")
    with viewing(out) as server:
        yield server


@pytest.fixture(scope="module")
def report(result, tmp_path_factory):
    out = tmp_path_factory.mktemp("report")
    slide = write_slide_folder(out, result)
    add_new_kind(out / "alike" / "alike.report.json")
    return write_report(out, [slide], run_facts(ALIKE))


def drawn(result):
    """Return the kinds that there is a map a class of, with the (classes, rows, cols) values."""
    heatmaps = result.heatmaps
    cells = int(heatmaps.tissue.sum())
    return {
        "Score": heatmaps.scores,
        "Spread of score": heatmaps.spread["score"],
        "Evidence": cells * heatmaps.values("evidence"),
        "Contribution": cells * heatmaps.contributions,
        KIND_TITLE: cells * heatmaps.contributions,
    }


def cell_of(result):
    """Return a cell of tissue in which no two classes have the same values."""
    rows, cols = result.heatmaps.grid.shape
    return rows // 2, cols // 2


def number_in(text):
    return float(text.replace("\u2212", "-"))


def test_the_page_opens_each_classs_own_map_of_each_kind(chromium, server, result):
    row, col = cell_of(result)
    um = result.heatmaps.grid.um_from_g(YX(row + 0.5, col + 0.5))
    with opened(chromium, server.url) as shown:
        shown.go(slide="alike", x=um.x, y=um.y, zoom=0.5)
        page = shown.page
        kinds = page.locator("#layer option").all_inner_texts()
        assert [kind for kind in kinds if kind != "Tissue"] == KINDS
        box = page.locator("#stage").bounding_box()
        at = shown.screen_from_um(um)
        for kind, values in drawn(result).items():
            page.locator("#layer").select_option(label=kind)
            assert page.locator("#class option").all_inner_texts() == list(ALIKE)
            for index, name in enumerate(ALIKE):
                page.locator("#class").select_option(label=name)
                shown.settle()
                page.mouse.move(box["x"] + round(at[1]), box["y"] + round(at[0]))
                page.wait_for_timeout(60)
                said = page.locator("#value").inner_text().split(" ")
                wanted = float(values[index, row, col])
                # It has three significant digits.
                assert number_in(said[0]) == pytest.approx(wanted, rel=5.1e-3)
                assert name in page.locator("#value-label").inner_text()
                assert said[1:] == ([UNITS[kind]] if kind in UNITS else [])


def test_the_page_draws_a_kind_that_it_does_not_know(chromium, server):
    with opened(chromium, server.url) as shown:
        shown.go(slide="alike", map="map 1", hidden=1)
        slide = shown.picture()
        shown.go(slide="alike", map="map 1", opacity=1, fade=0)
        unknown = shown.picture()
        assert (np.abs(unknown - slide).max(axis=2) > 3).mean() > 0.1
        shown.go(slide="alike", map="contribution-MSI-H_high-2", opacity=1, fade=0)
        assert np.array_equal(shown.picture(), unknown), "the same values in the same colours"


def test_the_page_says_of_earlier_results_what_to_do(chromium, server):
    page = chromium.new_page()
    page.goto(f"{server.url}#slide=earlier")
    said = page.locator("#notices li", has_text="earlier version of heatmaps-ome")
    said.wait_for()
    assert "run create again with --overwrite" in said.inner_text()
    page.close()


def test_the_report_opens_each_classs_own_map_of_each_kind(chromium, report, result):
    row, col = cell_of(result)
    um = result.heatmaps.grid.um_from_g(YX(row + 0.5, col + 0.5))
    with opened_report(chromium, report) as shown:
        shown.go(slide="alike")
        page = shown.page
        assert page.locator("#map option").all_inner_texts() == KINDS
        for kind, values in drawn(result).items():
            page.locator("#map").select_option(label=kind)
            shown.settle()
            assert page.locator("#class option").all_inner_texts() == list(ALIKE)
            span = float(np.ptp(values[np.isfinite(values)]))
            for index, name in enumerate(ALIKE):
                page.locator("#class").select_option(label=name)
                shown.settle()
                said = shown.point(um)[0]
                assert name in said
                if kind in UNITS:
                    said, unit = said.rsplit(" ", 1)
                    assert unit == UNITS[kind]
                wanted = float(values[index, row, col])
                found = number_in(said.rsplit(" ", 1)[1])
                assert found == pytest.approx(wanted, abs=span / 4000 + 5.1e-3 * abs(wanted))


def test_the_report_draws_a_kind_that_it_does_not_know(chromium, report):
    with opened_report(chromium, report) as shown:
        pictures = {}
        for name in ("map 1", "contribution-MSI-H_high-2"):
            shown.go(slide="alike", map=name)
            assert f"map={name.replace(' ', '+')}" in shown.page.url
            pictures[name] = shown.picture()
        assert np.array_equal(*pictures.values()), "the same values in the same colours"
        shown.slide_to("opacity", 0)
        assert np.abs(shown.picture() - pictures["map 1"]).max() > 30
        assert shown.page.evaluate("window.report.shown.controls.map.kind") == "contribution"
        shown.page.locator("#map").select_option(KIND)
        shown.settle()
        assert f"pull of {ALIKE[1]}" in shown.page.locator("#controls .quantity").inner_text()
