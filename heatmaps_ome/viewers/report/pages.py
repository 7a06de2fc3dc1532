"""Writes ``report/``: a page for each slide, made once, and its small picture for the table.

A page is a file by itself, which can be sent alone. It is made anew only if its slide's results,
its row of the table, the run's facts or the page's own code have changed.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from heatmaps_ome.errors import OutputError
from heatmaps_ome.storage.digests import digest_of
from heatmaps_ome.storage.private import replacing
from heatmaps_ome.storage.regular_file import read_json
from heatmaps_ome.storage.result_folder import INDEX, PROVENANCE, REPORT
from heatmaps_ome.viewers.report.assets import page
from heatmaps_ome.viewers.report.document import block, run_block, write_document
from heatmaps_ome.viewers.report.part_file import DAMAGED, slide_data, why

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from heatmaps_ome.viewers.report.assets import Page
    from heatmaps_ome.viewers.report.part_file import SlideData
    from heatmaps_ome.viewers.report.reported import ReportedSlide, RunFacts

_MADE: Final = ".pages.json"
"""Name of the list of pages and what they were made of."""
_AT_A_TIME: Final = 500
"""Pages after which the list is written, so that a stopped run makes few of them again."""


def write_pages(
    output: Path, slides: Sequence[ReportedSlide], run: RunFacts, limit: int
) -> list[dict[str, Any]]:
    """Write the pages of slides where they have changed; return the rows of the table.

    Parameters
    ----------
    limit : int
        Most bytes of a slide's part.

    Raises
    ------
    OSError, OutputError
        If they cannot be written.
    """
    pages = _Pages.of(output / REPORT, run, limit)
    rows = [pages.row(slide, index) for index, slide in enumerate(slides)]
    for name in pages.made.keys() - {slide.folder for slide in slides}:
        pages.remove(name)
    pages.store()
    return rows


def remove_pages(output: Path) -> None:
    """Remove the pages of a report that is one file again."""
    folder = output / REPORT
    if (folder / _MADE).is_file():
        for name in _made(folder):
            _remove(folder, name)
        (folder / _MADE).unlink(missing_ok=True)
        with suppress(OSError):  # other files are not ours
            folder.rmdir()


@dataclass(eq=False)
class _Pages:
    """The pages in a folder.

    Attributes
    ----------
    made : dict of results' name → digest of all that its page was made from
    shared : dict
        All that is alike in the pages.
    """

    folder: Path
    made: dict[str, str]
    shared: dict[str, Any]
    page: Page
    run: RunFacts
    limit: int

    @classmethod
    def of(cls, folder: Path, run: RunFacts, limit: int) -> _Pages:
        """Return the pages of a run.

        Raises
        ------
        OutputError
            If an earlier version gave this folder to a slide.
        """
        if (folder / PROVENANCE).is_file():
            raise OutputError(
                f"{folder} holds a slide's results, so the pages of the report have no place; move "
                "it away and make that slide's results anew"
            )
        folder.mkdir(exist_ok=True)
        with os.scandir(folder) as entries:
            there = {entry.name for entry in entries}
        made = {
            name: digest
            for name, digest in _made(folder).items()
            if there >= {f"{name}.html", f"{name}.jpg"}
        }
        whole = page()
        # The time of the list is no reason to make a page anew.
        facts = {**asdict(run), "created": None, "page": whole.before + whole.after}
        return cls(folder, made, {"run": digest_of(facts), "limit": limit}, whole, run, limit)

    def row(self, slide: ReportedSlide, index: int) -> dict[str, Any]:
        """Return a slide's row of the table, after writing its page if it has changed."""
        row = slide.row(index, self.run)
        if slide.folder is None or "damaged" in row:
            return row
        own = {**row, "id": 0}
        digest = digest_of({**self.shared, "row": own, "stamp": list(slide.stamp)})
        if self.made.get(slide.folder) != digest:
            folder = self.folder.parent / slide.folder
            try:
                data = slide_data(folder, self.limit)
                picture = data.picture()
            except DAMAGED as error:
                return {**row, "damaged": why(folder, error)}
            self._write(slide.folder, own, data, picture)
            self.made[slide.folder] = digest
            if len(self.made) % _AT_A_TIME == 0:
                self.store()
        place = f"{REPORT}/{quote(os.fsencode(slide.folder))}"
        return {**row, "page": f"{place}.html", "picture": f"{place}.jpg"}

    def _write(self, name: str, row: dict[str, Any], data: SlideData, picture: bytes) -> None:
        """Write a slide's page and its small picture."""
        created = data.provenance.get("created", self.run.created)
        facts = {"name": name, "table": f"../{INDEX}", "created": created}
        blocks = (block("slide-0", data.text), run_block(self.run, [row], **facts))
        write_document(self.folder / f"{name}.html", self.page, blocks)
        with replacing(self.folder / f"{name}.jpg") as partial:
            partial.write_bytes(picture)

    def remove(self, name: str) -> None:
        """Remove a slide's page."""
        del self.made[name]
        _remove(self.folder, name)

    def store(self) -> None:
        """Write the list of pages."""
        with replacing(self.folder / _MADE) as partial:
            partial.write_text(json.dumps(self.made), "ascii")


def _remove(folder: Path, name: str) -> None:
    for ending in (".html", ".jpg"):
        (folder / f"{name}{ending}").unlink(missing_ok=True)


def _made(folder: Path) -> dict[str, str]:
    """Return the list of pages; {} if it is missing or damaged."""
    try:
        return {str(name): str(digest) for name, digest in read_json(folder / _MADE).items()}
    except DAMAGED:
        return {}
