"""Figures for papers: text as text, pictures of 300 dpi at their place, bare ones without words."""

import base64
import io
import re
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pypdfium2
import pytest
from fakes import FakeSlide, covering_grid, display_map, noise_rgb, slide_result
from PIL import Image

from heatmaps_ome.exporters import REGISTRY
from heatmaps_ome.exporters.figure_files import FiguresExporter
from heatmaps_ome.exporters.figures.captions import RESEARCH
from heatmaps_ome.exporters.figures.overview import chosen_maps
from heatmaps_ome.geometry import YX, Grid, Shape
from heatmaps_ome.options import CreateOptions
from heatmaps_ome.run.settings import settings_of

SHAPE = Shape(750, 1000)
WIDTH_PT = 240
MARK = (250, 350, 475, 575)
"""Rows and columns of level 0 that the one cell of the map of marks lies on."""


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("figures")
    slide = FakeSlide(np.full((*SHAPE, 3), 255, np.uint8))
    cell = Grid(Shape(1, 1), YX(100, 100), YX(MARK[0], MARK[2]), slide.mpp)
    grid = covering_grid(SHAPE, YX(125, 125))
    maps = (
        display_map("attention", cell, np.full((1, 1), 255), opacity=255),
        display_map("score-MSIH", grid, class_name="MSIH", title="Score of MSIH"),
    )
    result = replace(slide_result(slide, grid, maps), label="nonMSIH")
    paths = FiguresExporter(longest_side_pt=WIDTH_PT).write(result, folder)
    return result, folder / "figures", paths


def page_of(path):
    with pypdfium2.PdfDocument(path) as document:
        assert len(document) == 1
        page = document[0]
        text = page.get_textpage().get_text_range()
        return text, np.asarray(page.render(scale=4).to_pil().convert("RGB")), page.get_size()


def test_all_files_are_named_and_written_and_no_others(written):
    _, folder, paths = written
    assert sorted(paths) == sorted(folder.iterdir())
    names = {path.name for path in paths}
    assert {"overview.png", "overview.pdf"} < names
    of_score = {name for name in names if name.startswith("score-MSIH")}
    assert of_score == {
        f"score-MSIH-{rest}"
        for rest in (
            "overlay.pdf", "overlay.svg", "map.pdf", "map.svg", "bar.pdf", "bar.svg",
            "overlay-bare.jpg", "map-bare.png",
        )
    }  # fmt: skip


def test_words_are_text_in_pdf_and_svg(written):
    _, folder, _ = written
    text, _, _ = page_of(folder / "score-MSIH-overlay.pdf")
    drawing = ElementTree.parse(folder / "score-MSIH-overlay.svg")
    texts = [element.text for element in drawing.iter("{http://www.w3.org/2000/svg}text")]
    for words in ("Score of MSIH", "slide", "score-MSIH (made up)"):
        assert words in text
        assert words in texts


def test_colours_of_values_that_hardly_differ_have_numbers_that_do(tmp_path):
    slide = FakeSlide(np.full((*SHAPE, 3), 255, np.uint8))
    grid = covering_grid(SHAPE, YX(125, 125))
    ends = {"lower": 0.49998, "upper": 0.50002}
    drawn = display_map("score-MSIH", grid, class_name="MSIH")
    drawn = replace(drawn, values=np.linspace(*ends.values(), 256, dtype=np.float32), **ends)
    FiguresExporter(longest_side_pt=WIDTH_PT).write(slide_result(slide, grid, (drawn,)), tmp_path)
    drawing = ElementTree.parse(tmp_path / "figures" / "score-MSIH-bar.svg")
    texts = [element.text for element in drawing.iter("{http://www.w3.org/2000/svg}text")]
    numbers = [float(text) for text in texts if text and re.fullmatch(r"[0-9.]+", text)]
    assert min(numbers) == pytest.approx(0.49998, abs=1e-6)
    assert max(numbers) == pytest.approx(0.50002, abs=1e-6)


