import struct
from dataclasses import replace

import numpy as np
import pytest
from fakes import MPP, FakeSlide, covering_grid, display_map, heatmap_set, noise_rgb, slide_result
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.transforms import Bbox
from PIL import Image

from heatmaps_ome.display.rasterise import BurntMap
from heatmaps_ome.exporters import png as png_module
from heatmaps_ome.exporters.figures.captions import (
    drawable,
    font,
    number,
    prediction_text,
    scale_bar,
    spaced,
    width_px,
    wrapped,
)
from heatmaps_ome.exporters.figures.curves import curves_figure, drawn_curves
from heatmaps_ome.exporters.figures.framed import Caption, framed
from heatmaps_ome.exporters.figures.picture_files import save_png
from heatmaps_ome.exporters.png import PngExporter, thumbnail_lattice
from heatmaps_ome.exporters.protocol import Settings
from heatmaps_ome.geometry import YX, Grid, Shape, sample
from heatmaps_ome.maps.curves import Faithfulness
from heatmaps_ome.maps.regions import find_regions
from heatmaps_ome.models.target import Target

SHAPES = [Shape(1, 1), Shape(5, 7), Shape(60, 900), Shape(900, 40), Shape(300, 400)]


@pytest.fixture
def exact(monkeypatch):
    """Store every pixel as it is drawn, to compare them: noise has more than 128 colours."""
    monkeypatch.setattr(png_module, "save_few_colours", lambda rgb, path, _: save_png(rgb, path))


def test_small_previews_are_half_as_large_and_without_maps_alone(tmp_path):
    result = slide_result(FakeSlide(noise_rgb(Shape(300, 400))))
    paths = {}
    for small in (False, True):
        (tmp_path / str(small)).mkdir()
        exporter = PngExporter(Settings(small_previews=small), longest_side_px=400)
        paths[small] = exporter.write(result, tmp_path / str(small))
        assert sorted((tmp_path / str(small) / "previews").iterdir()) == sorted(paths[small])
    names = [path.name for path in paths[False]]
    assert [path.name for path in paths[True]] == [n for n in names if not n.endswith("-map.png")]
    assert "attention-overlay.png" in names
    with Image.open(tmp_path / "True/previews/slide.png") as image:
        assert image.size == (200, 150)
    # Title, prediction and colour bar stand around the slide as in any preview.
    with Image.open(tmp_path / "True/previews/attention-overlay.png") as image:
        assert image.width >= 400
        assert image.height > 150 + 100
    sizes = {small: sum(path.stat().st_size for path in paths[small]) for small in paths}
    assert sizes[True] < 0.5 * sizes[False]


def white(shape, mpp=MPP, name="slide"):
    return FakeSlide(np.full((*shape, 3), 255, np.uint8), mpp, name)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_previews_of_slides_of_any_shape_are_written(tmp_path, shape):
    paths = PngExporter(longest_side_px=300).write(
        slide_result(FakeSlide(noise_rgb(shape))), tmp_path
    )
    names = [path.name for path in paths]
    assert names[:3] == ["slide.png", "attention-overlay.png", "attention-map.png"]
    assert len(names) == 7
    with Image.open(paths[0]) as image:
        assert max(image.size) == min(300, max(shape))
    for path in paths[1:]:
        with Image.open(path) as image:
            image.load()
            assert max(image.size) < 1000


def test_a_thumbnail_is_square_in_micrometres():
    slide = white(Shape(400, 400), YX(1.0, 0.5))
    lattice = thumbnail_lattice(slide, 200)
    assert lattice.shape == Shape(200, 100)
    assert lattice.um_cell.y == pytest.approx(lattice.um_cell.x)


def test_a_slide_is_never_enlarged_by_reading():
    assert thumbnail_lattice(white(Shape(5, 7)), 1600).shape == Shape(5, 7)


@pytest.mark.usefixtures("exact")
def test_the_thumbnail_is_the_area_mean_and_read_in_bounded_windows(tmp_path):
    rgb = noise_rgb(Shape(100, 9000))
    slide = FakeSlide(rgb)
    [path, *_] = PngExporter(longest_side_px=450).write(slide_result(slide, maps=()), tmp_path)
    with Image.open(path) as image:
        found = np.asarray(image)
    expected = rgb.reshape(5, 20, 450, 20, 3).mean(axis=(1, 3))
    assert np.abs(found - expected).max() <= 0.5 + 1e-9
    assert max(max(size) for size in slide.l0_reads) <= 4096


