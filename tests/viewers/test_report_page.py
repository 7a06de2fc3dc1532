"""The report in a real browser, opened from disk: it shows the raw values at their true places."""

import json
import time
from dataclasses import replace

import numpy as np
import pytest
import zarr
from made_once import demo_run
from report_page import NARROW, WIDE, opened
from report_world import (
    CLASSES,
    made_maps,
    made_result,
    made_slide,
    run_facts,
    with_everything,
    write_provenance,
    write_slide_folder,
)

from heatmaps_ome.geometry import YX, Shape
from heatmaps_ome.viewers.report.fitting import fitted, text_of
from heatmaps_ome.viewers.report.page import write_report
from heatmaps_ome.viewers.report.reported import ReportedSlide

pytestmark = pytest.mark.slow

HOSTILE = ("</script><script>alert(1)</script>", "=1+1 <!-- <script>", "a/b \"c\" 'd' \u2028 &lt;")


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The demo's run."""
    return demo_run(tmp_path_factory)


@pytest.fixture(scope="module")
def rich(tmp_path_factory):
    """A run of three slides: one with everything, one without tissue, and one that failed."""
    out = tmp_path_factory.mktemp("rich")
    full = with_everything(made_result(made_maps("full"), leave_one_out=True))
    none = made_result(made_maps("none", tissue=np.zeros((40, 60), bool), seed=1))
    slides = [
        write_slide_folder(out, full),
        write_slide_folder(out, none),
        ReportedSlide("bad.svs", "failed", "bad.svs cannot be opened; check the file"),
    ]
    write_report(out, slides, run_facts())
    return out


def demo_values(demo):
    [path] = demo.glob("demo-slide-*/*.values.ome.zarr")
    group = zarr.open_group(path, mode="r")
    scale, shift = group.attrs["multiscales"][0]["datasets"][0]["coordinateTransformations"]
    names = [each["label"] for each in group.attrs["omero"]["channels"]]
    return (
        np.asarray(group["0"]), names, np.array(scale["scale"][1:]),
        np.array(shift["translation"][1:]),
    )  # fmt: skip


def test_the_demo_opens_from_disk_and_shows_its_slide(chromium, demo):
    with opened(chromium, demo / "index.html") as report:
        assert "slide=demo-slide-" in report.page.url
        assert report.page.locator("#slide h1").inner_text().startswith("demo-slide-")
        assert not report.page.locator("#slides").is_visible()
        assert report.page.locator("#back").count() == 0
        assert report.page.locator("#card-provenance").get_by_text("demo-export.pkl").is_visible()


def test_sliders_and_choosers_change_the_picture(chromium, demo):
    with opened(chromium, demo / "index.html") as report:
        full = report.picture()
        report.slide_to("opacity", 0.3)
        faint = report.picture()
        report.slide_to("opacity", 0)
        bare = report.picture()
        assert 0 < np.abs(faint - bare).mean() < np.abs(full - bare).mean()
        report.slide_to("opacity", 1)
        assert np.array_equal(report.picture(), full)
        report.slide_to("hide-below", 0.9)
        few = report.picture()
        hidden = np.abs(few - full).sum(axis=2) > 0
        assert hidden.any()
        assert np.array_equal(few[hidden], bare[hidden])
        report.slide_to("hide-below", 0)
        report.slide_to("hide-above", 0.5)
        assert np.abs(report.picture() - full).max() > 0
        report.slide_to("hide-above", 1)
        report.page.locator("#fade").uncheck()
        report.settle()
        assert np.abs(report.picture() - full).max() > 0
        report.page.locator("#map").select_option("attention")
        report.settle()
        assert np.abs(report.picture() - full).max() > 0
        assert "map=attention" in report.page.url
        report.page.locator("#map").select_option("contribution")
        report.page.locator("#class").select_option(label="normal")
        report.settle()
        assert "map=contribution-normal" in report.page.url


