"""Writes the comparison's report: one file that needs no other, with all pictures in it."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from heatmaps_ome.exporters.png import thumbnail_lattice
from heatmaps_ome.geometry import Window
from heatmaps_ome.maps.kinds import SCORE
from heatmaps_ome.run.comparison.page_tables import (
    failures_part,
    head_part,
    maps_table,
    number_cards,
    slides_table,
    summary_part,
)
from heatmaps_ome.storage.texts import encodable
from heatmaps_ome.viewers.files import viewer_files
from heatmaps_ome.viewers.report.assets import script_policy
from heatmaps_ome.viewers.report.part import jpeg

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from heatmaps_ome.run.comparison.pictures import Pictures
    from heatmaps_ome.run.comparison.slide_comparison import SlideComparison
    from heatmaps_ome.run.comparison.stored_slide import StoredSlide

BUDGET: Final = 80 << 20
"""Bytes of pictures in a page; beyond it, later slides have none, which the page states."""
_COLOURS: Final = 255
"""Colours of a panel's picture: maps have smooth scales, and text has grey edges."""
_THUMBNAIL_PX: Final = 420
_QUALITY: Final = 80


@dataclass(eq=False)
class SlidePictures:
    """The pictures of a slide in the page.

    Attributes
    ----------
    name : str
    thumbnail : str
        The slide as the data URI of a JPEG; "" where the results have no image.
    main : tuple of str
        Titles of the maps that the page shows: of all classes, and of the class drawn hot; the
        others are in ``side-by-side/``.
    first : str
        The map to show first.
    panels : dict of title → list of (panel's title, data URI)
    """

    name: str
    thumbnail: str
    main: tuple[str, ...]
    first: str
    panels: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    @classmethod
    def of(cls, slide: SlideComparison, stored: StoredSlide) -> SlidePictures:
        """Return the pictures of a slide, without its maps yet."""
        main = [
            one.quantity.name
            for one in slide.maps
            if not slide.true_class or one.quantity.class_name in (None, slide.true_class)
        ]
        scores = [
            one.quantity.name
            for one in slide.maps
            if one.quantity.kind == SCORE and one.quantity.name in main
        ]
        others = [*(one.name for one in slide.categories), "Regions"]
        return cls(
            slide.name, _thumbnail(stored), (*main, *others), next(iter([*scores, *main, ""]))
        )

    def add(self, title: str, pictures: Pictures) -> None:
        """Add the panels of a map, if the page shows it."""
        if title in self.main:
            self.panels[title] = [
                (name, _png(panel))
                for name, panel in zip(pictures.titles, pictures.panels(), strict=True)
            ]

    @property
    def size(self) -> int:
        """Characters of all pictures."""
        return len(self.thumbnail) + sum(
            len(uri) for panels in self.panels.values() for _, uri in panels
        )


def _thumbnail(stored: StoredSlide) -> str:
    """Return a picture of the slide, or "" where its results have none."""
    if not stored.levels:
        return ""
    lattice = thumbnail_lattice(stored, _THUMBNAIL_PX)
    return jpeg(stored.read(lattice, Window(0, 0, *lattice.shape)), _QUALITY)


def _png(panel: np.ndarray) -> str:
    """Return a panel as the data URI of a PNG with few colours."""
    from PIL import Image

    stored = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(panel))
    few = image.quantize(_COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    few.save(stored, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(stored.getvalue()).decode("ascii")


def write_page(path: Path, record: Mapping[str, Any], pictures: Sequence[SlidePictures]) -> None:
    """Write the page.

    Parameters
    ----------
    record : mapping
        The content of ``compare.json``.
    """
    folder = viewer_files() / "compare"
    style, script, whole = (
        (folder / name).read_text(encoding="utf-8")
        for name in ("style.css", "main.js", "index.html")
    )
    title = f"{record['a']['name']} and {record['b']['name']}"
    parts = {
        "policy": script_policy(style, script),
        "title": f"{escape(title)} – comparison",
        "style": f"<style>{style}</style>",
        "content": "\n".join(_content(record, pictures)),
        "script": f'<script type="module">{script}</script>',
    }
    for name, part in parts.items():
        whole = whole.replace(f"<!-- {name} -->", part, 1)
    path.write_text(encodable(whole), encoding="utf-8", newline="\n")


def _content(record: Mapping[str, Any], pictures: Sequence[SlidePictures]) -> Iterator[str]:
    """Yield the parts of the page from top to bottom."""
    yield head_part(record)
    yield summary_part(record)
    yield failures_part(record)
    yield slides_table(record)
    in_page, left_out = _within_budget(pictures)
    if left_out:
        yield (
            f'<p class="note">To keep this file small, {left_out} slides are without pictures '
            "here; they are in the slides' folders, side-by-side/.</p>"
        )
    yield _chooser(list(in_page.values()))
    for index, slide in enumerate(record["slides"]):
        if slide["status"] == "done":
            yield _slide_part(index, slide, in_page.get(slide["name"]))
    yield _rules(record)


def _within_budget(pictures: Sequence[SlidePictures]) -> tuple[dict[str, SlidePictures], int]:
    """Return the slides whose pictures the page has room for, and the number of the others."""
    in_page, room = {}, BUDGET
    for one in pictures:
        room -= one.size
        if room >= 0:
            in_page[one.name] = one
    return in_page, len(pictures) - len(in_page)


def _chooser(pictures: Sequence[SlidePictures]) -> str:
    """Return the control that chooses the map of all slides' pictures."""
    titles = list(dict.fromkeys(title for one in pictures for title in one.panels))
    if not titles:
        return ""
    first = pictures[0].first
    options = "".join(
        f'<option value="{escape(title)}"{" selected" if title == first else ""}>'
        f"{escape(title)}</option>"
        for title in titles
    )
    return (
        '<div id="tools"><label class="field"><span class="label">Map</span>'
        f'<select id="map">{options}</select></label></div>'
    )


def _slide_part(index: int, slide: Mapping[str, Any], pictures: SlidePictures | None) -> str:
    """Return the section of a slide."""
    name = escape(slide["name"])
    other = "" if slide["name_b"] == slide["name"] else f" <small>{escape(slide['name_b'])}</small>"
    figures = "" if pictures is None else "".join(_figures(pictures))
    thumbnail = ""
    if pictures is not None and pictures.thumbnail:
        thumbnail = f'<img class="thumbnail" src="{pictures.thumbnail}" alt="The slide {name}">'
    return (
        f'<section class="slide" id="slide-{index}" aria-label="{name}">'
        f"<h2>{name}{other}</h2>"
        f'<div class="facts">{thumbnail}{number_cards(slide)}</div>'
        f"{figures}{maps_table(slide)}</section>"
    )


def _figures(pictures: SlidePictures) -> Iterator[str]:
    """Yield the pictures of each map; the script hides all maps but the chosen one."""
    for title, panels in pictures.panels.items():
        images = "".join(
            f'<img src="{uri}" alt="{escape(title)}: {escape(name)}" decoding="async">'
            for name, uri in panels
        )
        yield (
            f'<figure data-map="{escape(title)}"><figcaption>{escape(title)}</figcaption>'
            f'<div class="panels">{images}</div></figure>'
        )


def _rules(record: Mapping[str, Any]) -> str:
    """Return how the numbers are defined."""
    rules = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(rule)}</dd>" for name, rule in record["rules"].items()
    )
    return f'<details class="card"><summary>How it was compared</summary><dl>{rules}</dl></details>'
