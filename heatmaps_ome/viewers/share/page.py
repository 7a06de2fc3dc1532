"""The page of a shared folder: START-HERE.html, its script and style, and the list of slides."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any, Final

import heatmaps_ome
from heatmaps_ome.viewers.files import viewer_files
from heatmaps_ome.viewers.palettes import palettes
from heatmaps_ome.viewers.server.served import is_correct
from heatmaps_ome.viewers.share.data import script

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

START: Final = "START-HERE.html"
DATA: Final = "data"
LIST: Final = "run.js"
"""The list of slides; a folder that has it in its data was made by ``share``."""
_PAGE: Final = "page"


def page_bytes() -> int:
    """Return the bytes of the page without slides."""
    size = sum(path.stat().st_size for path in _files())
    return size + len(script("run", {"palettes": palettes()}))


def write_page(folder: Path, title: str, slides: Sequence[Mapping[str, Any]]) -> None:
    """Write the page and its list of slides.

    Parameters
    ----------
    title : str
        Name of the run to show.
    slides : sequence of dict
        From `list_entry`.
    """
    (folder / DATA / _PAGE).mkdir(parents=True)
    for path in _files():
        place = START if path.name == START else f"{DATA}/{_PAGE}/{path.name}"
        shutil.copyfile(path, folder / place)
    run = {"name": title, "version": heatmaps_ome.__version__, "slides": list(slides)}
    text = script("run", {"run": run, "palettes": palettes()})
    (folder / DATA / LIST).write_text(text, encoding="ascii")


def list_entry(key: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return a slide's entry in the list.

    Parameters
    ----------
    key : str
        The slide's folder.
    manifest : mapping
        Its manifest as the page reads it.
    """
    facts = ("prediction", "target", "true_class", "label")
    return {
        "name": manifest["slide"]["name"],
        "folder": key,
        "files": f"{DATA}/{key}/",
        "thumbnail": f"{DATA}/{key}/thumbnail.jpg",
        **{fact: manifest.get(fact) for fact in facts},
        "correct": is_correct(manifest),
    }


def is_shared_folder(folder: Path) -> bool:
    """Return whether ``share`` made a folder."""
    return (folder / START).is_file() and (folder / DATA / LIST).is_file()


def _files() -> list[Path]:
    """Return the files of the built page."""
    return sorted((viewer_files() / "share" / "dist").iterdir())
