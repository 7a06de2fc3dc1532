"""The report's parts and their putting together: packing, size, and what goes wrong."""

import base64
import hashlib
import io
import json
import re
import tracemalloc
import zlib
from dataclasses import replace

import numpy as np
import pytest
from fakes import FakeSlide, noise_rgb
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from report_world import (
    CLASSES,
    MPP,
    made_maps,
    made_result,
    made_slide,
    run_facts,
    with_everything,
    write_provenance,
    write_slide_folder,
)

from heatmaps_ome.errors import OutputError
from heatmaps_ome.exporters.manifest import manifest
from heatmaps_ome.geometry import YX, Shape
from heatmaps_ome.maps.channels import channels
from heatmaps_ome.maps.top_tiles import L0Window, PickedTile
from heatmaps_ome.ome.ngff import json_ready
from heatmaps_ome.viewers.files import viewer_files
from heatmaps_ome.viewers.report.assets import page
from heatmaps_ome.viewers.report.fitting import fitted, text_of
from heatmaps_ome.viewers.report.packing import (
    FINE,
    PLAIN,
    packed_levels,
    packed_mask,
    packed_values,
    unpacked_levels,
    unpacked_mask,
    unpacked_values,
)
from heatmaps_ome.viewers.report.page import write_report
from heatmaps_ome.viewers.report.part import ReportExporter, tile_pixels
from heatmaps_ome.viewers.report.part_file import part_facts
from heatmaps_ome.viewers.report.reported import ReportedSlide

STATED = (
    "kind", "kind_title", "class", "title", "quantity", "unit", "colour_map", "levels", "range",
    "opacity", "categories", "note",
)  # fmt: skip
"""Of a map, alike in maps.json and in the report."""


def part_of(result, folder):
    [path] = ReportExporter().write(result, folder)
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def full():
    maps = made_maps("full", cell=16.0)
    return with_everything(made_result(maps, leave_one_out=True))


@pytest.fixture(scope="module")
def part(full, tmp_path_factory):
    return part_of(full, tmp_path_factory.mktemp("part"))


# --- Packing ----------------------------------------------------------------------------------

NUMBERS = st.floats(width=32, allow_nan=True, allow_infinity=True)


@given(st.lists(NUMBERS, max_size=60), st.sampled_from([FINE, PLAIN, 7]))
def test_values_come_back_to_half_a_step(numbers, steps):
    values = np.array(numbers, np.float64)
    found = unpacked_values(packed_values(values, steps), len(values))
    finite = np.isfinite(values)
    assert np.array_equal(found[~finite], values[~finite], equal_nan=True)
    if finite.any():
        span = float(values[finite].max()) - float(values[finite].min())
        off = np.abs(found[finite] - values[finite])
        assert (off <= 0.5001 * span / steps + 1e-12 * np.abs(values[finite]).max()).all()


