"""Texts of a pickled Arrow array, which pandas keeps texts in where pyarrow is installed.

The layout is that of variable-size binary arrays
(https://arrow.apache.org/docs/format/Columnar.html): offsets, then UTF-8 without separators.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from heatmaps_ome.models.refusals import Unusable
from heatmaps_ome.models.safe_pickle.inert_values import Node

if TYPE_CHECKING:
    from collections.abc import Iterator

_OFFSETS = {"string": "<i4", "large_string": "<i8"}
_ARRAY = "pyarrow.lib._restore_array"


def arrow_texts(array: Node, limit: int) -> list[str] | None:
    """Return the texts of a pandas array of Arrow's; None if it is no such array.

    Raises
    ------
    Unusable
        If there are more than `limit`, some are missing, or the array is damaged.
    """
    inner = array.get("_pa_array")
    if not isinstance(inner, Node):
        return None
    try:
        return list(_texts(inner, limit))
    except (AttributeError, IndexError, TypeError, ValueError):
        raise Unusable("is damaged: an Arrow array in it is not one") from None


def _texts(array: Node, limit: int) -> Iterator[str]:
    if array.qualname != _ARRAY:
        raise Unusable("stores an array in a form that is not known")
    kind, length, n_missing, start, (_valid, offsets, letters), *_rest = array.args[0]
    if kind.args[0] not in _OFFSETS or n_missing != 0 or not 0 <= length <= limit:
        raise Unusable("stores an array in a form that is not known")
    ends = np.frombuffer(_buffer(offsets), _OFFSETS[kind.args[0]])[start : start + length + 1]
    data = _buffer(letters)
    for first, last in pairwise(ends.tolist()):
        yield data[first:last].decode("utf-8")


def _buffer(node: Node) -> bytes:
    """Return the bytes of ``pyarrow.lib.py_buffer(bytearray(…))``."""
    (content,) = node.args
    (data,) = content.args if isinstance(content, Node) else (content,)
    if not isinstance(data, bytes):
        raise TypeError
    return data
