"""What the page tells people: drawn values, bounds, fading, ground truth, regions, terms."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image
from view_page import NARROW, opened
from view_server import viewing
from viewer_results import write_results

from heatmaps_ome.exporters.manifest import MANIFEST
from heatmaps_ome.geometry import YX, Grid, Shape

pytestmark = pytest.mark.slow

CLASSES = ("MSI-H / high", "MSI-H high")
HOT = CLASSES[0]
GRID = Grid(Shape(9, 12), YX(73.29, 73.29), YX(-35.4, -35.4), YX(0.5, 0.5))
OUTLINE = [(150.0, 150.0), (450.0, 150.0), (450.0, 400.0), (150.0, 400.0)]
HOLE = [(250.0, 220.0), (350.0, 220.0), (350.0, 320.0), (250.0, 320.0)]


def rewritten(folder, **changes):
    """Change facts of a slide's maps.json."""
    facts = json.loads((folder / MANIFEST).read_text(encoding="utf-8")) | changes
    (folder / MANIFEST).write_text(json.dumps(facts), encoding="utf-8")


def feature(name, *rings):
    closed = [[list(point) for point in (*ring, ring[0])] for ring in rings]
    shape = {"type": "Polygon", "coordinates": closed}
    return {"type": "Feature", "geometry": shape, "properties": {"name": name}}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Three slides: right, wrong by their labels, and without label; the first has regions."""
    out = tmp_path_factory.mktemp("words")
    results = {}
    for name, label in (("a", CLASSES[0]), ("b", CLASSES[1]), ("c", None)):
        folder, results[name] = write_results(
            out, Shape(520, 800), GRID.mpp, GRID, name=name, formats=("ome-zarr",), classes=CLASSES
        )
        rewritten(folder, label=label, prediction={CLASSES[0]: 1 - 1.2e-7, CLASSES[1]: 1.2e-7})
    regions = {"features": [feature("hot 1", OUTLINE, HOLE)]}
    (out / "a" / "a.regions.geojson").write_text(json.dumps(regions))
    rewritten(out / "a", regions_geojson="a.regions.geojson")
    with viewing(out) as server:
        yield server, results


def text(shown, selector):
    return shown.page.locator(selector).inner_text()


def number_in(told):
    return float(told.split(" ")[0].replace("\u2212", "-"))


def test_a_contribution_is_told_as_drawn_and_as_it_is(chromium, world):
    server, results = world
    heatmaps = results["a"].heatmaps
    cells, rng = int(heatmaps.tissue.sum()), np.random.default_rng(3)
    with opened(chromium, server.url) as shown:
        for index, name in enumerate(CLASSES):
            drawn = next(each for each in results["a"].maps if each.kind == "contribution")
            shown.go(slide="a", map=drawn.name)
            shown.page.locator("#class").select_option(label=name)
            shown.settle()
            box = shown.page.locator("#stage").bounding_box()
            for row, col in zip(*(rng.integers(1, n - 1, 20) for n in GRID.shape), strict=True):
                at = shown.screen_from_um(GRID.um_from_g(YX(row + 0.5, col + 0.5)))
                shown.page.mouse.move(box["x"] + round(at[1]), box["y"] + round(at[0]))
                raw = float(heatmaps.contributions[index, row, col])
                if not np.isfinite(raw):
                    assert text(shown, "#value") == "no tissue"
                    assert not shown.page.locator("#raw-row").is_visible()
                    continue
                assert number_in(text(shown, "#value")) == pytest.approx(cells * raw, rel=5e-3)
                assert number_in(text(shown, "#raw")) == pytest.approx(raw, rel=5e-3)
                assert f"share of the slide's {name} logit" in text(shown, "#raw-label")
                assert "if all cells were like this one" in text(shown, "#value-label")


def bar(shown):
    """Return the opacities of the colour bar, (rows, columns)."""
    shown.page.wait_for_timeout(100)
    url = shown.page.evaluate("() => document.querySelector('#bar').toDataURL()")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))))[..., 3]


def test_the_first_map_is_the_score_of_the_class_drawn_hot_and_says_that_it_fades(chromium, world):
    server, _ = world
    with opened(chromium, server.url) as shown:
        shown.go()
        page = shown.page
        assert page.locator("#layer option:checked").inner_text() == "Score"
        assert text(shown, "#bar-title") == f"Score of {HOT}"
        assert page.locator("#class option:checked").inner_text() == HOT
        assert "fades where attention is low" in text(shown, "#fades-row")
        alphas = bar(shown)
        assert len(alphas) > 8
        assert (alphas[0] == 255).all()
        assert (alphas[-1] == 0).all()
        assert (np.diff(alphas.astype(int), axis=0) <= 0).all()
        ends = text(shown, "#bar-attention").split("\n")
        assert (ends[0], ends[-1]) == ("≥ 2", "≤ \u22122")
        assert "≤" not in text(shown, "#bar-numbers"), "a probability ends at 0 and 1 by itself"
        page.locator("#fade").uncheck()
        assert (bar(shown) == 255).all()
        assert not page.locator("#fades-row").is_visible()
        page.locator("#layer").select_option(label="Attention")
        shown.settle()
        assert len(bar(shown)) == 1
        assert not page.locator("#fade-field").is_visible(), "attention fades with nothing"
        assert text(shown, "#bar-numbers").split("\n")[0] == "≤ \u22122"
        assert text(shown, "#bounds-row").startswith("≤ and ≥")


def test_ground_truth_is_told_apart_from_the_class_drawn_hot_and_wrong_slides_are_found(
    chromium, world
):  # fmt: skip
    server, _ = world
    with opened(chromium, server.url) as shown:
        shown.go(slide="b")
        page = shown.page
        told = f"drawn hot: {HOT} · ground truth: {CLASSES[1]} · wrong"
        assert text(shown, "#slide-classes") == told
        assert text(shown, "#hot-class") == f"drawn hot: {HOT}"
        assert text(shown, "#ground-truth") == f"ground truth: {CLASSES[1]}"
        assert "true class" not in page.locator("body").inner_text().lower()
        numbers = page.locator("#prediction .number").all_inner_texts()
        assert numbers == ["1 \u2212 1.2e-07", "1.2e-07"]
        assert text(shown, "#truth-counts") == "ground truth for 2 of 3 slides: 1 right, 1 wrong"
        page.locator("#correct").select_option("wrong")
        seen = [each.inner_text() for each in page.locator("#slides a").all() if each.is_visible()]
        assert len(seen) == 1
        assert told in seen[0]
        assert text(shown, "#slides-count") == "(1 of 3)"
        shown.go(slide="c")
        assert not page.locator("#truth-row").is_visible()


def test_regions_are_outlined_holes_as_holes_and_the_slide_can_be_grey(chromium, world):
    server, _ = world
    with opened(chromium, server.url) as shown:
        shown.go(slide="a", map="attention", hidden=1, grey=1, x=200, y=130, zoom=0.5)
        corners = (shown.screen_from_um(YX(*um)) for um in ((5, 5), (255, 395)))
        rows, cols = (slice(*map(round, ends)) for ends in zip(*corners, strict=True))
        grey = shown.picture()
        assert np.ptp(grey[rows, cols], axis=2).max() < 3, "no colour is left"
        assert grey.std() > 5
        shown.page.keyboard.press("o")
        shown.page.wait_for_timeout(300)
        outlined = shown.picture()
        for ring in (OUTLINE, HOLE):
            middle = YX(ring[0][1], (ring[0][0] + ring[1][0]) / 2).times(0.5)
            row, col = (round(each) for each in shown.screen_from_um(middle))
            line = outlined[row - 2 : row + 2, col]
            assert (line[:, 0] - line[:, 2]).max() > 100, "orange on grey"
        inside = np.mean(HOLE, axis=0) / 2
        row, col = (round(each) for each in shown.screen_from_um(YX(inside[1], inside[0])))
        assert np.array_equal(outlined[row, col], grey[row, col]), "nothing is filled"
        legend = text(shown, "#regions-legend")
        assert f"1 hot region, for {HOT}" in legend
        assert "thin: 1 hole" in legend
        view = shown.state()
        assert view["grey"]
        assert view["outlines"]
        shown.page.keyboard.press("g")
        assert np.ptp(shown.picture()[rows, cols], axis=2).max() > 100
        shown.go(slide="b", outlines=1)
        assert not shown.page.locator("#outlines-field").is_visible(), "it has no regions"


@pytest.mark.parametrize("size", [{"width": 1024, "height": 768}, NARROW])
def test_terms_are_explained_by_mouse_and_keys_within_the_window(chromium, world, size):
    server, _ = world
    with opened(chromium, server.url, size) as shown:
        shown.go(slide="a", map="attention")
        page = shown.page
        assert text(shown, "#panel footer") == "For research, not for diagnosis."
        assert page.locator("#panel footer").is_visible()
        if page.locator("#fold").is_visible():
            page.locator("#fold").click()
        for term in ("#layer-term", "#hot-row .term", "#truth-row .term"):
            page.locator(term).scroll_into_view_if_needed()
            page.locator(term).focus()
            page.keyboard.press("Enter")
            note = page.locator("#explanation")
            assert note.is_visible()
            assert len(note.inner_text()) > 40
            box = note.bounding_box()
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= size["width"]
            assert box["y"] >= 0
            assert box["y"] + box["height"] <= size["height"]
            page.keyboard.press("Escape")
            assert not note.is_visible()
