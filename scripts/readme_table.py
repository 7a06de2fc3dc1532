"""Prints a table that a README has between two comments, or writes it there."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def print_or_write(table: str, readme: Path, begin: str, end: str) -> None:
    """Print a table, or write it between the comments of a README if ``--write`` is asked for."""
    if sys.argv[1:] != ["--write"]:
        print(table)
        return
    before, rest = readme.read_text(encoding="utf-8").split(begin)
    after = rest.split(end)[1]
    readme.write_text(f"{before}{begin}\n{table}\n{end}{after}", encoding="utf-8")
