"""Pieces of the cache: folders of one key, verified when they are read and healed when damaged.

A `WholePiece` is written to a partial folder that takes its place when complete. The files of a
`GrowingPiece` are added one by one, by several processes at once. Neither gives a byte that it has
not compared with a checksum.
"""

from __future__ import annotations

import logging
import os
import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from heatmaps_ome.errors import HeatmapsError
from heatmaps_ome.storage.cache import Key, folder_of
from heatmaps_ome.storage.cache_users import is_first_report, leftovers, partial_name, use
from heatmaps_ome.storage.checksums import Journals, checksum
from heatmaps_ome.storage.disk import disk_error
from heatmaps_ome.storage.owners import owner_of_this_process
from heatmaps_ome.storage.records import RECORD, DamagedPieceError, PieceRecord
from heatmaps_ome.storage.removal import remove

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from heatmaps_ome.errors import OutputError

logger = logging.getLogger(__name__)

ATTEMPTS: Final = 5
"""Number of times that something is made anew when other processes remove or replace it."""
JOURNALS: Final = "checksums"
PARTIAL: Final = "partial"
"""Folders of a piece that grows: its journals, and files that are being written."""
_OF_THE_SYSTEM: Final = (".DS_Store", "Thumbs.db", "desktop.ini")
_OF_NFS: Final = ".nfs"
"""Files that file managers and NFS put into any folder begin with this, or have those names."""


class Piece:
    """A folder of the cache.

    Parameters
    ----------
    slide : str
        The slide's name, for lists of the cache.

    Attributes
    ----------
    folder : Path
    """

    def __init__(self, cache: Path, key: Key, slide: str) -> None:
        self.folder = folder_of(cache, key)
        self._record = PieceRecord.of_key(key, self.folder, slide)
        self._cache = cache
        use(cache, self.folder)

    def warn(self, damage: DamagedPieceError | str) -> None:
        """Report damage, once in a run."""
        if is_first_report(self._cache, self.folder):
            logger.warning("the cache's %s is damaged (%s) and is made anew", self.folder, damage)

    def error(self, error: OSError) -> OutputError:
        """Return an error of writing the piece as a sentence."""
        return disk_error(self.folder, error, "--cache-dir")

    def _touch(self) -> None:
        """Note that the piece is used now: the record's time is that of the last use."""
        with suppress(OSError):
            os.utime(self.folder / RECORD)

    def _set_aside(self) -> None:
        """Remove the piece's folder, in one step for other processes."""
        aside = self.folder.with_name(partial_name(self.folder.name))
        try:
            self.folder.rename(aside)
        except FileNotFoundError:
            return
        with suppress(OSError):
            remove(aside)

    def _require_kind(self) -> None:
        """Make the folder of the kind; a file in its place keeps its content under another name."""
        kind = self.folder.parent
        if kind.exists() and not kind.is_dir():
            unique = partial_name().removesuffix(".partial")
            kind.rename(kind.with_name(f"{kind.name}.file-{unique}"))
        kind.mkdir(parents=True, exist_ok=True)


