"""The options of each command, for tests that try all of them."""

from heatmaps_ome.options import (
    CacheOptions,
    CollectOptions,
    CompareOptions,
    ConvertOptions,
    CreateOptions,
    DemoOptions,
    ExportOptions,
    ExtractOptions,
    InfoOptions,
    ShareOptions,
    ValidateOptions,
    ViewOptions,
)

OPTIONS = {
    "cache": CacheOptions,
    "collect": CollectOptions,
    "compare": CompareOptions,
    "convert-model": ConvertOptions,
    "create": CreateOptions,
    "demo": DemoOptions,
    "export": ExportOptions,
    "extract": ExtractOptions,
    "info": InfoOptions,
    "share": ShareOptions,
    "validate": ValidateOptions,
    "view": ViewOptions,
}
"""Command → the class of its options; tests of each list demand that it is complete."""
