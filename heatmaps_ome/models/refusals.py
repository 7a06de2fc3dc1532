"""Reasons for refusing a model file; `naming` adds the file's name to them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from heatmaps_ome.errors import ModelError, UnsafeModelError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_WAY_OUT = (
    "if you trust whoever made it, --allow-pickle reads it with fastai, which runs the code in it"
)


class Unusable(Exception):
    """The reason why a file is not a usable model: a predicate such as "stores no class names".

    It never reaches a user: `naming` converts it to a `ModelError`.

    Its text may name classes of Python objects, layers and covariates, but never values of the
    file (paths, patients, their labels).
    """


class Lacking(Unusable):
    """A fact that results depend on and that the file lacks; the text names the option for it.

    Attributes
    ----------
    trial : dict of str → value
        Fields of ModelFacts with which the file can be read to describe its layers; they are not
        the model's, and no result may be computed with them.
    """

    def __init__(self, text: str, **trial: Any) -> None:
        super().__init__(text)
        self.trial = trial


class Unsafe(Unusable):
    """Part of a file that the safe reader refuses to interpret, though fastai might."""


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Convert reasons raised inside to errors whose sentence begins with the file.

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
