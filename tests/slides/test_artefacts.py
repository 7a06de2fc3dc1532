"""Artefacts are found where they are, as measures worked out anew say, and the evidence there."""

import colorsys
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import zarr
from fakes import FakeSlide, covering_grid, heatmap_set
from ome_zarr_models.v04.image_label import ImageLabel
from scipy.ndimage import convolve, gaussian_filter

from heatmaps_ome.display.rendering import Style, display_maps, with_notes
from heatmaps_ome.display.scaling import Quantiles
from heatmaps_ome.display.scaling_fit import ScalingFit
from heatmaps_ome.errors import ResultError
from heatmaps_ome.geometry import YX, Grid, Shape, network_pixels
from heatmaps_ome.maps.artefact_evidence import (
    artefact_record,
    artefact_sentences,
    attention_on_artefacts,
    evidence_on_artefacts,
)
from heatmaps_ome.maps.evidence import evidence
from heatmaps_ome.maps.store import read_values, write_values
from heatmaps_ome.slides.artefacts import (
    KINDS,
    MEASURES,
    find_artefacts,
)
from heatmaps_ome.slides.opening import open_slide
from heatmaps_ome.slides.tissue import tissue_cells

TARGET = 256 / 224
THRESHOLD = 224
NUMBER = {kind: number for number, kind in enumerate(KINDS, start=1)}