def test_values_are_unpacked_by_what_the_documentation_says():
    values = np.random.default_rng(0).normal(size=500)
    said = packed_values(values, 1000)
    parts = zlib.decompress(base64.b64decode(said["codes"]))
    code, found = 0, []
    for low, high in zip(parts[:500], parts[500:], strict=True):
        folded = low | high << 8
        code = (code + (folded // 2 if folded % 2 == 0 else -(folded // 2) - 1)) % 65536
        found.append(said["min"] + (code - 2) / said["steps"] * (said["max"] - said["min"]))
    assert np.allclose(found, values, atol=0.51 * np.ptp(values) / 1000)


def test_values_of_no_cell_and_equal_values_have_a_result():
    assert unpacked_values(packed_values(np.array([])), 0).size == 0
    assert unpacked_values(packed_values(np.full(3, 0.25)), 3).tolist() == [0.25] * 3
    with pytest.raises(ValueError, match="not the values of 4 cells"):
        unpacked_values(packed_values(np.zeros(3)), 4)


def test_masks_and_levels_come_back():
    tissue = np.random.default_rng(0).random((7, 13)) < 0.5
    assert np.array_equal(unpacked_mask(packed_mask(tissue), 7, 13), tissue)
    levels = np.array([0, 3, 255], np.uint8)
    assert np.array_equal(unpacked_levels(packed_levels(levels)), levels)


# --- A slide's part ---------------------------------------------------------------------------


def test_a_part_has_every_map_with_its_drawn_values(full, part):
    heatmaps = full.heatmaps
    names = [channel.name for channel in channels(heatmaps) if not channel.key.spread]
    shown = [each["name"] for each in part["maps"]]
    spread = {f"sd-score-{name}" for name in CLASSES}
    assert {*names, *spread, "winner", "artefacts"} == set(shown)
    wanted = {channel.name: channel.values for channel in channels(heatmaps)}
    for each in part["maps"]:
        if "levels_packed" in each:
            continue
        # Contributions are drawn as the logit of a slide whose cells are all alike.
        drawn = each["factor"] * wanted[each["name"]][heatmaps.tissue].astype(np.float64)
        found = unpacked_values(each["values"], heatmaps.tissue_cells)
        least = 1e-6 * np.abs(drawn).max()
        assert np.abs(found - drawn).max() <= 0.51 * np.ptp(drawn) / each["values"]["steps"] + least
    tissue = unpacked_mask(part["tissue"], *heatmaps.grid.shape)
    assert np.array_equal(tissue, heatmaps.tissue)
    kinds = {each["name"]: (each["kind"], each["class"], each["unit"]) for each in part["maps"]}
    assert kinds["leave-one-out-nonMSIH"] == ("leave-one-out", "nonMSIH", "probability")
    assert kinds["sd-score-MSIH"] == ("sd-score", "MSIH", "probability")
    assert kinds["attention"] == ("attention", None, "log ratio")
    spread = [each for each in part["maps"] if each["kind_title"] == "Spread of score"]
    assert [each["class"] for each in spread] == list(CLASSES)


def test_a_part_states_of_its_maps_what_maps_json_does(full, part, tmp_path):
    said = {each["name"]: each for each in json_ready(manifest(full, tmp_path))["maps"]}
    for each in part["maps"]:
        stated = {name: each[name] for name in STATED}
        wanted = {name: said[each["name"]][name] for name in STATED}
        if each["opacity"]["fades_with"] is not None:
            # The report has no channels: cells fade with its map of attention.
            assert wanted["opacity"]["fades_with"].pop("channel") == 0
        assert stated == wanted
        assert (each["levels"] is None) == ("levels_packed" in each) == bool(each["categories"])


def test_classes_alike_but_for_punctuation_have_maps_of_their_own(tmp_path):
    classes = ("MSI-H / high", "MSI-H high", "MSS")
    part = part_of(made_result(made_maps("alike", classes=classes)), tmp_path)
    shown = {(each["kind"], each["class"]): each["title"] for each in part["maps"]}
    for name in classes:
        assert shown["score", name] == f"Score of {name}"
        assert shown["contribution", name] == f"Contribution to {name}"


def test_a_part_says_the_same_twice(full, tmp_path):
    texts = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        [path] = ReportExporter().write(full, tmp_path / name)
        texts.append(path.read_bytes())
    assert texts[0] == texts[1]
    assert hashlib.sha256(texts[0]).digest() == hashlib.sha256(texts[1]).digest()


def test_the_picture_covers_the_slide_and_has_its_true_pixel_size(tmp_path):
    result = made_result(made_maps("slide", Shape(40, 60)))
    said = replace_exporter(thumbnail_px=300, result=result, folder=tmp_path)["thumbnail"]
    image = Image.open(io.BytesIO(base64.b64decode(said["jpeg"].split(",")[1])))
    assert image.size == (said["cols"], said["rows"])
    assert max(image.size) <= 300
    shape, pixel = result.slide.shape, said["l0_pixel"]
    assert 0 <= said["rows"] * pixel["y"] - shape.rows < pixel["y"]
    assert 0 <= said["cols"] * pixel["x"] - shape.cols < pixel["x"]


def replace_exporter(thumbnail_px, result, folder):
    [path] = ReportExporter(thumbnail_px=thumbnail_px).write(result, folder)
    return json.loads(path.read_text())


def test_a_tiles_pixels_are_those_of_its_window():
    slide = FakeSlide(noise_rgb(Shape(400, 300)), MPP)
    tile = PickedTile("top", 1, L0Window(40.0, 60.0, 128.0, 64.0), YX(52.0, 46.0), 0.9, 0.1, 0.1)
    found = tile_pixels(slide, tile, 32)
    wanted = slide.rgb[40:168, 60:124].reshape(32, 4, 16, 4, 3).mean(axis=(1, 3))
    assert np.abs(found - wanted).max() <= 1
    over = replace(tile, l0_window=L0Window(-64.0, 250.0, 128.0, 128.0))
    pixels = tile_pixels(slide, over, 32)
    assert (pixels[:16] == 255).all()
    assert (pixels[:, 13:] == 255).all()


def test_what_is_missing_has_a_reason(tmp_path):
    found = part_of(made_result(made_maps(contributions=False)), tmp_path)
    assert found["faithfulness"] == {"left_out": "the model's head is not affine"}
    for name in ("consistency", "artefacts", "models"):
        assert "run" in found[name]["left_out"]
    assert found["row"]["aupc"] is None
    assert found["row"]["warnings"] == []


@pytest.mark.parametrize(
    ("tissue", "shape"),
    [(np.zeros((5, 6), bool), Shape(5, 6)), (np.ones((1, 1), bool), Shape(1, 1))],
    ids=["no tissue", "one cell"],
)
def test_odd_slides_have_a_part_and_a_page(tissue, shape, tmp_path):
    result = made_result(made_maps("odd", shape, tissue=tissue, classes=("one",)))
    slide = write_slide_folder(tmp_path, result)
    text = write_report(tmp_path, [slide], run_facts(("one",))).read_text(encoding="utf-8")
    row = data(text, "run")["rows"][0]
    assert row["predicted"] == ("one" if tissue.any() else None)
    assert bool(row["warnings"]) == (not tissue.any())


def test_infinite_attention_has_a_part(tmp_path):
    maps = made_maps()
    maps.attention[np.unravel_index(maps.tissue.argmax(), maps.tissue.shape)] = np.inf
    maps = replace(maps, prediction=np.array([np.nan, np.nan]))
    result = made_result(made_maps())
    found = part_of(replace(result, heatmaps=maps), tmp_path)
    attention = found["maps"][0]["values"]
    assert np.isposinf(unpacked_values(attention, maps.tissue_cells)[0])
    assert found["row"]["probability"] is None
    assert "not a number" in found["row"]["warnings"][0]


def test_warnings_are_of_what_one_must_know(part):
    said = " ".join(part["row"]["warnings"])
    assert "Maps and tiles as in training do not agree" in said
    assert "The models do not agree" in said
    assert part["row"]["gap"] == pytest.approx(0.17)
    assert part["row"]["artefacts"] == pytest.approx(0.07, abs=0.02)


# --- The page ---------------------------------------------------------------------------------


def data(text, name):
    [found] = re.findall(rf'<script type="application/json" id="{name}">(.*?)</script>', text)
    return json.loads(found)


def test_the_page_holds_every_slide_with_what_it_was_made_from(full, tmp_path):
    slides = [
        write_slide_folder(tmp_path, full),
        ReportedSlide("bad.svs", "failed", "bad.svs cannot be opened"),
    ]
    text = write_report(tmp_path, slides, run_facts()).read_text(encoding="utf-8")
    run, slide = data(text, "run"), data(text, "slide-0")
    assert [(row["slide"], row["status"]) for row in run["rows"]] == [
        ("full.svs", "done"), ("bad.svs", "failed"),
    ]  # fmt: skip
    assert run["rows"][1]["message"] == "bad.svs cannot be opened"
    assert slide["provenance"]["model"]["digest"] == "m" * 64
    assert slide["provenance"]["files"] == 1
    assert slide["reduced"] == []
    assert str(tmp_path) not in text
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)


def test_the_policy_names_just_the_pages_own_script_and_style():
    whole = page()
    text = whole.before + whole.after
    [policy] = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy.startswith("default-src 'none'; img-src data: blob:;")
    assert "unsafe" not in policy
    for kind, found in (
        ("style-src", re.findall(r"<style>(.*?)</style>", text, re.DOTALL)),
        ("script-src", re.findall(r'<script type="module">(.*?)</script>', text, re.DOTALL)),
    ):
        [inline] = found
        digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
        assert f"{kind} 'sha256-{digest}'" in policy
    assert "import " not in re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL).split("<script")[1]


