"""Damaged tiles of a slide: whether they are an error, and those that were left blank."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

BadTilePolicy = Literal["fail", "blank"]
"""A damaged tile fails its slide, or is left white, which is background."""

_PLACES_IN_RECORD: Final = 10
_PLACES_IN_WORDS: Final = 3


class BadTile(NamedTuple):
    """A damaged tile.

    Attributes
    ----------
    level : int
        The slide's level that it belongs to.
    l0_row, l0_col : int
        Its first pixel, in level-0 pixels.
    """

    level: int
    l0_row: int
    l0_col: int


class BadTiles:
    """The policy for damaged tiles, and the tiles left blank so far; for several threads.

    Parameters
    ----------
    policy : "fail" or "blank"
    """

    def __init__(self, policy: BadTilePolicy = "fail") -> None:
        self.policy: BadTilePolicy = policy
        self._tiles: set[BadTile] = set()
        self._lock = threading.Lock()

    def add(self, tiles: Iterable[BadTile]) -> None:
        """Add tiles that were left blank; each counts once."""
        with self._lock:
            self._tiles.update(tiles)

    @property
    def tiles(self) -> list[BadTile]:
        """The tiles left blank, in reading order."""
        with self._lock:
            return sorted(self._tiles)

    def text(self) -> bytes:
        """Return all tiles left blank, for a file."""
        return json.dumps(self.tiles).encode()

    def load(self, text: bytes) -> bool:
        """Add the tiles in a file that `text` was written to, and return whether it is sound."""
        try:
            self.add(BadTile(*map(int, tile)) for tile in json.loads(text))
        except (ValueError, TypeError):
            return False
        return True

    def record(self) -> dict[str, Any] | None:
        """Return the tiles left blank as plain JSON values: their number, and the first places.

        None where a damaged tile is an error.
        """
        if self.policy == "fail":
            return None
        tiles = self.tiles
        return {
            "count": len(tiles),
            "first": [tile._asdict() for tile in tiles[:_PLACES_IN_RECORD]],
        }


def bad_tiles_sentence(record: Mapping[str, Any] | None) -> str:
    """Return the number and the first places of tiles left blank, in words; "" if there are none.

    >>> bad_tiles_sentence({"count": 1, "first": [{"level": 0, "l0_row": 512, "l0_col": 0}]})
    '1 damaged tile was left blank: (y 512, x 0) of level 0'
    """
    if not record or not record["count"]:
        return ""
    places = [
        f"(y {tile['l0_row']}, x {tile['l0_col']}) of level {tile['level']}"
        for tile in record["first"][:_PLACES_IN_WORDS]
    ]
    count = record["count"]
    tiles = f"{count} damaged tiles were" if count > 1 else "1 damaged tile was"
    more = ", …" if count > len(places) else ""
    return f"{tiles} left blank: {', '.join(places)}{more}"
