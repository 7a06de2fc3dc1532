#!/usr/bin/env python3
"""What the container runs: a command of heatmaps-ome, or the command line of create_heatmaps.py.

``docker run IMAGE info /wsis/a.svs`` is ``heatmaps-ome info /wsis/a.svs``, and so for all commands.
All else is a command line of create_heatmaps.py, with the mounted model and output folder unless it
names others. Folders that are not mounted, or cannot be written, are reported before anything runs.
"""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import create_heatmaps

if TYPE_CHECKING:
    from collections.abc import Iterator

MODEL = "/model/export.pkl"
OUTPUT = "/output"
CACHE = "/cache"
PROG = "create_heatmaps.py"
ASKING = frozenset({"-h", "--help", "--version"})
READING = frozenset({"info", "validate", "view", "share", "compare", "convert-model"})
"""Commands that take results from /output, which may be mounted for reading only."""


@dataclass(frozen=True)
class Place:
    """A folder that the user mounts.

    Attributes
    ----------
    path : str
        In the container.
    holds : str
        Its content.
    is_written : bool
        Whether the program writes there.
    """

    path: str
    holds: str
    is_written: bool

    @property
    def option(self) -> str:
        """The option of docker that mounts it."""
        return f"-v /path/to/{self.path[1:]}:{self.path}{'' if self.is_written else ':ro'}"


PLACES = (
    Place("/model", "the model, export.pkl", is_written=False),
    Place("/wsis", "the slides", is_written=False),
    Place(OUTPUT, "the results", is_written=True),
    Place(CACHE, "the cache", is_written=True),
)


@dataclass(frozen=True)
class Container:
    """The container as this process sees it.

    Attributes
    ----------
    root : Path
        The root of its files.
    mountinfo : Path
        The list of its mounts: see proc_pid_mountinfo(5).
    """

    root: Path = Path("/")
    mountinfo: Path = Path("/proc/self/mountinfo")

    def problem(self, place: Place, path: PurePosixPath, is_writing: bool = True) -> str | None:
        """Return a sentence about a path that cannot be used, with its remedy; None: it can be.

        Parameters
        ----------
        path : PurePosixPath
            In the place, or the place itself.
        is_writing : bool
            Whether the command writes to places for results.
        """
        if not (place.is_written and is_writing):
            return self._reading_problem(place)
        if not self.has_mount(place.path, path):
            return (
                f"nothing is mounted at {place.path}, and {place.holds} would be lost with the "
                f"container; add {place.option} to docker run"
            )
        return self._writing_problem(path)

    def has_mount(self, place: str, path: PurePosixPath) -> bool:
        """Return whether a path lies on something that is mounted in a place."""
        try:
            lines = self.mountinfo.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return True  # no Linux, and so no container
        mounts = [PurePosixPath(line.split()[4]) for line in lines if len(line.split()) > 4]
        return any(mount.is_relative_to(place) and path.is_relative_to(mount) for mount in mounts)

    def _reading_problem(self, place: Place) -> str | None:
        folder = self._inside(place.path)
        try:
            is_empty = not any(folder.iterdir())
        except FileNotFoundError:
            is_empty = True
        except OSError as error:
            return f"{place.path} cannot be read ({error.strerror}) {_by_this_user(folder)}"
        if not is_empty:
            return None
        if self.has_mount(place.path, PurePosixPath(place.path)):
            return (
                f"{place.path} is empty, and {place.holds} should be there; check the path in "
                f"{place.option}, which is one of the machine that docker runs on"
            )
        return (
            f"nothing is mounted at {place.path}, where {place.holds} should be; add "
            f"{place.option} to docker run"
        )

    def _writing_problem(self, path: PurePosixPath) -> str | None:
        folder = self._inside(path)
        while not folder.is_dir():
            folder = folder.parent
        try:
            # A trial: access(2) does not know what a network's file system allows.
            with tempfile.TemporaryFile(dir=folder):
                return None
        except OSError as error:
            return f"{path} cannot be written ({error.strerror}) {_by_this_user(folder)}"

    def _inside(self, path: str | PurePosixPath) -> Path:
        return self.root / PurePosixPath(path).relative_to("/")


def _by_this_user(folder: Path) -> str:
    """Return this user, the owner of a folder, and the remedy."""
    own = f"{os.geteuid()}:{os.getegid()}"
    try:
        facts = folder.stat()
    except OSError:
        return f"by user {own}; mount a folder that this user may use"
    owner = f"{facts.st_uid}:{facts.st_gid}"
    remedy = (
        "is it mounted with :ro, or is its disk read-only?"
        if facts.st_uid == os.geteuid()
        else f"run as its owner with --user {owner}, or mount a folder of {own}"
    )
    return f"by user {own}; it belongs to {owner}: {remedy}"


def named_paths(words: list[str]) -> Iterator[tuple[Place, PurePosixPath]]:
    """Yield the places that a command line names, each with the first path in it."""
    paths = [PurePosixPath(word.partition("=")[2] if word[:1] == "-" else word) for word in words]
    for place in PLACES:
        yield from [(place, path) for path in paths if path.is_relative_to(place.path)][:1]


def temporary_problem() -> str | None:
    """Return a sentence about the lack of a folder for temporary files; None: there is one."""
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        return "/tmp cannot be written, as the container's files are read-only; add --tmpfs /tmp"
    return None


def with_defaults(words: list[str], has_cache: bool) -> list[str]:
    """Return a command line of create_heatmaps.py with the places of a container.

    Parameters
    ----------
    has_cache : bool
        Whether a folder is mounted for the cache; otherwise it lies in the output folder.
    """
    defaults = ["--model-path", MODEL, "--output-path", OUTPUT]
    return [*defaults, *(["--cache-dir", CACHE] if has_cache else []), *words]


def main() -> int:
    """Run the command."""
    from heatmaps_ome.cli import main as cli

    cli.use_utf8()
    words, container = sys.argv[1:], Container()
    is_command = set(words) <= ASKING or words[0] in cli.COMMANDS
    if not is_command:
        has_cache = container.has_mount(CACHE, PurePosixPath(CACHE))
        words = with_defaults(words, has_cache)
    if not ASKING & set(words):
        is_writing = words[0] not in READING
        problems = [container.problem(*named, is_writing) for named in named_paths(words)]
        problems = [problem for problem in (*problems, temporary_problem()) if problem is not None]
        if problems:
            sys.stderr.write("".join(f"heatmaps-ome: {problem}\n" for problem in problems))
            return 1
    if is_command:
        return cli.main(words)
    return cli.guarded(lambda: cli.create(create_heatmaps.translated(words), PROG))


if __name__ == "__main__":
    sys.exit(main())
