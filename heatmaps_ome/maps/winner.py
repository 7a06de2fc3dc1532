"""The class that each cell speaks for, and its lead over the others: all classes at once."""

from __future__ import annotations

import numpy as np


def winners(scores: np.ndarray) -> np.ndarray:
    """Return the number of each cell's class with the highest score, the first of equal ones.

    Parameters
    ----------
    scores : (classes, rows, cols) float
        At most 255 classes: a label is uint8, and 0 is none.

    Returns
    -------
    (rows, cols) uint8
        1 + the class's index; 0 where a score is not finite.

    Examples
    --------
    >>> winners(np.array([[[0.2, 0.5, np.nan]], [[0.8, 0.5, np.nan]]]))
    array([[2, 1, 0]], dtype=uint8)
    """
    known = np.isfinite(scores).all(axis=0)
    return np.where(known, np.nan_to_num(scores).argmax(axis=0) + 1, 0).astype(np.uint8)


def margins(scores: np.ndarray) -> np.ndarray:
    """Return by how much each class's score is above the highest of the other classes.

    Parameters
    ----------
    scores : (classes, …) float, in [0, 1]
        Two classes or more.

    Returns
    -------
    (classes, …) of the same dtype, in [-1, 1]
        NaN where a score is.

    Examples
    --------
    >>> margins(np.array([0.5, 0.25, 0.25])).tolist()
    [0.25, -0.25, -0.25]
    """
    second, first = np.partition(scores, (-2, -1), axis=0)[-2:]
    # Classes that share the highest score are each other's rivals.
    return scores - np.where(scores == first, second, first)
