"""Every command's options: the single source of defaults, ``--help`` and the README's table."""

from heatmaps_ome.options.commands import (
    CacheOptions,
    ConvertOptions,
    DemoOptions,
    InfoOptions,
    ValidateOptions,
    ViewOptions,
)
from heatmaps_ome.options.create import COMPAT, DEVICES, FORMATS, CreateOptions
from heatmaps_ome.options.fields import GROUPS, assignment, flags_of, names

__all__ = [
    "COMPAT",
    "DEVICES",
    "FORMATS",
    "GROUPS",
    "CacheOptions",
    "ConvertOptions",
    "CreateOptions",
    "DemoOptions",
    "InfoOptions",
    "ValidateOptions",
    "ViewOptions",
    "assignment",
    "flags_of",
    "names",
]
