"""One slide's results in Python: its prediction, and its maps as arrays."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from heatmaps_ome.errors import MissingError, ResultError
from heatmaps_ome.maps.kinds import KINDS
from heatmaps_ome.maps.numbers import is_probability
from heatmaps_ome.slides.plain_zarr import require_regular
from heatmaps_ome.viewers.notebook.manifest import read_manifest
from heatmaps_ome.viewers.notebook.map_values import MapValues
from heatmaps_ome.viewers.notebook.markup import answer, block, paragraph, picture, table
from heatmaps_ome.viewers.notebook.undrawn import facts_of_undrawn

if TYPE_CHECKING:
    from pathlib import Path

    from heatmaps_ome.geometry import Grid
    from heatmaps_ome.maps.heatmap_set import HeatmapSet
    from heatmaps_ome.viewers.notebook.manifest import Manifest

_MOST_PX = 64 << 20
_PREVIEW_PX = 800
"""Longer side of the picture in a notebook: some 100 kB."""


@dataclass(frozen=True, eq=False, repr=False)
class SlideResults:
    """One slide's results; files are read when they are first needed, and kept.

    Attributes
    ----------
    name : str
        The slide's.
    path : Path
        The folder of its results.
    """

    name: str
    path: Path

    @property
    def prediction(self) -> dict[str, float]:
        """The slide's class probabilities; NaN if it has no tissue."""
        return dict(self._manifest.prediction)

    @property
    def target(self) -> dict[str, Any]:
        """What the prediction is of: its "task", "unit" and more; see `models.target`."""
        return dict(self._manifest.target)

    @property
    def classes(self) -> tuple[str, ...]:
        """The model's classes, in its own order."""
        return self._manifest.classes

    @property
    def true_class(self) -> str:
        """The class that is drawn hot."""
        return self._manifest.true_class

    @property
    def label(self) -> str | None:
        """The ground truth that the table of slides gave; None without."""
        return self._manifest.label

    @property
    def grid(self) -> Grid:
        """Where the cells lie on the slide."""
        return self._manifest.grid

    @property
    def tissue(self) -> np.ndarray:
        """Whether a cell is tissue, (rows, cols) bool; all maps are NaN elsewhere."""
        return self._heatmaps.tissue.copy()

    @cached_property
    def maps(self) -> tuple[tuple[str, str | None], ...]:
        """The maps that there are, as (kind, class); the class is None for a map of all classes."""
        return tuple(
            (key, name)
            for key, kind in KINDS.items()
            if self._heatmaps.values(key) is not None
            for name in (self._heatmaps.classes if kind.per_class else (None,))
        )

    def map(self, kind: str, class_name: str | None = None) -> MapValues:
        """Return a map.

        Parameters
        ----------
        kind : str
            "attention", "score", "contribution", …: see `maps`.
        class_name : str, optional
            For kinds that have a map for each class.

        Raises
        ------
        MissingError
            A KeyError: if there is no such map.
        ResultError
            If the values are missing or damaged.
        """
        key = (kind, class_name)
        cells = self._heatmaps.map(kind, class_name) if key in self.maps else None
        if cells is None:
            raise MissingError(self._missing(kind, class_name))
        facts = self._manifest.maps.get(key)
        if facts is None:
            facts = facts_of_undrawn(self._heatmaps, kind, class_name)
        values = np.where(self._heatmaps.tissue, cells, np.nan).astype(np.float32)
        values.flags.writeable = False
        return MapValues(**vars(facts), values=values, grid=self._heatmaps.grid)

    def __repr__(self) -> str:
        prediction = ", ".join(f"{c} {answer(p, self.target)}" for c, p in self.prediction.items())
        return f"<SlideResults of {self.name}: {prediction}>"

    def _repr_html_(self) -> str:
        ranked = sorted(self.prediction.items(), key=lambda item: -item[1])
        heads = ("class", "probability") if is_probability(self.target) else ("target", "value")
        kinds: dict[str, list[str]] = {}
        for kind, class_name in self.maps:
            kinds.setdefault(kind, []).append("" if class_name is None else class_name)
        return block(
            paragraph(self.name, bold=True),
            table(heads, ((name, answer(p, self.target)) for name, p in ranked)),
            paragraph(" · ".join(self._facts())),
            table(("map", "classes"), ((kind, ", ".join(names)) for kind, names in kinds.items())),
            self._preview(),
        )

    @property
    def heatmaps(self) -> HeatmapSet:
        """The raw maps as one set, with all that the values record."""
        return self._heatmaps

    def _facts(self) -> list[str]:
        """Return the class drawn hot, and the ground truth if there is one."""
        truth = [] if self.label is None else [f"ground truth: {self.label}"]
        return [f"drawn hot: {self.true_class}", *truth]

    @cached_property
    def _manifest(self) -> Manifest:
        return read_manifest(self.path)

    @cached_property
    def _heatmaps(self) -> HeatmapSet:
        from heatmaps_ome.maps.store import read_values

        heatmaps = read_values(self.path / self._manifest.values)
        if (heatmaps.grid, heatmaps.classes) != (self.grid, self.classes):
            raise ResultError(
                f"{self.path}: the values have another grid or other classes than the files beside "
                "them; make the result anew with create"
            )
        return heatmaps

    def _missing(self, kind: str, class_name: str | None) -> str:
        """Return why there is no such map, and which there are."""
        classes = [name for key, name in self.maps if key == kind]
        if not classes:
            kinds = dict.fromkeys(key for key, _ in self.maps)
            return f"{self.name} has no map of kind {kind!r}; its kinds are {', '.join(kinds)}"
        if classes == [None]:
            return f"{kind} is one map for all classes; leave out the class {class_name!r}"
        names = ", ".join(name for name in classes if name is not None)
        if class_name is None:
            return f"{kind} is a map for each class; give one of {names}"
        return f"{self.name} has no class {class_name!r}; its classes are {names}"

    def _preview(self) -> str:
        """Return the picture of the first map over the slide, smaller; "" if there is none."""
        from PIL import Image

        name, title = self._manifest.first
        path = self.path / "previews" / f"{name}-overlay.png"
        if not path.exists():
            return ""
        file = io.BytesIO()
        try:
            require_regular(path)
            with Image.open(path) as full:
                if full.width * full.height > _MOST_PX:
                    return paragraph("The preview is too large.")
                shrink = math.ceil(max(full.size) / _PREVIEW_PX)
                full.convert("RGB").reduce(max(1, shrink)).save(file, format="JPEG", quality=85)
        except (OSError, ValueError, Image.DecompressionBombError):
            return paragraph("The preview cannot be read.")
        return picture(file.getvalue(), "jpeg", f"{title} over {self.name}")
