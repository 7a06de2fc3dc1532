"""Writes a file of the report: the page, with its data in blocks that it parses when needed."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from heatmaps_ome.storage.private import replacing
from heatmaps_ome.viewers.report.fitting import text_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from heatmaps_ome.viewers.report.assets import Page
    from heatmaps_ome.viewers.report.reported import RunFacts


def write_document(path: Path, page: Page, blocks: Iterable[str]) -> None:
    """Write a page with its data, replacing the file as a whole.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="\n") as file:
        file.write(page.before)
        file.writelines(blocks)
        file.write(page.after)


def block(name: str, text: str) -> str:
    """Return data as a block of the page that is parsed only when the page needs it."""
    return f'<script type="application/json" id="{name}">{text}</script>\n'


def run_block(run: RunFacts, rows: list[dict[str, Any]], **more: Any) -> str:
    """Return the block of the facts that slides share, and of their rows."""
    return block("run", text_of({**asdict(run), **more, "rows": rows}))
