"""Reasons for refusing a model file, to which the file's name is added in one place."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from heatmaps_ome.errors import ModelError, UnsafeModelError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_WAY_OUT = (
    "if you trust whoever made it, --allow-pickle reads it with fastai, which runs the code in it"
)


class Unusable(Exception):
    """Why a file is not a usable model: a predicate such as "stores no class names".

    It never reaches a user: `naming` turns it into a `ModelError`.

    Its words may name classes of Python objects, layers and covariates; values that a file
    holds (paths, patients, their labels) never go into it.
    """


class Unsafe(Unusable):
    """What in an ordinary file the safe reader refuses to interpret, though fastai might."""


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turn the reasons raised inside into errors whose sentence begins with the file.

    Raises
    ------
    UnsafeModelError
        For `Unsafe`.
    ModelError
        For `Unusable`, and where the file cannot be opened or read.
    """
    try:
        yield
    except Unsafe as reason:
        raise UnsafeModelError(f"{path} {reason}; {_WAY_OUT}") from reason
    except Unusable as reason:
        raise ModelError(f"{path} {reason}") from reason
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}") from error
