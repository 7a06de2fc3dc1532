"""Results in Python: values at places, pictures, HTML for notebooks, and the notebook itself."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from value_places import ValuesReader, assert_values_at_places
from viewer_results import write_results

import heatmaps_ome
from heatmaps_ome.errors import MissingError, ResultError
from heatmaps_ome.geometry import YX, Grid, Shape
from heatmaps_ome.maps.numbers import probability

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "viewer_configs" / "notebook" / "maps.ipynb"
CLASSES = ("MSI-H / high", "<b>$x_$", "normal")
SHAPE, MPP = Shape(450, 700), YX(0.5, 0.25)
GRID = Grid(Shape(7, 9), YX(64.0, 80.0), YX(-15.0, -20.0), MPP)
SLIDE = "<i>a & b"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run's folder, of one slide with names that strangers give."""
    out = tmp_path_factory.mktemp("notebook") / "out"
    write_results(out, SHAPE, MPP, GRID, name=SLIDE, classes=CLASSES, formats=("png",))
    return out


@pytest.fixture
def slide(folder):
    return heatmaps_ome.open(folder)[SLIDE]


@pytest.fixture
def plt():
    """pyplot without a screen, its figures closed afterwards."""
    mpl.use("agg")
    import matplotlib.pyplot as plt

    yield plt
    plt.close("all")


def manifest_of(folder):
    return json.loads((folder / SLIDE / "maps.json").read_text(encoding="utf-8"))


def with_manifest(folder, target, **changed):
    """Copy a slide's folder with other facts in its maps.json."""
    shutil.copytree(folder / SLIDE, target / SLIDE)
    path = target / SLIDE / "maps.json"
    path.write_text(json.dumps({**manifest_of(folder), **changed}), encoding="utf-8")
    return target / SLIDE


def test_every_map_has_the_values_that_another_reader_finds_at_places_in_um(folder, slide):
    kinds = assert_values_at_places(slide, folder / SLIDE, manifest_of(folder))
    assert {"attention", "score", "contribution", "tissue", "winner", "margin"} < kinds
    assert "artefacts" in kinds


def test_a_slide_has_its_facts(folder, slide):
    stated = manifest_of(folder)
    assert slide.classes == CLASSES
    assert slide.true_class == CLASSES[0]
    assert slide.prediction == stated["prediction"]
    assert slide.grid == GRID
    assert slide.tissue.shape == GRID.shape
    np.testing.assert_array_equal(slide.tissue, ~np.isnan(slide.map("attention").values))
    assert {(entry["kind"], entry["class"]) for entry in stated["maps"]} < set(slide.maps)


def test_maps_that_the_run_did_not_draw_have_texts_and_colours_too(folder, slide):
    drawn = {(entry["kind"], entry["class"]) for entry in manifest_of(folder)["maps"]}
    undrawn = set(slide.maps) - drawn
    assert ("leave-one-out", CLASSES[1]) in undrawn
    assert ("margin", CLASSES[2]) in undrawn
    for kind, class_name in undrawn:
        shown = slide.map(kind, class_name)
        assert (shown.kind, shown.class_name) == (kind, class_name)
        assert class_name in shown.title
        finite = shown.values[slide.tissue]
        assert np.isfinite(finite).all()
        assert shown.colours.lower < shown.colours.upper
        assert finite.min() * shown.colours.factor < shown.colours.upper


def test_contributions_are_raw_values_and_drawn_times_the_cells(folder, slide, plt):
    manifest = manifest_of(folder)
    [entry] = [e for e in manifest["maps"] if e["name"] == "contribution-normal"]
    raw = ValuesReader(folder / SLIDE, manifest).plane(entry)
    cells = np.count_nonzero(~np.isnan(raw))
    shown = slide.map("contribution", "normal")
    assert (shown.quantity, shown.unit) == ("share of the slide's normal logit", "logit")
    assert np.nanmax(np.abs(shown.values)) == np.nanmax(np.abs(raw))
    axes = shown.show()
    [image] = axes.get_images()
    np.testing.assert_allclose(image.get_array().filled(np.nan), raw * cells, rtol=1e-6)
    assert image.get_clim() == (entry["range"]["lower"], entry["range"]["upper"])
    bar = axes.figure.axes[1]
    assert bar.get_ylabel() == "slide's normal logit if all cells were like this one"
    assert image.colorbar.extend == "both"
    assert slide.map("attention").show().get_images()[0].colorbar.extend == "min"


