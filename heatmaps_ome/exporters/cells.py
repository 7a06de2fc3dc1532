"""Writes ``<slide>.cells.csv`` and, for few cells, ``.cells.geojson``: each cell as a rectangle.

The cells of a dense grid are those of its tissue. For maps of tiles they are the tiles themselves,
at their places and with their own values.

Places are level-0 pixels from the slide's outer top left corner, whatever part of the slide a
viewer shows. A cell that reaches over the slide's edge is cut there.
"""

from __future__ import annotations

import csv
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from heatmaps_ome.display.colour import class_colours
from heatmaps_ome.exporters import endings_of
from heatmaps_ome.exporters.earlier import SLIDE
from heatmaps_ome.exporters.protocol import Settings
from heatmaps_ome.maps.channels import channels
from heatmaps_ome.slides.artefacts import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from heatmaps_ome.exporters.protocol import SlideResult
    from heatmaps_ome.geometry import Shape
    from heatmaps_ome.maps.heatmap_set import HeatmapSet

ARTEFACT: Final = "artefact"
"""The last column, the only one of words after the class."""
CSV_ENDING, GEOJSON_ENDING = endings_of("cells")
NAME: Final = "heatmaps-ome cell"
"""Name by which the script for QuPath recognises our objects, to replace them."""
MOST_IN_GEOJSON = 20_000
"""Cells above which GeoJSON takes viewers minutes and gigabytes."""
_CHUNK_CELLS = 65_536
_PLACE = ("x", "y", "width", "height")
_FORMULA = re.compile(r"\s*[=+\-@＝＋－＠']|[\t\r\n]")
"""Beginnings that a spreadsheet may take for a formula's, those of East Asian full width too, and
the mark ``'`` that prevents this."""


@dataclass(frozen=True)
class CellsExporter:
    """Writes the tissue cells for QuPath, spreadsheets and statistics."""

    settings: Settings = Settings()

    def refusal(self) -> str | None:
        """Return None: this format needs no optional package."""
        return None

    def write(self, result: SlideResult, folder: Path) -> list[Path]:
        """Write the cells into a folder and return the paths of the files."""
        units = result.heatmaps.units
        are_few = self.settings.cells_geojson and units.tissue_cells <= MOST_IN_GEOJSON
        names = [
            f"{result.slide.name}{ending}"
            for ending in (CSV_ENDING, *([GEOJSON_ENDING] if are_few else []))
        ]
        paths = [folder / name for name in names]
        if not result.earlier.take(SLIDE, folder, *names):
            _write_csv(units, paths[0])
            if are_few:
                _write_geojson(units, paths[1])
        return paths


@dataclass(frozen=True)
class _Cells:
    """Some tissue cells, as texts that give back the exact float32 values.

    Attributes
    ----------
    l0_places : tuple of four lists of str
        x, y, width and height in level-0 pixels.
    classes : list of int
        Index of each cell's predicted class; -1 where it has none.
    values : list of list of str
        Texts of each channel; empty where a value is not finite.
    artefacts : list of list of str
        The one column of kinds of artefacts, empty for none; no column where they are not known.
    """

    l0_places: tuple[list[str], list[str], list[str], list[str]]
    classes: list[int]
    values: list[list[str]]
    artefacts: list[list[str]]


def plain_field(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula: marked with ``'`` if it might be one.

    >>> plain_field("=1+1"), plain_field("'s"), plain_field("MSI-H")
    ("'=1+1", "''s", 'MSI-H')
    """
    return "'" + text if _FORMULA.match(text) else text


def qupath_class(name: str) -> str:
    r"""Return a class's name as QuPath can have it: in one line, and not derived from another.

    QuPath takes a colon for a class derived from another, and refuses line breaks
    (``PathClass.isValidName``); the sign that replaces the colon looks the same.

    >>> qupath_class("MSI: high\n"), qupath_class(" ")
    ('MSI∶ high', 'class')
    """
    return re.sub(r"[\r\n]+", " ", name).replace(":", "\u2236").strip() or "class"


def _write_csv(heatmaps: HeatmapSet, path: Path) -> None:
    """Write a row per cell, in UTF-8 and RFC 4180's quoting."""
    names = [plain_field(name) for name in heatmaps.classes] + [""]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        last = [ARTEFACT] if heatmaps.artefacts is not None else []
        measured = [plain_field(name) for name, _ in _measured(heatmaps)]
        writer.writerow([*_PLACE, "class", *measured, *last])
        for cells in _chunks(heatmaps):
            predicted = [names[index] for index in cells.classes]
            columns = (*cells.l0_places, predicted, *cells.values, *cells.artefacts)
            writer.writerows(zip(*columns, strict=True))


def _write_geojson(heatmaps: HeatmapSet, path: Path) -> None:
    """Write a feature per cell, as QuPath reads tiles."""
    colours = class_colours(heatmaps.classes)
    classes = [
        {"name": qupath_class(name), "color": list(bytes.fromhex(colours[name][1:]))}
        for name in heatmaps.classes
    ]
    ending, names = "", [name for name, _ in _measured(heatmaps)]
    with path.open("w", encoding="utf-8") as file:
        file.write('{"type": "FeatureCollection", "features": [')
        for cells in _chunks(heatmaps):
            for feature in _features(cells, classes, names):
                file.write(f"{ending}\n{json.dumps(feature, ensure_ascii=False)}")
                ending = ","
        file.write("\n]}\n")


def _features(
    cells: _Cells, classes: list[dict[str, Any]], names: list[str]
) -> Iterator[dict[str, Any]]:
    """Yield cells as features of GeoJSON."""
    rows = zip(*cells.l0_places, cells.classes, zip(*cells.values, strict=True), strict=True)
    for x, y, width, height, predicted, values in rows:
        left, top = float(x), float(y)
        right, bottom = left + float(width), top + float(height)
        ring = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
        properties: dict[str, Any] = {
            "objectType": "tile",
            "name": NAME,
            "measurements": {
                name: float(value) for name, value in zip(names, values, strict=True) if value
            },
        }
        if predicted >= 0:
            properties["classification"] = classes[predicted]
        yield {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [ring]},
            "properties": properties,
        }


