"""The kind of file that tables of tiles come in, by its first bytes where it has any."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from heatmaps_ome.features.files.hdf5 import SIGNATURE
from heatmaps_ome.features.files.refusals import Unfit, quoted
from heatmaps_ome.storage.regular_file import open_regular

if TYPE_CHECKING:
    from pathlib import Path

Container = Literal["h5", "table", "parquet", "npy", "npz", "geojson", "zarr", "torch"]

_BY_ENDING: Final[dict[str, Container]] = {
    ".csv": "table", ".tsv": "table", ".txt": "table",
    ".geojson": "geojson", ".json": "geojson",
    ".npz": "npz", ".pt": "torch", ".pth": "torch",
}  # fmt: skip
READ: Final = "h5, CSV, Parquet, npy, npz, GeoJSON, pt and zarr"


def container_of(path: Path) -> Container:
    """Return the kind of a file, or of a folder.

    Raises
    ------
    Unfit
        If it is empty, or of no known kind.
    OSError
        If there is no such file.
    """
    if path.is_dir():
        if any((path / name).exists() for name in (".zgroup", ".zattrs", "zarr.json")):
            return "zarr"
        raise Unfit("is a folder without a zarr store; name the file in it")
    with open_regular(path) as file:
        start = file.read(8)
    ending = path.suffix.lower()
    if not start:
        raise Unfit("is empty; copy or write it again")
    if start == SIGNATURE:
        return "h5"
    if start[:4] == b"PAR1":
        return "parquet"
    if start[:6] == b"\x93NUMPY":
        return "npy"
    if start[:2] == b"PK" and ending == ".zip":
        return "zarr"
    if ending in (".h5", ".hdf5", ".h5ad"):
        return "h5"  # HDF5 may begin later; else it has the sentence on what it is
    if ending in _BY_ENDING:
        return _BY_ENDING[ending]
    raise Unfit(f"is of a kind that is not read ({quoted(ending)}); read are {READ}")