class WholePiece(Piece):
    """A piece that is complete or absent."""

    def is_intact(self) -> bool:
        """Return whether the piece is there, and all its files are as they were written.

        Damage is reported.
        """
        return self._is_read(self._require_intact)

    def copy_to(self, target: Path) -> bool:
        """Copy the piece's files to a new folder; return whether the piece is there and intact."""
        return self._is_read(lambda: self._copy(target))

    def _is_read(self, read: Callable[[], None]) -> bool:
        """Return whether reading the piece finds it there and intact; damage is reported."""
        for is_last in (False, True):
            try:
                read()
            except DamagedPieceError as damage:
                if not os.path.lexists(self.folder):
                    return False
                # Another process may have replaced it meanwhile.
                if is_last:
                    self.warn(damage)
            else:
                self._touch()
                return True
        return False

    def _require_intact(self) -> None:
        """Verify all files; DamagedPieceError if any is not as it was written."""
        files = self._own_record().files
        for name, content in files.items():
            _verified(self.folder, name, content)
        self._require_no_more(files)

    def _copy(self, target: Path) -> None:
        """Copy all files to a new folder; if any is damaged, remove that again."""
        files = self._own_record().files
        target.mkdir()
        try:
            for name, content in files.items():
                (target / name).write_bytes(_verified(self.folder, name, content))
        except DamagedPieceError:
            shutil.rmtree(target)
            raise

    def write(self, write: Callable[[Path], object]) -> None:
        """Write the piece, in the place of an earlier one.

        Parameters
        ----------
        write : callable
            Called with a temporary folder, which is empty.

        Raises
        ------
        OutputError
            If the disk cannot be written.
        """
        partial = self.folder.with_name(partial_name(self.folder.name))
        try:
            self._require_kind()
            partial.mkdir()
            write(partial)
            files = {name: _content((partial / name).read_bytes()) for name in _files(partial)}
            (partial / RECORD).write_bytes(replace(self._record, files=files).text())
            self._put_in_place(partial)
        except HeatmapsError:
            raise
        except OSError as error:
            raise self.error(error) from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def _put_in_place(self, partial: Path) -> None:
        """Replace the piece by a complete folder."""
        for attempt in range(ATTEMPTS):
            try:
                partial.rename(self.folder)
            except OSError:
                if attempt == ATTEMPTS - 1 or not os.path.lexists(self.folder):
                    raise
                self._set_aside()
            else:
                return

    def _own_record(self) -> PieceRecord:
        """Return the record in the folder; DamagedPieceError if it is missing or another's."""
        try:
            record = PieceRecord.read(self.folder)
        except FileNotFoundError as error:
            raise DamagedPieceError(f"{RECORD} is missing") from error
        if not record.is_of(self._record):
            raise DamagedPieceError("it is another piece of the cache")
        return record

    def _require_no_more(self, files: Mapping[str, tuple[int, int]]) -> None:
        """Refuse files that were not written with the piece: zarr would read them."""
        for name in _files(self.folder):
            base = name.rpartition("/")[2]
            of_others = base in _OF_THE_SYSTEM or base.startswith(_OF_NFS)
            if name != RECORD and name not in files and not of_others:
                raise DamagedPieceError(f"{name} is no part of it")