def test_hiding_the_lowest_tenth_hides_a_tenth_of_the_cells(chromium, demo):
    values, names, *_ = demo_values(demo)
    with opened(chromium, demo / "index.html") as report:
        report.go(slide=report.page.evaluate("window.report.shown.row.folder"), map="attention")
        report.slide_to("hide-below", 0.1)
        cells = values[names.index("attention")]
        cells = cells[np.isfinite(cells)]
        said = report.page.locator("#cells-shown").inner_text().replace("\u202f", "")
        assert int(said.split(" ")[0]) == pytest.approx(0.9 * cells.size, abs=8)
        assert f"of {cells.size} " in said


def test_the_value_under_the_mouse_is_that_of_its_cell(chromium, demo):
    values, names, um_cell, um_origin = demo_values(demo)
    rng = np.random.default_rng(0)
    with opened(chromium, demo / "index.html") as report:
        folder = report.page.evaluate("window.report.shown.row.folder")
        for name in ("attention", "score-tumour", "contribution-tumour"):
            report.go(slide=folder, map=name)
            channel = values[names.index(name)]
            cells = np.argwhere(np.isfinite(channel))
            # Contributions are drawn as the logit of a slide of cells like this one.
            factor = len(cells) if name.startswith("contribution") else 1
            # Some anywhere, and the last of the rows and of the columns, near the far edges.
            chosen = [*rng.permutation(cells)[:6], cells[-1], cells[cells[:, 1].argmax()]]
            finite = channel[np.isfinite(channel)]
            span = float(finite.max() - finite.min())
            for cell in chosen:
                um = um_origin + (cell + 0.5) * um_cell
                raw = float(channel[tuple(cell)])
                wanted = factor * raw
                found = report.value(um)
                # A step of what is stored, and half of the third digit that is shown.
                step = span / 4000
                assert found == pytest.approx(wanted, abs=factor * step + 5.1e-3 * abs(wanted))
                lines = report.point(um)
                if factor > 1:
                    named = float(lines.pop(1).split(" ")[-1].replace("\u2212", "-"))
                    assert named == pytest.approx(raw, abs=step + 5.1e-3 * abs(raw))
                assert lines[-1] == f"cell {cell[0]}, {cell[1]}"
                x = float(lines[1].split(" ")[1].replace("\u2212", "-"))
                assert x == pytest.approx(um[1], abs=20)
        glass = np.argwhere(~np.isfinite(values[0]))[5]
        assert report.point(um_origin + (glass + 0.5) * um_cell)[0] == "no tissue here"


def one_hot(name, cell, origin):
    """Return a result whose only tissue is one cell, marked on the slide, and its middle in µm."""
    shape = Shape(30, 45)
    tissue = np.zeros(shape, bool)
    tissue[cell] = True
    maps = made_maps(name, shape, origin=origin, tissue=tissue)
    slide = made_slide(maps, textured=False)
    slide.rgb[:] = 255
    grid = maps.grid
    corner = grid.l0_from_g(YX(*cell))
    # A dark mark on the slide itself just where the cell is.
    y0, x0 = (max(0, round(v)) for v in corner)
    slide.rgb[y0 : round(corner.y + grid.l0_cell.y), x0 : round(corner.x + grid.l0_cell.x)] = 0
    return made_result(maps, slide), grid.um_from_g(YX(cell[0] + 0.5, cell[1] + 0.5))


@pytest.mark.parametrize("cell", [(1, 1), (14, 20), (27, 42), (2, 41)])
@pytest.mark.parametrize("zoomed", [False, True])
def test_a_hot_cell_lies_on_its_mark_on_the_slide(chromium, tmp_path, cell, zoomed):
    result, um = one_hot("hot", cell, YX(-31.0, -17.5))
    write_report(tmp_path, [write_slide_folder(tmp_path, result)], run_facts())
    with opened(chromium, tmp_path / "index.html") as report:
        report.go(slide="hot", map="attention")
        if zoomed:
            report.page.evaluate(
                """([y, x]) => window.report.shown.stage.show(
                    {x: x - 40, y: y - 40, width: 80, height: 80})""",
                [um.y, um.x],
            )
            report.settle()
        report.slide_to("opacity", 0)
        slide = report.picture()
        report.slide_to("opacity", 1)
        seen = report.picture()
        changed = np.abs(seen - slide).sum(axis=2)
        dark = (255 - slide.mean(axis=2)) * (slide.max(axis=2) < 200) * (slide.std(axis=2) < 20)
        px_per_um = 1 / report.page.evaluate("window.report.shown.stage.view.umPerPx")
        side = 32 * px_per_um

        def middle(weights):
            rows, cols = np.mgrid[: weights.shape[0], : weights.shape[1]] + 0.5
            return np.array([(rows * weights).sum(), (cols * weights).sum()]) / weights.sum()

        hot = middle((changed > 30).astype(float))
        assert np.abs(hot - report.screen_from_um(um)).max() <= 1
        assert np.abs(hot - middle(dark)).max() <= max(1, 0.1 * side)
        assert (changed > 30).sum() ** 0.5 == pytest.approx(side, abs=2)


