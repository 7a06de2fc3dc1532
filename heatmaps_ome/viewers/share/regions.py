"""Reads the outlines of a slide's regions from its files, for the page to draw."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

from heatmaps_ome.slides.plain_zarr import inside, read_object, require_regular

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def regions_of(folder: Path, content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the outlines of a slide's regions; none if the run wrote none.

    Parameters
    ----------
    folder : Path
        The slide's results.
    content : mapping
        Of its ``maps.json``.

    Returns
    -------
    list of dict
        ``name``, ``kind`` ("hot" or "cold"), ``criterion`` (which cells they are of), and ``rings``
        of each region: outlines in level-0 pixels, x and y in turn, the outer one first.

    Raises
    ------
    ValueError, LookupError, TypeError, AttributeError, OSError
        If a file is damaged or missing.
    """
    table, outlines = content.get("regions"), content.get("regions_geojson")
    if not (table and outlines):
        return []
    rows = _rows(inside(folder, table))
    return [
        {
            "name": (name := str(feature["properties"]["name"])),
            "kind": rows[name]["kind"],
            "criterion": rows[name]["cells with"],
            "rings": _rings(feature["geometry"]),
        }
        for feature in read_object(inside(folder, outlines))["features"]
    ]


def _rows(path: Path) -> dict[str, dict[str, str]]:
    """Return the rows of the table of regions by their names."""
    require_regular(path)
    with path.open(encoding="utf-8", newline="") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def _rings(shape: Mapping[str, Any]) -> list[list[float]]:
    """Return the outlines of a GeoJSON polygon to a tenth of a pixel."""
    polygons = [shape["coordinates"]] if shape["type"] == "Polygon" else shape["coordinates"]
    return [
        [round(float(number), 1) for point in ring for number in point[:2]]
        for polygon in polygons
        for ring in polygon
    ]