def test_overlays_blend_by_opacity_at_the_place_of_the_cell():
    slide = white(Shape(320, 320))
    grid = covering_grid(slide.shape, YX(64, 64), YX(-31, -31))
    levels = np.zeros(grid.shape)
    levels[2, 3] = 255
    shown = display_map("attention", grid, levels, opacity=51)
    lattice = thumbnail_lattice(slide, 320)
    over = BurntMap(shown, lattice).over(np.full((320, 320, 3), 255, np.uint8), 0)
    rows, cols = np.nonzero((over != 255).any(axis=2))
    assert (rows.min(), rows.max(), cols.min(), cols.max()) == (97, 160, 161, 224)
    colour = shown.colours[255, :3].astype(float)
    np.testing.assert_array_equal(over[120, 200], np.rint(255 * 0.8 + colour * 0.2))


@pytest.mark.usefixtures("exact")
def test_both_figures_show_the_slide_at_the_same_place(tmp_path):
    slide = white(Shape(300, 400))
    grid = Grid(Shape(1, 1), YX(100, 100), YX(100, 200), slide.mpp)
    shown = display_map("attention", grid, np.full((1, 1), 255), opacity=255)
    paths = PngExporter(longest_side_px=400).write(slide_result(slide, grid, (shown,)), tmp_path)
    places = []
    for path in paths[1:]:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"))
        # The colour bar holds this colour too, but in single columns.
        hot = (pixels == shown.colours[255, :3]).all(axis=2)
        block = np.flatnonzero(hot.sum(axis=1) > 50), np.flatnonzero(hot.sum(axis=0) > 50)
        places.append([(part.min(), part.max()) for part in block])
        assert [len(part) for part in block] == [100, 100]
    assert places[0] == places[1]


def test_a_map_is_drawn_cell_by_cell_on_white(tmp_path):
    slide = white(Shape(128, 128))
    grid = covering_grid(slide.shape, YX(32, 32))
    shown = display_map("attention", grid)
    paths = PngExporter(longest_side_px=128).write(slide_result(slide, grid, (shown,)), tmp_path)
    with Image.open(paths[2]) as image:
        pixels = np.asarray(image.convert("RGB"))
    for colour in np.unique(shown.colours[shown.levels][shown.levels > 0][:, :3], axis=0):
        assert (pixels == colour).all(axis=2).sum() >= 31 * 31


def picture_in(path, size):
    """Return what is in a preview's frame, which is found by the colour of its border alone."""
    with Image.open(path) as image:
        assert image.mode == "RGB"
        pixels = np.asarray(image)
    border = (pixels == 0xAD).all(axis=2)
    top, bottom = np.flatnonzero(border.sum(axis=1) == size.cols + 2)[:2]
    left, right = np.flatnonzero(border.sum(axis=0) >= size.rows + 2)
    found = pixels[top + 1 : bottom, left + 1 : right]
    assert found.shape == (*size, 3)
    return found


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize(
    ("shape", "longest", "zoom"), [(Shape(300, 410), 410, 1), (Shape(37, 50), 310, 3)], ids=str
)
def test_both_pictures_show_each_cell_where_it_lies_in_micrometres(tmp_path, shape, longest, zoom):
    slide = FakeSlide(noise_rgb(shape), YX(0.5, 0.5))
    grid = covering_grid(shape, YX(37.3, 21.1), YX(-5, 7), slide.mpp)
    shown = display_map("attention", grid, opacity=77)
    paths = PngExporter(longest_side_px=longest).write(
        slide_result(slide, grid, (shown,)), tmp_path
    )
    size = Shape(shape.rows * zoom, shape.cols * zoom)
    over, alone = (picture_in(path, size) for path in paths[1:])
    levels = np.pad(shown.levels, [(0, 1), (0, 1)])

    def drawn(times):
        """Return the level at each pixel's centre: 0 left of and beyond the cells."""
        rows, cols = (
            np.floor(((np.arange(n * times) + 0.5) / times - origin) / cell).astype(int)
            for n, origin, cell in zip(shape, grid.l0_origin, grid.l0_cell, strict=True)
        )
        rows[(rows < 0) | (rows >= grid.shape.rows)] = -1
        cols[(cols < 0) | (cols >= grid.shape.cols)] = -1
        return levels[rows[:, None], cols]

    colours = np.where(np.arange(256)[:, None] > 0, shown.colours[:, :3], 255)
    np.testing.assert_array_equal(alone, colours[drawn(zoom)])
    level = drawn(1)[..., None]
    mixed = np.rint((slide.rgb * (255.0 - 77) + shown.colours[level[..., 0], :3] * 77.0) / 255)
    expected = np.where(level > 0, mixed, slide.rgb)
    np.testing.assert_array_equal(over, np.kron(expected, np.ones((zoom, zoom, 1))))


