"""`view` in a real browser: maps lie on the slide to the pixel, and every control does its work."""

import json
import re
import shutil

import numpy as np
import openslide
import pytest
from made_once import fiducials_run
from scipy.ndimage import gaussian_filter
from view_page import NARROW, opened
from view_server import viewing
from viewer_results import write_results

from heatmaps_ome.demo.landmarks import GRID, LANDMARKS, MPP
from heatmaps_ome.demo.slide import write_demo_slide
from heatmaps_ome.display.rendering import Style
from heatmaps_ome.display.scaling import CohortScaling, Quantiles, Range
from heatmaps_ome.exporters.ome_zarr import OmeZarrExporter
from heatmaps_ome.exporters.protocol import Settings
from heatmaps_ome.geometry import YX, Grid, Shape
from heatmaps_ome.maps.heatmap_set import HeatmapSet
from heatmaps_ome.maps.store import write_values
from heatmaps_ome.run.delivery import slide_result, write_formats
from heatmaps_ome.run.settings import Look
from heatmaps_ome.run.stopwatch import Stages
from heatmaps_ome.slides.artefacts import KINDS
from heatmaps_ome.slides.opening import open_slide

pytestmark = pytest.mark.slow

NAMES = ("bright <b>&amp;", "dark")
ZOOMS = (0.2, 0.7, 2.0)
"""µm per screen pixel."""


# --- Does the map lie on the slide? -----------------------------------------------------------


@pytest.fixture(scope="module")
def fiducials(tmp_path_factory):
    with viewing(fiducials_run(tmp_path_factory)[1]) as server:
        yield server


def centroid(weights, near, reach):
    """Return the centre of gravity, (y, x) in pixels, of weights in a window around a place."""
    part, top, left = window(weights, near, reach)
    rows, cols = np.mgrid[: part.shape[0], : part.shape[1]] + 0.5
    assert part.sum() > 0, "nothing is seen there"
    share = part / part.sum()
    return np.array([top + (rows * share).sum(), left + (cols * share).sum()])


def window(picture, near, reach):
    """Return a part of a picture around a place, and its first row and column."""
    top, left = (max(0, round(place - reach)) for place in near)
    return picture[top : round(near[0] + reach), left : round(near[1] + reach)], top, left


# µm per pixel; the slide of the landmarks is too small to be shown at 2.
@pytest.mark.parametrize("zoom", [0.1, 0.5, 1.2])
def test_marked_cells_lie_on_the_landmarks_of_the_slide(chromium, fiducials, zoom):
    with opened(chromium, fiducials.url) as shown:
        for landmark in LANDMARKS[4:]:  # those that the slide's edge does not cut
            um = landmark.l0_centre.times(MPP)
            place = {"slide": "fiducials", "map": "attention", "x": um.x, "y": um.y, "zoom": zoom}
            shown.go(**place, hidden=1)
            slide = shown.picture()
            shown.go(**place, palette="viridis", opacity=1, **{"from": 0.5})
            marked = shown.picture()
            at, reach = shown.screen_from_um(um), 20 / zoom
            dark = (slide.mean(axis=2) < 90).astype(float) if zoom < 1 else (
                np.clip(190 - slide.mean(axis=2), 0, None)
            )  # fmt: skip
            cell = (np.abs(marked - slide).sum(axis=2) > 60).astype(float)
            off = centroid(cell, at, reach) - centroid(dark, at, reach)
            # A pixel of the screen or, as labels have whole pixels of the slide, 1 µm.
            assert np.abs(off).max() <= max(1, 1 / zoom), (landmark.name, off)
            side = np.sqrt(window(cell, at, reach)[0].sum())
            assert side == pytest.approx(GRID.um_cell.x / zoom, abs=max(1.5, 1.8 / zoom))


