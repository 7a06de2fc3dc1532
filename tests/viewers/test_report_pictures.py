"""The report's pictures, comparisons and printed pages, in a real browser and by a PDF reader."""

import base64
import io
import math
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from report_page import NARROW, opened
from report_world import (
    made_maps,
    made_result,
    made_slide,
    run_facts,
    with_everything,
    write_slide_folder,
)
from shapely.geometry import Polygon

from heatmaps_ome.geometry import YX, Shape
from heatmaps_ome.maps import numbers
from heatmaps_ome.maps.regions import Region, find_regions
from heatmaps_ome.viewers.files import viewer_files
from heatmaps_ome.viewers.report.page import write_report
from heatmaps_ome.viewers.report.reported import ReportedSlide

pytestmark = pytest.mark.slow

RESEARCH = "For research, not for diagnosis."
WIDE_SHAPE = Shape(30, 60)
"""Cells of the slide whose tissue is a rectangle, to measure its proportions."""


def rectangle_result():
    """Return a slide of no texture whose tissue is 16 × 40 cells, and its certain model."""
    tissue = np.zeros(WIDE_SHAPE, bool)
    tissue[7:23, 10:50] = True
    maps = made_maps("wide", WIDE_SHAPE, origin=YX(0.0, 0.0), tissue=tissue, seed=4)
    certain = replace(maps, prediction=np.array([1.2e-7, 1 - 1.2e-7]))
    return made_result(certain, made_slide(certain, textured=False))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A run with ground truth: all there is, a certain model, no tissue, and a failure."""
    out = tmp_path_factory.mktemp("pictures")
    full = with_everything(made_result(made_maps("full"), leave_one_out=True))
    none = made_result(made_maps("none", tissue=np.zeros((40, 60), bool), seed=1))
    slides = [
        write_slide_folder(out, full, label="MSIH"),
        write_slide_folder(out, rectangle_result(), label="MSIH"),
        write_slide_folder(out, none, label="nonMSIH"),
        ReportedSlide("bad.svs", "failed", "bad.svs cannot be opened; check it", label="odd"),
    ]
    write_report(out, slides, replace(run_facts(), model_files=("fold-1.pkl", "fold-2.pkl")))
    return out / "index.html"


@pytest.fixture(scope="module")
def report(chromium, world):
    """The report, open for all tests of this module that do not need a page of their own."""
    with opened(chromium, world) as found:
        yield found


@pytest.fixture(scope="module")
def printed(report):
    """The PDF of all slides, and that of one: documents of PDFium."""
    pdfium = pytest.importorskip("pypdfium2", reason="needs pypdfium2: run scripts/install dev")
    report.go()
    report.page.evaluate("window.report.sheets")
    run = report.page.pdf(prefer_css_page_size=True)
    report.go(slide="full", map="contribution-MSIH")
    return pdfium.PdfDocument(run), pdfium.PdfDocument(report.page.pdf(prefer_css_page_size=True))


def text_of(page):
    return " ".join(page.get_textpage().get_text_range().split())


def colours_of(report, selector):
    """Return the pixels of a canvas as (rows, cols, 3) uint8."""
    url = report.page.locator(selector).first.evaluate("(canvas) => canvas.toDataURL()")
    image = Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))
    return np.asarray(image.convert("RGB"))


def test_every_row_opens_on_the_slide_and_the_slide_with_its_map(report):
    report.go()
    rows = report.page.locator("#slides tbody tr")
    report.page.wait_for_function(
        "() => document.querySelectorAll('#slides .thumbs canvas').length === 6"
    )
    bare, mapped = (
        colours_of(report, f"#slides tbody tr:first-child .thumbs canvas:nth-child({place})")
        for place in (1, 2)
    )
    assert bare.shape == mapped.shape
    # Hot and cold colours lie on the tissue of the second picture alone.
    blue = [(p[..., 2].astype(int) - p[..., 0] > 60).mean() for p in (bare, mapped)]
    assert blue[0] == 0
    assert blue[1] > 0.02
    label = rows.first.locator("canvas").nth(1).get_attribute("aria-label")
    assert label == "full.svs with Score of MSIH"
    assert rows.nth(3).locator("canvas").count() == 0


def test_ground_truth_is_compared_and_wrong_slides_are_filtered(report):
    report.go()
    card = report.page.locator("#card-against-the-ground-truth").inner_text()
    assert "1 of 2 slides predicted right (50 %)" in card
    assert "No AUROC: the ground truth has only one class." in card
    assert "2 slides with ground truth without a prediction" in card
    cells = report.page.locator("#confusion tbody td").all_inner_texts()
    assert cells == ["1", "1", "0", "0"]
    report.page.locator("#filter-wrong").check()
    visible = report.page.locator("#slides tbody tr:not([hidden]) th").all_inner_texts()
    assert visible == ["wide.svs"]
    assert "≠ prediction" in report.page.locator("#slides tbody tr:not([hidden])").inner_text()
    report.page.locator("#filter-wrong").uncheck()


def test_the_count_of_warnings_is_that_of_the_signs(report):
    report.go()
    signs = report.page.locator("#slides tbody tr", has_text="⚠")
    summary = report.page.locator("#summary").inner_text()
    assert signs.count() == 3
    assert "4 slides, 1 failed, 2 with warnings, 1 predicted otherwise" in summary
    report.page.locator("#filter-warnings").check()
    assert report.page.locator("#slides tbody tr:not([hidden])").count() == 3
    report.page.locator("#filter-warnings").uncheck()


def test_it_is_for_research_and_explains_its_words(report):
    for address in ({}, {"slide": "full"}):
        report.go(**address)
        assert report.page.locator("#titles .research").inner_text() == RESEARCH
        assert report.page.locator("#titles .research").is_visible()
    for word in ("attention", "score", "contribution-MSIH", "evidence-MSIH"):
        report.go(slide="full", map=word)
        about = report.page.locator("#controls .about")
        assert not about.locator("p").is_visible()
        about.locator("summary").focus()
        report.page.keyboard.press("Enter")
        assert word.partition("-")[0] in about.locator("p").inner_text().lower()
    for card in ("how-faithful-the-maps-are", "tile-by-tile-prediction-against-the-map-s"):
        assert report.page.locator(f"#card-{card} .about").count() == 1
    assert report.page.locator("#glossary dt").count() > 12
    assert report.page.locator("#slide .truth").inner_text() == "Ground truth: MSIH (predicted so)"
    assert report.page.locator("#card-provenance").get_by_text("fold-2.pkl").is_visible()


def test_two_maps_share_zoom_and_cross_and_their_difference_has_numbers(report):
    report.go(slide="full", map="score-MSIH")
    page = report.page
    page.get_by_role("button", name="Side by side").click()
    report.settle()
    page.locator("#map-2").select_option("contribution")
    report.settle()
    page.evaluate("window.report.shown.stage.show({x: 300, y: 300, width: 200, height: 200})")
    report.settle()
    views = page.evaluate(
        """() => [window.report.shown.stage, window.report.shown.comparison.second.stage]
            .map(({view, canvas}) => [view.left, view.top, view.umPerPx, canvas.width])"""
    )
    assert views[0] == views[1]
    um = (400.0, 400.0)
    first = report.point(um)
    second = page.locator("#readout-2 > *").all_text_contents()
    assert first[0].startswith("probability of MSIH")
    assert "logit" in second[0]
    assert first[-1] == second[-1]
    page.get_by_role("button", name="Difference").click()
    report.settle()
    assert page.locator("#readout-2").count() == 0
    options = page.locator("#minus option").all_text_contents()
    assert "Score of nonMSIH" in options
    assert "Attention" not in options
    page.locator("#minus").select_option("score-nonMSIH")
    report.settle()
    found = report.value(um)
    values = page.evaluate(
        """() => { const { slide, controls } = window.report.shown;
            return ["score-MSIH", "score-nonMSIH", controls.map.name]
                .map((name) => [...slide.values.get(name)]); }"""
    )
    hot, cold, difference = map(np.array, values)
    assert np.allclose(difference, hot - cold, atol=1e-12)
    assert found == pytest.approx(difference[np.abs(difference - found).argmin()], abs=1e-3)
    ticks = page.locator("#controls .ticks").inner_text().split("\n")
    assert ticks[0].replace("≤ ", "") == "\u2212" + ticks[-1].replace("≥ ", "")
    page.locator("#map").select_option("artefacts")
    report.settle()
    assert page.get_by_role("button", name="Difference").is_disabled()
    assert "no numbers to subtract" in page.locator("#no-difference").inner_text()
    page.get_by_role("button", name="One map").click()
    report.settle()


def test_the_saved_picture_has_the_map_and_all_one_needs_to_read_it(report):
    report.go(slide="full", map="contribution-MSIH")
    page = report.page
    page.evaluate(
        """() => { window.written = [];
            const plain = CanvasRenderingContext2D.prototype.fillText;
            CanvasRenderingContext2D.prototype.fillText = function (text, ...more) {
                window.written.push(text); plain.call(this, text, ...more); }; }"""
    )
    with page.expect_download() as download:
        page.get_by_role("button", name="Save the picture").click()
    assert download.value.suggested_filename == "full.contribution-MSIH.png"
    image = np.asarray(Image.open(download.value.path()).convert("RGB"), float)
    written = page.evaluate("window.written")
    for text in ("full.svs", "Contribution to MSIH", RESEARCH, "Drawn hot: MSIH"):
        assert text in written
    assert any(text.endswith("µm") for text in written)
    assert any(text.startswith("Prediction: MSIH 0.") for text in written)
    assert any("Ground truth: MSIH" in text for text in written)
    assert any(text.startswith("Fades where attention is low") for text in written)
    stage = colours_of(report, "#picture")[..., :3].astype(float)
    height, width = stage.shape[:2]
    # The picture in the file has twice the pixels of the screen's.
    top, left = 2 * 64, 2 * 16
    part = image[top : top + 2 * height, left : left + 2 * width]
    small = part.reshape(height, 2, width, 2, 3).mean(axis=(1, 3))
    middle = (slice(height // 4, height // 2), slice(width // 4, 3 * width // 4))
    assert np.abs(small[middle] - stage[middle]).mean() < 6


def test_tiles_enlarge_and_are_found_on_the_slide(report):
    report.go(slide="full", map="score-MSIH")
    page = report.page
    page.locator(".tile").nth(1).click()
    dialog = page.locator("dialog.enlarged")
    assert dialog.is_visible()
    small, large = (
        page.locator(selector).first.bounding_box()["width"]
        for selector in (".tile img", "dialog img")
    )
    assert large > 2 * small
    assert "tile 2 of 6" in dialog.inner_text()
    assert "224 µm × 224 µm" in dialog.inner_text()
    page.keyboard.press("ArrowRight")
    assert "tile 3 of 6" in dialog.inner_text()
    dialog.get_by_role("button", name="Show on the slide").click()
    dialog.wait_for(state="detached")
    assert page.evaluate("window.report.shown.stage.mark.width") == pytest.approx(224)
    page.locator(".tile").first.click()
    page.keyboard.press("Escape")
    dialog.wait_for(state="detached")


def test_a_certain_model_has_digits_and_nothing_to_measure(report):
    report.go(slide="wide")
    page = report.page
    values = page.locator("aside .prediction .value").all_inner_texts()
    assert values == ["1.2e-07", "1 \u2212 1.2e-07"]
    faithful = page.locator("#card-how-faithful-the-maps-are")
    assert "Nothing to measure: the slide's probability of MSIH is 1.2e-07" in faithful.inner_text()
    assert faithful.locator("svg.curves").count() == 0
    faithful.locator("select").select_option("nonMSIH")
    assert faithful.locator("svg.curves polyline").count() > 2


def test_a_bar_of_no_span_is_not_drawn(report):
    report.go(slide="full", map="sd-score-MSIH")
    report.page.evaluate(
        """() => { const { slide, controls } = window.report.shown;
            const map = slide.map("sd-score-nonMSIH");
            Object.assign(map.range, { lower: 0, upper: 1e-12 });
            slide.keep(map, slide.cells.map(() => 0));
            return controls.choose(map.name); }"""
    )
    scale = report.page.locator("#controls .scale")
    assert "Nothing to measure: all values are between 0 and 0." in scale.inner_text()
    assert "e-1" not in report.page.locator("#controls").inner_text()
    assert report.page.locator("#colour-bar").count() == 0


def test_a_fading_map_has_a_bar_of_two_dimensions_and_says_so(report):
    report.go(slide="full", map="score-MSIH")
    key = report.page.locator("#controls .scale")
    assert "Fades where attention is low" in key.inner_text()
    bar = colours_of(report, "#colour-bar").astype(int)
    # The mark of the middle covers a few columns.
    span = lambda row: np.ptp(np.sort(row[:, :3], axis=0)[len(row) // 20 :], axis=0)  # noqa: E731
    assert span(bar[-1]).max() <= 4
    assert span(bar[-33]).min() > 60
    report.page.locator("#fade").uncheck()
    report.settle()
    assert "Fades" not in key.inner_text()
    plain = colours_of(report, "#colour-bar").astype(int)
    assert span(plain[-1]).min() > 60
    report.page.locator("#fade").check()
    report.go(slide="full", map="attention")
    assert "Fades" not in key.inner_text()


def test_outlines_differ_in_colour_and_dash_and_holes_are_no_regions(chromium, tmp_path):
    maps = made_maps("holes", origin=YX(0.0, 0.0))
    result = made_result(maps)

    def square(left, top, side):
        return [(left + side * x, top + side * y) for x, y in ((0, 0), (1, 0), (1, 1), (0, 1))]

    regions = (
        Region("hot", 1, Polygon(square(640, 512, 1280), [square(1088, 960, 384)]),
               300, 0.3, 0.1, 0.9, 1.0, 0.8),
        Region("cold", 1, Polygon(square(2304, 512, 1024)), 200, 0.2, 0.1, 0.1, -1.0, 0.8),
    )  # fmt: skip
    found = replace(find_regions(maps, "MSIH"), regions=regions)
    slide = write_slide_folder(tmp_path, replace(result, regions=found))
    write_report(tmp_path, [slide], run_facts())
    with opened(chromium, tmp_path / "index.html") as report:
        report.slide_to("opacity", 0)
        outlined = colours_of(report, "#picture")[..., :3].astype(int)
        legend = report.page.locator("#slide .outlines li").all_inner_texts()
        report.page.locator("#outlines").uncheck()
        report.settle()
        bare = colours_of(report, "#picture")[..., :3].astype(int)
        corner = np.array([report.screen_from_um((y / 2, x / 2)) for y, x in (
            (512, 640), (512 + 1280, 640 + 1280), (960, 1088), (960 + 384, 1088 + 384),
            (512, 2304), (512 + 1024, 2304 + 1024),
        )])  # fmt: skip
    assert legend == ["hot region: evidence for MSIH", "cold region: evidence against MSIH"]
    changed = np.abs(outlined - bare).sum(axis=2) > 12
    hot, _, hole, hole_end, cold, cold_end = corner
    middle = round((hole[0] + hole_end[0]) / 2)
    # Left of the hole is the region, whose inner edge is shaded; the hole itself is not.
    left = round(hole[1])
    assert changed[middle, left - 5 : left].all()
    assert not changed[middle, left + 4 : left + 12].any()

    def along(colour, row, start, end):
        line = outlined[row - 1 : row + 2, round(start) + 8 : round(end) - 8]
        return (np.abs(line - colour).sum(axis=2) < 60).any(axis=0)

    solid = along((213, 94, 0), round(hot[0]), hot[1], corner[1][1])
    dashed = along((0, 114, 178), round(cold[0]), cold[1], cold_end[1])
    assert solid.mean() > 0.97
    assert 0.4 < dashed.mean() < 0.9


def test_all_is_there_at_the_width_of_a_telephone(chromium, world):
    beyond = """() => [...document.querySelectorAll("body *")].filter((each) => {
        if (!each.checkVisibility() || each.closest(".unseen, .skip, svg, thead")) return false;
        const box = each.getBoundingClientRect();
        const style = getComputedStyle(each);
        const cut = style.overflowX !== "visible" && each.scrollWidth > each.clientWidth + 1
            && !each.matches("input, select");
        return box.width > 0 && (box.right > innerWidth + 0.5 || box.left < -0.5 || cut);
    }).map((each) => each.outerHTML.slice(0, 120))"""
    with opened(chromium, world, NARROW) as report:
        for address in ({}, {"slide": "full"}, {"slide": "wide", "map": "contribution-MSIH"}):
            report.go(**address)
            assert report.page.evaluate(beyond) == []
        report.go()
        titles = report.page.evaluate(
            """() => [...document.querySelectorAll("#slides tbody tr:first-child > *")]
                .map((cell) => getComputedStyle(cell, "::before").content)"""
        )
        for title in ("Ground truth", "Prediction", "P(MSIH)", "AUPC", "Warnings"):
            assert f'"{title}"' in titles
        report.page.locator("#sort-by").select_option("slide")
        names = report.page.locator("#slides tbody th").all_inner_texts()
        assert names == sorted(names)


def test_the_numbers_are_those_of_the_terminal(chromium):
    values = [0.0, 1.0, 0.5, 2.7412, -0.0012345, 1.2e-7, 12345.6, 0.99987, 0.0999999, 3.4e8]
    values += [1 - 1.2e-7, 0.05, 0.9951, 1e-4, 0.00009996, 0.9999, 0.8342, 999.7, -1.5e-9]
    rng = np.random.default_rng(0)
    values += [*rng.random(40).tolist(), *(10.0 ** rng.uniform(-9, 9, 40)).tolist()]
    source = (viewer_files() / "report" / "numbers.js").read_text(encoding="utf-8")
    page = chromium.new_page()
    texts = page.evaluate(
        f"""(values) => {{ {source.replace("export ", "")}
            return values.map((one) => [number(one), probability(one), percent(one)]); }}""",
        values,
    )
    page.close()
    for value, (number, probability, percent) in zip(values, texts, strict=True):
        assert number == numbers.number(value)
        if 0 <= value <= 1:
            assert probability == numbers.probability(value)
            assert percent == numbers.percent(value)


def test_printed_each_slide_has_a_page_and_the_run_one(printed):
    run, one = printed
    # The failed slide has no results: its reason is on the run's page.
    assert len(run) == 1 + 3
    assert len(one) == 1
    for page in (*run, *one):
        assert page.get_size() == pytest.approx((595.3, 841.9), abs=1)
        assert RESEARCH in text_of(page)
    first = text_of(run[0])
    for text in ("Against the ground truth", "full.svs", "bad.svs cannot be opened", "1 of 2"):
        assert text in first
    for page, title in ((run[1], "Score of MSIH"), (one[0], "Contribution to MSIH")):
        text = text_of(page)
        for wanted in (
            "full.svs", title, "MSIH drawn hot", "Ground truth: MSIH", "How far to trust it",
            "AUPC", "fold-1.pkl, fold-2.pkl", "hot region: evidence for MSIH",
            "Fades where attention",
        ):  # fmt: skip
            assert wanted in text
    assert "1 \u2212 1.2e-07" in text_of(run[2])
    assert "No tissue was found" in text_of(run[3])


def largest_picture(page):
    """Return the place of a page's largest image in points, and its (cols, rows)."""
    import pypdfium2.raw as pdfium

    pictures = [found for found in page.get_objects() if found.type == pdfium.FPDF_PAGEOBJ_IMAGE]
    largest = max(pictures, key=lambda found: math.prod(found.get_px_size()))
    return largest.get_bounds(), largest.get_px_size()


def test_printed_pictures_keep_their_proportions(printed):
    run, one = printed
    for page in (run[1], run[2], run[3], one[0]):
        (left, bottom, right, top), (cols, rows) = largest_picture(page)
        assert (right - left) / (top - bottom) == pytest.approx(cols / rows, rel=0.01)
        # Filling most of the page's width of 188 mm, and not a thumbnail.
        assert right - left > 0.85 * 188 / 25.4 * 72
    page, scale = run[2], 3
    (left, bottom, right, top), _ = largest_picture(page)
    raster = np.asarray(page.render(scale=scale).to_pil().convert("RGB"), int)
    height = page.get_size()[1]
    inside = raster[
        math.ceil((height - top) * scale) + 3 : math.floor((height - bottom) * scale) - 3,
        math.ceil(left * scale) + 3 : math.floor(right * scale) - 3,
    ]
    coloured = np.ptp(inside, axis=2) > 30
    tall = np.flatnonzero(coloured.mean(axis=1) > 0.2)
    wide = np.flatnonzero(coloured.mean(axis=0) > 0.2)
    # The tissue is 40 cells wide and 16 high.
    assert np.ptp(wide) / np.ptp(tall) == pytest.approx(40 / 16, rel=0.03)