class GrowingPiece(Piece):
    """A piece whose files are added one by one, by several processes at once.

    Raises
    ------
    OutputError
        If the disk cannot be written.
    """

    def __init__(self, cache: Path, key: Key, slide: str) -> None:
        super().__init__(cache, key, slide)
        self._journals = self._opened_journals()
        self._begin()

    def was_written(self, name: str) -> bool:
        """Return whether a file was put in its place, whether or not it still lies there."""
        return self._journals.was_written(name)

    def read(self, name: str, *, required: bool = False) -> bytes | None:
        """Return a file, or None if it was never written.

        Parameters
        ----------
        required : bool
            Whether the file must have been written.

        Raises
        ------
        DamagedPieceError
            If it is damaged, or was removed.
        """
        try:
            data = (self.folder / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError) as error:
            if required or self.was_written(name):
                raise DamagedPieceError(f"{name} is missing") from error
            return None
        except OSError as error:
            raise DamagedPieceError(f"{name}: {error.strerror}") from error
        if not self._journals.is_valid(name, data):
            raise DamagedPieceError(f"{name} is not as it was written")
        return data

    def write(self, name: str, data: bytes) -> None:
        """Put a file in its place, whatever lies there.

        Raises
        ------
        OutputError
            If the disk cannot be written.
        """
        for attempt in range(ATTEMPTS):
            try:
                self._journals.begin(name, data)
                self._put(name, data)
                self._journals.finish(name, data)
            except OSError as error:
                # What was missing may be there again: another thread makes it anew as well.
                again = self._cleared(name) or isinstance(error, FileNotFoundError)
                if attempt == ATTEMPTS - 1 or not again:
                    raise self.error(error) from error
            else:
                return

    def _put(self, name: str, data: bytes) -> None:
        """Write a file under another name and rename it."""
        partial, target = self.folder / PARTIAL / partial_name(), self.folder / name
        partial.parent.mkdir(exist_ok=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            partial.write_bytes(data)
            partial.replace(target)
        except OSError:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            raise

    def _cleared(self, name: str) -> bool:
        """Remove what is in the way of a file; return whether writing it may be tried again."""
        if not self.folder.is_dir():
            # Another process removed the piece, or something else lies there.
            self._begin()
            return True
        own_journal = f"{JOURNALS}/{owner_of_this_process().label}"
        hindrances = [
            path
            for wanted in (name, own_journal, f"{PARTIAL}/x")
            for path in _hindrances(self.folder, wanted)
        ]
        for path in hindrances:
            remove(path)
        parents = [self.folder / name, self.folder / own_journal]
        return bool(hindrances) or not all(path.parent.is_dir() for path in parents)

    def _begin(self) -> None:
        """Make the folder with its record, or check those that are there."""
        for attempt in range(ATTEMPTS):
            try:
                self._require_kind()
                self._require_record()
            except OSError as error:
                # Another process may remove the folder meanwhile.
                if attempt == ATTEMPTS - 1 or not isinstance(error, FileNotFoundError):
                    raise self.error(error) from error
            else:
                break
        for path in leftovers(self.folder / PARTIAL):
            with suppress(OSError):
                remove(path)
        self._touch()

    def _require_record(self) -> None:
        """Write the record, and what goes with a new one, unless it is there and right."""
        try:
            record = self._read_record()
            if record is not None and not record.is_of(self._record):
                self.warn("it is another piece of the cache")
                self._set_aside()
                record = None
        except DamagedPieceError as damage:
            self.warn(damage)
            record = None
        if record is None:
            self._write_record()
            self._journals = self._opened_journals()
        elif self._journals.has_damage:
            self.warn("a checksum is damaged")
            with suppress(OSError):
                self._journals.mend()

    def _read_record(self) -> PieceRecord | None:
        """Return the record in the folder, or None if it is new."""
        try:
            return PieceRecord.read(self.folder)
        except FileNotFoundError as error:
            # The record is written first.
            if (self.folder / JOURNALS).exists():
                raise DamagedPieceError(f"{RECORD} is missing") from error
            return None

    def _write_record(self) -> None:
        """Write the record into the folder, which is made if need be."""
        if not _is_usable(self.folder):
            self._set_aside()
        self.folder.mkdir(exist_ok=True)
        if (self.folder / RECORD).is_dir():
            remove(self.folder / RECORD)
        for path in _hindrances(self.folder, f"{PARTIAL}/x"):
            remove(path)
        self._put(RECORD, self._record.text())

    def _opened_journals(self) -> Journals:
        label = owner_of_this_process().label
        return Journals(self.folder / JOURNALS, self.folder.name, label)


def _verified(folder: Path, name: str, content: tuple[int, int]) -> bytes:
    """Return a file of a folder; DamagedPieceError if its content is not as it was."""
    try:
        data = (folder / name).read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DamagedPieceError(f"{name} is missing") from error
    except OSError as error:
        raise DamagedPieceError(f"{name}: {error.strerror}") from error
    if _content(data) != content:
        raise DamagedPieceError(f"{name} is not as it was written")
    return data


def _content(data: bytes) -> tuple[int, int]:
    return len(data), checksum(data)


def _files(folder: Path) -> Iterator[str]:
    """Yield the paths of all files below a folder, relative to it; others than folders count."""
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_dir():
            yield path.relative_to(folder).as_posix()


def _hindrances(folder: Path, name: str) -> Iterator[Path]:
    """Yield what lies in the place of a file, or of a folder above it, but is of another kind."""
    *parents, base = Path(name).parts
    place = folder
    for part in parents:
        place /= part
        if os.path.lexists(place) and not place.is_dir():
            yield place
            return
    if (place / base).is_dir():
        yield place / base


def _is_usable(folder: Path) -> bool:
    """Return whether there is no folder, or one whose files can be listed and replaced."""
    if not os.path.lexists(folder):
        return True
    return folder.is_dir() and os.access(folder, os.R_OK | os.W_OK | os.X_OK)