@pytest.mark.usefixtures("exact")
def test_the_two_pictures_of_a_map_differ_in_nothing_but_the_picture(tmp_path):
    shape = Shape(300, 410)
    paths = PngExporter(longest_side_px=410).write(
        slide_result(FakeSlide(noise_rgb(shape))), tmp_path
    )
    over, alone = (np.asarray(Image.open(path)) for path in paths[1:3])
    rows, cols = np.nonzero((over != alone).any(axis=2))
    assert np.ptp(rows) < shape.rows
    assert np.ptp(cols) < shape.cols


def test_previews_hold_nothing_but_pixels_and_their_size(tmp_path):
    result = slide_result(FakeSlide(noise_rgb(Shape(60, 90))))
    for name in "ab":
        (tmp_path / name).mkdir()
    first, second = (PngExporter().write(result, tmp_path / name) for name in "ab")
    for one, other in zip(first, second, strict=True):
        stored = one.read_bytes()
        assert stored == other.read_bytes()
        kinds, at = [], 8
        while at < len(stored):
            length, kind = struct.unpack(">I4s", stored[at : at + 8])
            kinds.append(kind)
            at += length + 12
        assert set(kinds) - {b"PLTE"} == {b"IHDR", b"pHYs", b"IDAT", b"IEND"}
        with Image.open(one) as image:
            assert image.info["dpi"] == pytest.approx((72, 72), abs=0.1)