def test_values_cannot_be_changed_by_mistake(slide):
    score = slide.map("score", "normal")
    with pytest.raises(ValueError, match="read-only"):
        score.values[0, 0] = 1
    copied = np.array(score)
    copied[0, 0] = 1
    assert np.asarray(score) is score.values
    assert np.asarray(score, np.float64).dtype == np.float64
    assert float(np.nanmax(score)) == np.nanmax(score.values)


def test_places_off_the_map_and_half_places_are_refused(slide):
    score = slide.map("score", "normal")
    left, top = GRID.um_origin.x, GRID.um_origin.y
    assert np.array_equal(score.at(x_um=left, y_um=top), score.values[0, 0], equal_nan=True)
    right, bottom = (GRID.um_from_g(YX(*GRID.shape))[axis] for axis in (1, 0))
    for place in ((left - 0.01, top), (right, top), (left, bottom), (float("nan"), top)):
        with pytest.raises(ValueError, match="not on the map, which lies from x -5 to 175"):
            score.at(x_um=place[0], y_um=place[1])
    with pytest.raises(ValueError, match="level-0 pixels"):
        score.at(x_px=1e6, y_px=0)
    for given in ({"x_um": 1}, {"x_um": 1, "y_px": 1}, {}, dict.fromkeys(("x_um", "y_um", "x_px"))):
        with pytest.raises(TypeError, match="x_um and y_um or as x_px and y_px"):
            score.at(**given)


def test_missing_maps_are_refused_with_those_there_are(slide):
    for given, said in (
        (("nonsense",), "has no map of kind 'nonsense'; its kinds are attention, score"),
        (("score",), "score is a map for each class; give one of MSI-H / high, <b>$x_$, normal"),
        (("score", "MSS"), "no class 'MSS'; its classes are MSI-H / high"),
        (("attention", "normal"), "attention is one map for all classes"),
    ):
        with pytest.raises(KeyError) as caught:
            slide.map(*given)
        assert isinstance(caught.value, MissingError)
        assert said in str(caught.value)


def test_show_draws_cells_at_their_places_in_the_runs_colours(folder, slide, plt):
    [entry] = [e for e in manifest_of(folder)["maps"] if e["name"] == "score-MSI-H_high"]
    axes = slide.map("score", CLASSES[0]).show()
    [image] = axes.get_images()
    # The cells' outer edges: origin × mpp, and (origin + cells × size) × mpp.
    assert image.get_extent() == [-20 * 0.25, 700 * 0.25, (7 * 64 - 15) * 0.5, -15 * 0.5]
    assert image.origin == "upper"
    assert axes.get_ylim()[0] > axes.get_ylim()[1]
    assert axes.get_aspect() == 1
    assert image.get_clim() == (entry["range"]["lower"], entry["range"]["upper"])
    # The colours of the values that maps.json gives colours of.
    levels = np.linspace(entry["levels"]["lower"], entry["levels"]["upper"], 255)
    drawn = (image.to_rgba(levels)[:, :3] * 255).round()
    stated = np.array([list(bytes.fromhex(colour[1:])) for colour in entry["colours"]])
    assert np.abs(drawn - stated).max() <= 2
    assert axes.get_xlabel() == "x (µm)"
    bar = axes.figure.axes[1]
    assert bar.get_ylabel() == "probability of MSI-H / high"
    assert axes.get_title() == entry["title"]
    axes.figure.canvas.draw()


def test_show_draws_where_it_is_asked_and_opens_figures_otherwise(slide, plt):
    figure, (left, right) = plt.subplots(1, 2)
    assert slide.map("score", "normal").show(right) is right
    assert not left.get_images()
    other = slide.map("attention").show()
    assert other.figure is not figure
    assert len(plt.get_fignums()) == 2


def test_units_stand_beside_quantities_that_do_not_name_them(slide, plt):
    bar = slide.map("margin", CLASSES[0]).show().figure.axes[1]
    assert bar.get_ylabel() == "score of MSI-H / high minus its strongest rival's (probability)"


