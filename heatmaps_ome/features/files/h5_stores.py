"""HDF5 files as stores of AnnData (h5ad)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import h5py

from heatmaps_ome.features.files.hdf5 import dataset, member, read, text_attribute
from heatmaps_ome.features.files.refusals import Unfit

if TYPE_CHECKING:
    import numpy as np


def is_annotated(file: h5py.File) -> bool:
    """Return whether a file is AnnData's."""
    return text_attribute(file, "encoding-type") == "anndata" or (
        "obs" in file and ("obsm" in file or "X" in file)
    )


class H5Store:
    """An open HDF5 file as a `Store`.

    Parameters
    ----------
    file : h5py.File
    """

    def __init__(self, file: h5py.File) -> None:
        self._file = file

    def names(self, name: str) -> list[str]:
        """Return the names of the groups and datasets in a group; none if it is not there."""
        group = member(self._file, name)
        return sorted(group) if isinstance(group, h5py.Group) else []

    def attributes(self, name: str) -> dict[str, str]:
        """Return no attributes: AnnData's tables are found without."""
        return {}

    def array(self, name: str) -> np.ndarray | None:
        """Return a dataset of plain numbers; None if there is none of that name."""
        if not isinstance(member(self._file, name), h5py.Dataset):
            return None
        stored = dataset(self._file, name)
        return None if stored is None else read(stored)

    def numbers(self, name: str) -> np.ndarray | None:
        """Return a dataset of numbers; None if there is none, or it holds others."""
        try:
            return self.array(name)
        except Unfit:
            return None