def test_maps_drawn_elsewhere_are_shown_there(chromium, tmp_path):
    result, um = one_hot("old", (10, 20), YX(-31.0, -17.5))
    moved = tuple(
        replace(each, grid=replace(each.grid, l0_origin=YX(0.0, 0.0))) for each in result.maps
    )
    write_report(tmp_path, [write_slide_folder(tmp_path, replace(result, maps=moved))], run_facts())
    with opened(chromium, tmp_path / "index.html") as report:
        report.go(slide="old", map="attention")
        shifted = YX(um.y + 31 * 0.5, um.x + 17.5 * 0.5)
        assert report.point(shifted)[-1] == "cell 10, 20"
        assert report.point(YX(shifted.y - 17, shifted.x))[0] == "no tissue here"


def test_a_slide_with_everything_shows_all_of_it(chromium, rich):
    with opened(chromium, rich / "index.html") as report:
        report.go(slide="full")
        page = report.page
        titles = page.locator("#cards h2").all_inner_texts()
        assert titles == [
            "How faithful the maps are", "Tile-by-tile prediction against the map's",
            "Where the evidence is", "Tiles that speak for and against the class", "Artefacts",
            "Single models", "Provenance",
        ]  # fmt: skip
        assert page.locator("#consistency.warning").count() == 1
        assert page.locator(".curves polyline").count() == 4
        shares = page.locator("#regions tbody tr td:nth-child(2)").all_inner_texts()
        assert shares == ["46 %", "38 %", "25 %"]
        assert page.locator(".tile img").count() == 12
        assert page.locator("#cards").get_by_text("fold-2").is_visible()
        assert page.locator("#card-provenance").get_by_text("m" * 64).is_visible()
        before = report.picture()
        page.get_by_role("button", name="hot 2").click()
        report.settle()
        assert np.abs(report.picture() - before).max() > 0
        y, x = report.screen_from_um((25 * 32 - 15.5, 38.5 * 32 - 8.5))
        box = page.locator("#picture").bounding_box()
        assert 0 < y < box["height"]
        assert 0 < x < box["width"]
        report.go(slide="full", map="winner")
        assert [text.split("\n")[0] for text in page.locator("#legend li").all_inner_texts()] == [
            *CLASSES
        ]
        assert page.locator("#hide-below").count() == 0


def test_regions_can_be_outlined_or_not(chromium, rich):
    with opened(chromium, rich / "index.html") as report:
        report.go(slide="full")
        outlined = report.picture()
        report.page.locator("#outlines").uncheck()
        report.settle()
        assert np.abs(report.picture() - outlined).max() > 50


def test_a_slide_without_tissue_and_one_that_failed_say_so(chromium, rich):
    with opened(chromium, rich / "index.html") as report:
        rows = report.page.locator("#slides tbody tr").all_inner_texts()
        assert "no prediction" in rows[1]
        assert "failed" in rows[2]
        assert "cannot be opened" in rows[2]
        report.go(slide="none")
        assert "No tissue was found" in report.page.locator("#slide .warning").inner_text()
        assert "0 of 0" in report.page.locator("#cells-shown").inner_text()
        missing = report.page.locator("#card-not-available").inner_text()
        assert "The slide has no tissue" in missing
        report.go(slide="bad.svs")
        assert "cannot be opened" in report.page.locator("#slide .warning").inner_text()


