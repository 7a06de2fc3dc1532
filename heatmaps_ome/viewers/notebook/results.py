"""The results of a run in Python, slide by slide."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from heatmaps_ome.errors import MissingError, ResultError
from heatmaps_ome.viewers.notebook.markup import answer, block, paragraph, table
from heatmaps_ome.viewers.notebook.slide_results import SlideResults

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MOST_ROWS = 100
"""Slides in the table that a notebook shows."""


class Results(Mapping[str, SlideResults]):
    """Slide name → results of the slide, in the order of the run.

    A slide's files are read when its results are asked for, and not kept here: all maps of a large
    cohort would not fit into memory.

    Parameters
    ----------
    folders : mapping of slide name → folder
    failed : mapping of slide file name → reason
        Slides without results.
    """

    def __init__(self, folders: Mapping[str, Path], failed: Mapping[str, str]) -> None:
        self._folders, self._failed = dict(folders), dict(failed)

    @property
    def failed(self) -> dict[str, str]:
        """Why slides have no results, by the names of their files."""
        return dict(self._failed)

    @property
    def predictions(self) -> list[dict[str, Any]]:
        """A row per slide, for ``pandas.DataFrame``: "slide", and the probability of each class."""
        return [{"slide": name, **results.prediction} for name, results in self.items()]

    @property
    def labels(self) -> dict[str, str | None]:
        """The ground truth of each slide; None where the table of slides gave none."""
        return {name: results.label for name, results in self.items()}

    def __getitem__(self, name: str) -> SlideResults:
        if name not in self._folders:
            raise MissingError(self._missing(name))
        return SlideResults(name, self._folders[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._folders)

    def __len__(self) -> int:
        return len(self._folders)

    def __repr__(self) -> str:
        failed = f", {len(self._failed)} failed" if self._failed else ""
        return f"<Results of {_slides(len(self))}{failed}>"

    def _repr_html_(self) -> str:
        rows = {name: self._answers(name) for name in list(self)[:_MOST_ROWS]}
        classes = list(dict.fromkeys(c for row in rows.values() for c in row or () if c))
        truths = [""] if any(row and row.get("") for row in rows.values()) else []
        texts = [
            (name, *("unreadable" if row is None else row.get(c, "") for c in [*classes, *truths]))
            for name, row in rows.items()
        ]
        more = len(self) - len(rows)
        return block(
            paragraph(_slides(len(self)), bold=True),
            table(("slide", *classes, *("ground truth" for _ in truths)), texts) if rows else "",
            paragraph(f"and {more} more") if more else "",
            table(("failed", "reason"), self._failed.items()) if self._failed else "",
        )

    def _answers(self, name: str) -> dict[str, str] | None:
        """Return a slide's prediction as texts, with the ground truth under the key "".

        None if its files are damaged.
        """
        results = self[name]
        try:
            texts = {c: answer(p, results.target) for c, p in results.prediction.items()}
            return texts | {"": results.label or ""}
        except ResultError:
            return None

    def _missing(self, name: str) -> str:
        """Return why there are no results of a slide, and of which there are."""
        for file_name, reason in self._failed.items():
            if name in (file_name, file_name.rpartition(".")[0]):
                return f"{name} has no results, as it failed: {reason}"
        names = list(self)
        listed = ", ".join(names[:10]) + (" …" if len(names) > 10 else "")
        return f"there are no results of {name!r}; there are of {listed or 'no slide'}"


def _slides(count: int) -> str:
    return "1 slide" if count == 1 else f"{count} slides"
