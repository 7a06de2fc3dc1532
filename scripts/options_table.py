#!/usr/bin/env python3
"""Print the options of a command as the Markdown table in heatmaps_ome/options/README.md.

``scripts/options_table.py --write`` writes it to the file.
"""

from __future__ import annotations

from dataclasses import Field, fields
from pathlib import Path

from readme_table import print_or_write

from heatmaps_ome.options import GROUPS, CreateOptions, default_note

README = Path(__file__).parents[1] / "heatmaps_ome" / "options" / "README.md"
BEGIN, END = "<!-- options: begin -->", "<!-- options: end -->"


def table() -> str:
    """Return the table of ``heatmaps-ome create``."""
    lines = []
    for group, title in GROUPS.items():
        rows = [_row(field) for field in fields(CreateOptions) if field.metadata["group"] == group]
        if rows:
            lines += ["", f"**{group}**: {title}", "", "| option | meaning |", "|---|---|", *rows]
    return "\n".join(lines).strip()


def _row(field: Field) -> str:
    """Return an option's row."""
    metadata = field.metadata
    flags = metadata.get("args", [f"--{field.name.replace('_', '-')}"])
    value = "" if field.type is bool else " " + metadata.get("metavar", field.name.upper())
    if not flags[0].startswith("-"):
        flags, value = [metadata["metavar"] + " …"], ""
    names = ", ".join(f"`{flag}{value}`" for flag in flags)
    return f"| {names} | {metadata['help'].replace('%%', '%')}{default_note(field, '`')} |"


if __name__ == "__main__":
    print_or_write(table(), README, BEGIN, END)
