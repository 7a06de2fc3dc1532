"""A real ResNet-50's response to a spot or an edge lies where the spot or the edge is.

The network is RetCCL's, with seeded weights. What is written is its response, by the same
extraction, exporters and readers as every other map.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from fakes import heatmap_set
from independent_readers import label, overlay_by_openslide, overlay_by_tifffile, raw_values
from make_test_weights import seeded_resnet50
from slide_files import write_slide

from heatmaps_ome.display.rendering import Style
from heatmaps_ome.display.scaling import CohortScaling, Quantiles, Range
from heatmaps_ome.exporters import load_exporters
from heatmaps_ome.exporters.protocol import Settings
from heatmaps_ome.extractors import load_extractor
from heatmaps_ome.features.dense import Extraction, extract, feature_grid
from heatmaps_ome.geometry import Shape, Window
from heatmaps_ome.maps.store import write_values
from heatmaps_ome.run.delivery import slide_result, write_formats
from heatmaps_ome.run.settings import Look
from heatmaps_ome.run.stopwatch import Stages
from heatmaps_ome.slides.opening import open_slide

SHAPE = Shape(540, 600)
"""At 1 µm per pixel; a cell sees 483 network pixels, 552 µm, so a spot needs so much room."""
DARK, LIGHT = (170, 110, 160), (215, 175, 205)
SPOT = (263.0, 291.0)
SPOT_PX = 14
EDGE = (258.0, 309.0)

UM_CELL = 32 * 256 / 224
QUARTER = 0.25
READERS = (raw_values, label, overlay_by_tifffile, overlay_by_openslide)


def flat(colour):
    return np.full((*SHAPE, 3), colour, np.uint8)


def spotted():
    pixels = flat(DARK)
    top, left = (int(place - SPOT_PX / 2) for place in SPOT)
    pixels[top : top + SPOT_PX, left : left + SPOT_PX] = 255
    return pixels


def stepped(axis, before, after):
    pixels = flat(before)
    if axis == 0:
        pixels[int(EDGE[0]) :] = after
    else:
        pixels[:, int(EDGE[1]) :] = after
    return pixels


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """Features of all slides by the real network, their grid, and where the files are."""
    folder = tmp_path_factory.mktemp("receptive-field")
    torch.save(seeded_resnet50(0), folder / "weights.pth")
    extractor = load_extractor("retccl", folder / "weights.pth", "cpu", "float32")
    drawn = {"dark": flat(DARK), "light": flat(LIGHT), "spot": spotted()}
    for axis in (0, 1):
        drawn[f"rise-{axis}"] = stepped(axis, DARK, LIGHT)
        drawn[f"fall-{axis}"] = stepped(axis, LIGHT, DARK)
    features = {}
    for name, pixels in drawn.items():
        slide = open_slide(write_slide(folder / f"{name}.svs", pixels, 1.0))
        grid = feature_grid(slide, extractor, 256 / 224)
        how = Extraction(256 / 224, 1024, 1, folder / "cache")
        store = extract(slide, extractor, np.ones(grid.shape, bool), how, lambda *_: None)
        features[name] = store.read(Window(0, 0, *grid.shape)).transpose(2, 0, 1)
        slide.close()
    return features, grid, folder


def apart(features, one, other):
    """Return how far two slides' features are apart, cell by cell."""
    return np.abs(features[one] - features[other]).sum(axis=0)


def deliver(seen, name, response):
    """Write a response as the attention of a slide's results; return their folder."""
    _, grid, folder = seen
    slide = open_slide(folder / f"{name}.svs")
    tissue = np.ones(grid.shape, bool)
    blank = heatmap_set(grid, slide.shape, tissue=tissue, contributions=False, slide_name=name)
    heatmaps = blank.with_maps(attention=response.astype(np.float32))
    scaling = CohortScaling(
        cohort="", model_digest="", extractor_digest="", quantiles=Quantiles(),
        classes=heatmaps.classes, slides=1, cells=1,
        ranges={"attention": (Range(0.0, float(response.max())),), "score": (Range(0, 1),) * 2},
    )  # fmt: skip
    result = slide_result(
        slide, heatmaps, scaling, Look(Style(), heatmaps.classes, heatmaps.classes[0], 256 / 224)
    )
    out = folder / "results" / name
    out.mkdir(parents=True)
    write_values(heatmaps, out, {})
    formats = ("ome-zarr", "ome-tiff")
    exporters = dict(zip(formats, load_exporters(formats, Settings()), strict=True))
    write_formats(result, exporters, out, Stages({}))
    slide.close()
    return out