def test_the_picture_of_a_pdf_lies_at_its_place(written):
    result, folder, _ = written
    _, page, (width, _) = page_of(folder / "attention-overlay.pdf")
    colour = result.maps[0].colours[255, :3].astype(int)
    near = (np.abs(page.astype(int) - colour) < 30).all(axis=2)
    hot = [np.flatnonzero(near.sum(axis=axis) > 60) for axis in (1, 0)]
    scale = page.shape[1] / width
    # The picture begins at the border of the frame.
    border = (np.abs(page.astype(int) - 0xAD) < 12).all(axis=2)
    left = np.flatnonzero(border.sum(axis=0) > 500)[0]
    top = np.flatnonzero(border.sum(axis=1) > 500)[0]
    px = WIDTH_PT * scale / SHAPE.cols
    found = (hot[0][0] - top, hot[0][-1] + 1 - top, hot[1][0] - left, hot[1][-1] + 1 - left)
    # A border of a pt, that is 4 px, and 2 px for the rims.
    np.testing.assert_allclose(found, np.multiply(MARK, px) + scale, atol=6)


def test_pictures_have_300_dpi_or_the_slides_own_pixels(written):
    _, folder, _ = written
    drawing = (folder / "score-MSIH-overlay.svg").read_text()
    [data] = re.findall(r'data:image/jpeg;base64,([^"]+)"', drawing)
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        assert image.size[0] == pytest.approx(WIDTH_PT * 300 / 72, abs=1)
    with Image.open(folder / "score-MSIH-overlay-bare.jpg") as image:
        assert image.size[0] == pytest.approx(WIDTH_PT * 300 / 72, abs=1)
        assert image.info["dpi"] == (300, 300)


def test_a_bare_map_is_transparent_where_it_has_no_cell(written):
    result, folder, _ = written
    with Image.open(folder / "attention-map-bare.png") as image:
        pixels = np.asarray(image)
    scale = pixels.shape[1] / SHAPE.cols
    opaque = np.flatnonzero((pixels[..., 3] == 255).any(axis=1)) / scale
    assert (opaque[0], opaque[-1]) == pytest.approx((MARK[0], MARK[1]), abs=3)
    inside = pixels[int(300 * scale), int(525 * scale)]
    np.testing.assert_array_equal(inside, result.maps[0].colours[255])
    assert set(np.unique(pixels[..., 3])) == {0, 255}


def test_a_sheet_sums_the_slide_up(written):
    result, folder, _ = written
    text, page, size = page_of(folder / "overview.pdf")
    prediction = result.heatmaps.predicted
    for words in (
        "slide", "Score of MSIH", "Attention", "drawn\u00a0hot:\u00a0MSIH",
        "ground\u00a0truth:\u00a0nonMSIH",
        f"MSIH\u00a0{prediction['MSIH']:.3f}"[:9], RESEARCH, "How far to trust it",
    ):  # fmt: skip
        assert words in text
    assert size == pytest.approx((842, 595), abs=1)
    with Image.open(folder / "overview.png") as image:
        assert image.size[0] == pytest.approx(842 * 200 / 72, abs=2)
    # The marked cell is drawn on it.
    colour = result.maps[0].colours[255, :3].astype(int)
    assert (np.abs(page.astype(int) - colour) < 30).all(axis=2).sum() > 100


def test_the_same_slide_gives_the_same_bytes(tmp_path):
    slide = FakeSlide(noise_rgb(Shape(64, 96)))
    copies = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        paths = FiguresExporter().write(slide_result(slide), tmp_path / name)
        copies.append({path.name: path.read_bytes() for path in paths})
    assert copies[0] == copies[1]


def test_slides_without_tissue_have_a_sheet_too(tmp_path):
    slide = FakeSlide(np.full((64, 96, 3), 255, np.uint8))
    result = slide_result(slide, maps=())
    assert chosen_maps(result) == ()
    names = [path.name for path in FiguresExporter().write(result, tmp_path)]
    assert names == ["overview.png", "overview.pdf"]


def test_figures_are_written_only_when_they_are_asked_for(tmp_path):
    assert not REGISTRY["figures"].usual
    given = {"slides": (), "model_path": tmp_path, "output_path": tmp_path, "true_class": "A"}
    usual = settings_of(CreateOptions(**given)).output.formats
    assert "figures" not in usual
    assert settings_of(CreateOptions(**given, figures=True)).output.formats == (*usual, "figures")
