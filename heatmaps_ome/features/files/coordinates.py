"""The coordinates of tiles as a file has them, with all that it states about them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from heatmaps_ome.features.tile_facts import Origin
    from heatmaps_ome.geometry import YX


@dataclass(frozen=True, eq=False)
class Coordinates:
    """The coordinates of tiles as a file has them, with all that it states about them.

    Attributes
    ----------
    xy : (n, 2) floating or integer numbers
        x and y, in the file's own type.
    system : str
        The system that wrote them, for people.
    unit : str or None
        "px", "um" or "level:N"; None if the file does not state it.
    sides : float, (n, 2) array or None
        Sides of the tiles in that unit, x first; None if the file does not state them.
    origin : Origin or None
        The point of a tile that its coordinates name; None if the file does not state it.
    um_per_px : YX or None
        Pixel size that the system took for µm; None: the slide's.
    stride_is_side : bool
        Whether the system's tiles may be taken to lie edge to edge, if nothing states their side.
    may_be_transposed : bool
        Whether the system is known to have written (y, x) at times.
    counted : bool
        Whether the coordinates count tiles, so that a stride is needed.
    notes : tuple of str
        Sentences on all that was inferred.
    """

    xy: np.ndarray = field(repr=False)
    system: str
    unit: str | None = None
    sides: float | np.ndarray | None = field(default=None, repr=False)
    origin: Origin | None = None
    um_per_px: YX | None = None
    stride_is_side: bool = False
    may_be_transposed: bool = False
    counted: bool = False
    notes: tuple[str, ...] = ()
