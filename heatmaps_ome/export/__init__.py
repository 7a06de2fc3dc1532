"""Writers of results: each turns one slide's maps into files of one format."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Final

from heatmaps_ome.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from heatmaps_ome.export.protocol import Exporter, Settings

REGISTRY: Final = {
    "ome-zarr": "heatmaps_ome.export.ome_zarr:OmeZarrExporter",
    "ome-tiff": "heatmaps_ome.export.tiff:TiffExporter",
    "png": "heatmaps_ome.export.png:PngExporter",
    "cells": "heatmaps_ome.export.cells:CellsExporter",
    "regions": "heatmaps_ome.export.regions:RegionsExporter",
    "tiles": "heatmaps_ome.export.tiles:TilesExporter",
    "report": "heatmaps_ome.viewers.report.part:ReportExporter",
}
"""Format → ``module:class`` of its exporter."""


def load_exporters(formats: Sequence[str], settings: Settings) -> tuple[Exporter, ...]:
    """Return the exporters of these formats, each once.

    Raises
    ------
    OutputError
        If one of them cannot write here.
    """
    exporters = []
    for name in dict.fromkeys(formats):
        module, kind = REGISTRY[name].split(":")
        exporter: Exporter = getattr(importlib.import_module(module), kind)(settings)
        refusal = exporter.refusal()
        if refusal is not None:
            raise OutputError(refusal)
        exporters.append(exporter)
    return tuple(exporters)