CASES = {
    "nothing": lambda grid: display_map("attention", grid, np.zeros(grid.shape)),
    "one value": lambda grid: replace(
        display_map("attention", grid), values=np.full(256, 3, np.float32), lower=3, upper=3
    ),
    "no values": lambda grid: replace(
        display_map("tissue", grid, np.ones(grid.shape)),
        values=np.array([np.nan, 1] + [np.nan] * 254, np.float32),
    ),
    "values all NaN": lambda grid: replace(
        display_map("attention", grid), values=np.full(256, np.nan, np.float32)
    ),
    "close values": lambda grid: replace(
        display_map("attention", grid),
        values=np.linspace(100, 100.5, 256, dtype=np.float32),
        lower=100.0,
        upper=100.5,
    ),
    "huge values": lambda grid: replace(
        display_map("attention", grid),
        values=np.linspace(-1e30, 1e30, 256, dtype=np.float32),
        lower=-1e30,
        upper=1e30,
        middle=0.0,
    ),
    "middle at an end": lambda grid: display_map("attention", grid, middle=-0.999),
    "odd title": lambda grid: display_map("a", grid, title="Score of $x_1 <MSI-H/切片> \\ {"),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_maps_of_any_values_are_drawn(tmp_path, case):
    slide = FakeSlide(noise_rgb(Shape(64, 96)), name="$Schnitt_切片$ é")
    grid = covering_grid(slide.shape, YX(16, 16))
    paths = PngExporter(longest_side_px=200).write(
        slide_result(slide, grid, (case(grid),)), tmp_path
    )
    assert all(path.stat().st_size > 0 for path in paths)


def test_a_slide_without_tissue_says_so(tmp_path):
    result = slide_result(FakeSlide(noise_rgb(Shape(64, 64))))
    nothing = np.full(2, np.nan)
    PngExporter(longest_side_px=100).write(
        replace(result, heatmaps=replace(result.heatmaps, prediction=nothing)), tmp_path
    )
    assert "no tissue" in prediction_text({"a": np.nan, "b": np.nan}, {})


@pytest.mark.parametrize("size", [Shape(1, 900), Shape(900, 1), Shape(1600, 1200)], ids=str)
@pytest.mark.parametrize("n_classes", [1, 2, 60])
@pytest.mark.parametrize("name", ["", "MSIH", "a long name of a class " * 9])
def test_no_text_overlaps_another_or_leaves_the_figure(size, n_classes, name):
    frame = Grid(size, YX(1, 1), YX(0, 0), YX(0.25, 0.25))
    classes = {f"class {index}": 1 / n_classes for index in range(n_classes)}
    caption = Caption("n" * 200, "Score of " + "long " * 40, prediction_text(classes, {}))
    ends = (f"against {name}", f"for {name}") if name else ("", "")
    shown = replace(display_map("attention", frame.downsampled(5), middle=0.0), ends=ends)
    around = framed(frame, caption, shown)
    figure, picture = around.figure, around.box
    figure.draw_without_rendering()
    labels = [text for axes in figure.axes for text in axes.get_xticklabels()]
    boxes = [text.get_window_extent() for text in (*figure.texts, *labels)]
    boxes += [axes.get_window_extent() for axes in figure.axes]
    width, height = figure.get_size_inches() * figure.dpi
    bottom, top = height - picture.row_stop, height - picture.row
    boxes.append(Bbox([[picture.col, bottom], [picture.col_stop, top]]))
    for index, box in enumerate(boxes):
        assert 0 <= box.x0 < box.x1 <= width
        assert 0 <= box.y0 < box.y1 <= height
        assert not any(box.padded(-1).overlaps(other.padded(-1)) for other in boxes[:index])


def legend_of(**changes):
    frame = Grid(Shape(300, 400), YX(1, 1), YX(0, 0), YX(0.25, 0.25))
    shown = replace(display_map("contribution", frame.downsampled(5), middle=0.0), **changes)
    figure = framed(frame, Caption("s", "t", "p"), shown).figure
    figure.draw_without_rendering()
    return figure, [text.get_text() for text in figure.texts]


def test_a_bar_names_its_unit_and_writes_ends_that_clip_as_bounds():
    changes = {"quantity": "pull", "unit": "nat"}
    for clips, first, last in (
        ((True, True), "≤ −1", "≥ 1"),
        ((False, True), "−1", "≥ 1"),
        ((False, False), "−1", "1"),
    ):
        figure, texts = legend_of(**changes, clips=clips)
        [bar] = figure.axes
        ticks = [tick.get_text() for tick in bar.get_xticklabels()]
        assert (ticks[0], ticks[-1]) == (first, last)
        assert "pull (nat)" in texts
    assert "probability of A" in legend_of(quantity="probability of A", unit="probability")[1]


def test_a_map_that_fades_says_so_and_shows_how():
    figure, texts = legend_of(fades=True, alpha=0.8, opacity=np.zeros((60, 80), np.uint8))
    assert {"high attention", "low attention"} < set(texts)
    assert "over the slide, it fades where attention is low" in texts
    pixels = figure.axes[0].get_images()[0].get_array()
    # White shines through as the opacity falls from the map's own to none.
    colours = display_map("contribution", covering_grid(Shape(9, 9))).colours[[1, 255], :3]
    np.testing.assert_allclose(pixels[0, [0, -1]], 255 + 0.8 * (colours - 255.0), atol=1)
    assert (pixels[-1] == 255).all()
    assert (np.diff(pixels[:, 0].astype(int), axis=0) >= 0).all()
    assert not {"high attention", "low attention"} & set(legend_of()[1])


def test_tissue_is_grey_under_a_map_that_asks_for_it():
    grid = covering_grid(Shape(64, 96))
    drawn = replace(display_map("attention", grid, opacity=100), over_grey=True)
    pixels = noise_rgb(Shape(64, 96))
    luma = pixels.astype(float) @ [0.2126, 0.7152, 0.0722]
    rows, cols = np.arange(64) // 32, np.arange(96) // 32
    levels = drawn.levels[np.ix_(rows, cols)]
    alpha = np.where(levels > 0, 100, 0)[..., None] / 255
    wanted = luma[..., None] * (1 - alpha) + drawn.colours[levels, :3] * alpha
    found = BurntMap(drawn, Grid(Shape(64, 96), YX(1, 1), YX(0, 0), MPP)).over(pixels, 0)
    np.testing.assert_allclose(found, wanted, atol=1.5)


def test_regions_are_outlined_on_white_in_two_colours_and_dashes(tmp_path):
    tissue = np.zeros((24, 24), bool)
    tissue[2:22, 2:22] = True
    slide = FakeSlide(np.full((24 * 32, 24 * 32, 3), 90, np.uint8))
    result = slide_result(slide, Grid(Shape(24, 24), YX(32, 32), YX(0, 0), MPP))
    ring = np.zeros((24, 24), bool)
    ring[3:10, 3:10] = True
    ring[5:8, 5:8] = False
    cold = np.zeros((24, 24), bool)
    cold[14:20, 14:20] = True
    shares = np.where(ring, 1e-2, np.where(cold, -1e-2, 0.0))
    random = heatmap_set(result.heatmaps.grid, slide.shape, tissue=tissue)
    drawn = np.where(tissue, [shares, -shares], np.nan).astype(np.float32)
    heatmaps = random.with_maps(contribution=drawn)
    regions = find_regions(heatmaps, "MSIH")
    assert {region.kind for region in regions.regions} == {"hot", "cold"}
    PngExporter().write(replace(result, regions=regions), tmp_path)
    with Image.open(tmp_path / "previews" / "regions.png") as image:
        rgb = np.asarray(image.convert("RGB")).astype(int)

    def near(colour):
        return np.abs(rgb - list(bytes.fromhex(colour))).max(axis=2) < 40

    hot, blue, white = near("d55e00"), near("0072b2"), near("ffffff")
    slides = np.abs(rgb - 90).max(axis=2) < 3
    top, left = (int((slides.sum(axis=axis) > 400).argmax()) for axis in (1, 0))
    # The outline of the ring's outside, in the middle of its upper side, with its casing.
    above, middle = top + 3 * 32, left + 6 * 32 + 16
    column = slice(above - 8, above + 8)
    assert hot[column, middle].any()
    assert white[column, middle].sum() >= 2
    # The hole has an outline, too, and no other cell of the ring has.
    warm = rgb[..., 0] - rgb[..., 2] > 60
    assert warm[top + 5 * 32 - 8 : top + 5 * 32 + 8, middle].any()
    assert not warm[top + 3 * 32 + 20 : top + 4 * 32 + 20, middle].any()
    # Dashes of cold regions have gaps.
    edge = blue[top + 14 * 32 - 8 : top + 14 * 32 + 8, left + 16 * 32 : left + 19 * 32].any(axis=0)
    assert 0.3 < edge.mean() < 0.95
    solid = hot[column, left + 5 * 32 : left + 8 * 32].any(axis=0)
    assert solid.all()


def test_the_sides_of_a_diverging_colour_bar_are_named_at_its_ends():
    frame = Grid(Shape(300, 400), YX(1, 1), YX(0, 0), YX(0.25, 0.25))
    shown = display_map("contribution", frame.downsampled(5), middle=0.0)
    around = framed(
        frame, Caption("s", "t", "p"), replace(shown, ends=("against $A_1$", "for $A_1$"))
    )
    texts = {text.get_text(): text for text in around.figure.texts}
    against, speaks_for = texts["← against $A_1$"], texts["for $A_1$ →"]
    around.figure.draw_without_rendering()
    [bar] = [axes.get_window_extent() for axes in around.figure.axes]
    assert against.get_window_extent().x0 == pytest.approx(bar.x0, abs=3)
    assert speaks_for.get_window_extent().x1 == pytest.approx(bar.x1, abs=3)
    plain = framed(frame, Caption("s", "t", "p"), shown).figure
    assert not any("→" in text.get_text() for text in plain.texts)


@pytest.mark.parametrize("um", [0.3, 1.0, 99.99, 1000.0, 4999, 123456.7])
def test_scale_bars_are_round_and_fit(um):
    length, text = scale_bar(um)
    assert um / 2.5 <= length <= um
    assert text.split()[0].strip("0.")[0] in "125"


def test_numbers_of_a_narrow_range_are_told_apart():
    assert number(100.1, 0.5) != number(100.2, 0.5)
    assert number(-0.0) == "0"


def test_wrapped_text_keeps_every_character_and_fits():
    text = "prediction of " + "averylongword" * 30 + " and more"
    lines = wrapped(text, lambda part: width_px(part, 13) <= 200)
    assert all(width_px(line, 13) <= 200 for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_characters_without_a_glyph_are_replaced():
    assert drawable("µ é 切") == "µ é \ufffd"


def test_ticks_keep_apart_and_the_first_win():
    assert spaced([0.0, 1.0, 0.95, 0.5, 0.45], 0.1) == [0.0, 0.5, 1.0]


def test_the_map_on_the_thumbnail_is_the_sampled_one():
    slide = white(Shape(300, 200))
    grid = covering_grid(slide.shape, YX(37.3, 21.1), YX(-5, -9))
    shown = display_map("attention", grid, opacity=255)
    lattice = thumbnail_lattice(slide, 150)
    over = BurntMap(shown, lattice).over(np.full((*lattice.shape, 3), 255, np.uint8), 0)
    levels = sample(shown.levels, grid, lattice, 0)
    np.testing.assert_array_equal(over[levels > 0], shown.colours[levels[levels > 0], :3])
    assert (over[levels == 0] == 255).all()


def faithful(class_name="MSIH", n_points=5, names=("contribution", "attention", "score", "random")):
    rng = np.random.default_rng(0)
    return Faithfulness(
        class_name,
        np.linspace(0, 1, n_points) if n_points > 1 else np.zeros(1),
        {name: rng.random(n_points) for name in names},
        {name: (index + 1) / 10 for index, name in enumerate(names)},
    )


def test_each_class_has_a_picture_of_its_curves(tmp_path):
    result = slide_result(FakeSlide(noise_rgb(Shape(60, 90))), maps=(), classes=("a/b", "a:b"))
    shown = replace(result, faithfulness=(faithful("a:b"), faithful("a/b")))
    paths = PngExporter().write(shown, tmp_path)
    assert [path.name for path in paths[1:]] == [
        "faithfulness-a_b-2.png", "faithfulness-a_b.png"
    ]  # fmt: skip
    for path in paths[1:]:
        with Image.open(path) as image:
            assert image.mode == "RGB"
            assert len(np.unique(np.asarray(image).reshape(-1, 3), axis=0)) > 50


@pytest.mark.parametrize("n_points", [1, 2, 101])
def test_curves_are_drawn_through_their_points_with_areas_and_what_is_better(n_points):
    found = faithful("$A_1$", n_points)
    figure = curves_figure(found, "slide")
    [axes] = figure.axes
    lines = {line.get_label(): line for line in axes.get_lines()}
    assert set(lines) == {
        "contribution 0.1", "attention 0.2", "score 0.3", "random 0.4"
    }  # fmt: skip
    for label, line in lines.items():
        np.testing.assert_array_equal(line.get_xdata(), found.removed)
        np.testing.assert_array_equal(line.get_ydata(), found.curves[label.split()[0]])
        assert (line.get_marker() == "o") == (n_points == 1)
    assert len({line.get_color() for line in lines.values()}) == 4
    assert "lower is better" in axes.get_legend().get_title().get_text()
    assert axes.get_ylabel() == "probability of $A_1$"
    assert axes.get_xlabel() == "share of the cells removed"


@pytest.mark.parametrize(
    ("start", "words"),
    [
        (1.2e-7, "nothing to measure: MSIH has a probability of 1.2e-07, too little to lose"),
        (
            1 - 1.2e-7,
            "nothing to measure: the probability of MSIH stays at 1 \u2212 1.2e-07, whatever is "
            "removed",
        ),
    ],
)
def test_curves_with_nothing_to_lose_say_so_instead_of_an_empty_plot(start, words):
    found = faithful("MSIH")
    flat = {name: np.full(len(found.removed), start) for name in found.curves}
    figure = curves_figure(replace(found, curves=flat), "slide")
    [axes] = figure.axes
    assert not axes.get_lines()
    assert axes.get_legend() is None
    assert [text.get_text().replace("\n", " ") for text in axes.texts] == [words]
    assert "For research, not for diagnosis." in [text.get_text() for text in figure.texts]
    # A value has no scale on which its changes are small.
    regression = Target.of_task("regression", (), 1)
    assert curves_figure(replace(found, curves=flat), "slide", regression).axes[0].get_lines()


@pytest.mark.parametrize("name", ["MSIH", "$x_1 {", "切片" * 80, "long name " * 30])
def test_texts_of_curves_stay_in_the_figure_and_apart(name):
    figure = curves_figure(faithful(name), name)
    drawn_curves(faithful(name), name)
    figure.draw_without_rendering()
    [axes] = figure.axes
    texts = [*figure.texts, axes.xaxis.label, axes.yaxis.label]
    boxes = [text.get_window_extent() for text in texts] + [axes.get_window_extent()]
    width, height = figure.get_size_inches() * figure.dpi
    for index, box in enumerate(boxes):
        assert 0 <= box.x0 < box.x1 <= width
        assert 0 <= box.y0 < box.y1 <= height
        assert not any(box.overlaps(other) for other in boxes[:index])


@pytest.mark.parametrize(
    "text", ["Prediction: tumour 0.998 · normal", "MSIH →", "−0.0158", "g" * 60]
)
@pytest.mark.parametrize("size", [11.7, 13.0, 20.25])
@pytest.mark.parametrize("bold", [False, True])
def test_text_is_as_wide_as_matplotlib_draws_it(text, size, bold):
    measured = RendererAgg(1, 1, 72).get_text_width_height_descent(text, font(size, bold), False)
    assert width_px(text, size, bold) == pytest.approx(measured[0], rel=0.01, abs=1)
