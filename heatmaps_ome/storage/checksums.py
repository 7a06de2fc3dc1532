"""Checksums of cached files, in journals that several processes write at the same time.

A piece of the cache that grows has a folder of journals, one for each process that wrote to it. A
file's checksum is appended before the file is put in its place, and once more afterwards. So a file
without a checksum is damaged, and a file that is missing after the second entry was removed.
Entries are bound to the piece and to the file's name: a file that lies in another's place, or a
journal of another piece, does not pass.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from isal import isal_zlib

from heatmaps_ome.storage.owners import Owner
from heatmaps_ome.storage.removal import remove

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_BEGUN: Final = "begun"
_DONE: Final = "done"


def checksum(data: bytes | memoryview, start: int = 0) -> int:
    """Return the CRC-32 of bytes, which continues ``start``; isal takes 0.1 ms for a MB."""
    return isal_zlib.crc32(data, start)


@dataclass(frozen=True)
class _Entry:
    """A line of a journal.

    Attributes
    ----------
    state : str
        Whether the file was about to be put in its place, or lies there.
    """

    state: str
    size: int
    crc: int
    name: str

    def line(self, piece: str) -> bytes:
        """Return the line with a seal; blank lines keep it apart from one that was cut."""
        text = f"{self.state} {self.size} {self.crc:08x} {self.name}"
        return f"\n{_seal(piece, text)} {text}\n".encode()

    @classmethod
    def of_line(cls, line: bytes, piece: str) -> _Entry | None:
        """Return the entry of a line; None if it is damaged or another piece's."""
        seal, _, text = line.decode("utf-8", "replace").partition(" ")
        if seal != _seal(piece, text):
            return None
        state, size, crc, name = text.split(" ", 3)
        return cls(state, int(size), int(crc, 16), name)


class Journals:
    """The checksums of a piece's files.

    Parameters
    ----------
    folder : Path
        Folder of the journals; made by the first entry.
    piece : str
        Name of the piece that entries are bound to.
    writer : str
        Name of this process's own journal.
    """

    def __init__(self, folder: Path, piece: str, writer: str) -> None:
        self._folder, self._piece, self._writer = folder, piece, writer
        self._lock = threading.Lock()
        self._valid: dict[str, set[tuple[int, int]]] = {}
        self._done: set[str] = set()
        self._damaged: set[Path] = set()
        self.reload()

    @property
    def has_damage(self) -> bool:
        """Whether an entry is damaged, or another piece's."""
        return bool(self._damaged)

    def reload(self) -> None:
        """Read the entries of all processes."""
        with self._lock:
            self._damaged = set()
            for journal in _journals(self._folder):
                for entry in self._entries(journal):
                    self._note(entry)

    def mend(self) -> None:
        """Drop the damaged entries of this process, and of processes that have ended.

        Raises
        ------
        OSError
            If a journal cannot be written.
        """
        for journal in sorted(self._damaged):
            if journal.name != self._writer and not _has_ended(journal.name):
                continue
            text = b"".join(entry.line(self._piece) for entry in self._entries(journal))
            remove(journal)
            if text:
                journal.write_bytes(text)
        self.reload()

    def _entries(self, journal: Path) -> Iterator[_Entry]:
        """Yield the entries of a journal, noting whether any are damaged."""
        try:
            lines = [line for line in journal.read_bytes().split(b"\n") if line]
        except FileNotFoundError:
            return
        except OSError:
            lines = [b""]
        entries = [_Entry.of_line(line, self._piece) for line in lines]
        if None in entries:
            self._damaged.add(journal)
        yield from (entry for entry in entries if entry is not None)

    def is_valid(self, name: str, data: bytes) -> bool:
        """Return whether a file has the content that some process gave it."""
        content = len(data), checksum(data)
        if content not in self._valid.get(name, ()):
            # Another process may have written it since.
            self.reload()
        return content in self._valid.get(name, ())

    def was_written(self, name: str) -> bool:
        """Return whether a file was put in its place, whether or not it still lies there."""
        return name in self._done

    def begin(self, name: str, data: bytes) -> None:
        """Note the content that a file is about to have.

        Raises
        ------
        OSError
            If the journal cannot be written.
        """
        self._append(_Entry(_BEGUN, len(data), checksum(data), name))

    def finish(self, name: str, data: bytes) -> None:
        """Note that a file lies in its place; raises as `begin` does."""
        self._append(_Entry(_DONE, len(data), checksum(data), name))

    def _append(self, entry: _Entry) -> None:
        """Add an entry to this process's journal."""
        self._folder.mkdir(parents=True, exist_ok=True)
        # Opened anew each time: the piece may have been removed and begun again.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        journal = os.open(self._folder / self._writer, flags, 0o666)
        try:
            os.write(journal, entry.line(self._piece))
        finally:
            os.close(journal)
        with self._lock:
            self._note(entry)

    def _note(self, entry: _Entry) -> None:
        self._valid.setdefault(entry.name, set()).add((entry.size, entry.crc))
        if entry.state == _DONE:
            self._done.add(entry.name)


def _seal(piece: str, text: str) -> str:
    """Return the checksum of an entry."""
    return f"{checksum(f'{piece} {text}'.encode()):08x}"


def _journals(folder: Path) -> list[Path]:
    """Return the journals in a folder."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _has_ended(label: str) -> bool:
    """Return whether the process with a label has ended, or no process can have it."""
    try:
        return Owner.from_label(label).is_alive() is False
    except ValueError:
        return True
