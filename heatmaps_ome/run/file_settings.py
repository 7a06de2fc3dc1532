"""Settings of the files of a result, from the options of ``create``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from heatmaps_ome.exporters.protocol import Settings

if TYPE_CHECKING:
    from heatmaps_ome.options import CreateOptions
    from heatmaps_ome.run.settings import Resources

KeepPixels: TypeAlias = Literal["always", "until-drawn", "never"]


def formats_of(options: CreateOptions) -> tuple[str, ...]:
    """Return the formats to write, each once."""
    return tuple(dict.fromkeys((*options.formats, *(["figures"] if options.figures else []))))


def file_settings(options: CreateOptions, resources: Resources) -> Settings:
    """Return how the files of a result are written.

    Parameters
    ----------
    options : CreateOptions
        With the usual values of those that were not given.
    """
    return Settings(
        threads=resources.threads,
        chain=not options.no_chain,
        ngff=options.ngff,
        flattened=options.flattened,
        flat_mpp=options.flat_mpp,
        overlay_px=options.overlay_px,
        # Pictures of tiles are pixels of the slide, too, and results have them.
        cache=resources.cache if resources.keep_pixels == "always" else None,
        small_previews=options.previews == "small",
        cells_geojson=options.cells_geojson == "few",
    )
