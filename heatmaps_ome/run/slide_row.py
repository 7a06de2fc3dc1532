"""A slide that a run is asked to do, with the facts that a table gives of it."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from heatmaps_ome.slides.paths import slide_identity
from heatmaps_ome.storage.remote.urls import public, url_of

if TYPE_CHECKING:
    from collections.abc import Mapping

_HOPELESS = (errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL)
_SHORT = 120


@dataclass(frozen=True)
class SlideRow:
    """A slide of the command line, of a list or of a table.

    Attributes
    ----------
    path : Path
        The slide's file, or a DICOM slide's folder; a URL as a path, without its signature. A row
        without a usable path has its ``origin`` here, or a text for people without control
        characters.
    name : str or None
        Name of its results; None: the stem of the file.
    mpp : float or None
        µm per level-0 pixel, which counts more than the slide's own.
    label : str or None
        Ground truth.
    features, scores : Path or None
        Files of its tiles' features and scores.
    covariates : mapping of str to str
        The table's other columns, as it has them but for spaces around; without empty cells, unless
        two columns differ by the case of their names alone.
    url : str
        The slide's URL, with its signature; "" for a file on a disk.
    origin : str
        Where the facts are from, such as "cohort.csv, line 3"; "" for the command line.
    problem : str
        The reason, in a sentence, why the slide cannot be done; "" if there is none.
    """

    path: Path
    name: str | None = None
    mpp: float | None = None
    label: str | None = None
    features: Path | None = None
    scores: Path | None = None
    covariates: Mapping[str, str] = field(default_factory=dict)
    url: str = ""
    origin: str = ""
    problem: str = ""

    @property
    def identity(self) -> str:
        """The same for all paths that lead to one slide."""
        if self.url:
            return public(self.url)
        return slide_identity(self.path) if is_probable(os.fspath(self.path)) else str(self.path)


def is_probable(text: str) -> bool:
    """Return whether a file system can be asked for a path: no NUL, not over 4,096 bytes."""
    return "\0" not in text and len(text.encode("utf-8", "surrogateescape")) < 4096


def path_problem(text: str) -> str:
    """Return the reason why a text is no path of a slide, as a predicate; "" if it may be one."""
    if "\0" in text:
        return "holds a NUL character, which no path can; write the list anew as text"
    if not is_probable(text):
        return "is longer than a path may be; check the line"
    if url_of(text) is not None:
        return "is a URL, and files of tiles are read from disks; download it"
    try:
        Path(text).stat()
    except OSError as error:
        # A missing file is for the reader of slides to refuse.
        if error.errno in _HOPELESS:
            return f"cannot be a slide ({error.strerror}); check the path"
    return ""


def for_people(text: str) -> str:
    """Return a text of a file for a message: short, and without control characters."""
    shortened = text if len(text) <= _SHORT else f"{text[:_SHORT]}…"
    return "".join(
        character if character.isprintable() else ascii(character)[1:-1] for character in shortened
    )
