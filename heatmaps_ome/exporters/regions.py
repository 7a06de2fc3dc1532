"""Writes ``<slide>.regions.geojson`` and ``<slide>.regions.csv``: hot and cold regions.

Places are level-0 pixels from the slide's outer top left corner, whatever part of the slide a
viewer shows, as in ``.cells.geojson``.
"""

from __future__ import annotations

import csv
import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from heatmaps_ome.display.colour import class_colours
from heatmaps_ome.display.outlines import OUTLINES
from heatmaps_ome.exporters import endings_of
from heatmaps_ome.exporters.cells import plain_field, qupath_class
from heatmaps_ome.exporters.protocol import Settings
from heatmaps_ome.maps.regions import find_regions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from heatmaps_ome.exporters.protocol import SlideResult
    from heatmaps_ome.geometry import YX
    from heatmaps_ome.maps.regions import Kind, Region, Regions

CSV_ENDING, GEOJSON_ENDING = endings_of("regions")
_UNNAMED_COLOUR = "#808080"
"""Colour of "not MSIH" where that is more than one class."""
_PLACES = (
    "x", "y", "width", "height", "centroid x", "centroid y", "centroid x µm", "centroid y µm",
)  # fmt: skip
_DECIMALS = 4
"""Decimals of a place: viewers store large coordinates less exactly than a ten-thousandth pixel."""


@dataclass(frozen=True)
class RegionsExporter:
    """Writes the hot and cold regions for QuPath, spreadsheets and statistics."""

    settings: Settings = Settings()

    def refusal(self) -> str | None:
        """Return None: this format needs no optional package."""
        return None

    def write(self, result: SlideResult, folder: Path) -> list[Path]:
        """Write the regions into a folder and return the paths of the files."""
        regions = result.regions
        if regions is None:
            regions = find_regions(result.heatmaps, result.true_class)
        geojson, table = (
            folder / f"{result.slide.name}{ending}" for ending in (GEOJSON_ENDING, CSV_ENDING)
        )
        _write_geojson(regions, result.heatmaps.classes, geojson)
        _write_csv(regions, result.slide.mpp, table)
        return [geojson, table]


def measurements(region: Region, class_name: str) -> dict[str, float]:
    """Return the measurements of a region, by names with units; NaN where one does not exist."""
    return {
        "cells": float(region.cells),
        "area mm²": region.area_mm2,
        "share of tissue": region.share_of_tissue,
        f"mean score: {class_name}": region.mean_score,
        f"contribution: {class_name}": region.contribution,
        f"share of evidence: {class_name}": region.share_of_evidence,
    }


def _write_geojson(regions: Regions, classes: Sequence[str], path: Path) -> None:
    """Write a feature per region, as QuPath reads annotations."""
    features = [_feature(region, regions, classes) for region in regions.regions]
    lines = [json.dumps(feature, ensure_ascii=False, allow_nan=False) for feature in features]
    body = ",\n".join(lines)
    text = f'{{"type": "FeatureCollection", "features": [\n{body}\n]}}\n'
    path.write_text(text, encoding="utf-8")


def _feature(region: Region, regions: Regions, classes: Sequence[str]) -> dict[str, Any]:
    """Return a region as a feature of GeoJSON."""
    polygon = region.l0_polygon
    rings = [polygon.exterior, *polygon.interiors]
    values = measurements(region, regions.class_name)
    return {
        "type": "Feature",
        "geometry": {
            "type": "Polygon",
            "coordinates": [
                [[round(x, _DECIMALS), round(y, _DECIMALS)] for x, y in ring.coords]
                for ring in rings
            ],
        },
        "properties": {
            "objectType": "annotation",
            "name": region.name,
            "isLocked": True,
            # QuPath draws an object in its own colour rather than its class's, which cells have.
            "color": OUTLINES[region.kind].rgb,
            "classification": _classification(region.kind, regions.class_name, classes),
            "measurements": {name: value for name, value in values.items() if math.isfinite(value)},
            "metadata": {"made by": "heatmaps-ome", "cells with": regions.criterion(region.kind)},
        },
    }


def _classification(kind: Kind, class_name: str, classes: Sequence[str]) -> dict[str, Any]:
    """Return the class of QuPath that regions of a kind have, with its colour."""
    colours = class_colours(classes)
    name, colour = class_name, colours[class_name]
    if kind == "cold":
        name, others = f"not {class_name}", [other for other in classes if other != class_name]
        colour = colours[others[0]] if len(others) == 1 else _UNNAMED_COLOUR
    return {"name": qupath_class(name), "color": list(bytes.fromhex(colour[1:]))}


def _write_csv(regions: Regions, mpp: YX, path: Path) -> None:
    """Write a row per region, in UTF-8 and RFC 4180's quoting."""
    name = regions.class_name
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        columns = [
            "cells", "area mm²", "share of tissue",
            *(f"{key}: {name}" for key in ("mean score", "contribution", "share of evidence")),
        ]  # fmt: skip
        header = ["name", "kind", "class", *_PLACES, *columns, "cells with"]
        writer.writerow([plain_field(column) for column in header])
        for region in regions.regions:
            values = measurements(region, name)
            numbers = [*_places(region, mpp), *(values[column] for column in columns)]
            texts = ["" if not math.isfinite(value) else f"{value:.9g}" for value in numbers]
            criterion = plain_field(regions.criterion(region.kind))
            writer.writerow([region.name, region.kind, plain_field(name), *texts, criterion])


def _places(region: Region, mpp: YX) -> list[float]:
    """Return a region's bounding box and centroid, as ``_PLACES`` lists them."""
    left, top, right, bottom = region.l0_polygon.bounds
    x, y = region.l0_polygon.centroid.coords[0]
    pixels = (left, top, right - left, bottom - top, x, y)
    return [*(round(pixel, _DECIMALS) for pixel in pixels), x * mpp.x, y * mpp.y]
