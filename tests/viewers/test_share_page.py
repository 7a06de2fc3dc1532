"""A shared folder in a real browser, opened from disk: the slide's own pixels, the maps' values."""

import json

import numpy as np
import pytest
import zarr
from shared_world import CELL, MPP, ORIGIN, add_slide, opened, region
from view_page import NARROW

from heatmaps_ome.cli.main import main
from heatmaps_ome.geometry import Shape

pytestmark = pytest.mark.slow

CELLS = Shape(25, 65)
"""Of a slide that is longer than the levels that have all their tiles."""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A run of two slides, where it is, and the folder shared from it."""
    top = tmp_path_factory.mktemp("share")
    out, slides = top / "run", top / "slides"
    add_slide(out, slides, "big", CELLS)
    add_slide(out, slides, "small <b>&amp;", seed=1)
    assert main(["share", str(out), "-o", str(top / "shared")]) == 0
    return top


def stored(out, name):
    """Return a slide's maps.json, and its values as zarr reads them: (channels, rows, cols)."""
    manifest = json.loads((out / name / "maps.json").read_text())
    return manifest, np.asarray(zarr.open_array(out / name / manifest["values"] / "0", mode="r"))


def test_the_highest_zoom_shows_the_slides_own_pixels_at_their_places(chromium, world):
    with opened(chromium, world / "shared") as shown:
        for um_x, um_y in ((476, 476), (400, 450), (512, 401)):
            shown.go(slide="1", map="attention", x=um_x, y=um_y, zoom=MPP, hidden=1)
            picture = shown.picture()
            rows, cols = picture.shape[:2]
            corner = shown.page.evaluate("() => window.heatmaps.umFromScreen(0, 0)")
            x, y = corner["x"] / MPP, corner["y"] / MPP
            assert abs(x - round(x)) < 1e-6
            assert abs(y - round(y)) < 1e-6
            inner = slice(40, rows - 40), slice(40, cols - 40)  # beside the slide's outline
            own = region(world / "slides" / "big.svs", round(x), round(y), cols, rows)
            off = np.abs(picture - own)[inner].mean()
            moved = [
                np.abs(np.roll(picture, shift, axis) - own)[inner].mean()
                for axis in (0, 1)
                for shift in (-1, 1)
            ]
            assert own[inner].std() > 20, "nothing to see there"
            assert off < 3, "more than a JPEG's noise"
            assert min(moved) > 2.5 * off


def test_off_the_tissue_the_next_coarser_level_is_seen(chromium, world):
    with opened(chromium, world / "shared") as shown:
        shown.go(slide="1", map="attention", x=1900, y=450, zoom=MPP, hidden=1)
        assert shown.state()["complete"]
        assert np.abs(shown.picture()[100:-100, 100:-100] - 243).max() < 6
        assert not any("/tiles/0/" in url for url in shown.asked if "#" not in url)


def number(text):
    return float(text.split(" ")[0].replace("\u2212", "-").replace("\u202f", ""))


READINGS = """(points) => points.map(([clientX, clientY]) => {
    const event = new PointerEvent("pointermove", { clientX, clientY, bubbles: true });
    document.querySelector("#viewer").dispatchEvent(event);
    const text = (id) => document.querySelector(id).textContent;
    const um = window.heatmaps.umFromScreen(clientX, clientY);
    return [um.x, um.y, text("#value"), text("#place-x"), text("#place-y")];
})"""
"""What is read at each place when the pointer gets there."""


