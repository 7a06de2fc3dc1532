#!/usr/bin/env python3
"""Make the pictures of the READMEs from the demo's results.

    .venv/bin/python scripts/make_pictures.py demo-output
    .venv/bin/python scripts/make_pictures.py demo-output --web vizarr-labels=http://localhost:3000/

Our own page is opened in headless Chromium, and napari under Xvfb (with the Qt of
`pip install "napari[pyqt6]"`). Other viewers' pages are opened at the addresses given with --web,
on this machine or on the web. QuPath cannot run without a person: its picture is composed of the
two files that it shows on top of each other, at their places in QuPath.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import openslide
import tifffile
from matplotlib.colors import to_rgba_array
from matplotlib.figure import Figure
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from matplotlib.axes import Axes

PICTURES = Path(__file__).parents[1] / "viewer_configs" / "pictures"
SIZE = (1000, 650)
PANEL = 400
"""Width in pixels of each picture at the top of the README."""
WAIT_MS = 12_000
OPEN_PY = Path(__file__).parents[1] / "viewer_configs" / "napari" / "open.py"
WEB = {"vizarr-labels": "Vizarr (BioNGFF)", "vizarr": "Vizarr", "avivator": "Avivator"}
"""Picture → title of the link of `view` that is opened."""
CHROMIUM = [
    "--no-sandbox", "--no-first-run", "--disable-background-networking", "--disable-sync",
    "--disable-component-update", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
]  # fmt: skip


@contextmanager
def served(run: Path) -> Iterator[str]:
    """Serve a run with `view`, and yield the page's address."""
    words = [sys.executable, "-m", "heatmaps_ome.cli.main", "view", str(run), "--no-browser"]
    with subprocess.Popen([*words, "--port=0"], stdout=subprocess.PIPE, text=True) as server:
        output = ""
        while "Ctrl-C" not in output:
            output += server.stdout.readline()
        try:
            yield re.search(r"http://\S+/$", output, re.MULTILINE)[0]
        finally:
            server.terminate()


def screenshot(url: str, prepare: Callable[[Any], None] = lambda _: None) -> Image.Image:
    """Return a screenshot of a page in Chromium."""
    from playwright.sync_api import sync_playwright

    width, height = SIZE
    with sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM)
        page = browser.new_page(viewport={"width": width, "height": height})
        page.goto(url)
        page.wait_for_timeout(WAIT_MS)
        prepare(page)
        picture = Image.open(io.BytesIO(page.screenshot()))
        browser.close()
    return picture


def of_our_page(base: str, slide: str) -> Image.Image:
    """Return our own page with the map of attention."""
    return screenshot(f"{base}#slide={slide}&map=attention")


def of_the_report(run: Path, slide: str) -> Image.Image:
    """Return the report's page of the slide, opened from disk."""
    return screenshot(f"{(run / 'index.html').resolve().as_uri()}#slide={slide}")


def of_another_page(base: str, slide: str, title: str, viewer: str) -> Image.Image:
    """Return another viewer's page with the file in our link to it."""
    import urllib.request

    with urllib.request.urlopen(f"{base}api/run.json") as answer:
        slides = json.load(answer)["slides"]
    links = next(entry["links"] for entry in slides if entry["name"] == slide)
    link = next(entry["url"] for entry in links if entry["title"] == title)
    query = urlsplit(link).query
    print(f"  {parse_qs(query)}")
    with_labels = "BioNGFF" in title
    return screenshot(f"{viewer}?{query}", _turn_attention_on if with_labels else lambda _: None)


def _turn_attention_on(page: Any) -> None:
    """Click the round button behind the label's name in BioNGFF's Vizarr."""
    page.evaluate(
        """() => {
            const name = [...document.querySelectorAll("span, p, div")].find(
                (element) => element.children.length === 0
                    && element.textContent.trim() === "attention");
            [...document.querySelectorAll("button")].find((button) =>
                name.compareDocumentPosition(button) & Node.DOCUMENT_POSITION_FOLLOWING).click();
        }"""
    )
    page.wait_for_timeout(WAIT_MS)


def of_napari(folder: Path) -> Image.Image:
    """Return napari's window after open.py."""
    code = (
        "import sys, time, napari\n"
        "from pathlib import Path\n"
        "from qtpy.QtWidgets import QApplication\n"
        f"sys.path.insert(0, {str(OPEN_PY.parent)!r})\n"
        "import importlib; opened = importlib.import_module('open')\n"
        "viewer = napari.Viewer()\n"
        "opened.show(Path(sys.argv[1]), viewer)\n"
        f"viewer.window.resize({SIZE[0]}, {SIZE[1]}); viewer.reset_view()\n"
        "until = time.monotonic() + 5\n"
        "while time.monotonic() < until: QApplication.processEvents(); time.sleep(0.05)\n"
        "viewer.window.screenshot(sys.argv[2], canvas_only=False, flash=False)\n"
    )
    with TemporaryDirectory() as scratch:
        path = Path(scratch) / "napari.png"
        screen = ["xvfb-run", "-a", "-s", "-screen 0 1280x900x24"]
        subprocess.run([*screen, sys.executable, "-c", code, str(folder), str(path)], check=True)
        with Image.open(path) as picture:
            return picture.convert("RGB")


def of_qupath(slide: Path, folder: Path) -> Image.Image:
    """Return a part of the slide under its overlay, both placed by their own pixel sizes."""
    facts = json.loads((folder / "maps.json").read_text(encoding="utf-8"))
    wanted = ("score", facts["true_class"])
    score = next(row for row in facts["maps"] if (row["kind"], row["class"]) == wanted)
    return Image.fromarray(laid_over(slide, folder / score["overlay"], (0.3, 0.3), 3.0, 0.6))