def test_the_pages_modules_are_all_joined_and_make_no_markup_of_data():
    folder = viewer_files() / "report"
    script = page().after
    for path in folder.glob("*.js"):
        source = path.read_text(encoding="utf-8")
        made = r"(?:async )?(?:function|class|const)"
        for name in re.findall(rf"^export {made} (\w+)", source, re.MULTILINE):
            assert len(re.findall(rf"^{made} {name}\b", script, re.MULTILINE)) == 1
        for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
            assert word not in source, path.name


def test_no_run_without_parts_gets_a_page(tmp_path):
    (tmp_path / "a").mkdir()
    assert write_report(tmp_path, [ReportedSlide("a.svs", "done", folder="a")], run_facts()) is None
    assert not (tmp_path / "index.html").exists()


@pytest.mark.parametrize("damage", ["{", "[]", '{"format": "other"}', '{"format": 1, "row": 2}'])
def test_a_damaged_part_costs_its_slide_alone(full, tmp_path, damage):
    slides = [write_slide_folder(tmp_path, full)]
    other = replace(full, slide=FakeSlide(full.slide.rgb, MPP, "other"))
    slides.append(write_slide_folder(tmp_path, other))
    (tmp_path / "full" / "full.report.json").write_text(damage)
    text = write_report(tmp_path, slides, run_facts()).read_text(encoding="utf-8")
    rows = data(text, "run")["rows"]
    assert "damaged" in rows[0]["damaged"]
    assert rows[1]["predicted"] in CLASSES
    assert "slide-0" not in text.replace("`slide-", "")


