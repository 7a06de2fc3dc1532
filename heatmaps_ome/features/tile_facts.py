"""Facts on the coordinates of tiles that a file may lack, as the user gives them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, get_args

if TYPE_CHECKING:
    from pathlib import Path

Origin = Literal["top-left", "centre"]
ORIGINS: Final[tuple[Origin, ...]] = get_args(Origin)


@dataclass(frozen=True)
class TileFacts:
    """Facts about tiles; None or () where the user gave none.

    Attributes
    ----------
    coords : Path or None
        A file with the coordinates, or with the attributes that describe them (--coords).
    unit : str or None
        Of coordinates: "px" (level 0), "um" or "level:N" (--coords-unit).
    tile_size : float or None
        Side of a tile in that unit (--tile-size).
    origin : "top-left", "centre" or None
        The point of a tile that its coordinates name (--origin).
    stride : float or None
        Distance of neighbouring tiles in that unit, where coordinates count tiles (--stride).
    dataset : str or None
        Dataset, table or column of the features or scores in the file (--dataset).
    maps : tuple of str
        ``NAME[=COLUMN][:kind]`` as given; () for all that the file has (--map).
    """

    coords: Path | None = None
    unit: str | None = None
    tile_size: float | None = None
    origin: Origin | None = None
    stride: float | None = None
    dataset: str | None = None
    maps: tuple[str, ...] = ()


NO_FACTS = TileFacts()
