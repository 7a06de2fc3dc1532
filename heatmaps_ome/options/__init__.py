"""Every command's options: the single source of defaults, ``--help`` and the README's table."""

from heatmaps_ome.options.bounds import nearest, quoted
from heatmaps_ome.options.commands import (
    CacheOptions,
    CollectOptions,
    ConvertOptions,
    DemoOptions,
    InfoOptions,
    ValidateOptions,
    ViewOptions,
)
from heatmaps_ome.options.compare import CompareOptions
from heatmaps_ome.options.contradictions import SOURCES, only_with, with_usual_values
from heatmaps_ome.options.create import COMPAT, DEVICES, CreateOptions
from heatmaps_ome.options.export import ExportOptions
from heatmaps_ome.options.extract import ExtractOptions
from heatmaps_ome.options.fields import (
    GROUPS,
    assignment,
    default_note,
    flag_of,
    flags_of,
    names,
    path,
)
from heatmaps_ome.options.files import FORMATS, PROFILES
from heatmaps_ome.options.share import ShareOptions
from heatmaps_ome.options.shared import quantiles_asked
from heatmaps_ome.options.stages import DrawOptions, FitOptions, MapsOptions

__all__ = [
    "COMPAT",
    "DEVICES",
    "FORMATS",
    "GROUPS",
    "PROFILES",
    "SOURCES",
    "CacheOptions",
    "CollectOptions",
    "CompareOptions",
    "ConvertOptions",
    "CreateOptions",
    "DemoOptions",
    "DrawOptions",
    "ExportOptions",
    "ExtractOptions",
    "FitOptions",
    "InfoOptions",
    "MapsOptions",
    "ShareOptions",
    "ValidateOptions",
    "ViewOptions",
    "assignment",
    "default_note",
    "flag_of",
    "flags_of",
    "names",
    "nearest",
    "only_with",
    "path",
    "quantiles_asked",
    "quoted",
    "with_usual_values",
]
