"""A table of tiles as a zarr group: places, exact values, and their meaning."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from heatmaps_ome.geometry import YX, Grid, Shape
from heatmaps_ome.maps.channels import channels, stacked
from heatmaps_ome.maps.set_facts import facts_of, set_of
from heatmaps_ome.ome.ngff_store import create_group, create_plain_array
from heatmaps_ome.slides.plain_zarr import attributes_of, require_plain_array

if TYPE_CHECKING:
    from pathlib import Path

    from heatmaps_ome.maps.heatmap_set import HeatmapSet
    from heatmaps_ome.ome.ngff_store import Ngff

TILES = "tiles"
"""Name of the group within the values of a slide."""
FINER = "finer"
"""Name of the group of finer tiles within that of the tiles."""
_KIND = "tiles"
_COLUMNS = ("x0", "y0", "x1", "y1")


def table_grid(count: int, mpp: YX) -> Grid:
    """Return the grid of a table's one row, whose cells have no place of their own."""
    return Grid(Shape(1, max(1, count)), YX(1.0, 1.0), YX(0.0, 0.0), mpp)


def write_table(table: HeatmapSet, path: Path, ngff: Ngff = "0.4") -> None:
    """Write a table of tiles.

    ``places`` is (n, 4) float64, level-0 pixels; ``values`` is (channels, n) float32, in the order
    of the attributes' ``heatmaps_ome.channels``, NaN where a tile has no value. Finer tiles are a
    table like this one in the group ``finer``, if the attributes' ``heatmaps_ome.finer`` is true.
    """
    if table.places is None:
        raise ValueError(f"{table.slide_name} is no table of tiles")
    channel_list = channels(table)
    facts = {**facts_of(table, channel_list), "kind": _KIND, "columns": list(_COLUMNS),
             "count": len(table.places), "finer": table.finer is not None}  # fmt: skip
    group = create_group(path, {"heatmaps_ome": facts}, ngff)
    create_plain_array(group, "places", table.places.reshape(-1, 4).astype(np.float64))
    create_plain_array(group, "values", stacked(channel_list)[:, 0])
    if table.finer is not None:
        write_table(table.finer, path / FINER, ngff)


def read_table(path: Path) -> HeatmapSet:
    """Return the table that `write_table` wrote, bit by bit.

    Raises
    ------
    ValueError, LookupError, TypeError, OSError
        If there is none, or it is damaged.
    """
    facts: Any = attributes_of(path)["heatmaps_ome"]
    if facts["kind"] != _KIND or facts["columns"] != list(_COLUMNS):
        raise ValueError(f"{path} holds no table of tiles")
    count = int(facts["count"])
    places, values = (_array(path / name) for name in ("places", "values"))
    cells = max(1, count)
    if places.shape != (count, 4) or places.dtype != np.float64 or values.shape[1:] != (cells,):
        raise ValueError(f"{path} has places {places.shape} and values {values.shape} of {count}")
    if not np.isfinite(places).all():
        raise ValueError(f"{path} has places that are no numbers")
    if "target" not in facts:
        raise ValueError(f"{path} has no target")
    table = set_of(facts, values[:, None])
    if table.tissue_cells != facts["tissue_cells"]:
        raise ValueError(
            f"{path} holds {table.tissue_cells} tiles where {facts['tissue_cells']} were written"
        )
    # Earlier versions had none.
    finer = read_table(path / FINER) if facts.get("finer", False) else None
    return replace(table, places=places, finer=finer)


def _array(path: Path) -> np.ndarray:
    """Return a whole array."""
    import zarr

    require_plain_array(path, whole=True)
    return np.asarray(zarr.open_array(path, mode="r")[...])