def _chunks(heatmaps: HeatmapSet) -> Iterator[_Cells]:
    """Yield the tissue cells, row by row, some at a time."""
    planes = [values.reshape(-1) for _, values in _measured(heatmaps)]
    places = heatmaps.places
    rectangles = (
        _cell_places(heatmaps) if places is None else _tile_places(places, heatmaps.slide_shape)
    )
    on_slide = (rectangles[2] > 0) & (rectangles[3] > 0)
    tissue = np.flatnonzero(heatmaps.tissue.reshape(-1)[: len(on_slide)] & on_slide)
    for first in range(0, len(tissue), _CHUNK_CELLS):
        cells = tissue[first : first + _CHUNK_CELLS]
        x, y, width, height = (side[cells].astype(str).tolist() for side in rectangles)
        values = [_texts(plane[cells]) for plane in planes]
        places = (x, y, width, height)
        yield _Cells(places, _predicted(heatmaps, cells), values, _artefacts(heatmaps, cells))


def _cell_places(heatmaps: HeatmapSet) -> tuple[np.ndarray, ...]:
    """Return x, y, width and height of all cells of a grid, (n,) float64 views or copies."""
    (tops, heights), (lefts, widths) = (
        _sides(edges, limit)
        for edges, limit in zip(heatmaps.grid.l0_edges(), heatmaps.slide_shape, strict=True)
    )
    shape = heatmaps.grid.shape
    across = [np.broadcast_to(side, shape).reshape(-1) for side in (lefts, widths)]
    down = [np.broadcast_to(side[:, None], shape).reshape(-1) for side in (tops, heights)]
    return across[0], down[0], across[1], down[1]


def _tile_places(l0_places: np.ndarray, slide_shape: Shape) -> tuple[np.ndarray, ...]:
    """Return x, y, width and height of tiles, clipped to the slide."""
    rows, cols = slide_shape
    x0, y0, x1, y1 = np.round(np.clip(l0_places, 0, [cols, rows, cols, rows]), 4).T
    return x0, y0, np.round(x1 - x0, 4), np.round(y1 - y0, 4)


def _measured(heatmaps: HeatmapSet) -> list[tuple[str, np.ndarray]]:
    """Return the maps that tables have, (rows, cols) float32, with their column names."""
    return [
        (channel.measurement, channel.values)
        for channel in channels(heatmaps)
        if channel.measurement is not None
    ]


def _sides(l0_edges: np.ndarray, l0_limit: int) -> tuple[np.ndarray, np.ndarray]:
    """Return first edge and length of each row or column of cells, clipped to the slide.

    Parameters
    ----------
    l0_edges : (n + 1,) float64
    l0_limit : int
        The slide's size.
    """
    # A ten-thousandth of a pixel is less than any viewer keeps of a large coordinate.
    within = np.round(np.clip(l0_edges, 0, l0_limit), 4)
    return within[:-1], np.round(np.diff(within), 4)


def _predicted(heatmaps: HeatmapSet, cells: np.ndarray) -> list[int]:
    """Return the class with the highest score of each cell, -1 where scores are not known.

    Only where a cell has exactly one class: of several labels, or of one, none is the class.
    """
    if heatmaps.scores is None or heatmaps.target.link != "softmax":
        return [-1] * len(cells)
    scores = heatmaps.scores.reshape(len(heatmaps.classes), -1)[:, cells]
    known = np.isfinite(scores).all(axis=0)
    return np.where(known, np.nan_to_num(scores).argmax(axis=0), -1).tolist()


def _artefacts(heatmaps: HeatmapSet, cells: np.ndarray) -> list[list[str]]:
    """Return the column of the cells' artefacts, or no column."""
    if heatmaps.artefacts is None:
        return []
    return [np.array(["", *KINDS])[heatmaps.artefacts.reshape(-1)[cells]].tolist()]


def _texts(values: np.ndarray) -> list[str]:
    """Return the shortest texts that give back float32 values; nothing for NaN and infinity."""
    return np.where(np.isfinite(values), values.astype(str), "").tolist()
