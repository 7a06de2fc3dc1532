"""Reasons for refusing a file of tiles; `naming` adds the file's name to them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from heatmaps_ome.errors import FeaturesError
from heatmaps_ome.slides.paths import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

NO_TILES: Final = "holds 0 tiles; leave this slide out, or cut its tiles again"
_LONGEST_QUOTE, _LONGEST_LIST = 60, 12
_LONGEST_REASON = 100


class Unfit(Exception):
    """The reason why a file of tiles is not usable: a predicate such as "holds no tiles".

    It never reaches a user: `naming` converts it to a `FeaturesError`.
    """


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Convert reasons raised inside to errors whose sentence begins with the file.

    Raises
    ------
    FeaturesError
        For `Unfit`, and where the file cannot be opened or read, or asks for too much memory.
    """
    try:
        yield
    except Unfit as reason:
        raise FeaturesError(f"{printable(path)} {reason}") from reason
    except OSError as error:
        raise FeaturesError(
            f"{printable(path)} cannot be read ({error.strerror or error}); check the file"
        ) from error
    except MemoryError as error:
        raise FeaturesError(
            f"{printable(path)} does not fit into the memory of this machine"
        ) from error


def quoted(text: Any) -> str:
    """Return a name that a file holds for a message: printable, and not too long.

    >>> quoted("x" * 100) == repr("x" * 59 + "…")
    True
    """
    value = str(text)
    shortened = value if len(value) <= _LONGEST_QUOTE else value[: _LONGEST_QUOTE - 1] + "…"
    return repr(shortened)


def brief(error: Exception) -> str:
    r"""Return a library's words on a file for a message: it may quote the file's own bytes.

    >>> brief(ValueError("a name\n\x00" + "x" * 200)) == "a name " + "x" * 93
    True
    """
    text = " ".join(str(error).split())
    return "".join(filter(str.isprintable, text))[:_LONGEST_REASON]


def listed(names: Iterable[Any]) -> str:
    """Return names for a message, the first dozen of them.

    >>> listed(["a", "b"])
    "'a', 'b'"
    """
    texts = [quoted(name) for name in names]
    more = f" and {len(texts) - _LONGEST_LIST} more" if len(texts) > _LONGEST_LIST else ""
    return ", ".join(texts[:_LONGEST_LIST]) + more