def test_it_can_be_used_by_keyboard_alone(chromium, rich):
    with opened(chromium, rich / "index.html") as report:
        report.go(slide="full", map="attention")
        report.page.locator("#picture").focus()
        report.page.keyboard.press("ArrowRight")
        first = report.page.locator("#readout b").inner_text()
        assert first.startswith("attention (")
        assert report.page.locator("#stage .unseen").inner_text().startswith(first)
        before = report.page.evaluate("window.report.shown.stage.view.umPerPx")
        report.page.keyboard.press("+")
        assert report.page.evaluate("window.report.shown.stage.view.umPerPx") < before
        unnamed = report.page.evaluate(
            """() => [
                ...document.querySelectorAll("button, input, select, canvas, a, summary"),
            ].filter(
                (each) => each.offsetParent && !(each.labels?.length || each.textContent.trim()
                    || each.getAttribute("aria-label") || each.querySelector("img[alt]"))
            ).map((each) => each.outerHTML)"""
        )
        assert unnamed == []


def test_a_tap_tells_the_value_on_a_telephone(chromium, rich):
    with opened(chromium, rich / "index.html", NARROW, has_touch=True) as report:
        for address in ({}, {"slide": "full", "map": "attention"}):
            report.go(**address)
            assert report.page.evaluate("document.documentElement.scrollWidth") <= 390
        box = report.page.locator("#picture").bounding_box()
        report.page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        assert report.page.locator("#readout b").inner_text().startswith("attention (")


def test_hostile_names_are_text_and_nothing_else(chromium, tmp_path):
    name = "<img src=x onerror=alert(1)> & \u202e'\"#%"
    result = with_everything(made_result(made_maps(name, classes=HOSTILE)))
    slides = [
        write_slide_folder(tmp_path, result, f"{name}.svs"),
        ReportedSlide("</script>.svs", "failed", "<b>no</b> </script><script>alert(2)</script>"),
    ]
    path = write_report(tmp_path, slides, run_facts(HOSTILE))
    text = path.read_text(encoding="utf-8")
    assert text.count("<script") == 1 + 2 + 0  # the slide's, the run's, and the page's own
    assert text.count("</script") == text.count("<script")
    with opened(chromium, path) as report:
        assert report.page.locator("#slides th a").first.inner_text() == f"{name}.svs"
        assert report.page.locator("#slides tbody tr").nth(1).get_by_text("<b>no</b>").is_visible()
        assert report.page.locator("#slides img").count() == 0
        report.page.locator("#slides th a").first.click()
        report.settle()
        assert report.page.locator("#slide h1").inner_text() == f"{name}.svs"
        options = report.page.locator("#class option").all_text_contents()
        assert options == list(HOSTILE)


