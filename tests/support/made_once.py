"""Results that take long to make and that no test changes, made once for all processes."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from filelock import FileLock

from heatmaps_ome.cli.main import main
from heatmaps_ome.demo.fiducials import make_fiducials
from heatmaps_ome.options import DemoOptions

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """Return the folder that ``make`` filled, in this process or in another of the same run.

    Results hold the absolute paths of their slides, so they are made in place; a file beside the
    folder tells that it is complete.
    """
    base = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    folder, complete = base / name, base / f"{name}.complete"
    with FileLock(base / f"{name}.lock"):
        if not complete.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            complete.touch()
    return folder


def demo_run(factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the demo's run."""

    def make(folder: Path) -> None:
        assert main(["demo", "--output-path", str(folder)]) == 0

    return made_once(factory, "shared-demo", make)


def fiducials_run(factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """Return the table of the demo's landmarks, as it was printed first, and their folder."""

    def make(folder: Path) -> None:
        table = make_fiducials(DemoOptions(output_path=folder / "out", fiducials=True))
        (folder / "table.txt").write_text(table, encoding="utf-8")

    folder = made_once(factory, "shared-fiducials", make)
    return (folder / "table.txt").read_text(encoding="utf-8"), folder / "out"
