"""The options of each command, for tests that try all of them."""

from heatmaps_ome.options import (
    CacheOptions,
    CollectOptions,
    CompareOptions,
    ConvertOptions,
    CreateOptions,
    DemoOptions,
    DrawOptions,
    ExportOptions,
    ExtractOptions,
    ExtractorsOptions,
    FitOptions,
    InfoOptions,
    MapsOptions,
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
    "draw": DrawOptions,
    "export": ExportOptions,
    "extract": ExtractOptions,
    "extractors": ExtractorsOptions,
    "fit": FitOptions,
    "info": InfoOptions,
    "maps": MapsOptions,
    "share": ShareOptions,
    "validate": ValidateOptions,
    "view": ViewOptions,
}
"""Command → the class of its options; tests of each list demand that it is complete."""