def test_a_reduced_slide_says_so_and_keeps_its_places(chromium, tmp_path):
    result = made_result(made_maps("dense"))
    slide = write_slide_folder(tmp_path, result)
    part = json.loads((tmp_path / "dense" / "dense.report.json").read_text())
    size = len(text_of(part))
    budget = next(
        most
        for most in range(size, 0, -(size // 100))
        if any(said.startswith("2 × 2 cells") for said in fitted(part, most)[1])
    )
    write_report(tmp_path, [slide], run_facts(), budget)
    grid, raw = result.heatmaps.grid, result.heatmaps.attention
    inner = np.isfinite(raw[10:12, 20:22])
    assert inner.all()
    with opened(chromium, tmp_path / "index.html") as report:
        report.go(slide="dense", map="attention")
        note = report.page.locator("#slide .note").inner_text()
        assert "2 × 2 cells are joined" in note
        um = grid.um_from_g(YX(11.0, 21.0))
        assert report.point(um)[-1] == "mean of 2 × 2 cells"
        assert report.value(um) == pytest.approx(raw[10:12, 20:22].mean(), abs=0.01)


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """A run of 300 slides, made of one."""
    out = tmp_path_factory.mktemp("many")
    first = write_slide_folder(out, made_result(made_maps("s000", Shape(20, 30))))
    part = json.loads((out / "s000" / "s000.report.json").read_text())
    rng, slides = np.random.default_rng(0), [first]
    for index in range(1, 300):
        name, share = f"s{index:03}", float(rng.random())
        folder = out / name
        folder.mkdir()
        row = part["row"] | {
            "prediction": {"MSIH": share, "nonMSIH": 1 - share},
            "predicted": CLASSES[share < 0.5], "probability": share,
            "warnings": ["The model's answer is odd."] if index % 10 == 0 else [],
        }  # fmt: skip
        (folder / f"{name}.report.json").write_text(json.dumps(part | {"row": row}))
        write_provenance(folder, f"{name}.svs")
        slides.append(ReportedSlide(f"{name}.svs", "done", folder=name))
    start = time.monotonic()
    write_report(out, slides, run_facts())
    assert time.monotonic() - start < 30
    return out


def test_hundreds_of_slides_are_sorted_and_filtered_at_once(chromium, many):
    with opened(chromium, many / "index.html") as report:
        page = report.page

        def column(index):
            return page.evaluate(
                """(index) => [...document.querySelectorAll("#slides tbody tr:not([hidden])")]
                    .map((line) => line.children[index].innerText.trim())""",
                index,
            )

        assert len(column(0)) == 300
        start = time.monotonic()
        page.get_by_role("button", name="P(MSIH)").click()
        falling = [float(each) for each in column(3)]
        assert falling == sorted(falling, reverse=True)
        assert page.locator("th[aria-sort]").get_attribute("aria-sort") == "descending"
        page.get_by_role("button", name="P(MSIH)").click()
        assert [float(each) for each in column(3)] == sorted(falling)
        page.get_by_role("button", name="Slide", exact=True).click()
        assert column(1) == sorted(column(1))
        page.locator("#filter-class").select_option("nonMSIH")
        assert set(column(2)) == {"nonMSIH"}
        assert len(column(2)) == page.evaluate(
            "window.report.run.rows.filter((row) => row.prediction.MSIH < 0.5).length"
        )
        page.locator("#filter-class").select_option("")
        page.locator("#filter-warnings").check()
        assert len(column(0)) == 29
        page.locator("#filter-text").fill("s1")
        assert column(1) == [f"s1{tens}0.svs" for tens in range(10)]
        assert time.monotonic() - start < 20
        page.locator("#slides tbody tr:not([hidden])").nth(1).locator("td").nth(2).click()
        report.settle()
        assert page.locator("#slide h1").inner_text() == "s110.svs"
        page.get_by_label("Next slide").click()
        report.settle()
        assert page.locator("#slide h1").inner_text() == "s120.svs"


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["1280", "390"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_told_from_what_is_behind_it(chromium, rich, size, scheme):
    """WCAG 2.2, 1.4.3: a contrast of 4.5 for all text of the page."""
    with opened(chromium, rich / "index.html", size, color_scheme=scheme) as report:
        for address in ({}, {"slide": "full", "map": "contribution-MSIH"}):
            report.go(**address)
            assert report.page.evaluate(_FAINT) == []


_FAINT = """() => {
    const parsed = (text) => (text.match(/[\\d.]+/g) ?? []).map(Number);
    const light = ([r, g, b]) => [r, g, b].map((part) => part / 255)
        .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
        .reduce((sum, part, i) => sum + part * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = (each) => {
        for (let at = each; at; at = at.parentElement) {
            const found = parsed(getComputedStyle(at).backgroundColor);
            if (found.length === 3 || found[3] > 0.5) return found;
        }
        return [255, 255, 255];
    };
    const faint = [];
    for (const each of document.querySelectorAll("body *")) {
        const own = [...each.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
        if (!own || !each.checkVisibility()) continue;
        if (each.closest(".off, .unseen, .skip, script, svg")) continue;
        const [a, b] = [light(parsed(getComputedStyle(each).color)), light(behind(each))];
        const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (contrast < 4.5) faint.push(`${each.outerHTML.slice(0, 80)} ${contrast.toFixed(2)}`);
    }
    return faint;
}"""
