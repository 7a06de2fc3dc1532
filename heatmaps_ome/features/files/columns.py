"""Tables with a column for each coordinate, by the names that programs give them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from heatmaps_ome.features.files.coordinates import Coordinates
from heatmaps_ome.features.files.refusals import Unfit, listed, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from heatmaps_ome.features.slide_facts import SlideFacts
    from heatmaps_ome.features.tile_facts import Origin


@dataclass(frozen=True, eq=False)
class Columns:
    """The columns of a table.

    Attributes
    ----------
    names : tuple of str
        All, those of texts too.
    numbers : mapping
        Name → (n,) float64, of the columns of numbers; NaN where one is missing.
    n_rows : int
    slides : (n,) array of texts or None
        The slide of each row, where a column names it.
    note : str
        On the slide that the rows are of, if another is named; "" for none.
    texts : mapping
        Name → the first text, for messages, of other columns that hold mainly numbers.
    """

    names: tuple[str, ...]
    numbers: Mapping[str, np.ndarray] = field(repr=False)
    n_rows: int
    slides: np.ndarray | None = field(default=None, repr=False)
    texts: Mapping[str, str] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class _Pair:
    """Names of two columns, x first, and the meaning that they have."""

    x: str
    y: str
    origin: Origin | None = None
    unit: str | None = None
    counted: bool = False


_CORNERS: Final = (
    ("x0", "y0", "x1", "y1"), ("x1", "y1", "x2", "y2"), ("minx", "miny", "maxx", "maxy"),
    ("xmin", "ymin", "xmax", "ymax"), ("min_x", "min_y", "max_x", "max_y"),
    ("x_min", "y_min", "x_max", "y_max"), ("left", "top", "right", "bottom"),
    ("x_start", "y_start", "x_end", "y_end"), ("start_x", "start_y", "end_x", "end_y"),
)  # fmt: skip
_POINTS: Final = (
    _Pair("minx", "miny", "top-left", "px"),  # WSInfer
    _Pair("loc_x", "loc_y", "centre", "px"),  # slideflow
    _Pair("pxl_col_in_fullres", "pxl_row_in_fullres", "centre", "px"),  # Space Ranger
    *(_Pair(x, y, "top-left") for x, y in (
        ("xmin", "ymin"), ("min_x", "min_y"), ("x_min", "y_min"), ("x0", "y0"), ("left", "top"),
        ("x_start", "y_start"), ("start_x", "start_y"), ("x_left", "y_top"),
        ("top_left_x", "top_left_y"), ("x_top_left", "y_top_left"),
    )),
    *(_Pair(x, y, "centre") for x, y in (
        ("centroid_x", "centroid_y"), ("x_centroid", "y_centroid"), ("center_x", "center_y"),
        ("centre_x", "centre_y"), ("x_center", "y_center"), ("x_centre", "y_centre"),
        ("cx", "cy"), ("xc", "yc"), ("center_x_coord", "center_y_coord"),
    )),
    *(_Pair(x, y) for x, y in (
        ("x", "y"), ("coords_x", "coords_y"), ("coord_x", "coord_y"), ("x_coord", "y_coord"),
        ("x_coords", "y_coords"), ("coordx", "coordy"), ("tile_x", "tile_y"),
        ("patch_x", "patch_y"), ("pos_x", "pos_y"), ("x_pos", "y_pos"), ("x_coordinate",
        "y_coordinate"), ("coords_0", "coords_1"), ("coord_0", "coord_1"),
    )),
    *(_Pair(x, y, "top-left", None, counted=True) for x, y in (
        ("col", "row"), ("column", "row"), ("tile_col", "tile_row"), ("grid_x", "grid_y"),
        ("array_col", "array_row"),
    )),
)  # fmt: skip
_SIDES: Final = (
    ("width", "height"), ("w", "h"), ("tile_width", "tile_height"), ("patch_width",
    "patch_height"), ("size_x", "size_y"), ("tile_size", "tile_size"), ("patch_size",
    "patch_size"), ("tile_size_um", "tile_size_um"), ("size", "size"), ("side", "side"),
    ("patch_size_level0", "patch_size_level0"),
)  # fmt: skip
_UNITS: Final = {
    "um": "um", "µm": "um", "μm": "um", "micron": "um", "microns": "um", "micrometers": "um",
    "micrometres": "um", "px": "px", "pixel": "px", "pixels": "px", "level0": "px", "l0": "px",
    "lvl0": "px", "level_0": "px",
}  # fmt: skip
_SLIDES: Final = frozenset({
    "slide", "slide_id", "slide_name", "slide_path", "wsi", "wsi_id", "wsi_name", "image",
    "filename", "file_name",
})  # fmt: skip
_IDENTIFIERS: Final = re.compile(
    r"|unnamed_?\d*|index|idx|id|tile_?id|tile_?index|tile|patch_?id|cell_?id|slide_?id|slide|name"
    r"|level|patch_level|overlap|mpp|magnification|tissue_?id|object_?id"
)


def names_slides(name: str) -> bool:
    """Return whether a column is one that names the slide of each row."""
    return _plain(name) in _SLIDES


def rows_of(columns: Columns, slide: SlideFacts) -> Columns:
    """Return the rows of one slide, of a table that may have those of several.

    Raises
    ------
    Unfit
        If it has several slides, and none of this name.
    """
    if columns.slides is None or not slide.name:
        return columns
    names = np.unique(columns.slides)
    own = [name for name in names.tolist() if slide.name in (name, _stem(name))]
    if not own and len(names) == 1:
        return replace(
            columns, note=f"its rows are of {quoted(names[0])}, not {slide.name}, by name"
        )
    if not own and len(names) == columns.n_rows:
        return columns  # the name of a file for each tile
    if not own:
        raise Unfit(
            f"has rows of {len(names)} slides, and none is {slide.name}: {listed(names.tolist())}"
        )
    rows = np.isin(columns.slides, own)
    numbers = {name: values[rows] for name, values in columns.numbers.items()}
    return replace(columns, numbers=numbers, n_rows=int(rows.sum()), slides=columns.slides[rows])


def _stem(name: str) -> str:
    """Return the name of a slide in a path of Linux or Windows."""
    return re.split(r"[/\\]", name)[-1].rpartition(".")[0]


def coordinates_in(columns: Columns) -> tuple[Coordinates, tuple[str, ...]]:
    """Return the coordinates of a table's rows, and the names of the columns that they are in.

    Raises
    ------
    Unfit
        If it has none, or they are no numbers.
    """
    plain = {_plain(name): name for name in reversed(columns.names)}
    bases = {_without_unit(name)[0]: name for name in plain}
    for names in _CORNERS:
        if all(name in bases for name in names):
            corners, used = _corners(columns, [plain[bases[name]] for name in names], names)
            return _noted(corners, columns), used
    for pair in _POINTS:
        if pair.x in bases and pair.y in bases:
            points, used = _points(columns, pair, plain, bases)
            return _noted(points, columns), used
    raise Unfit(
        f"has no columns of coordinates that are known; it has {listed(columns.names)}: name them "
        "x and y, or x0, y0, x1 and y1, or give a file of coordinates with --coords"
    )


def score_columns(columns: Columns, places: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Return the columns of numbers that may be maps: neither places nor numbers of rows.

    Raises
    ------
    Unfit
        If one that may be a map has a text among its numbers.
    """
    for name, text in columns.texts.items():
        if name not in places and not _IDENTIFIERS.fullmatch(_plain(name)):
            raise Unfit(_text_among_numbers(name, text))
    return {
        name: values
        for name, values in columns.numbers.items()
        if name not in places
        and not _IDENTIFIERS.fullmatch(_plain(name))
        and not np.isnan(values).all()
    }


