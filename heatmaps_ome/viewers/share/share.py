"""Shares results: a folder that opens from disk in any browser, whole or not at all."""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
from PIL import Image

from heatmaps_ome.errors import HeatmapsError, OptionError, OutputError
from heatmaps_ome.slides.bad_tiles import bad_tiles_sentence
from heatmaps_ome.storage.disk import bytes_text, disk_error
from heatmaps_ome.storage.private import left_over, private_path, remove, replacing
from heatmaps_ome.storage.result_folder import exchange, require_writable
from heatmaps_ome.viewers.share.archive import write_zip
from heatmaps_ome.viewers.share.page import (
    DATA,
    is_shared_folder,
    list_entry,
    page_bytes,
    write_page,
)
from heatmaps_ome.viewers.share.pixels import SlidePixels
from heatmaps_ome.viewers.share.resolution import fitted, no_finer
from heatmaps_ome.viewers.share.slides import chosen_slides, prepare
from heatmaps_ome.viewers.share.tiling import jpeg, write_tiles

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from heatmaps_ome.viewers.share.slides import Prepared, SharedSlide

logger = logging.getLogger(__name__)

_THUMBNAIL_PX: Final = 160
_ROOM: Final = 1.05
"""Free space that is wanted for each byte: file systems round files up."""
_OLD: Final = "old"


class Report(Protocol):
    """Receives the number of finished steps of a slide's stage, as `run.progress.Progress`."""

    def __call__(self, slide: str, stage: str, done: int, total: int) -> None:
        """Report that ``done`` of ``total`` steps are done."""
        ...


@dataclass(frozen=True)
class Wishes:
    """What to share, and how.

    Attributes
    ----------
    results : Path
        The folder that create wrote to, or a slide's folder in it.
    target : Path
        Folder to write.
    names : tuple of str
        Names of slides, or patterns; empty: all.
    places : tuple of Path
        Slides, or folders with slides, to look in first.
    anonymous : bool
        Whether names of slides are replaced.
    zipped : bool
        Whether to pack the folder into a zip file too.
    finest_um : float or None
        About the finest size of a pixel in µm; None: the slide's own.
    most_bytes : int or None
        Upper limit of the folder; None: any.
    dry_run : bool
        Whether only the size is wanted.
    overwrite : bool
        Whether an earlier shared folder may be replaced.
    threads : int
    """

    results: Path
    target: Path
    names: tuple[str, ...] = ()
    places: tuple[Path, ...] = ()
    anonymous: bool = False
    zipped: bool = False
    finest_um: float | None = None
    most_bytes: int | None = None
    dry_run: bool = False
    overwrite: bool = False
    threads: int = 2

    @property
    def zip_path(self) -> Path:
        """The zip file beside the folder."""
        return self.target.with_name(f"{self.target.name}.zip")


@dataclass(eq=False)
class Shared:
    """What was shared.

    Attributes
    ----------
    slides : list of (SharedSlide, note)
        In their order, each with a sentence about its picture, or "".
    failed : dict of name → reason
    absent : dict of name → reason
        Slides of the run that have no results.
    size : int
        Bytes of the folder; estimated if it was not written.
    """

    slides: list[tuple[SharedSlide, str]] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    size: int = 0


def share(wishes: Wishes, say: Callable[[str], object], report: Report) -> Shared:
    """Write a folder with results, and return what is in it.

    Parameters
    ----------
    say : callable
        Called with the size, in lines for people, before anything is written.
    report : callable
        Shows the progress.

    Raises
    ------
    HeatmapsError
        If nothing can be shared; then nothing is written.
    """
    for place in wishes.places:
        if not place.exists():
            raise OptionError(f"--slide-paths: there is no {place}; give a slide, or a folder")
    if not wishes.dry_run:
        _require_free(wishes)
    slides, absent = chosen_slides(wishes.results, wishes.names, anonymous=wishes.anonymous)
    shared = Shared(absent=absent)
    prepared = _prepared(slides, wishes, shared, report)
    prepared = fitted(no_finer(prepared, wishes.finest_um), page_bytes(), wishes.most_bytes)
    shared.size = page_bytes() + sum(slide.total_bytes for slide in prepared)
    say(_statement(prepared, shared.size, wishes))
    if wishes.dry_run:
        shared.slides = [(one.slide, one.note) for one in prepared]
        return shared
    _require_room(wishes, shared.size)
    _write(prepared, wishes, shared, report)
    return shared


def _require_free(wishes: Wishes) -> None:
    """Refuse a target that cannot be written, or must not be replaced.

    Raises
    ------
    OutputError
        If it is so.
    """
    require_writable(wishes.target.parent)
    for path in (wishes.target, *([wishes.zip_path] if wishes.zipped else ())):
        if path.exists() and not wishes.overwrite:
            raise OutputError(
                f"{path} exists already; choose another --output-path, or replace it with "
                "--overwrite"
            )
    target = wishes.target
    if target.exists() and not is_shared_folder(target):
        raise OutputError(
            f"{target} was not made by share, so it is not replaced; choose another --output-path"
        )


def _prepared(
    slides: Sequence[SharedSlide], wishes: Wishes, shared: Shared, report: Report
) -> list[Prepared]:
    """Return the slides that can be shared; the reasons of others go to ``shared``."""
    prepared = []
    for count, slide in enumerate(slides):
        report("all slides", "measuring", count, len(slides))
        try:
            prepared.append(prepare(slide, wishes.places))
        except HeatmapsError as error:
            shared.failed[slide.folder.name] = str(error)
    report("all slides", "measuring", len(slides), len(slides))
    if not prepared:
        raise OutputError(f"no slide can be shared: {'; '.join(shared.failed.values())}")
    return prepared