def brightness_results(path, out, mpp=None):
    """Write results whose map is the slide's own brightness, cell by cell, read by OpenSlide."""
    slide = open_slide(path, mpp)
    l0_cell = YX(8.0, 8.0)
    shape = Shape(*(int(side // 8) for side in slide.shape))
    grid = Grid(shape, l0_cell, YX(0.0, 0.0), slide.mpp)
    with openslide.OpenSlide(path) as theirs:
        rgba = theirs.read_region((0, 0), 0, (shape.cols * 8, shape.rows * 8))
    alpha = np.asarray(rgba)[..., 3:] / 255.0
    white = np.asarray(rgba)[..., :3] * alpha + 255 * (1 - alpha)
    bright = white.mean(axis=2).reshape(shape.rows, 8, shape.cols, 8).mean(axis=(1, 3)) / 255
    bright = bright.astype(np.float32)
    heatmaps = HeatmapSet(
        slide_name=slide.name, slide_shape=slide.shape, grid=grid, classes=NAMES,
        tissue=np.ones(shape, bool),
        maps={"attention": bright, "score": np.stack([bright, 1 - bright])},
        logits=np.array([1.0, -1.0]), prediction=np.array([0.88, 0.12]),
    )  # fmt: skip
    scaling = CohortScaling(
        cohort="", model_digest="", extractor_digest="", quantiles=Quantiles(), classes=NAMES,
        ranges={"attention": (Range(0.0, 1.0),), "score": (Range(0.0, 1.0),) * 2},
        slides=1, cells=1,
    )  # fmt: skip
    result = slide_result(slide, heatmaps, scaling, Look(Style(), NAMES, NAMES[0], 0.05))
    folder = out / slide.name
    folder.mkdir(parents=True)
    write_values(heatmaps, folder, {})
    exporters = {"ome-zarr": OmeZarrExporter(Settings())}

    write_formats(result, exporters, folder, Stages({}))
    (folder / "provenance.json").write_text("{}")
    slide.close()
    return folder, bright, grid


def shift_between(first, second, blur):
    """Return by how many pixels, (y, x), the second picture lies down-right of the first."""
    parts = []
    for picture in (first, second):
        smooth = gaussian_filter(picture, blur)
        smooth = smooth - smooth.mean()
        parts.append(np.fft.rfft2(smooth * np.outer(*map(np.hanning, smooth.shape))))
    # Whitened a little: plain correlation of smooth pictures has a peak too broad to place.
    product = parts[1] * np.conj(parts[0])
    product /= np.abs(product) + 1e-3 * np.abs(product).max()
    peak = np.fft.fftshift(np.fft.irfft2(product, s=first.shape))
    at = np.unravel_index(peak.argmax(), peak.shape)
    found = []
    for axis, index in enumerate(at):
        line = np.take(peak, at[1 - axis], axis=1 - axis)
        before, middle, after = line[index - 1], line[index], line[index + 1]
        part = (before - after) / (2 * (before - 2 * middle + after))
        found.append(index - peak.shape[axis] // 2 + part)
    return np.array(found)


def test_the_measure_of_shifts_finds_shifts():
    rng = np.random.default_rng(0)
    picture = gaussian_filter(rng.normal(size=(300, 400)), 3)
    for true in ((0, 0), (2, -1), (-3, 5)):
        moved = np.roll(picture, true, axis=(0, 1))
        assert shift_between(picture, moved, 2) == pytest.approx(true, abs=0.1)


@pytest.fixture(scope="module", params=["demo", "CMU-1-Small-Region.svs", "mirax-cmu-bounds.mrxs"])
def bright(request, tmp_path_factory):
    """A slide under a map of its own brightness: the demo's, a real one, one with bounds."""
    out = tmp_path_factory.mktemp("bright")
    if request.param == "demo":
        path = out / "demo.svs"
        write_demo_slide(path, 7)
    else:
        path = request.getfixturevalue("shared_data") / "slides" / request.param
    folder, values, grid = brightness_results(path, out / "run")
    with viewing(out / "run") as server:
        yield server, folder, values, grid


@pytest.mark.parametrize("zoom", ZOOMS)
def test_a_map_of_the_slides_brightness_lies_on_the_slide(chromium, bright, zoom):
    server, folder, values, grid = bright
    # Where there is most to see: around the darkest tissue.
    row, col = np.unravel_index(gaussian_filter(values, 8).argmin(), values.shape)
    um = grid.um_from_g(YX(float(row), float(col)))
    place = {"slide": folder.name, "map": "attention", "x": um.x, "y": um.y, "zoom": zoom}
    with opened(chromium, server.url) as shown:
        shown.go(**place, hidden=1)
        slide = shown.picture().mean(axis=2)
        shown.go(**place, palette="gray", opacity=1)
        cells = shown.picture().mean(axis=2)
    assert np.abs(cells - slide).max() > 5, "the map is drawn"
    off = shift_between(slide, cells, blur=grid.um_cell.x / zoom / 2)
    assert np.abs(off).max() <= 1, off


def test_the_value_under_the_mouse_is_the_raw_float_of_its_place(chromium, bright):
    server, folder, values, grid = bright
    rng = np.random.default_rng(1)
    with opened(chromium, server.url) as shown:
        shown.go(slide=folder.name, map="attention")
        box = shown.page.locator("#stage").bounding_box()
        for _ in range(12):
            row, col = (int(rng.integers(n // 5, n - n // 5)) for n in grid.shape)
            um = grid.um_from_g(YX(row + 0.5, col + 0.5))
            at = shown.screen_from_um(um)
            shown.page.mouse.move(box["x"] + round(at[1]), box["y"] + round(at[0]))
            shown.page.wait_for_timeout(60)
            told = {
                name: float(re.sub(r"[^0-9.eE−-]", "", text).replace("−", "-"))
                for name in ("#place-x", "#place-y", "#value")
                if (text := shown.page.locator(name).inner_text())
            }
            g = grid.g_from_l0(YX(told["#place-y"], told["#place-x"]).over(grid.mpp))
            # A screen pixel is some µm wide: the value is that of the place that is told.
            near = values[
                int(max(0, g.y - 0.2)) : int(g.y + 0.2) + 1,
                int(max(0, g.x - 0.2)) : int(g.x + 0.2) + 1,
            ]
            assert np.abs(near - told["#value"]).min() < 6e-4
            screen_um = np.abs(np.array(um) - (told["#place-y"], told["#place-x"])).max()
            assert screen_um < 2 * shown.state()["zoom"]


@pytest.fixture(scope="module")
def kinds(tmp_path_factory):
    """Three classes with hostile names, and artefacts, in both versions of NGFF."""
    out = tmp_path_factory.mktemp("kinds")
    shape, mpp = Shape(1400, 1700), YX(0.5, 0.5)
    grid = Grid(Shape(36, 44), YX(40.0, 40.0), YX(-19.0, -19.0), mpp)
    results = [
        write_results(
            out, shape, mpp, grid, name=name, formats=("ome-zarr",),
            classes=("<b>one</b>", "two & a half", "three"), settings=Settings(ngff=ngff),
        )
        for name, ngff in (("v4", "0.4"), ("v5", "0.5"))
    ]  # fmt: skip
    with viewing(out) as server:
        yield server, [result for _, result in results]


@pytest.mark.parametrize("slide", [0, 1])
def test_the_name_of_the_kind_is_under_the_mouse_in_its_colour(chromium, kinds, slide):
    server, results = kinds
    result = results[slide]
    heatmaps, grid = result.heatmaps, result.heatmaps.grid
    names = {"winner": heatmaps.classes, "artefacts": KINDS}
    rng = np.random.default_rng(1)
    with opened(chromium, server.url) as shown:
        for drawn in result.maps:
            if drawn.name not in (*names, "margin-b_one_b"):
                continue
            shown.go(slide=result.slide.name, map=drawn.name, opacity=1)
            categories = names.get(drawn.name, ())
            assert shown.page.locator("#legend li").all_inner_texts() == list(categories) or (
                not shown.page.locator("#legend-field").is_visible()
            )
            picture = shown.picture()
            box = shown.page.locator("#stage").bounding_box()
            for row, col in rng.integers(9, 27, (12, 2)):
                at = shown.screen_from_um(grid.um_from_g(YX(row + 0.5, col + 0.5)))
                shown.page.mouse.move(box["x"] + round(at[1]), box["y"] + round(at[0]))
                shown.page.wait_for_timeout(60)
                told, level = shown.page.locator("#value").inner_text(), drawn.levels[row, col]
                if not heatmaps.tissue[row, col]:
                    assert told == "no tissue"
                elif not categories:
                    value, unit = told.replace("\u2212", "-").split(" ")
                    assert unit == drawn.unit
                    assert float(value) == pytest.approx(drawn.values[level], abs=1 / 250)
                else:
                    assert told == (categories[level - 1] if level else "none")
                    pixel = picture[round(at[0]), round(at[1])]
                    off = np.abs(pixel - drawn.colours[level, :3]).max()
                    assert (off < 3) == (level > 0)


# --- Do the controls do their work? -----------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Slides with random maps, in NGFF 0.4 and 0.5, without an image, and damaged."""
    out = tmp_path_factory.mktemp("run")
    shape, mpp = Shape(1400, 1700), YX(0.5, 0.5)
    grid = Grid(Shape(36, 44), YX(40.0, 40.0), YX(-19.0, -19.0), mpp)
    zarr, sharded = ("ome-zarr",), Settings(ngff="0.5")
    write_results(out, shape, mpp, grid, name="first", formats=zarr)
    write_results(out, shape, mpp, grid, name="zweite Folie #2", formats=zarr, settings=sharded)
    write_results(out, shape, mpp, grid, name="without image", formats=())
    damaged, _ = write_results(out, shape, mpp, grid, name="damaged", formats=())
    shutil.rmtree(damaged / "damaged.values.ome.zarr" / "0")
    with viewing(out) as server:
        yield server


def differ(one, other):
    """Return the share of pixels that differ."""
    return float((np.abs(one - other).max(axis=2) > 3).mean())


def test_opacity_and_thresholds_change_what_they_should(chromium, run):
    with opened(chromium, run.url) as shown:
        shown.go(slide="first", map="attention", hidden=1)
        slide = shown.picture()
        shown.go(slide="first", map="attention")
        usual = shown.picture()
        assert differ(usual, slide) > 0.2
        shown.page.locator("#opacity").fill("0")
        assert differ(shown.picture(), slide) == 0
        shown.page.locator("#opacity").fill("100")
        full = shown.picture()
        assert differ(full, usual) > 0.2
        shown.page.locator("#from-number").fill("0.5")
        shown.page.locator("#from-number").press("Enter")
        high = shown.picture()
        assert 0.02 < differ(high, slide) < differ(full, slide)
        shown.page.locator("#to-number").fill("-0.5")
        shown.page.locator("#to-number").press("Enter")
        ends = shown.picture()
        assert differ(high, slide) < differ(ends, slide) < differ(full, slide)
        shown.page.locator("#threshold-reset").click()
        assert differ(shown.picture(), full) == 0


def test_choosers_change_map_class_and_colours_with_numbers_at_the_bar(chromium, run):
    with opened(chromium, run.url) as shown:
        shown.go(slide="first", map="attention")
        attention = shown.picture()
        bar = shown.page.locator("#bar-numbers").inner_text()
        assert {"−2", "2"} <= set(bar.split())
        layers = shown.page.locator("#layer option").all_inner_texts()
        assert layers == ["Attention", "Score", "Contribution", "Evidence", "Tissue", "Winner"]
        shown.page.locator("#layer").select_option(label=next(x for x in layers if "Score" in x))
        score = shown.picture()
        assert differ(score, attention) > 0.1
        assert {"0", "0.5", "1"} <= set(shown.page.locator("#bar-numbers").inner_text().split())
        chosen = shown.state()["map"]
        other = {"score-MSIH": "nonMSIH", "score-nonMSIH": "MSIH"}[chosen]
        shown.page.locator("#class").select_option(label=other)
        assert shown.state()["map"] == f"score-{other}"
        assert differ(shown.picture(), score) > 0.1
        before = shown.picture()
        shown.page.locator("#palette").select_option("viridis")
        assert differ(shown.picture(), before) > 0.1
        shown.page.locator("#fade").uncheck()
        assert differ(shown.picture(), before) > 0.1


def test_every_key_does_what_the_list_of_keys_says(chromium, run):
    with opened(chromium, run.url) as shown:
        shown.go(slide="first", map="attention")
        start, press = shown.state(), shown.page.keyboard.press

        def after(key):
            press(key)
            shown.page.wait_for_timeout(900)
            shown.settle()
            return shown.state()

        assert after("+")["zoom"] < start["zoom"]
        assert after("ArrowRight")["x"] > start["x"]
        assert after("ArrowDown")["y"] > start["y"]
        home = after("0")
        assert home["zoom"] == pytest.approx(start["zoom"], rel=0.02)
        assert after("-")["zoom"] > start["zoom"]
        assert after("]")["opacity"] > start["opacity"]
        assert after("[")["opacity"] == pytest.approx(start["opacity"])
        visible = shown.picture()
        assert after("h")["hidden"]
        assert differ(shown.picture(), visible) > 0.1
        assert not after("h")["hidden"]
        assert after("m")["map"] != "attention"
        score = shown.state()["map"]
        assert after("c")["map"] not in ("attention", score)
        names = [slide["name"] for slide in run.json("/api/run.json")["slides"]]
        following = names[(names.index("first") + 1) % len(names)]
        assert after("n")["slide"] == following
        assert after("p")["slide"] == "first"
        press("?")
        listed = shown.page.locator("#keys-list").inner_text()
        assert shown.page.locator("#keys").is_visible()
        assert all(key in listed for key in ("h", "m", "c", "n", "p", "["))
        press("Escape")
        assert not shown.page.locator("#keys").is_visible()


def test_every_control_has_a_name_and_is_reached_by_tab(chromium, run):
    with opened(chromium, run.url) as shown:
        shown.go(slide="first", map="score-MSIH")
        unnamed = shown.page.evaluate(
            """() => [...document.querySelectorAll("button, input, select, a")]
                .filter((each) => each.offsetParent !== null)
                .filter((each) => !(each.labels?.length || each.getAttribute("aria-label")
                    || each.textContent.trim()))
                .map((each) => each.outerHTML)"""
        )
        assert unnamed == []
        reached = set()
        for _ in range(60):
            shown.page.keyboard.press("Tab")
            reached.add(shown.page.evaluate("() => document.activeElement.id"))
        wanted = {"layer", "class", "palette", "opacity", "from", "to", "zoom-in", "home", "filter"}
        assert wanted <= reached, wanted - reached


def test_a_view_is_found_again_by_its_link(chromium, run):
    view = {
        "slide": "zweite Folie #2", "map": "score-nonMSIH", "x": 300.5, "y": 220.25, "zoom": 0.4,
        "opacity": 0.8, "palette": "cividis", "fade": "0", "from": 0.25, "to": 0.75,
    }  # fmt: skip
    with opened(chromium, run.url) as shown:
        shown.go(**view)
        first, told = shown.picture(), shown.state()
        shown.page.wait_for_timeout(1000)
        link = shown.page.url
        for name, value in view.items():
            if name != "fade":
                assert told[name] == (pytest.approx(value) if name != "slide" else value) or (
                    told[name] == value
                )
    with opened(chromium, run.url) as again:
        again.page.goto(link)
        again.settle()
        assert differ(again.picture(), first) == 0


@pytest.mark.parametrize(
    "junk",
    ["#slide=nobody&map=nothing", "#x=NaN&y=1e999&zoom=-3", "#%E0%A4%A",
     "#from=%00&palette=__proto__",
     "#slide=first&map=constructor&opacity=banana", "#" + "a" * 20_000],
    ids=range(6),
)  # fmt: skip
def test_a_link_that_makes_no_sense_shows_something_that_does(chromium, run, junk):
    with opened(chromium, run.url) as shown:
        shown.page.goto(run.url + junk)
        shown.settle()
        assert shown.state()["map"] is not None
        assert shown.picture().std() > 1


def test_slides_are_links_that_can_be_filtered(chromium, run):
    with opened(chromium, run.url) as shown:
        shown.go(slide="first")
        links = shown.page.locator("#slides a")
        assert links.count() == 4
        shown.page.locator("#filter").fill("ZWEITE")
        visible = [each for each in links.all() if each.is_visible()]
        assert [each.inner_text().split("\n")[0].strip() for each in visible] == ["zweite Folie #2"]
        visible[0].click()
        shown.page.wait_for_timeout(300)
        shown.settle()
        assert shown.state()["slide"] == "zweite Folie #2"


def test_a_slide_without_image_shows_its_maps_and_a_damaged_one_says_so(chromium, run):
    with opened(chromium, run.url) as shown:
        shown.go(slide="without image", map="attention", opacity=1)
        assert differ(shown.picture(), np.full((1, 1, 3), 255.0)) > 0.2
    page = chromium.new_page()
    page.goto(f"{run.url}#slide=damaged&map=attention")
    page.locator("#notices li", has_text="values cannot be read").wait_for()
    page.locator("#slides a", has_text="first").click()
    page.wait_for_function("() => window.heatmaps.state().slide === 'first'")
    page.close()


def test_names_from_strangers_are_text(chromium, bright):
    server, folder, *_ = bright
    with opened(chromium, server.url) as shown:
        shown.go(slide=folder.name)
        assert NAMES[0] in shown.page.locator("#prediction").inner_text()
        assert shown.page.locator("#prediction b").count() == 0


def test_it_fits_a_telephone(chromium, run):
    with opened(chromium, run.url, NARROW, has_touch=True) as shown:
        shown.go(slide="first", map="score-MSIH")
        page = shown.page
        assert page.evaluate("() => document.documentElement.scrollWidth") <= NARROW["width"]
        assert page.locator("#stage").bounding_box()["height"] > NARROW["height"] / 2
        assert shown.picture().std() > 5
        page.locator("#fold").click()
        page.wait_for_timeout(500)
        layer = page.locator("#layer")
        layer.scroll_into_view_if_needed()
        box = layer.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= NARROW["width"]
        layer.select_option(index=0)
        assert page.locator("#viewer").bounding_box()["height"] > 150, "the slide stays in sight"
        page.locator("#fold").click()


def test_the_scale_bar_is_as_long_as_it_says(chromium, run):
    with opened(chromium, run.url) as shown:
        for zoom in (0.13, 0.9, 3.0):
            shown.go(slide="first", x=300, y=300, zoom=zoom)
            number, unit = shown.page.locator("#scale-text").inner_text().split()
            um = float(number) * {"µm": 1, "mm": 1000}[unit]
            line = shown.page.locator("#scale-line").bounding_box()["width"]
            assert line * shown.state()["zoom"] == pytest.approx(um, rel=0.03)


def test_other_viewers_are_linked(chromium, run):
    with opened(chromium, run.url) as shown:
        shown.go(slide="first")
        expected = [link["url"] for link in next(
            slide for slide in run.json("/api/run.json")["slides"] if slide["name"] == "first"
        )["links"]]  # fmt: skip
        found = shown.page.locator("#others a").evaluate_all("all => all.map((each) => each.href)")
        assert found == expected
        assert json.dumps(found).count("vizarr") >= 1