def _noted(coordinates: Coordinates, columns: Columns) -> Coordinates:
    notes = (columns.note,) if columns.note else ()
    return replace(coordinates, notes=(*coordinates.notes, *notes))


def _corners(
    columns: Columns, own: list[str], names: tuple[str, ...]
) -> tuple[Coordinates, tuple[str, ...]]:
    x0, y0, x1, y1 = (_numbers(columns, name) for name in own)
    unit = _unit_of(own) or ("px" if names[0] == "minx" else None)
    return Coordinates(
        np.stack([x0, y0], axis=1), system="a table", unit=unit,
        sides=np.stack([x1 - x0, y1 - y0], axis=1), origin="top-left",
    ), tuple(own)  # fmt: skip


def _points(
    columns: Columns, pair: _Pair, plain: dict[str, str], bases: dict[str, str]
) -> tuple[Coordinates, tuple[str, ...]]:
    own = [plain[bases[pair.x]], plain[bases[pair.y]]]
    unit = _unit_of(own) or pair.unit
    sides, used = None, own
    for width, height in _SIDES:
        if width in bases and height in bases:
            named = [plain[bases[width]], plain[bases[height]]]
            # A width in another unit than the coordinates is none of theirs.
            if _unit_of(named) in (None, unit):
                sides = np.stack([_numbers(columns, name) for name in named], axis=1)
            used = [*own, *named]
            break
    origin = pair.origin
    if origin is None and sides is not None:
        origin = "top-left"  # x, y, width, height are a rectangle's, from its corner
    xy = np.stack([_numbers(columns, name) for name in own], axis=1)
    return Coordinates(
        xy,
        system="a table",
        unit=unit,
        sides=sides,
        origin=origin,
        may_be_qupaths=pair.x == "centroid_x",
        counted=pair.counted,
    ), tuple(used)


def _numbers(columns: Columns, name: str) -> np.ndarray:
    if name in columns.texts:
        raise Unfit(_text_among_numbers(name, columns.texts[name]))
    if name not in columns.numbers:
        raise Unfit(f"has texts in its column {name}, where numbers are needed")
    return columns.numbers[name]


def _text_among_numbers(name: str, text: str) -> str:
    return (
        f"has {text} among the numbers of its column {quoted(name)}; write a number, or leave the "
        "field empty"
    )


def _plain(name: str) -> str:
    """Return a column's name in small letters, with single underscores.

    >>> _plain("Centroid X [µm]")
    'centroid_x_µm'
    """
    return re.sub(r"[^a-z0-9µμ]+", "_", name.lower()).strip("_")


def _without_unit(plain: str) -> tuple[str, str | None]:
    """Return a plain name without the unit that it ends in, and the unit.

    >>> _without_unit("centroid_x_µm")
    ('centroid_x', 'um')
    """
    for ending, unit in _UNITS.items():
        if plain.endswith(f"_{ending}"):
            return plain.removesuffix(f"_{ending}"), unit
    return plain, None


def _unit_of(names: list[str]) -> str | None:
    """Return the unit that the names of columns state; None if they state none, or several."""
    units = {_without_unit(_plain(name))[1] for name in names}
    return units.pop() if len(units) == 1 else None
