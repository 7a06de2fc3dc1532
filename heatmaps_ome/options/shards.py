"""One of several jobs that share the slides of a list: ``--shard 2/8``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

ItemT = TypeVar("ItemT")

_SHARD: Final = re.compile(r"(\d{1,9})/(\d{1,9})")


@dataclass(frozen=True)
class Shard:
    """One of several equal parts of any list.

    Attributes
    ----------
    number : int
        From 1.
    of : int
        How many parts there are.
    """

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Return the shard that a text names.

        Raises
        ------
        ValueError
            If it names none.

        >>> Shard.parse("2/8")
        Shard(number=2, of=8)
        """
        match = _SHARD.fullmatch(text.strip())
        number, of = (int(match[1]), int(match[2])) if match else (0, 0)
        if not 1 <= number <= of:
            raise ValueError(
                f"{text!r} is no shard; give I/N, such as 2/8 for the second of eight jobs, with I "
                "from 1 to N"
            )
        return cls(number, of)

    def of_list(self, items: Sequence[ItemT]) -> list[ItemT]:
        """Return this shard's part of a list: every N-th item, so that all parts are alike.

        >>> Shard(2, 3).of_list("abcdefg")
        ['b', 'e']
        """
        return list(items[self.number - 1 :: self.of])