def test_categories_have_their_colours_and_names(folder, slide, plt):
    colours = manifest_of(folder)["class_colours"]
    shown = slide.map("winner")
    assert shown.categories == CLASSES
    axes = shown.show()
    [image] = axes.get_images()
    for number, name in enumerate(CLASSES, start=1):
        assert mpl.colors.to_hex(image.to_rgba(float(number))) == colours[name]
    bar = axes.figure.axes[1]
    # As it is: "$" begins no formula.
    assert [text.get_text() for text in bar.get_yticklabels()] == list(CLASSES)
    axes.figure.canvas.draw()
    # Tissue without an artefact is white, and what is no tissue is not drawn.
    [image] = slide.map("artefacts").show().get_images()
    assert image.to_rgba(np.array([0.0])).tolist() == [[1, 1, 1, 1]]
    assert image.to_rgba(np.ma.masked_invalid([np.nan]))[0, 3] == 0


class Page(HTMLParser):
    """Collects tags and texts, and checks that every tag is closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.texts, self.pictures = [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.pictures.append(dict(attrs))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def test_html_is_well_formed_and_escaped_and_names_no_folder(folder, slide):
    for shown in (
        heatmaps_ome.open(folder), slide, slide.map("score", CLASSES[1]), slide.map("winner"),
        slide.map("artefacts"),
    ):  # fmt: skip
        text = shown._repr_html_()
        page = Page(text)
        assert not {"b", "i", "script"} & set(page.tags)
        assert "For research, not for diagnosis." in page.texts
        assert str(folder.parent) not in text
        assert len(text) < 500_000
        assert all(each["src"].startswith("data:image/") for each in page.pictures)
    page = Page(slide._repr_html_())
    assert [each["alt"] for each in page.pictures] == [f"Score of {CLASSES[0]} over {SLIDE}"]
    assert {SLIDE, *CLASSES} <= set(page.texts)
    assert probability(max(slide.prediction.values())) in page.texts
    assert f"drawn hot: {CLASSES[0]}" in page.texts


def test_a_damaged_preview_does_not_hide_the_rest(folder, tmp_path):
    copy = with_manifest(folder, tmp_path)
    (preview,) = (copy / "previews").glob("score-MSI-H*-overlay.png")
    preview.write_bytes(b"no picture")
    text = heatmaps_ome.open(copy)[SLIDE]._repr_html_()
    assert "The preview cannot be read." in text
    preview.unlink()
    assert not Page(heatmaps_ome.open(copy)[SLIDE]._repr_html_()).pictures


def test_a_slides_folder_opens_alone(folder):
    alone = heatmaps_ome.open(str(folder / SLIDE))
    assert list(alone) == [SLIDE]
    assert alone[SLIDE].prediction == heatmaps_ome.open(folder)[SLIDE].prediction
    assert alone.predictions == [{"slide": SLIDE, **alone[SLIDE].prediction}]


def test_foreign_and_damaged_folders_are_refused(folder, tmp_path):
    refused = []
    for number, (changed, said) in enumerate((
        ({"format": "heatmaps-ome maps 1"}, "another version of heatmaps-ome.*--overwrite"),
        ({"format": "other"}, "no result of heatmaps-ome"),
        ({"grid": {}}, "damaged"),
        ({"values": "../elsewhere"}, "damaged.*no name of a file in a folder"),
        ({"values": None}, "damaged"),
        ({"maps": [{}]}, "damaged"),
        ({"prediction": []}, "damaged"),
    )):  # fmt: skip
        refused.append((with_manifest(folder, tmp_path / str(number), **changed), said))
    (tmp_path / "empty").mkdir()
    refused += [(tmp_path / "empty", "holds no results"), (tmp_path / "none", "there is no folder")]
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "run.json").write_text("[]")
    refused.append((tmp_path / "bad", "run.json is damaged"))
    for path, said in refused:
        with pytest.raises(ResultError, match=said):
            heatmaps_ome.open(path)


def test_values_that_do_not_belong_are_refused(folder, tmp_path):
    stated = manifest_of(folder)
    moved = {**stated["grid"], "l0_origin": {"y": 0.0, "x": 0.0}}
    other = heatmaps_ome.open(with_manifest(folder, tmp_path / "a", grid=moved))[SLIDE]
    with pytest.raises(ResultError, match="another grid"):
        other.map("attention")
    copy = with_manifest(folder, tmp_path / "b")
    shutil.rmtree(copy / stated["values"])
    with pytest.raises(ResultError, match=r"values\.ome\.zarr cannot be read"):
        heatmaps_ome.open(copy)[SLIDE].map("attention")


def test_slides_that_failed_or_are_gone_are_listed_with_the_reason(folder, tmp_path):
    out = tmp_path / "out"
    for name in ("b", "a", "stale", "c", ".d.partial"):
        shutil.copytree(folder / SLIDE, out / name)
    record = {"status": "done", "message": ""}
    failed = {"status": "failed", "folder": None}
    slides = [
        {**record, "slide": "b.svs", "folder": "b"},
        {**record, "slide": "gone.svs", "folder": "gone"},
        {**failed, "slide": "stale.svs", "message": "stale.svs: too <b>small"},
        {**failed, "slide": "x.svs", "message": "first"},
        {**failed, "slide": "x.svs", "message": "second"},
        {**record, "slide": "a.svs", "folder": "a"},
    ]
    (out / "run.json").write_text(json.dumps({"slides": slides}))
    results = heatmaps_ome.open(out)
    # Slides of earlier runs come last.
    assert list(results) == ["b", "a", "c"]
    assert results.failed["x.svs"] == "first\nsecond"
    assert "not in the folder any more" in results.failed["gone"]
    assert set(results.failed) == {"gone", "stale.svs", "x.svs"}
    assert len(results) == 3
    assert [row["slide"] for row in results.predictions] == ["b", "a", "c"]
    (out / "c" / "maps.json").write_text("{")
    page = Page(results._repr_html_())
    assert {"unreadable", "stale.svs: too <b>small", "3 slides"} <= set(page.texts)
    with pytest.raises(MissingError, match=r"stale has no results, as it failed: stale\.svs: too"):
        results["stale"]
    with pytest.raises(KeyError, match="there are no results of 'y'; there are of b, a, c"):
        results["y"]
    assert "y" not in results
    assert results.get("y") is None


@pytest.fixture(scope="module")
def demo_like(tmp_path_factory):
    """A checkout's folder with the notebook, and results as those of the demo beside it."""
    root = tmp_path_factory.mktemp("checkout")
    shape, mpp = Shape(600, 750), YX(2.0, 2.0)
    grid = Grid(Shape(20, 24), YX(32.0, 32.0), YX(-15.0, -15.0), mpp)
    write_results(
        root / "demo-output", shape, mpp, grid, name="demo-slide-2024", formats=("png",),
        classes=("normal", "tumour"),
    )  # fmt: skip
    (root / "viewer_configs" / "notebook").mkdir(parents=True)
    shutil.copy(NOTEBOOK, root / "viewer_configs" / "notebook")
    return root


