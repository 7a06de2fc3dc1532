"""The slides to share: their results, the pixels of their picture, and the size of both."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final

from heatmaps_ome.errors import OptionError, ResultError, SlideError
from heatmaps_ome.exporters.manifest import MANIFEST
from heatmaps_ome.maps.store import read_values
from heatmaps_ome.slides.plain_zarr import inside, read_object
from heatmaps_ome.storage.result_folder import record_of
from heatmaps_ome.viewers.notebook.manifest import read_manifest
from heatmaps_ome.viewers.notebook.opening import open as open_results
from heatmaps_ome.viewers.share.data import SlideData
from heatmaps_ome.viewers.share.estimate import level_bytes
from heatmaps_ome.viewers.share.pixels import SlidePixels, ZarrPixels
from heatmaps_ome.viewers.share.plan import plan_tiles
from heatmaps_ome.viewers.share.regions import regions_of
from heatmaps_ome.viewers.share.slide_files import opened_slide

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from heatmaps_ome.viewers.share.pixels import Pixels
    from heatmaps_ome.viewers.share.plan import TilePlan

_DAMAGED: Final = (ValueError, LookupError, TypeError, AttributeError, OSError)


@dataclass(frozen=True)
class SharedSlide:
    """A slide to share.

    Attributes
    ----------
    folder : Path
        Its results.
    key : str
        Folder of its data in the shared folder: its number, a name that every disk takes.
    title : str
        Name to show.
    """

    folder: Path
    key: str
    title: str

    def open_pixels(self, given: Sequence[Path], start: int = 0) -> tuple[Pixels, str]:
        """Return the slide's pixels, and a note where they are not the slide's own.

        Parameters
        ----------
        given : sequence of Path
            Where to look for the slide's file first.
        start : int
            Number of finest levels to leave out.

        Raises
        ------
        HeatmapsError
            If there is no picture at all.
        """
        record = (record_of(self.folder) or {}).get("slide") or {}
        try:
            slide = opened_slide(record, self.folder.parent, self.folder.name, given)
        except SlideError as error:
            return self._stored_pixels(error, start)
        pixels = SlidePixels(slide, start)
        content = self._content()["slide"]
        if tuple(slide.shape) != (content["rows"], content["cols"]):
            pixels.close()
            raise ResultError(f"{self.folder} is of a slide of another size; run create again")
        return pixels, ""

    def data(self) -> SlideData:
        """Return the slide's maps and regions.

        Raises
        ------
        ResultError
            If its files are damaged or of another version.
        """
        manifest = read_manifest(self.folder)
        content = self._content()
        try:
            regions = regions_of(self.folder, content)
        except _DAMAGED as error:
            raise ResultError(
                f"the regions in {self.folder} cannot be read ({type(error).__name__}: {error}); "
                "run create again"
            ) from error
        heatmaps = read_values(self.folder / manifest.values)
        if (heatmaps.grid, heatmaps.classes) != (manifest.grid, manifest.classes):
            raise ResultError(
                f"{self.folder}: the values have another grid or other classes than {MANIFEST}; "
                "run create again"
            )
        return SlideData(self.title, content, heatmaps, regions)

    def _content(self) -> dict[str, Any]:
        return read_object(self.folder / MANIFEST)

    def _stored_pixels(self, missing: SlideError, start: int) -> tuple[Pixels, str]:
        """Return the pixels of the slide's OME-Zarr in place of a slide that was not found."""
        manifest, content = read_manifest(self.folder), self._content()
        if not content.get("image"):
            raise SlideError(
                f"{missing}, as {self.folder} has no picture of it either"
            ) from missing
        try:
            path = inside(self.folder, content["image"])
        except ValueError as error:
            raise ResultError(f"{self.folder / MANIFEST} is damaged ({error})") from error
        pixels = ZarrPixels(path, manifest.grid.mpp, start)
        return pixels, f"{missing}; until then its picture is that of {path.name}"


@dataclass(frozen=True, eq=False)
class Prepared:
    """A slide whose size is known.

    Attributes
    ----------
    slide : SharedSlide
    plan : TilePlan
    level_bytes : tuple of int
        Estimated bytes of the tiles of each level.
    data_bytes : int
        Estimated bytes of its maps.
    note : str
        Why the picture is not the slide's own; "" if it is.
    start : int
        Number of finest levels that are left out.
    """

    slide: SharedSlide
    plan: TilePlan
    level_bytes: tuple[int, ...]
    data_bytes: int
    note: str = ""
    start: int = field(default=0)

    @property
    def total_bytes(self) -> int:
        """Bytes of all files of the slide."""
        return sum(self.level_bytes) + self.data_bytes

    def coarser(self) -> Prepared:
        """Return the slide without its finest level, or itself if it has one level only."""
        if len(self.plan.masks) == 1:
            return self
        return Prepared(
            self.slide, self.plan.without(1), self.level_bytes[1:], self.data_bytes, self.note,
            self.start + 1,
        )  # fmt: skip


def prepare(slide: SharedSlide, given: Sequence[Path]) -> Prepared:
    """Plan the tiles of a slide and estimate the size of its files.

    Raises
    ------
    HeatmapsError
        If its results or its picture cannot be read.
    """
    data = slide.data()
    pixels, note = slide.open_pixels(given)
    try:
        plan = plan_tiles(pixels.lattice, data.heatmaps.grid, data.heatmaps.tissue)
        sizes = level_bytes(pixels, plan)
    finally:
        pixels.close()
    scripts = sum(len(text) for _, text in data.scripts(slide.key, plan))
    return Prepared(slide, plan, sizes, scripts, note)


def chosen_slides(
    path: Path, names: Sequence[str], *, anonymous: bool
) -> tuple[list[SharedSlide], dict[str, str]]:
    """Return the slides of an output to share, and the reasons why others have no results.

    Parameters
    ----------
    path : Path
        The folder that create wrote to, or a slide's folder in it.
    names : sequence of str
        Names of slides, or patterns such as ``A*``; empty: all.
    anonymous : bool
        Whether their names are replaced by numbers.

    Raises
    ------
    OptionError
        If a name is of no slide.
    HeatmapsError
        If there are no results.
    """
    results = open_results(path)
    wanted = list(results)
    if names:
        wanted = [name for name in results if any(fnmatchcase(name, one) for one in names)]
        for one in names:
            if not any(fnmatchcase(name, one) for name in results):
                raise OptionError(_unknown(one, list(results), path))
    slides = [
        SharedSlide(results[name].path, str(number), f"Slide {number}" if anonymous else name)
        for number, name in enumerate(wanted, start=1)
    ]
    return slides, {} if names else results.failed


def _unknown(name: str, known: list[str], path: Path) -> str:
    """Return a sentence about a name that no slide has."""
    from difflib import get_close_matches

    near = get_close_matches(name, known, 1)
    listed = ", ".join(known[:5]) + (" …" if len(known) > 5 else "")
    hint = f"did you mean {near[0]}?" if near else f"there are {listed or 'none'}"
    return f"--slides: {path} has no results of {name!r}; {hint}"
