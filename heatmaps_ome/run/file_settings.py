"""Settings of the files of a result, from the options of ``create``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from heatmaps_ome.exporters.protocol import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from heatmaps_ome.options import CreateOptions

KeepPixels: TypeAlias = Literal["always", "until-drawn", "never"]


def formats_of(options: CreateOptions) -> tuple[str, ...]:
    """Return the formats to write, each once."""
    return tuple(dict.fromkeys((*options.formats, *(["figures"] if options.figures else []))))


def file_settings(options: CreateOptions, threads: int, cache: Path | None) -> Settings:
    """Return how the files of a result are written.

    Parameters
    ----------
    options : CreateOptions
        With the usual values of those that were not given.
    threads : int
        Threads that read the slide.
    cache : Path or None
        Folder of a cache for pictures of tiles, which are pixels of the slide; None: none is used.
    """
    return Settings(
        threads=threads,
        chain=not options.no_chain,
        ngff=options.ngff,
        flattened=options.flattened,
        flat_mpp=options.flat_mpp,
        overlay_px=options.overlay_px,
        cache=cache,
        small_previews=options.previews == "small",
        cells_geojson=options.cells_geojson == "few",
    )
