"""Reads the outlines of a slide's regions as GeoJSON, for the page to draw."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from heatmaps_ome.slides.plain_zarr import inside, read_object

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_DECIMALS: Final = 1
"""Decimals of a place in level-0 pixels."""


def regions_of(folder: Path, content: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the regions of a slide as a collection of features; None if the run wrote none.

    Parameters
    ----------
    folder : Path
        The slide's results.
    content : mapping
        Of its ``maps.json``.

    Raises
    ------
    ValueError, LookupError, TypeError, AttributeError, OSError
        If the file is damaged or missing.
    """
    name = content.get("regions_geojson")
    if not name:
        return None
    features = read_object(inside(folder, name))["features"]
    return {"features": [_outlined(feature) for feature in features]}


def _outlined(feature: Mapping[str, Any]) -> dict[str, Any]:
    """Return a feature with its outlines, its name and the kind that it states."""
    shape, properties = feature["geometry"], feature["properties"]
    kinds = {key: text for key, text in properties["metadata"].items() if key == "kind"}
    return {
        "geometry": {"type": shape["type"], "coordinates": _rounded(shape["coordinates"])},
        "properties": {"name": str(properties["name"]), "metadata": kinds},
    }


def _rounded(places: Any) -> Any:
    """Return nested lists of numbers, rounded."""
    if isinstance(places, list):
        return [_rounded(place) for place in places]
    return round(float(places), _DECIMALS)