@pytest.mark.parametrize("earlier", [1, 2])
def test_a_part_of_an_earlier_version_is_named_as_such(full, tmp_path, earlier):
    slide = write_slide_folder(tmp_path, full)
    path = tmp_path / "full" / "full.report.json"
    path.write_text(path.read_text().replace("report part 3", f"report part {earlier}", 1))
    text = write_report(tmp_path, [slide], run_facts()).read_text(encoding="utf-8")
    assert (
        "This slide's part of the report was made by an earlier version of heatmaps-ome; run "
        "create again with --overwrite"
    ) in text
    assert 'id="slide-0"' not in text


def test_a_full_disk_leaves_the_page_that_was_there(full, tmp_path, monkeypatch):
    slides = [write_slide_folder(tmp_path, full)]
    write_report(tmp_path, slides, run_facts())
    before = (tmp_path / "index.html").read_bytes()

    def full_disk(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("heatmaps_ome.viewers.report.page.run_block", full_disk)
    with pytest.raises(OutputError, match=r"No space left.*only the report is missing"):
        write_report(tmp_path, slides, run_facts())
    assert (tmp_path / "index.html").read_bytes() == before
    assert [p.name for p in tmp_path.glob("*.partial")] == []


# --- Size -------------------------------------------------------------------------------------


def test_an_ordinary_slide_takes_two_bytes_a_cell_and_map(tmp_path):
    """Of 10 maps as smooth as means of 7 × 7 cells are; pictures come on top."""
    shape = Shape(100, 150)
    result = made_result(
        made_maps("large", shape, classes=("A", "B", "C"), cell=8.0), leave_one_out=True
    )
    found = part_of(result, tmp_path)
    sizes = [len(each["values"]["codes"]) for each in found["maps"] if "values" in each]
    assert len(sizes) >= 10
    assert sum(sizes) < 2 * result.heatmaps.tissue_cells * len(sizes)


def test_a_part_that_fits_is_not_touched(part):
    text, reduced = fitted(part, 10**9)
    assert (json.loads(text), reduced) == (part, [])
    assert "<" not in text_of({"name": "</script><!--"})


def test_a_part_is_reduced_until_it_fits_and_says_what_is_gone(part):
    whole = len(text_of(part))
    lengths = [whole]
    for share in (0.9, 0.6, 0.4, 0.2, 0.05):
        text, reduced = fitted(part, int(share * whole))
        assert reduced
        lengths.append(len(text))
        found = json.loads(text)
        assert found["faithfulness"] == part["faithfulness"]
        assert found["row"] == part["row"]
    assert lengths == sorted(lengths, reverse=True)
    text, reduced = fitted(part, 0)
    assert json.loads(text)["maps"] == []
    assert "the maps are not here" in reduced


def test_a_smaller_picture_covers_the_same_of_the_slide(full, tmp_path):
    part = part_of(full, tmp_path)
    small = json.loads(fitted(part, len(text_of(part)) - 1)[0])
    for side, axis in (("rows", "y"), ("cols", "x")):
        before, after = part["thumbnail"], small["thumbnail"]
        assert after[side] < before[side]
        assert after[side] * after["l0_pixel"][axis] == pytest.approx(
            before[side] * before["l0_pixel"][axis]
        )


def test_joined_cells_are_the_means_of_tissue(part):
    from heatmaps_ome.viewers.report.fitting import _joined_cells

    joined = _joined_cells(part)
    rows, cols = part["grid"]["shape"].values()
    tissue = unpacked_mask(part["tissue"], rows, cols)
    values = np.full((rows, cols), np.nan)
    values[tissue] = unpacked_values(part["maps"][0]["values"], part["tissue_cells"])
    own = unpacked_mask(joined["tissue"], rows // 2, cols // 2)
    found = np.full(own.shape, np.nan)
    found[own] = unpacked_values(joined["maps"][0]["values"], joined["tissue_cells"])
    for row in range(rows // 2):
        for col in range(cols // 2):
            block = values[2 * row : 2 * row + 2, 2 * col : 2 * col + 2]
            assert own[row, col] == (not np.isnan(block).all())
            if own[row, col]:
                assert found[row, col] == pytest.approx(np.nanmean(block), abs=0.01)
    assert joined["grid"]["l0_cell"] == {"y": 32.0, "x": 32.0}
    assert joined["grid"]["l0_origin"] == part["grid"]["l0_origin"]


def copies(tmp_path, full, count):
    """Write a run of so many slides like one."""
    slides = [write_slide_folder(tmp_path, full)]
    text = (tmp_path / "full" / "full.report.json").read_text()
    for index in range(1, count):
        folder = tmp_path / f"s{index}"
        folder.mkdir()
        (folder / f"s{index}.report.json").write_text(text)
        write_provenance(folder, f"s{index}.svs")
        slides.append(ReportedSlide(f"s{index}.svs", "done", folder=f"s{index}"))
    return slides, len(text)


def test_more_than_one_file_holds_is_a_table_with_a_page_for_each_slide(full, tmp_path):
    slides, size = copies(tmp_path, full, 4)
    slides.append(ReportedSlide("bad.svs", "failed", "bad.svs cannot be opened"))
    whole = write_report(tmp_path, slides, run_facts()).read_text(encoding="utf-8")
    assert not (tmp_path / "report").exists()
    table = write_report(tmp_path, slides, run_facts(), 3 * size).read_text(encoding="utf-8")
    assert len(table) < size
    assert 'id="slide-0"' not in table
    rows = data(table, "run")["rows"]
    places = {"page", "picture"}
    assert [{k: v for k, v in row.items() if k not in places} for row in rows] == data(
        whole, "run"
    )["rows"]
    assert [row.get("page") for row in rows] == [
        *(f"report/{slide.folder}.html" for slide in slides[:4]), None,
    ]  # fmt: skip
    for row in rows[:4]:
        text = (tmp_path / row["page"]).read_text(encoding="utf-8")
        assert data(text, "slide-0") == data(whole, f"slide-{row['id']}")
        assert data(text, "run")["rows"][0]["slide"] == row["slide"]
        assert data(text, "run")["table"] == "../index.html"
        with Image.open(tmp_path / row["picture"]) as picture:
            assert picture.format == "JPEG"
            assert picture.width > picture.height
    # The slides fit again: the report is one file, and no page is left.
    write_report(tmp_path, slides, run_facts())
    assert not (tmp_path / "report").exists()


def test_pages_are_made_once_and_anew_only_where_something_changed(full, tmp_path):
    slides, size = copies(tmp_path, full, 3)

    def times():
        return {p.name: p.stat().st_mtime_ns for p in (tmp_path / "report").glob("*.html")}

    def changed(before):
        return {name for name, time in times().items() if before.get(name) != time}

    write_report(tmp_path, slides, run_facts(), size)
    before = times()
    write_report(tmp_path, slides, replace(run_facts(), created="2027-01-01"), size)
    assert changed(before) == set()
    path = tmp_path / "s1" / "s1.report.json"
    path.write_text(path.read_text().replace('"task":"classification"', '"task":"other"', 1))
    (tmp_path / "report" / "s2.jpg").unlink()
    write_report(tmp_path, slides, run_facts(), size)
    assert changed(before) == {"s1.html", "s2.html"}
    before = times()
    write_report(tmp_path, slides, replace(run_facts(), model_files=("other.pkl",)), size)
    assert changed(before) == {"full.html", "s1.html", "s2.html"}
    write_report(tmp_path, slides[:2], run_facts(), size)
    assert times().keys() == {"full.html", "s1.html"}


def test_a_damaged_part_has_no_page_and_a_row_that_names_it(full, tmp_path):
    slides, size = copies(tmp_path, full, 3)
    path = tmp_path / "s1" / "s1.report.json"
    text = path.read_text()
    path.write_text(text[: len(text) // 2])
    text = write_report(tmp_path, slides, run_facts(), size).read_text(encoding="utf-8")
    rows = data(text, "run")["rows"]
    assert ["page" in row for row in rows] == [True, False, True]
    assert "damaged" in rows[1]["damaged"]


def test_a_large_slide_leaves_out_details_on_its_own_page(full, tmp_path):
    slides, size = copies(tmp_path, full, 2)
    write_report(tmp_path, slides, run_facts(), size // 2)
    text = (tmp_path / "report" / "s1.html").read_text(encoding="utf-8")
    assert data(text, "slide-0")["reduced"][0] == "pictures have half as many pixels a side"


@pytest.mark.parametrize("length", [0, 100_000])
def test_a_row_is_read_from_the_beginning_of_a_part_however_long(full, tmp_path, length):
    part = part_of(full, tmp_path)
    part["row"]["warnings"].append("x" * length)
    folder = tmp_path / "full"
    folder.mkdir()
    (folder / "full.report.json").write_text(json.dumps(part, separators=(",", ":")))
    facts = part_facts(folder)
    assert {"slide": "full.svs", **facts.row} == part["row"]
    assert facts.n_bytes == (folder / "full.report.json").stat().st_size


def test_memory_does_not_grow_with_the_number_of_slides(full, tmp_path):
    peaks = []
    for count in (3, 30):
        folder = tmp_path / str(count)
        folder.mkdir()
        slides, size = copies(folder, full, count)
        write_report(folder, slides, run_facts())
        tracemalloc.start()
        write_report(folder, slides, run_facts())
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 0.5 * size


def test_made_slides_are_what_their_maps_say():
    maps = made_maps()
    slide = made_slide(maps, textured=False)
    centre = maps.grid.l0_from_g(YX(20.5, 30.5))
    assert tuple(slide.rgb[int(centre.y), int(centre.x)]) == (214, 150, 190)
