"""Reads columns of Parquet files: numbers and outlines of tiles, of a bounded size."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from heatmaps_ome.features.files.columns import (
    Columns,
    coordinates_in,
    names_slides,
    rows_of,
    score_columns,
)
from heatmaps_ome.features.files.coordinates import Coordinates
from heatmaps_ome.features.files.placing import MOST_TILES
from heatmaps_ome.features.files.polygons import boxes_of_wkb
from heatmaps_ome.features.files.refusals import Unfit
from heatmaps_ome.storage.regular_file import require_regular

if TYPE_CHECKING:
    from pathlib import Path

    from heatmaps_ome.features.slide_facts import SlideFacts

_MOST_COLUMNS: Final = 4096
_MOST_BYTES: Final = 8 << 30
_MOST_GROUPS: Final = 100_000


@dataclass(frozen=True, eq=False)
class ParquetTable:
    """The columns of a Parquet file that are read.

    Attributes
    ----------
    columns : Columns
    index : (n,) int64 array or None
        The rows' numbers that pandas stored apart; None if it stored none.
    boxes : (n, 4) float64 or None
        Bounding boxes of the column ``geometry``; None if there is none.
    n_others : int
        Outlines that are no upright rectangles.
    """

    columns: Columns
    index: np.ndarray | None = field(default=None, repr=False)
    boxes: np.ndarray | None = field(default=None, repr=False)
    n_others: int = 0


def read_parquet(path: Path) -> ParquetTable:
    """Return the columns of numbers in a Parquet file, and the outlines of tiles.

    Raises
    ------
    Unfit
        If pyarrow is missing, or the file is damaged or too large.
    OSError
        If it cannot be read.
    """
    require_regular(path)
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise Unfit(
            "needs pyarrow to be read; install it with: pip install 'heatmaps-ome[parquet]'"
        ) from error
    try:
        with parquet.ParquetFile(path, memory_map=False) as file:
            return _table(file)
    except (pyarrow.ArrowException, ValueError, TypeError, KeyError, UnicodeDecodeError) as error:
        text = " ".join(str(error).split())[:200]
        raise Unfit(f"is damaged or of an unknown kind ({text}); write it again") from error
    except OSError as error:
        # Arrow raises it without a number for damaged files.
        if error.errno is not None:
            raise
        text = " ".join(str(error).split())[:200]
        raise Unfit(f"is damaged ({text}); copy or write it again") from error


def parquet_coordinates(
    table: ParquetTable, slide: SlideFacts
) -> tuple[Coordinates, dict[str, np.ndarray]]:
    """Return the coordinates of a slide's rows, and the columns that may be maps.

    Raises
    ------
    Unfit
        If there are no coordinates.
    """
    if table.boxes is None:
        columns = rows_of(table.columns, slide)
        coordinates, used = coordinates_in(columns)
        return coordinates, score_columns(columns, used)
    notes = ()
    if table.n_others:
        notes = (f"{table.n_others} tiles are drawn as the bounding boxes of their outlines",)
    boxes = table.boxes
    return Coordinates(
        boxes[:, :2], system="GeoParquet", sides=boxes[:, 2:] - boxes[:, :2], origin="top-left",
        notes=notes,
    ), score_columns(table.columns, ())  # fmt: skip


def _table(file: Any) -> ParquetTable:
    from pyarrow import types

    facts, schema = file.metadata, file.schema_arrow
    if facts.num_rows > MOST_TILES or facts.num_columns > _MOST_COLUMNS:
        raise Unfit(f"has {facts.num_rows} rows and {facts.num_columns} columns, too many")
    if facts.num_row_groups > _MOST_GROUPS:
        raise Unfit("has too many groups of rows; write it again")
    names = [name for name in schema.names if _is_number(schema.field(name).type)]
    outlines = [
        name for name in schema.names if name == "geometry" and _is_bytes(schema.field(name).type)
    ]
    if facts.num_rows * 8 * len(names) + _unpacked(facts) > _MOST_BYTES:
        raise Unfit("would fill the memory; write fewer columns")
    slides = [
        name
        for name in schema.names
        if names_slides(name) and types.is_string(schema.field(name).type)
    ]
    table = file.read(columns=[*names, *outlines, *slides[:1]], use_threads=False)
    numbers = {name: _numbers(table.column(name)) for name in names}
    index = _index(schema, numbers, facts.num_rows)
    boxes, n_others = None, 0
    if outlines:
        boxes, n_others = boxes_of_wkb(table.column("geometry").to_pylist())
    texts = None
    if slides:
        texts = np.array([str(text) for text in table.column(slides[0]).to_pylist()])
    columns = Columns(tuple(schema.names), numbers, facts.num_rows, texts)
    return ParquetTable(columns, index, boxes, n_others)


def _is_number(kind: Any) -> bool:
    from pyarrow import types

    return types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)


def _is_bytes(kind: Any) -> bool:
    from pyarrow import types

    storage = getattr(kind, "storage_type", kind)
    return types.is_binary(storage) or types.is_large_binary(storage)


def _unpacked(facts: Any) -> int:
    return sum(facts.row_group(place).total_byte_size for place in range(facts.num_row_groups))


def _numbers(column: Any) -> np.ndarray:
    """Return a column as float64, NaN where a value is missing."""
    from pyarrow import float64

    return column.cast(float64(), safe=False).to_numpy(zero_copy_only=False)


def _index(schema: Any, numbers: dict[str, np.ndarray], n_rows: int) -> np.ndarray | None:
    """Return the index that pandas stored: a column of numbers or a range."""
    facts = schema.pandas_metadata or {}
    stored = facts.get("index_columns") or []
    if len(stored) != 1:
        return None
    [own] = stored
    if isinstance(own, str):
        return numbers[own].astype(np.int64) if own in numbers else None
    start, step = own.get("start", 0), own.get("step", 1)
    if type(start) is not int or type(step) is not int or max(abs(start), abs(step)) > 1 << 40:
        return None
    return start + step * np.arange(n_rows, dtype=np.int64)
