#!/usr/bin/env python3
"""Prints the dependencies that a pyproject.toml lists, a line each, with those of some extras.

``list_dependencies.py pyproject.toml cloud,parquet``: an image installs them before the code, which
changes more often.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path


def dependencies(path: Path, extras: list[str]) -> list[str]:
    """Return the dependencies of a project with some of its extras.

    Raises
    ------
    KeyError
        If there is no such extra.
    """
    project = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
    optional = project["optional-dependencies"]
    return [*project["dependencies"], *(line for name in extras for line in optional[name])]


if __name__ == "__main__":
    names = [name for name in sys.argv[2].split(",") if name]
    sys.stdout.write("".join(f"{line}\n" for line in dependencies(Path(sys.argv[1]), names)))