def _statement(slides: Sequence[Prepared], size: int, wishes: Wishes) -> str:
    """Return the size, and each slide's part and resolution, in lines for people."""
    tiles = sum(slide.plan.count for slide in slides)
    files = f"{tiles:,} tiles".replace(",", "\u202f")
    count = "1 slide" if len(slides) == 1 else f"{len(slides)} slides"
    again = ", and as much again for the zip file" if wishes.zipped else ""
    lines = [f"{wishes.target}: {count}, about {bytes_text(size)} in {files}{again}"]
    for one in slides:
        name = one.slide.folder.name
        renamed = f" as {one.slide.title}" if one.slide.title != name else ""
        lines.append(
            f"  {name}{renamed}: {bytes_text(one.total_bytes)}, {one.plan.um_px:.3g} µm per pixel"
            + (f"; {one.note}" if one.note else "")
        )
    return "".join(f"{line}\n" for line in lines)


def _require_room(wishes: Wishes, size: int) -> None:
    """Refuse to fill a disk.

    Raises
    ------
    OutputError
        If the folder and its zip file do not fit.
    """
    place = wishes.target.parent
    while not place.exists():
        place = place.parent
    wanted = size * _ROOM * (2 if wishes.zipped else 1)
    free = shutil.disk_usage(place).free
    if free < wanted:
        raise OutputError(
            f"{wishes.target} needs about {bytes_text(round(wanted))}, and {bytes_text(free)} are "
            "free on that disk; choose another --output-path, or a smaller --max-size"
        )


def _write(slides: Sequence[Prepared], wishes: Wishes, shared: Shared, report: Report) -> None:
    """Write folder and zip file, and rename them when they are complete."""
    target = wishes.target
    for path in (path for suffix in ("partial", _OLD) for path in left_over(target.parent, suffix)):
        if path.name.startswith(f".{target.name[:40]}"):
            remove(path)
    partial = private_path(target)
    try:
        (partial / DATA).mkdir(parents=True)
        entries = _written_slides(slides, wishes, partial, shared, report)
        title = "Slides" if wishes.anonymous else wishes.results.resolve().name
        write_page(partial, title, entries)
        shared.size = sum(path.stat().st_size for path in partial.rglob("*") if path.is_file())
        if wishes.zipped:
            _zip_and_place(partial, wishes, report)
        else:
            _place(partial, target)
    except OSError as error:
        raise disk_error(target, error) from error
    finally:
        remove(partial)


def _written_slides(
    slides: Sequence[Prepared], wishes: Wishes, partial: Path, shared: Shared, report: Report
) -> list[dict[str, Any]]:
    """Write all slides that can be, and return their entries in the list of slides."""
    entries = []
    for one in slides:
        folder = partial / DATA / one.slide.key
        try:
            entry, note = _write_slide(one, wishes, folder, report)
        except OutputError:
            raise
        except HeatmapsError as error:
            remove(folder)
            shared.failed[one.slide.folder.name] = str(error)
            continue
        entries.append(entry)
        shared.slides.append((one.slide, note))
    if not entries:
        raise OutputError(f"no slide can be shared: {'; '.join(shared.failed.values())}")
    return entries


def _write_slide(
    one: Prepared, wishes: Wishes, folder: Path, report: Report
) -> tuple[dict[str, Any], str]:
    """Write a slide's tiles, thumbnail and maps; return its entry in the list, and a note."""
    data = one.slide.data()
    pixels, note = one.slide.open_pixels(wishes.places, one.start)
    name = one.slide.folder.name
    folder.mkdir()
    try:
        coarsest = write_tiles(
            pixels, one.plan, folder, wishes.threads,
            lambda done, total: report(name, "tiles", done, total),
        )  # fmt: skip
        if isinstance(pixels, SlidePixels):
            note = bad_tiles_sentence(pixels.slide.bad_tiles.record())
    finally:
        pixels.close()
    (folder / "thumbnail.jpg").write_bytes(_thumbnail(coarsest))
    for file_name, text in data.scripts(one.slide.key, one.plan):
        (folder / file_name).write_text(text, encoding="ascii")
    return list_entry(one.slide.key, data.manifest()), note


def _thumbnail(rgb: np.ndarray) -> bytes:
    """Return a small picture of a slide as JPEG."""
    image = Image.fromarray(rgb)
    image.thumbnail((_THUMBNAIL_PX, _THUMBNAIL_PX))
    return jpeg(np.asarray(image))


def _zip_and_place(partial: Path, wishes: Wishes, report: Report) -> None:
    """Pack the folder, then put both into their places."""
    top = "heatmaps" if wishes.anonymous else wishes.target.name
    with replacing(wishes.zip_path) as archive:
        write_zip(
            partial, archive, top, lambda done, total: report("all slides", "zip", done, total),
            dated=not wishes.anonymous,
        )  # fmt: skip
        _place(partial, wishes.target)


def _place(partial: Path, target: Path) -> None:
    """Rename a complete folder, in place of an earlier one."""
    old = private_path(target, _OLD)
    exchange(partial, target, old)
    remove(old)
