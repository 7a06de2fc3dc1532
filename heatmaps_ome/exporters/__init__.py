"""Writers of results: each turns one slide's maps into files of one format.

`REGISTRY` is the one list of formats: options, ``maps.json`` and the closing lines of a run read
it. A new format is a module with its exporter, and a row.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from heatmaps_ome.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from heatmaps_ome.exporters.protocol import Exporter, Settings


@dataclass(frozen=True)
class ResultFile:
    """A kind of file in a slide's results.

    Attributes
    ----------
    ending : str
        End of the file's name. The name begins with the slide's name; between them may be a map's.
    opened_with : str
        Programs, and their picture of the file in a few words.
    key : str or None
        Key of the file's name in ``maps.json``; None: it is listed with its map, or not at all.
    """

    ending: str
    opened_with: str
    key: str | None = None


@dataclass(frozen=True)
class Format:
    """A row of the registry.

    Attributes
    ----------
    exporter : str
        ``module:class``.
    files : tuple of ResultFile
        Files that it may write into a slide's folder for other programs.
    usual : bool
        Whether it is written without being asked for.
    """

    exporter: str
    files: tuple[ResultFile, ...]
    usual: bool = True


REGISTRY: Final = {
    "ome-zarr": Format(
        "heatmaps_ome.exporters.ome_zarr:OmeZarrExporter",
        (
            ResultFile(
                ".ome.zarr",
                "napari, BioNGFF's Vizarr (the slide with the maps as labels)",
                "image",
            ),
            ResultFile(".flat.ome.zarr", "Vizarr, Avivator (the slide with a map burnt in)"),
        ),
    ),
    "ome-tiff": Format(
        "heatmaps_ome.exporters.tiff:TiffExporter",
        (
            ResultFile(
                ".ome.tiff", "QuPath, ASAP, OMERO (a transparent overlay in the slide's µm)"
            ),
            ResultFile(
                ".values.ome.tiff",
                "QuPath, ImageJ (the raw numbers: float32 channels with names)",
                "values_tiff",
            ),
        ),
    ),
    "png": Format(
        "heatmaps_ome.exporters.png:PngExporter", (ResultFile(".png", "any picture viewer"),)
    ),
    "cells": Format(
        "heatmaps_ome.exporters.cells:CellsExporter",
        (
            ResultFile(
                ".cells.csv",
                "Python, R, a spreadsheet; QuPath by import_tiles (one row a cell or tile)",
                "cells",
            ),
            ResultFile(
                ".cells.geojson",
                "QuPath by import_tiles (one object a cell or tile)",
                "cells_geojson",
            ),
        ),
    ),
    "regions": Format(
        "heatmaps_ome.exporters.regions:RegionsExporter",
        (
            ResultFile(".regions.csv", "a spreadsheet, Python, R (one row a region)", "regions"),
            ResultFile(
                ".regions.geojson",
                "QuPath by import_regions (one annotation a region)",
                "regions_geojson",
            ),
        ),
    ),
    "tiles": Format(
        "heatmaps_ome.exporters.tiles:TilesExporter",
        (
            ResultFile(
                ".tiles.csv",
                "Python, R, a spreadsheet (where the tiles for and against the class lie)",
                "tiles",
            ),
        ),
    ),
    "report": Format("heatmaps_ome.viewers.report.part:ReportExporter", ()),
    "figures": Format(
        "heatmaps_ome.exporters.figure_files:FiguresExporter",
        (
            ResultFile(".pdf", "any program for papers and slides (text as text, 300 dpi)"),
            ResultFile(".svg", "Inkscape, Illustrator (the same)"),
        ),
        usual=False,
    ),
}
"""Name of the format → its row."""

VALUES: Final = ResultFile(
    ".values.ome.zarr", "Python, napari (the raw numbers: float32 with units)", "values"
)
"""The raw values, which every run writes in addition to its formats."""


def endings_of(name: str) -> tuple[str, ...]:
    """Return the ends of the names of a format's files, in the order of its row."""
    return tuple(file.ending for file in REGISTRY[name].files)


def result_files() -> Iterator[ResultFile]:
    """Yield the kinds of files of all formats."""
    for row in REGISTRY.values():
        yield from row.files
    yield VALUES


def load_exporters(formats: Sequence[str], settings: Settings) -> tuple[Exporter, ...]:
    """Return the exporters of these formats, each once.

    Raises
    ------
    OutputError
        If one of them cannot write here.
    """
    exporters = []
    for name in dict.fromkeys(formats):
        module, kind = REGISTRY[name].exporter.split(":")
        exporter: Exporter = getattr(importlib.import_module(module), kind)(settings)
        refusal = exporter.refusal()
        if refusal is not None:
            raise OutputError(refusal)
        exporters.append(exporter)
    return tuple(exporters)
