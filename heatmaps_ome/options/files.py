"""Options on the files of a result: their words, types and bounds, once.

A profile is a set of defaults. Each option has its own in its ``in_profiles``, and so an option
that is given counts whatever the profile.
"""

from typing import Any, Final

from heatmaps_ome.exporters import REGISTRY
from heatmaps_ome.options.fields import create_option, names

FORMATS = tuple(name for name, row in REGISTRY.items() if row.usual)
"""The formats that are written without being asked for."""
PROFILES: Final = {
    "standard": "what reading, checking and passing on takes",
    "archive": "little space and few files in cohorts of thousands",
    "full": "every file that there is",
}
"""Profile → its purpose."""
_MPP = (0.05, 20)

_FILES: Final[dict[str, dict[str, Any]]] = {
    "profile": {
        "help_": "set of defaults of the options on files: "
        + ", ".join(f"{name} ({purpose})" for name, purpose in PROFILES.items())
        + "; options that are given count more",
        "effect": "none", "default": "standard", "type": str, "metavar": "NAME",
    },
    "formats": {
        "help_": f"formats to write, any of {', '.join(REGISTRY)}",
        "effect": "drawn", "among": lambda: REGISTRY, "usual": FORMATS,
        # The report has the tiles too, as small pictures.
        "in_profiles": {
            "archive": tuple(name for name in FORMATS if name != "tiles"),
            "full": tuple(REGISTRY),
        },
        "type": names, "metavar": "A,B",
    },
    "figures": {
        "help_": "also write figures for papers and talks: a sheet that sums the slide up, each "
        "preview as PDF and SVG with text as text, and bare maps and colour bars",
        "effect": "drawn", "default": False,
    },
    "top_tiles": {
        "help_": "tiles to show for the class drawn hot, and as many against it, at full "
        "resolution; 0: none",
        "effect": "drawn", "between": (0, 64), "default": 8, "type": int, "metavar": "N",
        "used_by": ("tiles", "report", "figures"),
    },
    "image_mpp": {
        "help_": "µm per pixel of the slide image in the OME-Zarr (default: the network's)",
        "effect": "values", "between": _MPP, "used_by": ("ome-zarr",), "type": float,
        "metavar": "UM",
    },
    "flat_mpp": {
        "help_": "µm per pixel of the pictures of --flattened (default: --image-mpp, halved until "
        "they are at most 4096 pixels a side)",
        "effect": "values", "between": _MPP, "used_by": ("ome-zarr",), "type": float,
        "metavar": "UM", "needs": {"flattened": "which writes these pictures"},
    },
    "flattened": {
        "help_": "also write a picture of the slide with each map burnt in, for web viewers that "
        "draw no labels; view serves such pictures without",
        "effect": "values", "used_by": ("ome-zarr",), "usual": False,
        "in_profiles": {"full": True},
    },
    "overlay_px": {
        "help_": "side of an overlay's pixel in slide pixels: 1 is full resolution, in larger "
        "files that look the same; at most a cell (default: an eighth of a cell)",
        "effect": "values", "between": (1, 256), "used_by": ("ome-tiff",), "type": int,
        "metavar": "PX",
    },
    "ngff": {
        "help_": "version of OME-Zarr: 0.4 opens everywhere, QuPath included; 0.5 (zarr v3, "
        "sharded) has far fewer files",
        "effect": "values", "usual": "0.4", "in_profiles": {"archive": "0.5"}, "type": str,
        "metavar": "VERSION",
    },
    "no_chain": {
        "help_": "strict OME-TIFF, whose coarser levels OpenSlide and ASAP do not see",
        "effect": "values", "used_by": ("ome-tiff",), "default": False,
    },
    "previews": {
        "help_": "all (each map over the slide and alone) or small (each map over the slide, half "
        "as large)",
        "effect": "values", "used_by": ("png",), "usual": "all",
        "in_profiles": {"archive": "small"}, "type": str, "metavar": "WHICH",
    },
    "cells_geojson": {
        "help_": "when cells are written as GeoJSON too, for other programs than ours, which read "
        "the CSV: few (if there are at most 20,000) or never",
        "effect": "drawn", "used_by": ("cells",), "usual": "few",
        "in_profiles": {"archive": "never"}, "type": str, "metavar": "WHEN",
    },
    "dry_run": {
        "help_": "write nothing; print what would be done for each slide, how long it will take "
        "and how much disk, as far as slides done before tell",
        "effect": "none", "default": False,
    },
    "keep_pixels": {
        "help_": "how long the cache keeps a slide's pixels at the network's resolution: always, "
        "until-drawn (until its files are written) or never (not even from maps to draw, which "
        "reads the slide again)",
        "effect": "none", "usual": "always", "in_profiles": {"archive": "until-drawn"},
        "type": str, "metavar": "HOW-LONG",
    },
}  # fmt: skip


def file_option(name: str) -> Any:
    """Return the field of an option on files."""
    return create_option("outputs", **_FILES[name])
