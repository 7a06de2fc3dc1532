"""Viewer-ready heatmaps of attention-MIL models on whole-slide images.

`create` makes maps, `export` shows maps that any tool gave, `open` reads them back; all return the
results slide by slide. `make_maps`, `fit`, `draw` and `collect` are the
stages of `create`, which any engine can call. `compare` holds two results side by side. `extract`
writes features for other programs. Importing this changes nothing and loads nothing heavy: names
are loaded when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from heatmaps_ome.geometry import Grid
    from heatmaps_ome.models import read_model
    from heatmaps_ome.run.compare import compare
    from heatmaps_ome.run.create import create
    from heatmaps_ome.run.export import export
    from heatmaps_ome.run.extract import extract
    from heatmaps_ome.run.stages import collect, draw, fit, make_maps
    from heatmaps_ome.viewers.notebook.opening import open, open_slide

__all__ = [
    "Grid",
    "__version__",
    "collect",
    "compare",
    "create",
    "draw",
    "export",
    "extract",
    "fit",
    "make_maps",
    "open",
    "open_slide",
    "read_model",
]

__version__ = "0.1.0"

_WHERE = {
    "Grid": "heatmaps_ome.geometry",
    "collect": "heatmaps_ome.run.stages",
    "compare": "heatmaps_ome.run.compare",
    "create": "heatmaps_ome.run.create",
    "draw": "heatmaps_ome.run.stages",
    "export": "heatmaps_ome.run.export",
    "extract": "heatmaps_ome.run.extract",
    "fit": "heatmaps_ome.run.stages",
    "make_maps": "heatmaps_ome.run.stages",
    "open": "heatmaps_ome.viewers.notebook.opening",
    "open_slide": "heatmaps_ome.viewers.notebook.opening",
    "read_model": "heatmaps_ome.models",
}
"""Public name → its module."""


def __getattr__(name: str) -> Any:
    """Return a public name, loaded when it is first asked for (PEP 562)."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_WHERE[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return all names, those included that are not loaded yet."""
    return sorted({*globals(), *__all__})
