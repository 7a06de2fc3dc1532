"""The coordinates of a file become places: rectangles in level-0 pixels of its slide."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from heatmaps_ome.features.files.qupath_frame import in_level0_frame
from heatmaps_ome.features.files.refusals import NO_TILES, Unfit
from heatmaps_ome.features.files.units import settled_unit, unit_px

if TYPE_CHECKING:
    from heatmaps_ome.features.files.coordinates import Coordinates
    from heatmaps_ome.features.slide_facts import SlideFacts
    from heatmaps_ome.features.tile_facts import TileFacts

MOST_TILES: Final = 5_000_000
"""More than the largest slide has at a stride of 32 px."""
_SAME_PX: Final = 0.25
"""Tiles whose corners differ by less than this lie at the same place."""


@dataclass(frozen=True, eq=False)
class Placed:
    """Tiles at their places.

    Attributes
    ----------
    l0_places : (n, 4) float64
        See `Tiles`.
    um_places : (n, 2) float32
        See `Bag`.
    notes : tuple of str
    """

    l0_places: np.ndarray = field(repr=False)
    um_places: np.ndarray = field(repr=False)
    notes: tuple[str, ...]


def placed(coordinates: Coordinates, facts: TileFacts, slide: SlideFacts) -> Placed:
    """Return the places of tiles on their slide.

    Parameters
    ----------
    coordinates : Coordinates
    facts : TileFacts
        The user's, which go before the file's.
    slide : SlideFacts

    Raises
    ------
    Unfit
        If there are none, one is not finite or is given twice, a fact is missing that neither the
        file nor the user states, or they do not lie on the slide.
    """
    require_coordinates(coordinates.xy)
    given = _with_facts(coordinates, facts)
    if given.counted or (given.unit is None and stride_of(given.xy) == 1):
        given = _uncounted(given, facts)
    given = settled_unit(given, slide)
    given = _with_sides(given)
    l0_places = _rectangles(given, slide)
    if given.may_be_qupaths:
        l0_places, note = in_level0_frame(l0_places, slide)
        given = replace(given, notes=(*given.notes, *note))
    outside = beyond(l0_places, slide)
    if given.may_be_transposed and outside.any():
        turned = replace(given, xy=np.ascontiguousarray(given.xy[:, ::-1]))
        swapped = _rectangles(turned, slide)
        if not beyond(swapped, slide).any():
            note = "its coordinates are (y, x), as only so they lie on the slide"
            given, l0_places = replace(turned, notes=(*given.notes, note)), swapped
            outside = beyond(l0_places, slide)
    if outside.any():
        raise Unfit(_beyond_reason(given, l0_places, slide, chosen=facts.unit is not None))
    require_different(l0_places)
    return Placed(l0_places, _um_places(given, l0_places, slide), given.notes)


def require_coordinates(xy: np.ndarray) -> None:
    """Refuse coordinates that are no numbers of tiles.

    Raises
    ------
    Unfit
        If they are none, too many, of another shape, or not finite.
    """
    if xy.ndim != 2 or xy.shape[1] != 2:
        raise Unfit(f"has coordinates of the shape {xy.shape}; a row of x and y a tile is needed")
    if len(xy) == 0:
        raise Unfit(NO_TILES)
    if len(xy) > MOST_TILES:
        raise Unfit(f"has {len(xy)} tiles, more than {MOST_TILES}")
    odd = np.asarray(~np.isfinite(xy)).any(axis=1)
    if odd.any():
        raise Unfit(
            f"has coordinates that are no finite numbers at {_rows_at(np.flatnonzero(odd))}; write "
            "it again"
        )


def require_different(l0_places: np.ndarray) -> None:
    """Refuse tiles that are given twice.

    Raises
    ------
    Unfit
        If two rectangles are the same; with their rows.
    """
    keys = np.round(l0_places / _SAME_PX).astype(np.int64)
    order = np.lexsort(keys.T[::-1])
    ordered = keys[order]
    same = (ordered[1:] == ordered[:-1]).all(axis=1)
    if same.any():
        at = int(np.flatnonzero(same)[0])
        one, other = sorted((int(order[at]), int(order[at + 1])))
        raise Unfit(
            f"has {int(same.sum())} tiles at the place of another, as rows {one + 1} and "
            f"{other + 1} at x {l0_places[one, 0]:g}, y {l0_places[one, 1]:g}; give each tile once"
        )


def beyond(l0_places: np.ndarray, slide: SlideFacts) -> np.ndarray:
    """Return the tiles that do not touch the slide: (n,) bool."""
    x0, y0, x1, y1 = l0_places.T
    return (x1 <= 0) | (y1 <= 0) | (x0 >= slide.shape.cols) | (y0 >= slide.shape.rows)


def stride_of(xy: np.ndarray) -> float | None:
    """Return the distance of neighbouring tiles: the most frequent one along rows and columns.

    Tiles of several lattices, one for each piece of tissue, have it too: only neighbours that
    share a row or a column exactly are compared.

    Parameters
    ----------
    xy : (n, 2) array

    Returns
    -------
    float or None
        None if no two tiles share a row or a column.
    """
    steps = np.concatenate([_steps(xy[:, 0], xy[:, 1]), _steps(xy[:, 1], xy[:, 0])])
    if len(steps) == 0:
        return None
    values, counts = np.unique(np.round(steps, 2), return_counts=True)
    return float(values[counts.argmax()])


def _steps(along: np.ndarray, across: np.ndarray) -> np.ndarray:
    """Return the distances of tiles next to one another on the same line."""
    order = np.lexsort((along, across))
    differences = np.diff(along[order].astype(np.float64))
    same = np.diff(across[order].astype(np.float64)) == 0
    return differences[same & (differences > 0)]


def _with_facts(given: Coordinates, facts: TileFacts) -> Coordinates:
    """Return coordinates with the user's facts in place of the file's."""
    changes: dict[str, object] = {}
    if facts.unit is not None:
        # A length in another unit than the file's would be another length.
        if given.unit is not None and given.unit != facts.unit and facts.tile_size is None:
            changes["sides"] = None
        changes |= {"unit": facts.unit, "um_per_px": None}
    if facts.tile_size is not None:
        if not (math.isfinite(facts.tile_size) and facts.tile_size > 0):
            raise Unfit(f"cannot have tiles of {facts.tile_size:g}; give another --tile-size")
        changes["sides"] = float(facts.tile_size)
    if facts.origin is not None:
        changes["origin"] = facts.origin
    if facts.stride is not None:
        changes["counted"] = True
    return replace(given, **changes) if changes else given


def _uncounted(given: Coordinates, facts: TileFacts) -> Coordinates:
    """Return coordinates in a unit of length, of coordinates that count tiles."""
    if facts.stride is None or not (math.isfinite(facts.stride) and facts.stride > 0):
        raise Unfit(
            "counts tiles in its coordinates; give the distance of neighbouring tiles with "
            "--stride, and its unit with --coords-unit"
        )
    sides, notes = given.sides, given.notes
    if sides is None:
        sides = float(facts.stride)
        notes = (*notes, f"the tiles' side is the stride of --stride, {facts.stride:g}")
    xy = given.xy.astype(np.float64) * facts.stride
    return replace(given, xy=xy, sides=sides, notes=notes, counted=False)


def _with_sides(given: Coordinates) -> Coordinates:
    """Return coordinates whose tiles have a side and an origin.

    Raises
    ------
    Unfit
        If the side is not known, or no side of a tile.
    """
    given = given if given.origin is not None else _with_origin(given)
    if given.sides is None:
        stride = stride_of(given.xy)
        if not given.stride_is_side or stride is None:
            raise Unfit(
                f"does not state the size of its tiles; give it with --tile-size, in {_unit(given)}"
            )
        note = (
            f"the tiles' side is the distance of neighbours, {stride:g} {_unit(given)}, as the "
            "file does not state it; give --tile-size if they overlap"
        )
        return replace(given, sides=stride, notes=(*given.notes, note))
    sides = np.asarray(given.sides, np.float64)
    if not (np.isfinite(sides).all() and (sides > 0).all()):
        raise Unfit("has tiles whose size is not a positive number; write it again")
    return given


def _with_origin(given: Coordinates) -> Coordinates:
    note = (
        "its coordinates are taken for the tiles' top left corners, as the file does not state "
        "it; give --origin centre if they are their centres"
    )
    return replace(given, origin="top-left", notes=(*given.notes, note))


def _rectangles(given: Coordinates, slide: SlideFacts) -> np.ndarray:
    """Return the places, (n, 4) float64, x0, y0, x1, y1 in level-0 pixels."""
    px = unit_px(given.unit or "px", slide, given.um_per_px)
    l0_per_unit = np.array([px.x, px.y])
    l0_points = given.xy.astype(np.float64) * l0_per_unit
    l0_sides = np.asarray(given.sides, np.float64) * l0_per_unit
    if given.origin == "centre":
        l0_points -= l0_sides / 2
    return np.concatenate([l0_points, l0_points + l0_sides], axis=1)


def _um_places(given: Coordinates, l0_places: np.ndarray, slide: SlideFacts) -> np.ndarray:
    """Return the corners in µm, exactly as the file has them where it has µm."""
    if given.unit == "um" and given.origin != "centre":
        return given.xy.astype(np.float32)
    return (l0_places[:, :2] * [slide.mpp.x, slide.mpp.y]).astype(np.float32)


def _beyond_reason(
    given: Coordinates, l0_places: np.ndarray, slide: SlideFacts, *, chosen: bool
) -> str:
    """Return the sentence on tiles beyond the slide.

    Where the user chose the unit, not the file, it names another that fits.
    """
    outside = beyond(l0_places, slide)
    at = int(np.flatnonzero(outside)[0])
    x, y = l0_places[at, :2]
    fitting = [
        unit
        for unit in ("px", "um", *(f"level:{n}" for n in range(1, len(slide.downsamples))))
        if chosen
        and unit != given.unit
        and not beyond(_rectangles(replace(given, unit=unit, um_per_px=None), slide), slide).any()
    ]
    remedy = "give the features or scores of this very slide"
    if fitting:
        options = " or ".join(f"--coords-unit {unit}" for unit in fitting)
        remedy = f"they would fit with {options}; else {remedy}"
    return (
        f"has {int(outside.sum())} of {len(l0_places)} tiles beyond the slide {slide.name} of "
        f"{slide.shape.cols} × {slide.shape.rows} px with coordinates in {_unit(given)}, such as "
        f"row {at + 1} at x {x:.0f}, y {y:.0f} px; {remedy}"
    )


def _unit(given: Coordinates) -> str:
    return {"px": "px of level 0", "um": "µm", None: "the unit of its coordinates"}.get(
        given.unit, f"px of {(given.unit or '').replace(':', ' ')}"
    )


def _rows_at(rows: np.ndarray) -> str:
    more = f" and {len(rows) - 1} other rows" if len(rows) > 1 else ""
    return f"row {rows[0] + 1}{more}"