def test_the_value_under_the_mouse_is_the_stored_one_at_every_place(chromium, world):
    rng = np.random.default_rng(3)
    manifest, values = stored(world / "run", "big")
    with opened(chromium, world / "shared") as shown:
        for entry in manifest["maps"]:
            if entry.get("channel") is None or entry["categories"]:
                continue
            shown.go(slide="1", map=entry["name"], x=450, y=450, zoom=1.25)
            drawn = values[entry["channel"]] * entry.get("factor", 1)
            places = rng.integers((0, 0), (960, 800), (300, 2)).tolist()
            readings = shown.page.evaluate(READINGS, places)
            assert {reading[2] for reading in readings} >= {"off the slide", "no tissue"}
            for x, y, value, text_x, text_y in readings:
                assert (number(text_x), number(text_y)) == pytest.approx((x, y), abs=0.051)
                row, col = (int((um / MPP - ORIGIN) // CELL) for um in (y, x))
                if min(x, y) < 0 or y >= manifest["slide"]["rows"] * MPP:
                    assert value == "off the slide"
                elif np.isnan(drawn[row, col]):
                    assert value == "no tissue"
                else:
                    assert number(value) == pytest.approx(drawn[row, col], rel=6e-3, abs=1e-12)


def test_a_real_mouse_reads_what_lies_under_it(chromium, world):
    _, values = stored(world / "run", "big")
    row, col = np.argwhere(np.isfinite(values[0]))[100]
    um = [(ORIGIN + (place + 0.9) * CELL) * MPP for place in (row, col)]
    with opened(chromium, world / "shared") as shown:
        shown.go(slide="1", map="attention")
        y, x = shown.screen_from_um(um)
        shown.page.mouse.move(x, y)
        text = shown.page.locator("#value").inner_text()
        assert number(text) == pytest.approx(values[0, row, col], rel=6e-3)


def test_cells_have_the_colours_of_maps_json(chromium, world):
    manifest, values = stored(world / "run", "small <b>&amp;")
    entry = next(entry for entry in manifest["maps"] if entry["name"] == "score-MSIH")
    drawn = values[entry["channel"]] * entry.get("factor", 1)
    lower, upper = (entry["levels"][end] for end in ("lower", "upper"))
    with opened(chromium, world / "shared") as shown:
        shown.go(slide="2", map="score-MSIH", opacity=1, fade=0)
        picture = shown.picture()
        for row, col in np.argwhere(np.isfinite(drawn)):
            um = [(ORIGIN + (place + 0.5) * CELL) * MPP for place in (row, col)]
            y, x = shown.screen_from_um(um)
            place = np.clip((drawn[row, col] - lower) / (upper - lower), 0, 1)
            colour = entry["colours"][round(place * (len(entry["colours"]) - 1))]
            wanted = list(bytes.fromhex(colour[1:]))
            assert np.abs(picture[int(y), int(x)] - wanted).max() <= 3


def test_controls_slides_and_regions_work(chromium, world):
    with opened(chromium, world / "shared") as shown:
        shown.go(slide="1")
        page = shown.page
        assert page.locator("#slide-name").inner_text() == "big"
        images = page.locator("#slides img")
        assert images.evaluate_all("all => all.map((one) => one.naturalWidth)") == [160, 160]
        assert not page.locator("#copy-link").is_visible()
        for kind in ("score", "contribution", "winner", "artefacts", "attention"):
            page.locator("#layer").select_option(kind)
            shown.settle()
            assert shown.state()["map"].startswith(kind)
        plain = shown.picture()
        page.locator("#outlines").check()
        shown.settle()
        assert np.abs(shown.picture() - plain).max() > 60
        assert page.locator("#regions-legend").is_visible()
        page.locator("#outlines").uncheck()
        shown.settle()
        assert np.abs(shown.picture() - plain).max() == 0
        page.locator("#slides a").nth(1).click()
        shown.settle()
        assert page.locator("#slide-name").inner_text() == "small <b>&amp;"
        assert shown.state()["slide"] == "2"


def test_artefacts_are_named_under_the_mouse(chromium, world):
    manifest, values = stored(world / "run", "big")
    row, col = next(at for at in np.argwhere(np.isfinite(values[0])) if at[1] % 3 == 0)
    um = [(ORIGIN + (place + 0.5) * CELL) * MPP for place in (row, col)]
    names = next(entry["categories"] for entry in manifest["maps"] if entry["kind"] == "artefacts")
    with opened(chromium, world / "shared") as shown:
        shown.go(slide="1", map="artefacts", x=um[1], y=um[0], zoom=1)
        assert shown.page.locator("#value").inner_text() == names[1]


def test_it_fits_a_telephone(chromium, world):
    with opened(chromium, world / "shared", NARROW) as shown:
        shown.go(slide="1")
        page = shown.page
        assert page.evaluate("document.documentElement.scrollWidth") == NARROW["width"]
        page.locator("#fold").click()
        assert page.locator("#layer").is_visible()
        assert page.locator("footer", has_text="For research, not for diagnosis.").is_visible()


def test_a_page_alone_asks_to_unpack_its_zip_file(chromium, world, tmp_path):
    page = chromium.new_page()
    copy = tmp_path / "START-HERE.html"
    copy.write_bytes((world / "shared" / "START-HERE.html").read_bytes())
    page.goto(copy.as_uri())
    assert page.locator("#unpack").is_visible()
    assert "Extract All" in page.locator("#unpack").inner_text()
    page.close()
    with opened(chromium, world / "shared") as shown:
        shown.go(slide="1")
        assert not shown.page.locator("#unpack").is_visible()
