"""Options that several commands have: their words, types and bounds, once."""

from dataclasses import Field, field, fields
from pathlib import Path
from typing import Any, Final

from heatmaps_ome.features.tile_facts import ORIGINS
from heatmaps_ome.options.fields import names, option

TASKS: Final = ("classification", "multilabel", "regression", "survival")
"""As `models.target.TASKS`, whose module is slower to import."""

_MODEL: Final[dict[str, dict[str, Any]]] = {
    "class_names": {
        "help_": "names of the model's outputs in their order, where its file has none",
        "default": (), "type": names, "metavar": "A,B",
    },
    "task": {
        "help_": "what the model predicts, where its file does not say so: classification, "
        "multilabel (yes or no for each output), regression (a value) or survival (a risk)",
        "among": TASKS, "type": str, "metavar": "TASK",
    },
    "family": {
        "help_": "family of the model, where its file fits several",
        "type": str, "metavar": "NAME",
    },
    "head": {
        "help_": "target to explain of a model that predicts several",
        "type": str, "metavar": "NAME",
    },
    "heads": {
        "help_": "attention heads of the transformer, where its file does not state them",
        "between": (1, 1024), "type": int, "metavar": "N",
    },
    "attention_gate": {
        "help_": "slideflow's attention_gate, where no mil_params.json lies beside the model",
        "between": (0, 1), "type": float, "metavar": "SHARE",
    },
    "temperature": {
        "help_": "slideflow's temperature, where no mil_params.json lies beside the model",
        "between": (1e-6, 1e6), "type": float, "metavar": "T",
    },
}  # fmt: skip
_SLIDES: Final[dict[str, dict[str, Any]]] = {
    "bad_tiles": {
        "help_": "what a damaged tile of a slide does: fail (the slide is not done) or blank (the "
        "tile is left white, which is no tissue, and recorded)",
        "default": "fail", "type": str, "metavar": "HOW",
    },
    "reader": {
        "help_": "library that reads the slides: auto (the first that reads a slide, as info "
        "shows) or the name of one",
        "default": "auto", "type": str, "metavar": "NAME",
    },
    "icc": {
        "help_": "what a slide's profile of colours (ICC) does: ignore (the pixels are the "
        "scanner's, as encoders were trained on) or apply (they are converted to sRGB)",
        "default": "ignore", "type": str, "metavar": "HOW",
    },
}  # fmt: skip
_SCRATCH: Final[dict[str, dict[str, Any]]] = {
    "scratch": {
        "help_": "folder for slides from URLs while they are at work (default: the system's for "
        "temporary files)",
        "effect": "none", "type": Path, "metavar": "DIR",
    },
    "scratch_size": {
        "help_": "what these slides may take there, such as 50GB (default: half of what is free)",
        "form": (r"\s*\d+(\.\d+)?\s*([kMGT]i?)?B\s*", "a size such as 50GB"),
        "effect": "none", "type": str, "metavar": "SIZE",
    },
}  # fmt: skip
_TILES: Final[dict[str, dict[str, Any]]] = {
    "coords": {
        "help_": "file with the tiles' coordinates, or with the patches that they come from, where "
        "the features or scores have none (CLAM's patches/SLIDE.h5)",
        "type": Path, "metavar": "FILE",
    },
    "coords_unit": {
        "help_": "unit of the coordinates where the file does not state it: px (of level 0), um, "
        "or level:N (pixels of that level)",
        "form": (r"px|um|level:[0-9]{1,3}", "px, um or level:N"), "type": str, "metavar": "UNIT",
    },
    "tile_size": {
        "help_": "side of the tiles in that unit, where the file does not state it",
        "between": (1e-3, 1e6), "type": float, "metavar": "N",
    },
    "origin": {
        "help_": "point of a tile that its coordinates name, where the file does not state it: "
        "top-left or centre",
        "among": ORIGINS, "type": str, "metavar": "POINT",
    },
    "stride": {
        "help_": "distance of neighbouring tiles in that unit, where coordinates count tiles",
        "between": (1e-3, 1e6), "type": float, "metavar": "N",
    },
    "dataset": {
        "help_": "dataset, table or column of the features or scores, where the file has several",
        "type": str, "metavar": "NAME",
    },
}  # fmt: skip


def scratch_option(name: str) -> Any:
    """Return the field of an option on slides at URLs."""
    return option("network", **_SCRATCH[name])


def slide_option(name: str) -> Any:
    """Return the field of an option on how slides are read, on which all values depend."""
    return option("inputs", effect="values", **_SLIDES[name])


def model_fact(name: str, group: str = "inputs", **metadata: Any) -> Any:
    """Return the field of a fact that a model's file may lack."""
    return option(group, **{**_MODEL[name], **metadata})


def tile_fact(name: str, **metadata: Any) -> Any:
    """Return the field of a fact about tiles that their file may lack."""
    return option("given", **{**_TILES[name], **metadata})


def same_as(options: type, name: str, **changed: Any) -> Any:
    """Return a field like that of another command.

    Parameters
    ----------
    **changed
        Its other default, help or group.
    """
    entry: Field[Any]
    [entry] = [entry for entry in fields(options) if entry.name == name]
    default = changed.pop("default", entry.default)
    return field(default=default, metadata={**entry.metadata, **changed})


def quantiles_asked(options: Any) -> dict[str, float]:
    """Return the quantiles that were given, by their names in `Quantiles`."""
    values = {
        "attention_lower": options.att_lower_threshold,
        "attention_upper": options.att_upper_threshold,
        "score": options.score_threshold,
    }
    return {name: value for name, value in values.items() if value is not None}