@pytest.fixture(scope="module")
def results(seen):
    """Results whose attention is the network's response, by slide."""
    features = seen[0]
    made = {"spot": deliver(seen, "spot", apart(features, "spot", "dark"))}
    for axis in (0, 1):
        for name, before, after in (("rise", "dark", "light"), ("fall", "light", "dark")):
            name = f"{name}-{axis}"
            changed, left = (apart(features, name, flat_) for flat_ in (before, after))
            made[name] = deliver(seen, name, changed / (changed + left))
    return made


def um_centre(reading):
    """Return the centre of a response, y and x."""
    weights = np.nan_to_num(reading.values)
    return (
        (weights.sum(axis=1) @ reading.um_y) / weights.sum(),
        (weights.sum(axis=0) @ reading.um_x) / weights.sum(),
    )


def um_step(reading, axis):
    """Return where a response that rises from 0 to 1 has its step: by the area before it.

    Only lines far from the borders that the edge runs into are asked.
    """
    # The last cell may end before the slide does, far behind the edge.
    values = np.nan_to_num(reading.values if axis == 0 else reading.values.T, nan=1.0)
    um = (reading.um_y, reading.um_x)[axis]
    across = (reading.um_x, reading.um_y)[axis]
    middle = np.abs(across - SHAPE[1 - axis] / 2) < 80
    before = 1 - values[:, middle].mean(axis=1)
    inside = um < SHAPE[axis]
    step = um[1] - um[0]
    return um[0] - step / 2 + before[inside].sum() * step


@pytest.mark.parametrize("reader", READERS)
def test_the_response_to_a_spot_is_centred_on_it(reader, results):
    reading = reader(results["spot"], "attention")[0]
    for found, placed in zip(um_centre(reading), SPOT, strict=True):
        assert abs(found - placed) <= QUARTER * UM_CELL, f"{(found - placed) / UM_CELL:.2f} cells"


def um_edge(results, reader, axis):
    """Return where the edges are seen: midway between a rising and a falling one.

    A network answers to light more than to dark, which moves the two to opposite sides.
    """
    readings = [reader(results[f"{name}-{axis}"], "attention")[0] for name in ("rise", "fall")]
    return np.mean([um_step(reading, axis) for reading in readings])


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("axis", [0, 1])
def test_the_response_to_an_edge_changes_over_at_it(axis, reader, results):
    off = (um_edge(results, reader, axis) - EDGE[axis]) / UM_CELL
    assert abs(off) <= QUARTER, f"{off:.2f} cells"


def test_on_the_squares_of_the_reference_a_spot_would_be_missed(results):
    """create_heatmaps.py paints cell j on [32 j, 32 j + 32), half a cell down and right of it."""
    reading = raw_values(results["spot"], "attention")[0]
    shift = 15.5 * 256 / 224
    for found, placed in zip(um_centre(reading), SPOT, strict=True):
        assert abs(found + shift - placed) > QUARTER * UM_CELL


@pytest.mark.parametrize("cells", [-0.5, 0.5])
def test_half_a_cell_off_would_be_found_out(cells, results):
    def moved(folder, name):
        return [
            replace(each, um_x=each.um_x + cells * UM_CELL) for each in raw_values(folder, name)
        ]

    assert abs(um_edge(results, moved, 1) - EDGE[1]) > QUARTER * UM_CELL
    found = um_centre(moved(results["spot"], "attention")[0])[1]
    assert abs(found - SPOT[1]) > QUARTER * UM_CELL
