"""Reads zarr stores, folders or zipped, that a stranger may have made: plain arrays only."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from heatmaps_ome.features.files.refusals import Unfit, brief, quoted
from heatmaps_ome.slides.plain_zarr import inside, read_object, require_plain_array
from heatmaps_ome.storage.regular_file import open_regular

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

_MOST_ENTRIES: Final = 200_000
_MOST_BYTES: Final = 16 << 30
_MOST_PACKED_BYTES: Final = 512 << 20
_MOST_EXPANSION: Final = 100
_GROUP_FILES: Final = ("zarr.json", ".zgroup", ".zattrs", ".zarray")


@contextmanager
def opened_store(path: Path) -> Iterator[ZarrStore]:
    """Open a zarr store; a zipped one is unpacked into a temporary folder meanwhile.

    Raises
    ------
    Unfit
        If it is no store, is damaged, or unpacks to too much; also while it is open.
    OSError
        If it cannot be read.
    """
    if path.is_dir():
        yield ZarrStore(path)
        return
    with tempfile.TemporaryDirectory(prefix="heatmaps-ome-") as folder:
        _unpack(path, Path(folder))
        yield ZarrStore(_root(Path(folder)))


class ZarrStore:
    """An open zarr store.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, name: str) -> Path:
        """Return the path of something in the store; Unfit for a name that leads out of it."""
        try:
            return inside(self.folder, name) if name else self.folder
        except ValueError as error:
            raise Unfit(f"is damaged ({brief(error)})") from error

    def names(self, name: str) -> list[str]:
        """Return the names of the groups and arrays in a group; none if it is not there."""
        group = self.path(name)
        if not group.is_dir():
            return []
        return sorted(
            item.name
            for item in group.iterdir()
            if item.is_dir() and any((item / file).exists() for file in _GROUP_FILES)
        )

    def attributes(self, name: str) -> dict[str, Any]:
        """Return the attributes of a group or array; none if it is not there."""
        group = self.path(name)
        try:
            if (group / "zarr.json").exists():
                attributes = read_object(group / "zarr.json").get("attributes", {})
            elif (group / ".zattrs").exists():
                attributes = read_object(group / ".zattrs")
            else:
                return {}
        except ValueError as error:
            raise Unfit(f"is damaged ({brief(error)}); copy or write it again") from error
        return attributes if isinstance(attributes, dict) else {}

    def array(self, name: str) -> np.ndarray | None:
        """Return an array of plain numbers; None if there is none of that name.

        Raises
        ------
        Unfit
            If it is of another type, has codecs that are not read, or is damaged.
        """
        folder = self.path(name)
        if not any((folder / file).exists() for file in ("zarr.json", ".zarray")):
            return None
        if self._is_group(folder):
            return None
        import zarr

        try:
            require_plain_array(folder, whole=True)
            return zarr.open_array(str(folder), mode="r")[...]  # pyright: ignore[reportReturnType]
        # Zarr and its codecs raise all of these for damaged chunks.
        except (ValueError, LookupError, TypeError, RuntimeError, zlib.error) as error:
            raise Unfit(f"has an array {quoted(name)} that is not read ({error})") from error

    def numbers(self, name: str) -> np.ndarray | None:
        """Return an array of numbers; None if there is none, or it holds others."""
        try:
            return self.array(name)
        except Unfit:
            return None

    @staticmethod
    def _is_group(folder: Path) -> bool:
        path = folder / "zarr.json"
        try:
            return path.exists() and read_object(path).get("node_type") != "array"
        except ValueError as error:
            raise Unfit(f"is damaged ({brief(error)}); copy or write it again") from error


def _unpack(path: Path, folder: Path) -> None:
    """Unpack an archive whose entries are checked first: no links, no ways out, no bombs."""
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            n_bytes = file.seek(0, 2)
            total = sum(entry.file_size for entry in entries)
            limit = min(_MOST_BYTES, max(_MOST_PACKED_BYTES, _MOST_EXPANSION * n_bytes))
            if len(entries) > _MOST_ENTRIES or total > limit:
                raise Unfit(f"would unpack to {len(entries)} files of {total} bytes")
            for entry in entries:
                if entry.is_dir():
                    continue
                target = inside(folder, entry.filename)
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(entry) as packed, target.open("xb") as unpacked:
                    shutil.copyfileobj(packed, unpacked, 1 << 20)
    except (
        zipfile.BadZipFile, zlib.error, EOFError, LookupError, NotImplementedError, RuntimeError,
        ValueError, FileExistsError, NotADirectoryError,
    ) as error:  # fmt: skip
        raise Unfit(f"is a damaged archive ({brief(error)}); copy or write it again") from error


def _root(folder: Path) -> Path:
    """Return the folder of the store in an archive: the archive's own, or the only one in it."""
    if any((folder / name).exists() for name in _GROUP_FILES):
        return folder
    entries = list(folder.iterdir())
    if len(entries) == 1 and any((entries[0] / name).exists() for name in _GROUP_FILES):
        return entries[0]
    raise Unfit("holds no zarr store; give the store that the other program wrote")
