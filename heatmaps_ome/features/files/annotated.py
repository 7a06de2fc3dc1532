"""Tables of AnnData and SpatialData: features and columns of tiles, joined with their outlines.

LazySlide writes its tiles as polygons (``shapes/tiles``), and each encoder's features as a table
(``tables/<encoder>_tiles``), whose rows name the tiles by ``tile_id``. References:
https://anndata.readthedocs.io/en/stable/fileformat-prose.html and
https://spatialdata.scverse.org/en/stable/design_doc.html.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from heatmaps_ome.features.files.coordinates import Coordinates
from heatmaps_ome.features.files.parquet import read_parquet
from heatmaps_ome.features.files.refusals import Unfit, listed, quoted
from heatmaps_ome.features.files.same_slide import require_size

if TYPE_CHECKING:
    from collections.abc import Mapping

    from heatmaps_ome.features.files.parquet import ParquetTable
    from heatmaps_ome.features.files.zarr_stores import ZarrStore
    from heatmaps_ome.features.slide_facts import SlideFacts
    from heatmaps_ome.features.tile_facts import TileFacts


class Store(Protocol):
    """A store of arrays in groups: zarr, or HDF5 (h5ad)."""

    def names(self, name: str) -> list[str]:
        """Return the names of the groups and arrays in a group; none if it is not there."""
        ...

    def attributes(self, name: str) -> Mapping[str, Any]:
        """Return the attributes of a group or array; none if it is not there."""
        ...

    def array(self, name: str) -> np.ndarray | None:
        """Return an array of plain numbers; None if there is none of that name."""
        ...

    def numbers(self, name: str) -> np.ndarray | None:
        """Return an array of numbers; None if there is none, or it holds others."""
        ...


@dataclass(frozen=True, eq=False)
class Annotated:
    """A table of tiles.

    Attributes
    ----------
    coordinates : Coordinates or None
        One for each row of the table.
    columns : mapping
        Name → (n,) numbers about each tile.
    n_rows : int
    store : Store
    prefix : str
        Place of the table in the store; "" for the store itself.
    """

    coordinates: Coordinates | None
    columns: Mapping[str, np.ndarray] = field(repr=False)
    n_rows: int
    store: Store = field(repr=False)
    prefix: str

    def features(self, facts: TileFacts) -> np.ndarray:
        """Return the features: the table's ``X``, or the array that the user names.

        Raises
        ------
        Unfit
            If there are none, or they are stored sparsely.
        """
        names = ["X"]
        if facts.dataset is not None and facts.dataset != self.prefix.rpartition("/")[2]:
            names = [facts.dataset, f"obsm/{facts.dataset}"]
        for name in names:
            values = self.store.array(f"{self.prefix}/{name}".lstrip("/"))
            if values is not None:
                return values
        others = [f"obsm/{name}" for name in self.store.names(f"{self.prefix}/obsm".lstrip("/"))]
        raise Unfit(
            f"has no dense features {quoted(names[0])}; it has {listed(others) or 'no others'}: "
            "name one with --dataset"
        )


def annotated_zarr(store: ZarrStore, slide: SlideFacts, facts: TileFacts) -> Annotated:
    """Return the table of tiles in a store of SpatialData or AnnData.

    Raises
    ------
    Unfit
        If there is none, there are several and the user names none, or it is of another slide.
    """
    tables = store.names("tables") or store.names("table")
    folder = "tables" if store.names("tables") else "table"
    if not tables:
        if not store.names("obs") and not store.names("obsm"):
            raise Unfit("holds no table of tiles (neither 'tables' nor 'obs'); name another store")
        return annotated(store, "", facts)
    _require_slide(store, slide)
    prefix = f"{folder}/{_chosen(tables, facts)}"
    attributes = store.attributes(prefix)
    region, key = attributes.get("region"), attributes.get("instance_key")
    if isinstance(region, list) and len(region) == 1:
        [region] = region
    if not isinstance(region, str) or not isinstance(key, str):
        return annotated(store, prefix, facts)
    ids = store.numbers(f"{prefix}/obs/{key}")
    path = store.path(f"shapes/{region}/shapes.parquet")
    if ids is None or not path.is_file():
        raise Unfit(
            f"has a table {quoted(prefix)} whose tiles are not in it (shapes {quoted(region)} by "
            f"{quoted(key)}); write it again with them"
        )
    _require_identity(store, region)
    return _joined(store, prefix, read_parquet(path), ids, key)


def annotated(store: Store, prefix: str, facts: TileFacts) -> Annotated:
    """Return a table of AnnData, with the coordinates in ``obsm/spatial`` if it has any.

    Raises
    ------
    Unfit
        If it has no rows of numbers.
    """
    columns = _obs(store, prefix)
    xy = store.array(f"{prefix}/obsm/spatial".lstrip("/"))
    coordinates = None
    if xy is not None:
        if xy.ndim != 2 or xy.shape[1] != 2:
            raise Unfit(f"has coordinates 'spatial' of the shape {xy.shape}; x and y are needed")
        if facts.origin is None:
            raise Unfit(
                "does not state which point of a tile its coordinates 'spatial' are; give --origin "
                "top-left or centre"
            )
        coordinates = Coordinates(xy, system="AnnData")
    lengths = {len(values) for values in columns.values()}
    if coordinates is not None:
        lengths.add(len(coordinates.xy))
    if len(lengths) > 1:
        raise Unfit("has columns of different lengths; write it again")
    return Annotated(coordinates, columns, max(lengths, default=0), store, prefix)


def _chosen(tables: list[str], facts: TileFacts) -> str:
    """Return the name of the table that is asked for, or the only one."""
    if facts.dataset in tables:
        return str(facts.dataset)
    tiles = [name for name in tables if name.endswith("_tiles")] or tables
    if len(tiles) > 1:
        raise Unfit(f"holds several tables of tiles: {listed(tiles)}; name one with --dataset")
    return tiles[0]


def _obs(store: Store, prefix: str) -> dict[str, np.ndarray]:
    """Return the columns of numbers about each row."""
    group = f"{prefix}/obs".lstrip("/")
    columns = {}
    for name in store.names(group):
        values = store.numbers(f"{group}/{name}")
        if values is not None and values.ndim == 1:
            columns[name] = values
    return columns


def _joined(
    store: ZarrStore, prefix: str, shapes: ParquetTable, ids: np.ndarray, key: str
) -> Annotated:
    """Return a table whose rows have the outlines with their numbers."""
    if shapes.boxes is None:
        raise Unfit("has tiles without outlines; write it again")
    own = shapes.columns.numbers.get(key, shapes.index)
    if own is None or ids.ndim != 1:
        raise Unfit(f"has outlines of tiles without {quoted(key)}; write it again")
    order = np.argsort(own, kind="stable")
    if (np.diff(own[order]) == 0).any():
        raise Unfit(f"has two outlines with the same {quoted(key)}; write it again")
    place = np.searchsorted(own[order], ids)
    missing = (place >= len(own)) | (own[order][np.minimum(place, len(own) - 1)] != ids)
    if len(own) == 0 or missing.any():
        raise Unfit(
            f"has {int(missing.sum())} of {len(ids)} tiles without an outline, by {quoted(key)}; "
            "write it again"
        )
    rows = order[place]
    boxes = shapes.boxes[rows]
    is_lazy = "slide_properties" in store.attributes("")
    notes = ()
    if shapes.n_others:
        notes = (f"{shapes.n_others} tiles are drawn as the bounding boxes of their outlines",)
    coordinates = Coordinates(
        boxes[:, :2], system="LazySlide" if is_lazy else "SpatialData",
        unit="px" if is_lazy else None, sides=boxes[:, 2:] - boxes[:, :2], origin="top-left",
        notes=notes,
    )  # fmt: skip
    others = {name: values[rows] for name, values in shapes.columns.numbers.items()}
    columns = {**others, **_obs(store, prefix)}
    return Annotated(coordinates, columns, len(ids), store, prefix)


def _require_slide(store: ZarrStore, slide: SlideFacts) -> None:
    """Refuse a store of a slide of another size, where LazySlide states it."""
    facts = store.attributes("").get("slide_properties")
    shape = facts.get("shape") if isinstance(facts, dict) else None
    if isinstance(shape, list) and len(shape) == 2 and all(type(n) is int for n in shape):
        require_size(shape[1], shape[0], 0.5, slide)


def _require_identity(store: ZarrStore, region: str) -> None:
    """Refuse outlines that are to be scaled or turned before they lie on the slide."""
    steps = store.attributes(f"shapes/{region}").get("coordinateTransformations")
    kinds = [step.get("type") for step in steps or [] if isinstance(step, dict)]
    if any(kind != "identity" for kind in kinds):
        raise Unfit(
            f"has outlines with the transformation {listed(kinds)}, which is not applied; write "
            "them in level-0 px"
        )
