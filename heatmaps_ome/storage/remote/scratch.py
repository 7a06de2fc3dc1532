"""A folder for slides from elsewhere, of bounded size: bytes count before they are written."""

from __future__ import annotations

import logging
import shutil
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from heatmaps_ome.errors import OutputError, RemoteError
from heatmaps_ome.storage.disk import bytes_text, disk_error
from heatmaps_ome.storage.private import left_over, private_path, remove

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

logger = logging.getLogger(__name__)

OPTION: Final = "--scratch"
SUFFIX: Final = "scratch"


@dataclass(eq=False)
class Held:
    """Room in scratch for one slide.

    Attributes
    ----------
    folder : Path
        For its files; made by who fills it.
    size : int
        Bytes.
    users : int
        The number of those that work with it; without any, its room is given to others in need.
    is_ahead : bool
        Whether it waits for its first use.
    order : int
        Higher for those released later.
    """

    folder: Path
    size: int
    users: int = 1
    is_ahead: bool = False
    order: int = 0


class Scratch:
    """The room of this process in a folder; several threads may ask at once.

    Slides that nobody uses stay as long as their room is not needed, as drawing may need them
    again. Then the one used last goes first: passes take slides in the same order, so that the
    next pass needs the others earlier.

    Parameters
    ----------
    place : Path
        The folder in which a hidden folder of this process is made.
    bound : int or None
        Bytes; None: half of what is free on the disk.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """

    def __init__(self, place: Path, bound: int | None = None) -> None:
        try:
            place.mkdir(parents=True, exist_ok=True)
            for old in left_over(place, SUFFIX):
                logger.info("%s was left by a run that was stopped, and is removed", old)
                remove(old)
            self.folder = private_path(place / "heatmaps-ome", SUFFIX)
            self.folder.mkdir()
            self.bound = shutil.disk_usage(place).free // 2 if bound is None else bound
        except OSError as error:
            raise disk_error(place, error, OPTION) from error
        self._held: list[Held] = []
        self._changed = threading.Condition()
        self._order = 0

    @property
    def taken(self) -> int:
        """Bytes that are written, or may be."""
        return sum(held.size for held in self._held)

    def hold(
        self,
        size: int,
        name: str,
        is_stopped: Callable[[], bool] = lambda: False,
        *,
        is_urgent: bool = True,
    ) -> Held | None:
        """Return room for a slide, waiting for others to free some; None if it was stopped.

        Parameters
        ----------
        size : int
            Bytes of its files.
        name : str
            Its name in messages.
        is_urgent : bool
            Whether it is needed now; else slides that wait for their first use stay.

        Raises
        ------
        RemoteError
            If the slide is larger than the whole.
        OutputError
            If the disk has not that much room.
        """
        if size > self.bound:
            raise RemoteError(
                f"{name} has {bytes_text(size)}, and scratch may hold {bytes_text(self.bound)}; "
                f"give more with --scratch-size, or another disk with {OPTION}"
            )
        with self._changed:
            while not self._has_room(size, is_urgent):
                if is_stopped():
                    return None
                self._changed.wait(0.2)
            self._require_free(size, name)
            self._order += 1
            held = Held(self.folder / f"{self._order}", size)
            self._held.append(held)
            return held

    def has(self, held: Held) -> bool:
        """Return whether a slide's files are there, or will be."""
        with self._changed:
            return held in self._held

    def reuse(self, held: Held) -> bool:
        """Take a slide that is there; False if its room was given away."""
        with self._changed:
            if held not in self._held:
                return False
            held.users, held.is_ahead = held.users + 1, False
            return True

    def release(self, held: Held, *, is_ahead: bool = False) -> None:
        """Leave a slide's files until their room is needed.

        Parameters
        ----------
        is_ahead : bool
            Whether it waits for its first use.
        """
        with self._changed:
            self._order += 1
            held.users, held.order, held.is_ahead = held.users - 1, self._order, is_ahead
            self._changed.notify_all()

    def drop(self, held: Held) -> None:
        """Remove a slide's files now."""
        with self._changed:
            self._drop(held)
            self._changed.notify_all()

    def close(self) -> None:
        """Remove everything."""
        with self._changed:
            self._held.clear()
            remove(self.folder)

    def _has_room(self, size: int, is_urgent: bool) -> bool:
        """Return whether a size fits, after removing what nobody uses; the lock is held."""
        while self.taken + size > self.bound:
            idle = [held for held in self._held if held.users == 0]
            given = [held for held in idle if is_urgent or not held.is_ahead]
            if not given:
                return False
            self._drop(max(given, key=lambda held: (not held.is_ahead, held.order)))
        return True

    def _require_free(self, size: int, name: str) -> None:
        """Refuse a size that the disk has no room for."""
        free = shutil.disk_usage(self.folder).free
        if free < size:
            raise OutputError(
                f"{self.folder.parent} has no room for {name}: {bytes_text(size)} are needed and "
                f"{bytes_text(free)} are free; free some, or choose another disk with {OPTION}"
            )

    def _drop(self, held: Held) -> None:
        """Remove a slide's files; the lock is held."""
        remove(held.folder)
        with suppress(ValueError):
            self._held.remove(held)
