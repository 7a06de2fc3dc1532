"""The pieces that a cache holds, and which of them to remove."""

from __future__ import annotations

import logging
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from heatmaps_ome.errors import OutputError, ResultError
from heatmaps_ome.storage.cache import (
    BagKey,
    FeaturesKey,
    MapsKey,
    PicturesKey,
    PixelsKey,
    TilesKey,
)
from heatmaps_ome.storage.cache_users import (
    is_marked,
    is_used_by_others,
    leftovers,
    partial_name,
    pieces_in_use,
    sweep,
)
from heatmaps_ome.storage.pieces import JOURNALS, PARTIAL
from heatmaps_ome.storage.private import FOREIGN_S
from heatmaps_ome.storage.records import RECORD, DamagedPieceError, PieceRecord
from heatmaps_ome.storage.removal import remove

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

logger = logging.getLogger(__name__)

CACHE: Final = ".cache"
"""The cache's folder in an output folder."""
_FILES_OF_KIND: Final = {
    PixelsKey.KIND: ("complete", "0/.zarray"),
    FeaturesKey.KIND: ("zarr.json",),
    TilesKey.KIND: ("features.npy",),
    MapsKey.KIND: ("*.values.ome.zarr",),
    BagKey.KIND: (".zgroup",),
    PicturesKey.KIND: ("complete.json",),
}
"""Kind of piece → files of which version 0.1.0, which had no records, wrote one."""
KINDS: Final = tuple(_FILES_OF_KIND)
_KEY: Final = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class StoredPiece:
    """A piece of a cache as it lies on disk.

    Attributes
    ----------
    slide, fingerprint : str or None
        The slide's name, and the digest of its content; None if its record is missing or damaged.
    n_files : int
    size : int
        Bytes.
    shared : int
        Bytes of files that results have too, as links: removing the piece does not free them.
    last_use : float
        In s since 1970.
    in_use : bool
        Whether a process uses it that is not known to have ended.
    """

    folder: Path
    kind: str
    slide: str | None
    fingerprint: str | None
    n_files: int
    size: int
    shared: int
    last_use: float
    in_use: bool


@dataclass(frozen=True)
class Limits:
    """What a cache may hold; pieces beyond are removed, those used longest ago first.

    Attributes
    ----------
    kinds : tuple of str
        Kinds of pieces that the limits are about.
    max_size : int or None
        Bytes.
    max_age_s : float or None
        Time since the last use, in s.
    """

    kinds: tuple[str, ...] = KINDS
    max_size: int | None = None
    max_age_s: float | None = None

    def excess(self, pieces: Iterable[StoredPiece], now: float) -> list[StoredPiece]:
        """Return the pieces to remove, in this order; none that is in use.

        Parameters
        ----------
        now : float
            The time, in s since 1970.
        """
        within = [piece for piece in pieces if piece.kind in self.kinds]
        size = sum(piece.size for piece in within)
        excess = []
        for piece in sorted(within, key=lambda piece: piece.last_use):
            too_old = self.max_age_s is not None and now - piece.last_use >= self.max_age_s
            too_much = self.max_size is not None and size > self.max_size
            if (too_old or too_much) and not piece.in_use:
                excess.append(piece)
                size -= piece.size
        return excess


def cache_in(path: Path) -> Path:
    """Return a folder if it is a cache, or else the cache in it.

    Raises
    ------
    ResultError
        If there is none.
    """
    for folder in (path, path / CACHE):
        if is_marked(folder) or next(_pieces(folder), None) is not None:
            return folder
    reason = "holds no cache of heatmaps-ome" if path.is_dir() else "is no folder"
    raise ResultError(f"{path} {reason}; give the folder of --cache-dir or of --output-path")


def inventory(cache: Path) -> list[StoredPiece]:
    """Return the pieces of a cache; folders that are none do not count."""
    used = pieces_in_use(cache)
    stored = (_stored(folder, used) for folder in _pieces(cache))
    return [piece for piece in stored if piece is not None]


def remove_pieces(cache: Path, pieces: Iterable[StoredPiece]) -> None:
    """Remove pieces, each in one step for other processes, and what dead processes left.

    Raises
    ------
    OutputError
        If one cannot be removed.
    """
    for piece in pieces:
        _remove(piece.folder)
    sweep(cache, FOREIGN_S)
    for folder in _pieces(cache):
        for path in leftovers(folder / PARTIAL, FOREIGN_S):
            with suppress(OSError):
                remove(path)


def discard(cache: Path, piece: Path) -> None:
    """Remove the folder of a piece that this process has done with, unless another one uses it.

    If it cannot be removed, that is logged: nothing depends on it.
    """
    if not is_used_by_others(cache, piece):
        try:
            _remove(piece)
        except OutputError as error:
            logger.warning("%s", error)


def _remove(piece: Path) -> None:
    """Remove the folder of a piece in one step for other processes, if it is there.

    Raises
    ------
    OutputError
        If it cannot be removed.
    """
    aside = piece.with_name(partial_name(piece.name))
    try:
        with suppress(FileNotFoundError):
            piece.rename(aside)
            remove(aside)
    except OSError as error:
        raise OutputError(
            f"{piece} cannot be removed ({error.strerror}); check its permissions"
        ) from error


def _pieces(cache: Path) -> Iterator[Path]:
    """Yield the folders of a cache's pieces."""
    for kind, files in _FILES_OF_KIND.items():
        try:
            folders = sorted((cache / kind).iterdir())
        except OSError:
            continue
        for folder in folders:
            if _KEY.fullmatch(folder.name) and _is_piece(folder, (RECORD, JOURNALS, *files)):
                yield folder


def _is_piece(folder: Path, files: tuple[str, ...]) -> bool:
    """Return whether a folder has a file that only pieces have."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    return any(next(folder.glob(name), None) is not None for name in files)


def _stored(folder: Path, used: set[str]) -> StoredPiece | None:
    """Return a piece, or None if it was removed meanwhile."""
    try:
        record = PieceRecord.read(folder)
    except (FileNotFoundError, DamagedPieceError):
        record = None
    facts = []
    for path in folder.rglob("*"):
        with suppress(OSError):
            if not path.is_dir():
                facts.append(path.lstat())
    try:
        marker = folder / RECORD
        last_use = (marker if marker.exists() else folder).stat().st_mtime
    except OSError:
        return None
    return StoredPiece(
        folder=folder,
        kind=folder.parent.name,
        slide=None if record is None else record.slide,
        fingerprint=None if record is None else record.fingerprint,
        n_files=len(facts),
        size=sum(fact.st_size for fact in facts),
        shared=sum(fact.st_size for fact in facts if fact.st_nlink > 1),
        last_use=last_use,
        in_use=f"{folder.parent.name}/{folder.name}" in used,
    )
