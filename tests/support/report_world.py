"""Runs made up for tests of the report: slides with all that it can show, on no slide file."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
from fakes import FakeSlide
from scipy.ndimage import gaussian_filter
from shapely.geometry import Polygon

from heatmaps_ome.display.colour import class_colours
from heatmaps_ome.display.rendering import Style
from heatmaps_ome.display.scaling import Quantiles
from heatmaps_ome.display.scaling_fit import ScalingFit
from heatmaps_ome.geometry import YX, Grid, Shape
from heatmaps_ome.maps.consistency import Consistency
from heatmaps_ome.maps.heatmap_set import HeatmapSet, Member
from heatmaps_ome.maps.kinds import stored_kinds
from heatmaps_ome.maps.regions import Region, Regions
from heatmaps_ome.maps.store import write_values
from heatmaps_ome.maps.top_tiles import L0Window, PickedTile
from heatmaps_ome.run.delivery import slide_result
from heatmaps_ome.run.settings import Look
from heatmaps_ome.viewers.report.part import ReportExporter
from heatmaps_ome.viewers.report.reported import ReportedSlide, RunFacts

CLASSES = ("MSIH", "nonMSIH")
MPP = YX(0.5, 0.5)
SHAPE, ORIGIN = Shape(40, 60), YX(-31.0, -17.0)
DIGESTS = {"model": "m" * 64, "extractor": "e" * 64}


def run_facts(classes=CLASSES, true_class=None) -> RunFacts:
    """Return the facts of a run."""
    return RunFacts(
        created="2026-01-02T03:04:05+00:00", version="0.1", true_class=true_class or classes[0],
        classes=classes, class_colours=class_colours(classes), model_digest=DIGESTS["model"],
        extractor_digest=DIGESTS["extractor"], extractor="made-up",
    )  # fmt: skip


def made_maps(
    name="slide", grid_shape=SHAPE, cell=64.0, origin=ORIGIN, classes=CLASSES,
    tissue=None, seed=0, contributions=True,
) -> HeatmapSet:  # fmt: skip
    """Return smooth maps that keep HeatmapSet's promises; the grid begins off the slide."""
    rng = np.random.default_rng(seed)
    rows, cols = grid_shape
    grid = Grid(grid_shape, YX(cell, cell), origin, MPP)
    shape = Shape(int(rows * cell + origin.y) - 9, int(cols * cell + origin.x) - 5)

    def smooth(sd=3.0):
        field = gaussian_filter(rng.normal(size=grid_shape), sd)
        return field / (field.std() or 1.0)

    if tissue is None:
        y, x = np.mgrid[:rows, :cols]
        inside = np.hypot((y - rows / 2) / (rows / 2), (x - cols / 2) / (cols / 2))
        tissue = inside + 0.12 * smooth(5.0) < 0.85
    logits = np.stack([smooth() * 2 for _ in classes])
    attention = np.where(tissue, 1.5 * smooth(), np.nan).astype(np.float32)
    scores = np.exp(logits) / np.exp(logits).sum(axis=0)
    scores = np.where(tissue, scores, np.nan).astype(np.float32)
    weights = np.where(tissue, np.exp(np.nan_to_num(attention)), 0)
    weights /= weights.sum() or 1
    shares = np.where(tissue, weights * logits, np.nan).astype(np.float32)
    slide_logits = np.full(len(classes), np.nan)
    if tissue.any():
        slide_logits = np.nansum(shares.astype(np.float64), axis=(1, 2))
    powers = np.exp(slide_logits)
    return HeatmapSet(
        slide_name=name, slide_shape=shape, grid=grid, classes=classes, tissue=tissue,
        maps={"attention": attention, "score": scores}
        | ({"contribution": shares} if contributions else {}),
        logits=slide_logits, prediction=powers / powers.sum(),
    )  # fmt: skip


def made_slide(heatmaps: HeatmapSet, seed=0, textured=True) -> FakeSlide:
    """Return a pinkish slide, with paler glass where the maps have no tissue."""
    shape, rng = heatmaps.slide_shape, np.random.default_rng(seed)
    rgb = np.full((*shape, 3), (242, 240, 243), np.uint8)
    rows, cols = heatmaps.grid.cells_under(Grid(shape, YX(1, 1), YX(0, 0), MPP))
    stained = heatmaps.tissue[rows[:, None], cols[None, :]]
    rgb[stained] = (214, 150, 190)
    if textured:
        noise = gaussian_filter(rng.normal(size=shape), 4) * 120
        rgb = np.clip(rgb - noise[..., None] * stained[..., None], 0, 255).astype(np.uint8)
    return FakeSlide(rgb, MPP, heatmaps.slide_name)


