"""The raw values of a slide, as any reader of OME-Zarr finds them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from heatmaps_ome.geometry import YX
from heatmaps_ome.slides.plain_zarr import inside
from heatmaps_ome.validate.ngff import open_level

if TYPE_CHECKING:
    from pathlib import Path

    from heatmaps_ome.validate.ngff import Pyramid

KINDS: dict[str, tuple[bool, tuple[str, ...]]] = {
    "attention": (False, ("logit", "log ratio")),
    "score": (True, ("probability",)),
    "contribution": (True, ("logit",)),
    "leave-one-out": (True, ("probability",)),
    "evidence": (True, ("logit",)),
    "class-attention": (True, ("logit", "log ratio")),
    "prediction": (True, ()),
    "value": (True, ()),
    "as-stamp": (True, ("",)),
    "as-clam": (False, ("%",)),
    "difference": (True, ()),
}
"""Kinds of maps with channels: whether there is one per class, and the units they may have.

Of predictions, given values and differences the unit may be any.

A list of its own on purpose: the table of the program that wrote the results may be wrong.
"""
_EVEN = ("attention", "winner", "class-attention", "value", "as-stamp", "as-clam")
"""Kinds of maps that have one opacity throughout; the others fade with the attention."""

_TIMES_CELLS = ("contribution", "evidence")
"""Kinds of maps that are drawn times the slide's number of tissue cells, unless they were given."""


@dataclass(frozen=True)
class Channel:
    """The map that a channel holds, as the facts of the values state it.

    Attributes
    ----------
    name, kind, unit : str
    class_name : str or None
    spread : bool
        Whether it is the standard deviation over several models.
    """

    name: str
    kind: str
    unit: str
    class_name: str | None
    spread: bool


@dataclass(frozen=True, eq=False)
class Values:
    """The raw maps of a slide, as any reader of OME-Zarr finds them.

    Attributes
    ----------
    pyramid : Pyramid
    as_reference : bool
        Whether the maps are drawn where create_heatmaps.py drew them (``--compat reference``).
    """

    pyramid: Pyramid
    as_reference: bool = False

    @cached_property
    def stack(self) -> np.ndarray:
        """All maps: (channels, rows, cols) float32."""
        finest = self.pyramid.multiscale["datasets"][0]["path"]
        return np.asarray(open_level(inside(self.pyramid.path, finest), whole=True)[...])

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the channels."""
        return tuple(channel["label"] for channel in self.pyramid.attributes["omero"]["channels"])

    @property
    def facts(self) -> dict[str, Any]:
        """The metadata of the values beyond NGFF's."""
        return self.pyramid.attributes["heatmaps_ome"]

    @cached_property
    def channels(self) -> tuple[Channel, ...]:
        """The channels as the facts state them."""
        return tuple(
            Channel(entry["name"], entry["kind"], entry["unit"], entry["class"], entry["spread"])
            for entry in self.facts["channels"]
        )

    def maps(self, kind: str, *, spread: bool = False) -> dict[str | None, str]:
        """Return the names of a kind's channels by class, in their order."""
        return {
            channel.class_name: channel.name
            for channel in self.channels
            if channel.kind == kind and channel.spread == spread
        }

    @property
    def tissue(self) -> np.ndarray:
        """Cells that have an attention or, of tiles, any value: (rows, cols) bool."""
        if self.target is None:
            return ~np.isnan(self.channel("attention"))
        return ~np.all(np.isnan(self.stack), axis=0)

    @property
    def target(self) -> dict[str, Any] | None:
        """What maps of tiles predict; None for a dense grid, which has classes of a softmax."""
        return self.facts.get("target")

    @property
    def link(self) -> str:
        """The function that makes predictions of logits."""
        return "softmax" if self.target is None else self.target["link"]

    @property
    def um_cell(self) -> YX:
        """Size of a cell in µm."""
        return self.pyramid.um_pixel

    @property
    def um_origin(self) -> YX:
        """Outer corner of cell (0, 0) in µm."""
        return self.pyramid.move("translation") or YX(0.0, 0.0)

    @property
    def um_drawn(self) -> YX:
        """Outer corner of cell (0, 0) as it is drawn, in µm."""
        return YX(0.0, 0.0) if self.as_reference else self.um_origin

    @property
    def um_slide(self) -> YX:
        """Size of the slide in µm."""
        shape = self.facts["slide_shape"]
        return YX(shape["rows"], shape["cols"]).times(YX(**self.facts["mpp"]))

    @property
    def drawn_names(self) -> tuple[str, ...]:
        """Names of all maps that may be drawn."""
        return (*self.names, "tissue", "winner", *self._margins, "artefacts")

    @property
    def _margins(self) -> dict[str, str]:
        """Each margin's name → the name of the score that it is computed from."""
        scores = self.maps("score").values()
        return {"margin-" + score.removeprefix("score-"): score for score in scores}

    def kind(self, name: str) -> str:
        """Return the kind of a named map; "spread" for a standard deviation."""
        for channel in self.channels:
            if channel.name == name:
                return "spread" if channel.spread else channel.kind
        return "margin" if name in self._margins else name

    def factor(self, name: str) -> int:
        """Return the number by which a map's raw values are drawn."""
        is_given = self.target is not None and self.target["task"] == "none"
        if self.kind(name) not in _TIMES_CELLS or is_given:
            return 1
        return max(1, int(np.count_nonzero(self.tissue)))

    def fades(self, name: str) -> bool:
        """Return whether a map's cells are as opaque as their attention is high."""
        return self.kind(name) not in _EVEN and "attention" in self.names

    def channel(self, name: str) -> np.ndarray:
        """Return a named map, (rows, cols); NaN where it has no value.

        "tissue" is 1, "winner" and "artefacts" count their classes and kinds from 1.
        """
        if name == "tissue":
            return np.where(self.tissue, 1.0, np.nan)
        if name == "artefacts":
            artefacts = np.asarray(open_level(self._artefacts, whole=True)[...], np.float64)
            return np.where(artefacts > 0, artefacts, np.nan)
        if name == "winner":
            scores = np.stack([self.channel(score) for score in self.maps("score").values()])
            known = np.isfinite(scores).all(axis=0)
            return np.where(known, 1.0 + np.where(known, scores, 0).argmax(axis=0), np.nan)
        if name in self._margins:
            own = self._margins[name]
            others = [score for score in self.maps("score").values() if score != own]
            rivals = [self.channel(score) for score in others]
            return self.channel(own) - np.max(rivals, axis=0)
        return self.stack[self.names.index(name)]

    @property
    def _artefacts(self) -> Path:
        """Path of the artefacts."""
        return self.pyramid.path / "labels" / "artefacts" / "0"
