"""A run with slide files and results for `share`, and the page of a shared folder in Chromium."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import replace
from urllib.parse import unquote, urlsplit

import numpy as np
import openslide
from PIL import Image
from report_world import made_maps
from scipy.ndimage import gaussian_filter
from slide_files import write_slide
from view_page import WIDE, Opened
from viewer_results import SCALING, write_result

from heatmaps_ome.display.rendering import Style
from heatmaps_ome.exporters.protocol import Settings
from heatmaps_ome.geometry import YX, Grid, Shape
from heatmaps_ome.run.delivery import slide_result
from heatmaps_ome.run.settings import Look
from heatmaps_ome.slides.opening import open_slide
from heatmaps_ome.viewers.slide_places import note_place

CLASSES = ("MSIH", "nonMSIH")
CELL, ORIGIN = 73.29, -35.645
"""In level-0 pixels: as of a real run, no whole numbers."""
FEW = Shape(10, 13)
MPP = 0.5
FORMATS = ("ome-zarr", "regions")


def textured(shape, tissue, grid, seed=0):
    """Return (rows, cols, 3) uint8: fine structures in the tissue, plain glass elsewhere."""
    rng = np.random.default_rng(seed)
    patch = gaussian_filter(rng.normal(size=(1024, 1024, 3)), (2, 2, 0.7), mode="wrap")
    patch = np.clip(150 + patch / patch.std() * 40, 0, 250).astype(np.uint8)
    tiled = np.tile(patch, (-(-shape.rows // 1024), -(-shape.cols // 1024), 1))
    rows, cols = grid.cells_under(Grid(shape, YX(1, 1), YX(0, 0), grid.mpp))
    stained = np.pad(tissue, [(0, 1), (0, 1)])[rows[:, None], cols[None, :]]
    return np.where(stained[..., None], tiled[: shape.rows, : shape.cols], np.uint8(243))


def blob(shape, share=0.4):
    """Return a round tissue in the upper left part of a grid."""
    rows, cols = np.mgrid[: shape.rows, : shape.cols]
    radius = share * min(shape)
    return np.hypot(rows - 1.3 * radius, cols - 1.3 * radius) < radius


def add_slide(out, slides, name, cells=FEW, *, seed=0, file_name=None):
    """Write a slide into a folder and its results into a run's, and return the results' folder."""
    heatmaps = made_maps(name, cells, CELL, YX(ORIGIN, ORIGIN), CLASSES, blob(cells), seed)
    shape, tissue = heatmaps.slide_shape, heatmaps.tissue
    slides.mkdir(exist_ok=True, parents=True)
    path = slides / (file_name or f"{name}.svs")
    write_slide(path, textured(shape, tissue, heatmaps.grid, seed), MPP)
    slide = open_slide(path)
    artefacts = np.where(tissue & (np.arange(cells.cols) % 3 == 0), 2, 0).astype(np.uint8)
    heatmaps = replace(heatmaps, artefacts=artefacts)
    result = slide_result(slide, heatmaps, SCALING, Look(Style(), CLASSES, CLASSES[0], 2.0))
    folder = write_result(out, result, FORMATS, Settings(flattened=False))
    record = {
        "name": path.name, "fingerprint": slide.fingerprint(), "shape": list(shape),
        "mpp": [MPP, MPP], "mpp_source": "slide",
    }  # fmt: skip
    facts = {"format": "heatmaps-ome result 1", "created": "2026-01-02T03:04:05+00:00"}
    (folder / "provenance.json").write_text(json.dumps({**facts, "slide": record}))
    note_place(out, name, path)
    slide.close()
    return folder


def region(path, x, y, cols, rows):
    """Return a region of level 0 as OpenSlide reads it, (rows, cols, 3) float64, on white."""
    with openslide.OpenSlide(path) as slide:
        rgba = slide.read_region((x, y), 0, (cols, rows))
    canvas = Image.new("RGB", rgba.size, "white")
    canvas.paste(rgba, mask=rgba.getchannel("A"))
    return np.asarray(canvas, np.float64)


@contextmanager
def opened(chromium, folder, size=WIDE):
    """Open a shared folder from disk; demand that it asked for nothing but its own files."""
    page = chromium.new_page(viewport=size)
    shown = Opened(page, (folder / "START-HERE.html").as_uri())
    asked, failed = [], []
    page.on("console", lambda message: shown.complaints.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: shown.complaints.append(f"exception: {error}"))
    page.on("request", lambda request: asked.append(request.url))
    page.on("requestfailed", lambda request: failed.append((request.url, request.failure)))
    shown.asked = asked
    try:
        yield shown
    finally:
        page.close()
    assert not shown.complaints
    # Pictures of a slide that is left are not waited for.
    assert not [url for url, why in failed if "ERR_ABORTED" not in str(why)]
    files = {path.as_uri() for path in folder.rglob("*") if path.is_file()}
    for url in asked:
        if not url.startswith(("data:", "blob:", "about:")):
            plain = urlsplit(url)._replace(fragment="").geturl()
            assert plain in files or unquote(plain) in map(unquote, files), url
