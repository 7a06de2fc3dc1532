"""The folder of a slide's results, which is complete or absent."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from heatmaps_ome.errors import OutputError, ResultError

if TYPE_CHECKING:
    from pathlib import Path

PROVENANCE = "provenance.json"
VIEWERS = "viewers"
"""Folder of a run with the viewers' files; no slide's results may have its name."""


@dataclass(frozen=True)
class ResultFolder:
    """The folder of one slide's results.

    Attributes
    ----------
    output : Path
        The run's folder.
    name : str
        The slide's name.
    """

    output: Path
    name: str

    @property
    def path(self) -> Path:
        """The folder of the finished results."""
        return self.output / self.name

    @property
    def partial(self) -> Path:
        """The folder that results are written to before they are complete."""
        return self.output / f".{self.name}.partial"

    def provenance(self) -> dict[str, Any] | None:
        """Return the provenance of the finished results, or None if there are none.

        Raises
        ------
        ResultError
            If the folder is there but was not written by heatmaps-ome.
        """
        if not self.path.exists():
            return None
        try:
            return json.loads((self.path / PROVENANCE).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ResultError(
                f"{self.path} exists but holds no results of heatmaps-ome; move it away or choose "
                "another --output-path"
            ) from error

    def start(self) -> Path:
        """Return an empty folder to write results to.

        Raises
        ------
        OutputError
            If the folder cannot be made.
        """
        try:
            if self.partial.exists():
                shutil.rmtree(self.partial)
            self.partial.mkdir(parents=True)
        except OSError as error:
            raise OutputError(
                f"{self.partial} cannot be made ({error.strerror}); check --output-path"
            ) from error
        return self.partial

    def finish(self) -> None:
        """Replace earlier results by the finished folder."""
        old = self.output / f".{self.name}.old"
        if old.exists():
            shutil.rmtree(old)
        if self.path.exists():
            self.path.rename(old)
        self.partial.rename(self.path)
        if old.exists():
            shutil.rmtree(old)

    def abandon(self) -> None:
        """Remove the unfinished folder."""
        shutil.rmtree(self.partial, ignore_errors=True)


def require_writable(output: Path) -> None:
    """Refuse an output folder that cannot be written.

    Raises
    ------
    OutputError
        If it cannot be written; states the reason.
    """
    probe = output / ".writable"
    try:
        output.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OutputError(
            f"{output} cannot be written to ({error.strerror}); choose another --output-path"
        ) from error
