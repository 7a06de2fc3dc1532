"""The exporter protocol, and the settings and results that exporters take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from heatmaps_ome.exporters.earlier import PreviousResults

if TYPE_CHECKING:
    from pathlib import Path

    from heatmaps_ome.display.display_map import DisplayMap
    from heatmaps_ome.geometry import Grid
    from heatmaps_ome.maps.curves import Faithfulness
    from heatmaps_ome.maps.heatmap_set import HeatmapSet
    from heatmaps_ome.maps.regions import Regions
    from heatmaps_ome.maps.top_tiles import PickedTile
    from heatmaps_ome.ome.ngff_store import Ngff
    from heatmaps_ome.slides.reader import SlideReader


@dataclass(frozen=True)
class Settings:
    """Settings of the files; none of them changes a value.

    Attributes
    ----------
    threads : int
        Threads that read the slide.
    chain : bool
        Whether OpenSlide shall see an overlay's coarser levels too (see ``tiff_chain``); strict
        OME-TIFF has them in SubIFDs only.
    ngff : "0.4" or "0.5"
        Version of OME-Zarr.
    flattened : bool
        Whether each map is also written as a picture of the slide with the map burnt in.
    flat_mpp : float or None
        µm per pixel of those pictures; None: the slide image's, halved until the size is bearable.
    overlay_px : int or None
        Level-0 pixels of an overlay's pixel, which is at most a cell; None: an eighth of a cell.
    cache : Path or None
        Folder for files that do not depend on colours, under keys of their sources; None: these
        files are always made anew.
    small_previews : bool
        Whether previews are half as large, and without those of maps alone.
    cells_geojson : bool
        Whether the cells are written as GeoJSON too, if they are few.
    """

    threads: int = 4
    chain: bool = True
    ngff: Ngff = "0.4"
    flattened: bool = False
    flat_mpp: float | None = None
    overlay_px: int | None = None
    cache: Path | None = None
    small_previews: bool = False
    cells_geojson: bool = True


@dataclass(frozen=True, eq=False)
class SlideResult:
    """The results of a slide that exporters write.

    Attributes
    ----------
    slide : SlideReader
        Gives the pixels of the slide itself.
    heatmaps : HeatmapSet
        The raw maps.
    maps : tuple of DisplayMap
        The maps to write, made ready for display.
    true_class : str
        The class drawn hot.
    image : Grid
        Lattice of the slide image that goes with the maps.
    raster : Grid
        Lattice on which labels are drawn (a whole number of level-0 pixels, no translation).
    faithfulness : tuple of Faithfulness
        Faithfulness of the maps of each class drawn; empty where it is undefined.
    regions : Regions or None
        Regions with evidence for the class drawn hot, and against it; None if not searched for.
    tiles : tuple of PickedTile
        The tiles that speak most for the class drawn hot, and those that speak most against it.
    earlier : PreviousResults
        The results being replaced; empty as a rule.
    label : str or None
        Ground truth of the table of slides.
    """

    slide: SlideReader
    heatmaps: HeatmapSet
    maps: tuple[DisplayMap, ...]
    true_class: str
    image: Grid
    raster: Grid
    faithfulness: tuple[Faithfulness, ...] = ()
    regions: Regions | None = None
    tiles: tuple[PickedTile, ...] = ()
    earlier: PreviousResults = PreviousResults()
    label: str | None = None


class Exporter(Protocol):
    """Writes one format. Call `refusal` first, then `write`."""

    def refusal(self) -> str | None:
        """Return why this format cannot be written here, in one sentence, or None if it can."""
        ...

    def write(self, result: SlideResult, folder: Path) -> list[Path]:
        """Write the files into ``folder``, which exists and is private to this slide."""
        ...
