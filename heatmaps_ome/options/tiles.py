"""Options on tiles that ``create`` and ``extract`` share, and the sizes that follow from them."""

import math
from dataclasses import dataclass
from typing import Any, Final, Optional

from heatmaps_ome.extractors.recipe import USUAL_PX
from heatmaps_ome.options.fields import option

USUAL_MPP: Final = 256 / 224
_PX: Final = (32, 4096)
_MPP: Final = (0.05, 20)
_ALIKE: Final = 1e-3
"""Largest relative difference of a side that is given twice, as µm have few decimals."""

_TILES: Final[dict[str, dict[str, Any]]] = {
    "tile_um": {
        "help_": "side of a tile in µm; with --tile-px it settles the µm per network pixel "
        "(default: --tile-px at --target-mpp)",
        "type": float, "metavar": "UM", "between": (1, 100_000),
    },
    "tile_px": {
        "help_": "side of a tile in network pixels (default: the encoder's own, mostly 224; or "
        "--tile-um at --target-mpp)",
        "type": int, "metavar": "PX", "between": _PX,
    },
    "overlap": {
        "help_": "network pixels that neighbouring tiles share (default: 0)",
        "type": int, "metavar": "PX", "between": (0, 4095),
        "contradicts": {"stride_um": "which settles the overlap too"},
    },
    "stride_um": {
        "help_": "distance from one tile to the next in µm, which may leave gaps (default: side by "
        "side)",
        "type": float, "metavar": "UM", "between": (1, 100_000),
    },
    "refine": {
        "help_": "share of the tiles, from 0 to 1, around which finer tiles are added to the maps, "
        "a quarter of a tile's side apart: those with the largest contributions, for or against, "
        "to --true-class; the prediction stays that of the tiles (default: none)",
        "type": float, "metavar": "SHARE", "between": (0.0001, 1),
    },
}  # fmt: skip


def tile_option(name: str, **metadata: Any) -> Any:
    """Return the field of an option on the size or distance of tiles."""
    return option("tiling", **{**_TILES[name], **metadata})


@dataclass(frozen=True)
class AskedTiles:
    """The size and distance of tiles as far as they were asked for, and as they follow from that.

    Attributes
    ----------
    tile_um, tile_px, target_mpp, overlap, stride_um : number or None
        The options; None if they were not given.
    usual_px : int
        Side of the tiles that the encoder was made for, in network pixels.
    refine : float or None
        Share of the tiles around which finer ones are added; None: of none.
    """

    tile_um: Optional[float] = None
    tile_px: Optional[int] = None
    target_mpp: Optional[float] = None
    overlap: Optional[int] = None
    stride_um: Optional[float] = None
    usual_px: int = USUAL_PX
    refine: Optional[float] = None

    @property
    def are_asked(self) -> bool:
        """Whether any option is about tiles alone: a scale is one of cells too."""
        given = (self.tile_um, self.tile_px, self.overlap, self.stride_um, self.refine)
        return any(value is not None for value in given)

    @property
    def scale_is_asked(self) -> bool:
        """Whether the options settle the µm per network pixel."""
        return self.tile_um is not None or self.target_mpp is not None

    @property
    def side_px(self) -> int:
        """Side of a tile in network pixels.

        Raises
        ------
        ValueError
            If the sides in µm and in network pixels are at odds.
        """
        if self.tile_um is None or self.target_mpp is None:
            return self.usual_px if self.tile_px is None else self.tile_px
        side = self.tile_um / self.target_mpp
        whole = round(side) if self.tile_px is None else self.tile_px
        if whole < 1 or not math.isclose(side, whole, rel_tol=_ALIKE):
            raise ValueError(
                f"--tile-um {self.tile_um:g} at --target-mpp {self.target_mpp:g} is {side:.6g} "
                f"network pixels, not {max(1, whole)}; leave out one of --tile-um, --tile-px and "
                "--target-mpp"
            )
        low, high = _PX
        if not low <= whole <= high:
            raise ValueError(
                f"--tile-um {self.tile_um:g} at --target-mpp {self.target_mpp:g} is {whole} "
                f"network pixels; give a side of {low} to {high}"
            )
        return whole

    @property
    def network_mpp(self) -> float:
        """µm per network pixel.

        Raises
        ------
        ValueError
            If it is none that networks have.
        """
        if self.tile_um is None:
            return USUAL_MPP if self.target_mpp is None else self.target_mpp
        mpp = self.tile_um / self.side_px
        low, high = _MPP
        if not low <= mpp <= high:
            raise ValueError(
                f"--tile-um {self.tile_um:g} of {self.side_px} network pixels are {mpp:.4g} µm per "
                f"pixel; give a side for which it is from {low} to {high}"
            )
        return mpp

    @property
    def stride_px(self) -> float:
        """Distance from one tile to the next in network pixels.

        Raises
        ------
        ValueError
            If tiles overlap as a whole.
        """
        if self.stride_um is not None:
            return self.stride_um / self.network_mpp
        stride = self.side_px - (self.overlap or 0)
        if stride < 1:
            raise ValueError(
                f"--overlap is {self.overlap}, and a tile has only {self.side_px} network pixels; "
                f"give less than {self.side_px}"
            )
        return stride

    def require_sizes(self) -> None:
        """Refuse sizes that are at odds, or that no tile has.

        Raises
        ------
        ValueError
            With the reason.
        """
        _ = self.side_px, self.network_mpp
        if self.stride_px < 1:
            raise ValueError(
                f"--stride-um is {self.stride_um:g}, less than a network pixel of "
                f"{self.network_mpp:.4g} µm; give more, or leave it out"
            )

    @property
    def gap_note(self) -> str:
        """A sentence on the gaps between tiles; "" if there are none."""
        if self.stride_um is None or self.stride_px <= self.side_px:
            return ""
        gap = self.stride_um - self.side_px * self.network_mpp
        return f"--stride-um leaves gaps of {gap:g} µm between tiles"