def cells_of(slide):
    """Return where a ResNet's cells lie on a slide, and the network's pixels."""
    pixels = network_pixels(slide.shape, slide.mpp, TARGET)
    shape = Shape(-(-pixels.shape.rows // 32), -(-pixels.shape.cols // 32))
    return Grid(shape, pixels.l0_cell.times(32), pixels.l0_cell.times(-15.5), slide.mpp), pixels


def found_on(slide, tissue=None):
    """Return the artefacts of a slide, and its tissue."""
    grid, pixels = cells_of(slide)
    if tissue is None:
        tissue = tissue_cells(slide, grid, THRESHOLD)
    return find_artefacts(slide, grid, pixels, tissue, THRESHOLD), tissue


def stained(rows, cols, seed=0):
    """Return (rows, cols, 3) uint8 in the colours of eosin, with nuclei in haematoxylin's."""
    rng = np.random.default_rng(seed)
    nuclei = gaussian_filter(rng.normal(size=(rows, cols)), 1.0) > 0.25
    colours = np.where(nuclei[..., None], (90, 60, 140), (225, 160, 195))
    return np.clip(colours + rng.normal(size=(rows, cols, 3)) * 6, 0, 255).astype(np.uint8)


def naive_kind(rgb, row, col, side=32):
    """Return the kind of the cell at these network pixels, by loops over its pixels."""
    inside = (slice(max(0, row), row + side), slice(max(0, col), col + side))
    crop = rgb[inside].astype(np.float64)
    ink = dark = coloured = samples = 0
    for top in range(0, crop.shape[0] - 3, 4):
        for left in range(0, crop.shape[1] - 3, 4):
            red, green, blue = np.rint(crop[top : top + 4, left : left + 4].mean(axis=(0, 1)))
            luma = 0.299 * red + 0.587 * green + 0.114 * blue
            hue, saturation, _ = colorsys.rgb_to_hsv(red / 255, green / 255, blue / 255)
            samples += 1
            dark += luma
            ink += luma < THRESHOLD and saturation > 0.3 and 70 < hue * 360 < 225
            coloured += luma < THRESHOLD and saturation > 0.05
    luma = crop @ [0.299, 0.587, 0.114]
    cross = convolve(luma, [[0, 1, 0], [1, -4, 1], [0, 1, 0]])
    detail, contrast = cross[1:-1, 1:-1] ** 2, luma[1:-1, 1:-1].var()
    if ink > 0.2 * samples:
        return "pen"
    if dark < 50 * samples:
        return "dark"
    if coloured < 0.1 * samples:
        return "empty"
    return "blurred" if detail.mean() < 0.15 * contrast else None


def naive(rgb, tissue):
    """Return the artefacts of a slide whose pixels are the network's, cell by cell."""
    found = np.zeros(tissue.shape, np.uint8)
    for row, col in np.argwhere(tissue):
        found[row, col] = NUMBER.get(naive_kind(rgb, 32 * row - 16, 32 * col - 16), 0)
    return found


@pytest.fixture(scope="module")
def painted():
    """Return a slide with a patch of each kind, and which cells lie wholly on it, or on none."""
    rgb = stained(1024, 1280)
    parts = {
        "pen": np.s_[100:300, 100:400],
        "dark": np.s_[400:560, 0:1280],
        "blurred": np.s_[600:1000, 0:600],
        "empty": np.s_[600:1000, 700:1280],
    }
    # Ink lets some of what is below through.
    rgb[parts["pen"]] = rgb[parts["pen"]] * 0.3 + np.array([20, 150, 90]) * 0.7
    rgb[parts["dark"]] = rgb[parts["dark"]] * 0.15
    rgb[parts["blurred"]] = gaussian_filter(rgb[parts["blurred"]].astype(float), (3, 3, 0))
    noise = np.random.default_rng(1).normal(size=(400, 580, 1))
    rgb[parts["empty"]] = np.clip(213 + noise * 3, 0, 255)
    tissue = np.ones(rgb.shape[:2], bool)
    wholly = {}
    for kind, part in parts.items():
        on = np.zeros(rgb.shape[:2], bool)
        on[part] = True
        tissue &= ~on
        wholly[kind] = on
    slide = FakeSlide(rgb, YX(TARGET, TARGET))
    shape = cells_of(slide)[0].shape
    return slide, {kind: within(on, shape) for kind, on in {**wholly, None: tissue}.items()}


def within(mask, shape):
    """Return the cells of which all pixels on the slide are in a mask."""
    padded = np.ones((shape.rows * 32, shape.cols * 32), bool)
    part = mask[: padded.shape[0] - 16, : padded.shape[1] - 16]
    padded[16 : 16 + part.shape[0], 16 : 16 + part.shape[1]] = part
    return padded.reshape(shape.rows, 32, shape.cols, 32).all(axis=(1, 3))


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_found_where_it_was_painted(painted, kind):
    slide, wholly = painted
    found, tissue = found_on(slide)
    assert wholly[kind].sum() > 20
    assert tissue[wholly[kind]].all()
    assert (found[wholly[kind]] == NUMBER[kind]).all()


def test_sound_tissue_is_not_flagged(painted):
    slide, wholly = painted
    found, _ = found_on(slide)
    assert wholly[None].sum() > 200
    assert not found[wholly[None]].any()


def test_every_cell_has_the_kind_that_loops_over_its_pixels_say(painted):
    slide, _ = painted
    found, tissue = found_on(slide)
    assert set(np.unique(found)) == {0, *NUMBER.values()}
    np.testing.assert_array_equal(found, naive(slide.rgb, tissue))


def test_the_measures_are_those_that_are_documented():
    assert MEASURES == {
        "pen_hue_from": 70.0, "pen_hue_to": 225.0, "pen_saturation": 0.3, "pen_share": 0.2,
        "dark_brightness": 50.0, "empty_saturation": 0.05, "empty_share": 0.1,
        "blurred_detail": 0.15,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("colour", "kind"),
    [
        ((0, 70, 20), "pen"),  # dark and smooth too
        ((20, 20, 20), "dark"),  # neither coloured nor sharp
        ((215, 215, 215), "empty"),  # not sharp
        ((0, 90, 220), "pen"),  # blue ink
        ((90, 60, 140), None),  # haematoxylin alone
        ((200, 30, 40), None),  # red ink is not told from eosin
    ],
)
def test_a_cell_has_the_first_kind_of_those_it_could_have(colour, kind):
    rgb = np.empty((96, 96, 3), np.uint8)
    # A slope: contrast without detail.
    rgb[:] = np.clip(np.array(colour) + np.linspace(-20, 20, 96)[:, None, None], 0, 255)
    found, tissue = found_on(FakeSlide(rgb, YX(TARGET, TARGET)))
    assert tissue.all()
    inner = found[1:-1, 1:-1]
    assert (inner == NUMBER.get(kind, NUMBER["blurred"])).all()


def test_nothing_is_found_beside_tissue_and_on_a_slide_without(painted):
    slide, _ = painted
    shape = cells_of(slide)[0].shape
    assert not found_on(slide, np.zeros(shape, bool))[0].any()
    some = np.random.default_rng(0).random(shape) < 0.1
    found, _ = found_on(slide, some)
    np.testing.assert_array_equal(found, np.where(some, found_on(slide)[0], 0))


def test_slides_of_a_few_pixels_and_with_other_pixels_have_artefacts_too():
    grey = FakeSlide(np.full((3, 2, 3), 100, np.uint8), YX(0.5, 0.3))
    assert found_on(grey)[0].tolist() == [[NUMBER["empty"]]]
    rgb = stained(700, 900).repeat(2, axis=0).repeat(3, axis=1)
    rgb[300:] = (10, 90, 60)
    found, _ = found_on(FakeSlide(rgb, YX(TARGET / 2, TARGET / 3)))
    edge = (300 / 2 + 16) / 32
    assert not found[: math.floor(edge)].any()
    assert (found[math.ceil(edge) :] == NUMBER["pen"]).all()


# --- Real slides ------------------------------------------------------------------------------

CLEAN = ("CMU-1-Small-Region.svs", "aperio-3levels-cmu.svs", "mirax-cmu-bounds.mrxs",
         "philips-cmu.tiff")  # fmt: skip


def opened(shared_data, name, mpp=None):
    return open_slide(shared_data / "slides" / name, mpp)


def shares(found, tissue):
    """Return the share of the tissue cells that each kind has."""
    counts = np.bincount(found[tissue], minlength=len(KINDS) + 1)[1:]
    return dict(zip(KINDS, counts / tissue.sum(), strict=True))


@pytest.mark.parametrize(("name", "mpp"), [*((n, None) for n in CLEAN),
                                           ("TCGA-CR-7395-01A-01-TS1.svs", 0.25)])  # fmt: skip
def test_sound_real_slides_have_hardly_any(shared_data, name, mpp):
    found = shares(*found_on(opened(shared_data, name, mpp)))
    assert found["pen"] == found["dark"] == found["empty"] == 0
    assert found["blurred"] <= 0.005


def test_black_crosses_and_grey_glass_of_a_real_slide_are_told_from_its_tissue(shared_data):
    # Its pixels are taken for the network's, as it is an overview that shows whole cells as few.
    slide = opened(shared_data, "camelyon16-tumor_001-overview.tif", TARGET)
    found, tissue = found_on(slide)
    said = shares(found, tissue)
    assert said["pen"] == 0  # there is no coloured ink
    assert 0.005 < said["dark"] < 0.02
    assert 0.3 < said["empty"] < 0.45
    assert said["blurred"] < 0.03
    crosses = [(row // 32, col // 32) for row, col in ((470, 480), (470, 2690))]
    assert [found[cross] for cross in crosses] == [NUMBER["dark"]] * 2
    lymph_nodes = found[3700 // 32 : 4200 // 32, 1800 // 32 : 2150 // 32]
    assert not lymph_nodes.any()
    assert (found[4600 // 32 : 5200 // 32, 160 // 32 : 320 // 32] == NUMBER["empty"]).mean() > 0.8


def test_half_of_a_real_slide_that_is_blurred_is_found(shared_data):
    slide = opened(shared_data, "CMU-1-Small-Region.svs")
    _, pixels = cells_of(slide)
    rgb = slide.read(pixels, type(slide.bounds)(0, 0, *pixels.shape))
    half = rgb.shape[0] // 2
    rgb[half:] = np.rint(gaussian_filter(rgb.astype(float), (2.5, 2.5, 0)))[half:]
    found, tissue = found_on(FakeSlide(rgb, YX(TARGET, TARGET)))
    edge = (half + 16) // 32
    assert (found[:edge][tissue[:edge]] > 0).mean() <= 0.01
    assert (found[edge + 1 :][tissue[edge + 1 :]] == NUMBER["blurred"]).mean() > 0.95


# --- Evidence ---------------------------------------------------------------------------------

SLIDE = Shape(900, 1300)
GRID = covering_grid(SLIDE)


def with_artefacts(heatmaps, seed=0):
    """Return maps with random artefacts on their tissue."""
    kinds = np.random.default_rng(seed).integers(0, len(KINDS) + 1, heatmaps.tissue.shape)
    return replace(heatmaps, artefacts=np.where(heatmaps.tissue, kinds, 0).astype(np.uint8))


@pytest.mark.parametrize("classes", [("one",), ("a", "b"), ("a", "b", "c")], ids=str)
def test_the_evidence_on_artefacts_is_what_a_loop_over_cells_adds_up(classes):
    heatmaps = with_artefacts(heatmap_set(GRID, SLIDE, classes))
    for index, name in enumerate(classes):
        cells, said, total = dict.fromkeys(KINDS, 0), dict.fromkeys(KINDS, 0.0), 0.0
        for row, col in np.argwhere(heatmaps.tissue):
            logits = [float(heatmaps.contributions[c, row, col]) for c in range(len(classes))]
            shared = sum(logits) / len(logits) if len(logits) > 1 else 0.0
            positive = max(0.0, logits[index] - shared)
            total += positive
            if heatmaps.artefacts[row, col]:
                kind = KINDS[heatmaps.artefacts[row, col] - 1]
                cells[kind] += 1
                said[kind] += positive
        found = evidence_on_artefacts(heatmaps, name)
        assert list(found) == list(KINDS)
        for kind in KINDS:
            assert found[kind]["cells"] == pytest.approx(cells[kind] / heatmaps.tissue_cells)
            assert found[kind]["evidence"] == pytest.approx(said[kind] / total, rel=1e-4)


def test_the_evidence_of_all_classes_together_is_nothing():
    heatmaps = heatmap_set(GRID, SLIDE, ("a", "b", "c"))
    total = sum(evidence(heatmaps, name) for name in heatmaps.classes)
    assert np.abs(total[heatmaps.tissue]).max() < 1e-6
    assert evidence(heatmaps.with_maps(contribution=None), "a") is None


def test_what_is_not_known_of_artefacts_or_evidence_is_not_said():
    heatmaps = with_artefacts(heatmap_set(GRID, SLIDE))
    unknown = replace(heatmaps, artefacts=None)
    assert evidence_on_artefacts(unknown, "MSIH") == {}
    assert artefact_record(unknown) is None
    assert artefact_sentences({}, "MSIH") == []
    nothing = with_artefacts(heatmap_set(GRID, SLIDE, tissue=np.zeros(GRID.shape, bool)))
    assert evidence_on_artefacts(nothing, "MSIH") == {}
    assert artefact_sentences(artefact_record(nothing), "MSIH") == []
    broken = heatmaps.contributions.copy()
    broken[0, *np.argwhere(heatmaps.tissue)[0]] = np.nan
    for maps in (heatmaps.with_maps(contribution=None), heatmaps.with_maps(contribution=broken)):
        found = evidence_on_artefacts(maps, "MSIH")
        assert all(math.isnan(each["evidence"]) for each in found.values())
        assert all(each["cells"] > 0 for each in found.values())
        sentences = artefact_sentences(json.loads(json.dumps(artefact_record(maps))), "MSIH")
        assert sentences[0].startswith("artefacts: ")
        assert not any("evidence" in sentence for sentence in sentences)


@pytest.mark.parametrize("coarse", [False, True], ids=["all differ", "many are equal"])
def test_the_hottest_cells_on_artefacts_are_what_sorting_the_cells_gives(coarse):
    heatmaps = with_artefacts(heatmap_set(GRID, SLIDE))
    attention = heatmaps.attention.round(0) if coarse else heatmaps.attention
    heatmaps = heatmaps.with_maps(attention=attention)
    places = np.argwhere(heatmaps.tissue).tolist()
    cells = [(float(attention[g]), int(heatmaps.artefacts[g])) for g in map(tuple, places)]
    count = max(10, round(0.01 * len(cells)))
    # Equal cells share the places that are left: the mean over many orders of theirs.
    rng, sums = np.random.default_rng(0), np.zeros(len(KINDS) + 1)
    for _ in range(2000 if coarse else 1):
        order = rng.permutation(len(cells))
        first = sorted((cells[i] for i in order), key=lambda cell: -cell[0])[:count]
        sums += np.bincount([kind for _, kind in first], minlength=len(KINDS) + 1) / count
    expected = sums[1:] / (2000 if coarse else 1)
    found = list(attention_on_artefacts(heatmaps, "MSIH").values())
    assert found == pytest.approx(expected.tolist(), abs=0.02 if coarse else 1e-9)


def attended(spot):
    """Return maps whose attention is hottest in one spot, and pen over a twentieth of the tissue.

    Parameters
    ----------
    spot : "pen" or "tissue"
        Where the attention is hottest.
    """
    heatmaps = heatmap_set(GRID, SLIDE, tissue=np.ones(GRID.shape, bool))
    rows, _ = GRID.shape
    artefacts = np.zeros(GRID.shape, np.uint8)
    artefacts[: max(1, rows // 20)] = 1 + KINDS.index("pen")
    attention = np.random.default_rng(0).random(GRID.shape).astype(np.float32)
    attention[(artefacts > 0) == (spot == "pen")] += 5
    return replace(heatmaps.with_maps(attention=attention), artefacts=artefacts)


def test_attention_that_is_hottest_on_artefacts_is_warned_of_and_noted_on_its_map():
    heatmaps = attended("pen")
    record = json.loads(json.dumps(artefact_record(heatmaps)))
    assert record["attention"]["MSIH"]["pen"] == 1
    *_, warning = artefact_sentences(record, "MSIH")
    assert warning.startswith(
        "warning: 100 % of the cells hottest in attention look like artefacts (pen 100 %)"
    )
    notes = {drawn.kind: drawn.note for drawn in drawn_maps(heatmaps)}
    assert "hottest in attention look like artefacts (pen 100 %)" in notes["attention"]
    assert notes["score"] == ""


def test_attention_on_tissue_is_not_warned_of():
    heatmaps = attended("tissue")
    sentences = artefact_sentences(artefact_record(heatmaps), "MSIH")
    assert not any("hottest" in sentence for sentence in sentences)
    assert all(drawn.note == "" for drawn in drawn_maps(heatmaps))
    # Records of earlier versions do not know.
    record = {**artefact_record(attended("pen")), "attention": {}}
    assert not any("hottest" in sentence for sentence in artefact_sentences(record, "MSIH"))


def drawn_maps(heatmaps):
    fit = ScalingFit(Quantiles())
    fit.add(heatmaps)
    maps = display_maps(heatmaps, fit.fit("", "", ""), Style(), heatmaps.classes, "MSIH")
    return with_notes(maps, (), heatmaps)


def test_without_attention_nothing_is_hottest():
    heatmaps = with_artefacts(heatmap_set(GRID, SLIDE))
    assert attention_on_artefacts(heatmaps.with_maps(attention=None), "MSIH") == {}
    assert attention_on_artefacts(replace(heatmaps, artefacts=None), "MSIH") == {}


def test_a_share_of_next_to_no_evidence_is_not_told():
    heatmaps = with_artefacts(heatmap_set(GRID, SLIDE))
    against = -np.abs(heatmaps.contributions[0])
    against.flat[np.flatnonzero(heatmaps.artefacts)[0]] = 1e-7
    heatmaps = heatmaps.with_maps(contribution=np.stack([against, np.zeros_like(against)]))
    record = artefact_record(heatmaps)
    assert set(record["evidence"]["MSIH"].values()) == {None}
    assert not any("evidence for" in text for text in artefact_sentences(record, "MSIH"))
    assert sum(record["evidence"]["nonMSIH"].values()) > 0.5


def test_sentences_name_the_shares_and_warn_of_much_evidence():
    record = {
        "cells": {"pen": 0.03, "dark": 0.0, "blurred": 0.011, "empty": 0.0},
        "evidence": {"MSIH": {"pen": 0.09, "dark": 0.0, "blurred": 0.003, "empty": 0.0},
                     "b": {"pen": 0.21, "dark": 0.0, "blurred": 0.0, "empty": 0.0}},
    }  # fmt: skip
    assert artefact_sentences(record, "MSIH") == [
        "artefacts: 4.1 % of the cells (pen 3 %, blurred 1.1 %) "
        "carry 9.3 % of the evidence for MSIH"
    ]
    told, warning = artefact_sentences(record, "b")
    assert told.endswith("carry 21 % of the evidence for b")
    assert warning.startswith("warning: more than 20 % of the evidence for b lies on artefacts")
    record["cells"] = dict.fromkeys(KINDS, 0.0)
    assert artefact_sentences(record, "MSIH") == ["artefacts: on none of the cells"]


def test_slides_of_artefacts_or_in_the_dark_are_warned_of_whatever_the_evidence():
    cells = {"pen": 0.1, "dark": 0.35, "blurred": 0.0, "empty": 0.06}
    evidence_on = {"MSIH": dict.fromkeys(KINDS, 0.0)}
    record = {"cells": cells, "evidence": evidence_on, "brightness": 140.0}
    *_, warning = artefact_sentences(record, "MSIH")
    assert warning.startswith("warning: 51 % of the cells look like artefacts")
    record["cells"] = {**cells, "dark": 0.3}
    assert not any("warning" in text for text in artefact_sentences(record, "MSIH"))
    record["brightness"] = 41.2
    *_, warning = artefact_sentences(record, "MSIH")
    assert "as dark as fluorescence (median brightness 41 of 255)" in warning


def test_cells_that_were_left_out_are_counted_in_words():
    record = {"cells": dict.fromkeys(KINDS, 0.0), "evidence": {}, "excluded": {"pen": 1234}}
    assert artefact_sentences(record, "MSIH") == [
        "artefacts left out of maps and prediction: pen 1,234 cells",
        "artefacts: on none of the cells",
    ]


# --- Kept with the values ---------------------------------------------------------------------


@pytest.mark.parametrize("ngff", ["0.4", "0.5"])
def test_artefacts_come_back_with_the_values(tmp_path, ngff):
    heatmaps = with_artefacts(heatmap_set(GRID, SLIDE))
    found = read_values(write_values(heatmaps, tmp_path, {}, ngff))
    assert found.artefacts.dtype == np.uint8
    np.testing.assert_array_equal(found.artefacts, heatmaps.artefacts)


def test_values_without_artefacts_come_back_without(tmp_path):
    path = write_values(heatmap_set(GRID, SLIDE), tmp_path, {})
    assert read_values(path).artefacts is None
    assert not (path / "labels").exists()


def test_artefacts_are_a_label_at_the_place_of_the_values(tmp_path):
    path = write_values(with_artefacts(heatmap_set(GRID, SLIDE)), tmp_path, {})
    values = json.loads((path / ".zattrs").read_text())["multiscales"][0]["datasets"]
    folder = path / "labels" / "artefacts"
    said = json.loads((folder / ".zattrs").read_text())
    for own, other in zip(
        said["multiscales"][0]["datasets"][0]["coordinateTransformations"],
        values[0]["coordinateTransformations"],
        strict=True,
    ):
        assert own["type"] == other["type"]
        assert own[own["type"]] == other[other["type"]][1:]
    names = [each.get("artefacts") for each in said["image-label"]["properties"]]
    assert names[:6] == [None, *KINDS, None]
    assert set(names[6:]) == {None}
    ImageLabel.from_zarr(zarr.open_group(folder, mode="r"))


def test_artefacts_that_cannot_be_are_refused(tmp_path):
    path = write_values(with_artefacts(heatmap_set(GRID, SLIDE)), tmp_path, {})
    level = zarr.open_array(path / "labels" / "artefacts" / "0", mode="r+")
    level[0, 0] = len(KINDS) + 1
    with pytest.raises(ResultError, match="cannot be read as the values"):
        read_values(path)
