"""The table of many slides in a browser: rows as they are needed, and links both ways."""

import shutil

import pytest
from report_page import WIDE
from report_world import made_maps, made_result, run_facts, write_slide_folder

from heatmaps_ome.geometry import Shape
from heatmaps_ome.viewers.report.page import write_report
from heatmaps_ome.viewers.report.reported import ReportedSlide

pytestmark = pytest.mark.slow
COUNT, FAILED = 60, 1000


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """A report of many slides, one of whose names an address must encode, and one that failed."""
    out = tmp_path_factory.mktemp("table")
    first = write_slide_folder(out, made_result(made_maps("s#000 %", Shape(12, 16))))
    slides = [first]
    for index in range(1, COUNT):
        name = f"s{index:03}"
        (out / name).mkdir()
        part = out / first.folder / f"{first.folder}.report.json"
        shutil.copyfile(part, out / name / f"{name}.report.json")
        slides.append(ReportedSlide(f"{name}.svs", "done", folder=name, label="nonMSIH"))
    slides += [ReportedSlide(f"z{n}.svs", "failed", "it cannot be opened") for n in range(FAILED)]
    write_report(out, slides, run_facts(), 100_000)
    return out


@pytest.fixture
def page(chromium, out):
    """The table, which complains of nothing and asks for its own files alone."""
    page = chromium.new_page(viewport=WIDE)
    complaints, requests = [], []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto((out / "index.html").as_uri())
    settle(page)
    yield page
    page.close()
    assert complaints == []
    assert all(url.startswith((out.as_uri(), "data:", "blob:")) for url in requests)


def settle(page):
    page.wait_for_function("() => window.report?.ready")
    page.evaluate("async () => { await window.report.ready; }")


def names(page):
    return page.locator("#slides tbody th a").all_inner_texts()


def test_rows_are_made_when_they_come_into_view(page):
    top = page.evaluate("document.documentElement.scrollHeight")
    assert names(page)[0] == "s#000 %.svs"
    assert 50 <= len(names(page)) < 300
    page.wait_for_function(
        "() => [...document.querySelectorAll('#slides img')].some((one) => one.naturalWidth > 0)"
    )
    page.evaluate("window.scrollTo(0, document.documentElement.scrollHeight)")
    page.wait_for_function(
        "() => document.querySelector('#slides').textContent.includes('z999.svs')"
    )
    assert len(names(page)) < 300
    # Rows that are not there take the place of those that were.
    assert abs(page.evaluate("document.documentElement.scrollHeight") / top - 1) < 0.1


def test_sorting_and_filters_go_over_all_rows(page):
    page.locator("#slides [data-key=slide] button").click()
    page.locator("#slides [data-key=slide] button").click()
    assert names(page)[:2] == ["z999.svs", "z998.svs"]
    page.locator("#filter-text").fill("s05")
    assert names(page) == [f"s0{index}.svs" for index in range(59, 49, -1)]
    assert page.locator("#shown").inner_text() == f"10 of {COUNT + FAILED} shown"
    page.locator("#filter-text").fill("nothing like this")
    assert names(page) == []


def test_a_slide_opens_on_its_own_page_and_leads_back_to_the_table_as_it_was(page, out):
    page.locator("#filter-text").fill("s#")
    page.locator("#slides tbody th a").click()
    page.wait_for_url(lambda url: "/report/" in url)
    settle(page)
    assert page.locator("#slide h1").inner_text() == "s#000 %.svs"
    assert page.locator("#picture").is_visible()
    page.locator("#back").click()
    page.wait_for_url(lambda url: "/report/" not in url)
    settle(page)
    assert page.locator("#filter-text").input_value() == "s#"
    assert names(page) == ["s#000 %.svs"]
    # Sent alone or opened from a bookmark, it leads to the table beside it.
    page.goto((out / "report" / "s001.html").as_uri())
    settle(page)
    page.locator("#back").click()
    page.wait_for_url(lambda url: url.endswith("/index.html"))
    settle(page)
    assert len(names(page)) > 1


def test_a_failed_slide_has_its_reason_in_the_table(page):
    page.locator("#filter-text").fill("z777")
    page.locator("#slides tbody th a").click()
    page.wait_for_function("() => document.querySelector('#slide .warning') !== null")
    assert "cannot be opened" in page.locator("#slide .warning").inner_text()