def test_the_notebook_runs(demo_like, monkeypatch):
    nbclient = pytest.importorskip("nbclient", reason="needs nbclient: run scripts/install dev")
    pytest.importorskip("ipykernel", reason="needs ipykernel: run scripts/install dev")
    import nbformat

    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    path = demo_like / "viewer_configs" / "notebook" / NOTEBOOK.name
    notebook = nbformat.read(path, as_version=4)
    where = {"metadata": {"path": str(path.parent)}}
    nbclient.NotebookClient(notebook, timeout=300, resources=where).execute()
    outputs = [each for cell in notebook.cells for each in cell.get("outputs", ())]
    text = "".join(each.get("text", "") for each in outputs)
    slide = heatmaps_ome.open(demo_like / "demo-output")["demo-slide-2024"]
    assert f"tumour: {slide.prediction['tumour']:.3f}" in text
    value = slide.map("score", "normal").at(x_um=1000, y_um=1100)
    assert 0 < value < 1
    assert f"at 1000, 1100 µm: {value}" in text
    pictures = [each for each in outputs if "image/png" in each.get("data", {})]
    assert len(pictures) == 2
    assert all(each["output_type"] != "error" for each in outputs)


def test_the_notebook_is_committed_without_outputs():
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    for cell in cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


def test_readmes_example_runs(demo_like, monkeypatch, capsys):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    [block] = re.findall(r"<!-- API -->\n```python\n(.*?)```\n<!-- /API -->", readme, re.DOTALL)
    monkeypatch.chdir(demo_like)
    exec(compile(block, "README.md", "exec"), {})
    slide = heatmaps_ome.open(demo_like / "demo-output")["demo-slide-2024"]
    out = capsys.readouterr().out
    assert str(slide.prediction) in out
    assert "(20, 24) probability" in out
    assert str(slide.map("score", "tumour").at(x_um=1000, y_um=1100)) in out