def laid_over(
    slide: Path,
    overlay: Path,
    corner: tuple[float, float],
    zoom: float,
    opacity: float,
    size: tuple[int, int] = SIZE,
) -> np.ndarray:
    """Return a window of the slide under an overlay, both placed by their own pixel sizes.

    Parameters
    ----------
    corner : tuple of float
        The window's upper left corner, x and y, as shares of the slide's sides.
    zoom : float
        Level-0 pixels per pixel of the picture.
    opacity : float
        Factor in [0, 1] on the overlay's own opacity; 0 leaves the slide alone.
    size : tuple of int
        Columns and rows of the picture.

    Returns
    -------
    (rows, cols, 3) uint8, RGB
    """
    width, height = size
    with openslide.OpenSlide(slide) as opened, tifffile.TiffFile(overlay) as tiff:
        um_slide = float(opened.properties[openslide.PROPERTY_NAME_MPP_X])
        um_overlay = float(re.search(r'PhysicalSizeX="([\d.e+-]+)"', tiff.ome_metadata)[1])
        colours = tiff.series[0].levels[0].asarray()
        left, top = (int(a * side) for a, side in zip(corner, opened.dimensions, strict=True))
        region = opened.read_region((left, top), 0, (int(width * zoom), int(height * zoom)))
    pixels = np.asarray(region.convert("RGB").resize(size, Image.Resampling.LANCZOS), float)
    x = ((left + (np.arange(width) + 0.5) * zoom) * um_slide / um_overlay).astype(int)
    y = ((top + (np.arange(height) + 0.5) * zoom) * um_slide / um_overlay).astype(int)
    rgba = colours[np.ix_(y.clip(0, colours.shape[0] - 1), x.clip(0, colours.shape[1] - 1))]
    alpha = opacity * rgba[..., 3:] / 255
    return np.rint(pixels * (1 - alpha) + rgba[..., :3] * alpha).astype(np.uint8)


def at_a_glance(slide: Path, folder: Path) -> Image.Image:
    """Return the slide, two of its maps and a close-up side by side, with their colours."""
    facts = json.loads((folder / "maps.json").read_text(encoding="utf-8"))
    maps = {row["name"]: row for row in facts["maps"]}
    attention, score = maps["attention"], maps[f"score-{facts['true_class']}"]
    cols, rows = facts["slide"]["cols"], facts["slide"]["rows"]
    size = (PANEL, round(PANEL * rows / cols))
    whole = ((0.0, 0.0), cols / PANEL)
    panels = [
        ("Slide", attention, *whole, 0.0),
        ("Attention", attention, *whole, 1.0),
        (score["title"], score, *whole, 0.8),
        ("Closer", score, (0.32, 0.36), cols / PANEL / 4, 0.6),
    ]
    figure = Figure(figsize=(13, 3.5), dpi=100)
    for number, (title, row, corner, zoom, opacity) in enumerate(panels):
        axes = figure.add_axes((0.006 + 0.25 * number, 0.21, 0.238, 0.7))
        axes.imshow(laid_over(slide, folder / row["overlay"], corner, zoom, opacity, size))
        axes.set_title(title, fontsize=15)
        axes.set_axis_off()
        if opacity:
            _add_colours(axes, row)
        else:
            true_class = facts["true_class"]
            text = f"prediction: {true_class} {facts['prediction'][true_class]:.3f}"
            axes.text(0.5, -0.08, text, transform=axes.transAxes, fontsize=13, ha="center")
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return Image.open(file)


def _add_colours(axes: Axes, row: dict[str, Any]) -> None:
    """Draw the colour bar of a map, a row of maps.json, below a panel."""
    bar = axes.inset_axes((0.05, -0.09, 0.9, 0.05))
    # The colours are those of the levels, which lie evenly between their ends.
    levels = row["levels"]
    ends = (levels["lower"], levels["upper"], 0.0, 1.0)
    bar.imshow(to_rgba_array(row["colours"])[None], aspect="auto", extent=ends)
    bar.set_yticks([])
    ticks = np.linspace(levels["lower"], levels["upper"], 3)
    # Adding zero turns "-0" into "0".
    bar.set_xticks(ticks, [f"{round(tick, 1) + 0.0:g}" for tick in ticks])
    bar.set_xlabel(row["quantity"], fontsize=13, labelpad=1)


def keep(name: str, picture: Image.Image) -> None:
    """Write a picture where the READMEs look for it."""
    PICTURES.mkdir(exist_ok=True)
    path = PICTURES / f"{name}.jpg"
    picture.convert("RGB").save(path, quality=85, optimize=True)
    print(f"{path} ({path.stat().st_size // 1024} kB)")


def main() -> None:
    """Make the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder that `heatmaps-ome demo` wrote")
    parser.add_argument("--web", metavar="NAME=URL", action="append", default=[],
                        help=f"page of another viewer: {', '.join(WEB)}")  # fmt: skip
    options = parser.parse_args()
    [slide] = sorted(options.run.glob("demo-slide-*.svs"))
    folder = options.run / slide.stem
    keep("maps", at_a_glance(slide, folder))
    keep("report", of_the_report(options.run, slide.stem))
    keep("qupath", of_qupath(slide, folder))
    with served(options.run) as base:
        keep("view", of_our_page(base, slide.stem))
        for name, url in (word.split("=", 1) for word in options.web):
            keep(name, of_another_page(base, slide.stem, WEB[name], url))
    keep("napari", of_napari(folder))


if __name__ == "__main__":
    main()