def made_result(heatmaps, slide=None, true_class=None, leave_one_out=False, parts=()):
    """Return a slide's result with its maps, coloured for itself."""
    fit = ScalingFit(Quantiles())
    fit.add(heatmaps)
    scaling = fit.fit("", DIGESTS["model"], DIGESTS["extractor"])
    style = Style(leave_one_out=leave_one_out)
    look = Look(style, heatmaps.classes, true_class or heatmaps.classes[0], 1.0)
    return slide_result(slide or made_slide(heatmaps), heatmaps, scaling, look, parts)


def with_everything(result):
    """Return a result with all that other parts of the package may add to it."""
    maps, name, n_classes = result.heatmaps, result.true_class, len(result.heatmaps.classes)
    artefacts = np.zeros(maps.grid.shape, np.uint8)
    artefacts[15:19, 20:40] = 1
    artefacts[30:34, 20:30] = 3
    artefacts[~maps.tissue] = 0

    def shares(first):
        return (first, *[(1 - first) / (n_classes - 1)] * (n_classes - 1))

    members = tuple(
        Member(f"fold-{i}", f"{i}" * 64, shares(p), (0.0,) * n_classes)
        for i, p in enumerate((0.8, 0.7, 0.4 if n_classes == 2 else 0.1), 1)
    )
    stored = {
        kind.key: maps.values(kind.key)
        for kind in stored_kinds()
        if maps.values(kind.key) is not None
    }
    maps = replace(
        maps, artefacts=artefacts, members=members, maps=stored,
        spread={kind: 0.1 * np.abs(values) for kind, values in stored.items()},
        consistency=Consistency(200, 412, maps.classes, shares(0.72), shares(0.55)),
    )  # fmt: skip
    result = made_result(maps, result.slide, name, leave_one_out=True, parts=(result.heatmaps,) * 3)
    corner = maps.grid.l0_from_g

    def box(top, left, bottom, right):
        (y0, x0), (y1, x1) = corner(YX(top, left)), corner(YX(bottom, right))
        return Polygon([(x0, y0), (x1, y0), (x1, y1), (x0 + 128, y1), (x0, y1 - 192)])

    regions = Regions(
        name, 0.7, 0.3, "score", (
            Region("hot", 1, box(10, 15, 20, 24), 90, 0.092, 0.07, 0.83, 1.21, 0.46),
            Region("hot", 2, box(22, 34, 28, 43), 54, 0.055, 0.04, 0.79, 0.61, 0.25),
            Region("cold", 1, box(26, 16, 33, 25), 60, 0.061, 0.05, 0.12, -0.44, 0.38),
        ), 4, hot_share=0.8, cold_share=0.8, hot_total=2.7, cold_total=0.9,
    )  # fmt: skip
    tiles = tuple(
        PickedTile(
            kind, rank, L0Window(*corner(YX(8 + 3 * rank, 14 + shift + 2 * rank)), 448.0, 448.0),
            corner(YX(11.5, 17.5)).times(0.5), 0.97 - rank / 40 if kind == "top" else rank / 40,
            0.3 / rank, 0.08 / rank,
        )
        for kind, shift in (("top", 0), ("bottom", 14))
        for rank in range(1, 7)
    )  # fmt: skip
    return replace(result, regions=regions, tiles=tiles)


def write_slide_folder(output, result, file_name=None, label=None):
    """Write a slide's folder as far as the report needs it, and return the slide of the run."""
    name = result.slide.name
    folder = output / name
    folder.mkdir(parents=True)
    write_values(result.heatmaps, folder, {})
    ReportExporter().write(result, folder)
    write_provenance(folder, file_name or f"{name}.svs")
    return ReportedSlide(file_name or f"{name}.svs", "done", folder=name, label=label)


def write_provenance(folder, slide_name):
    said = {
        "created": "2026-01-02T03:04:05+00:00",
        "versions": {"heatmaps-ome": "0.1", "torch": "2.9"},
        "slide": {"name": slide_name, "fingerprint": "f" * 64},
        "model": {"digest": DIGESTS["model"]},
        "extractor": {"name": "made-up", "precision": "float32", "digest": DIGESTS["extractor"]},
        "pooling": {"kind": "mean", "size": 7},
        "scaling": {"slides": 12, "cells": 34567},
        "options": {"mask_threshold": 224, "true_class": "MSIH"},
        "files": {"a": "b"},
    }
    (folder / "provenance.json").write_text(json.dumps(said))
