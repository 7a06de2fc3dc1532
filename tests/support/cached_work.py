"""All that is read from a cache, of two small slides, without a run around it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
from fake_extractors import MeanColourTiles
from fakes import FakeSlide
from model_files import make_parts, write_export
from slide_files import speckled

from heatmaps_ome.exporters.protocol import Settings, SlideResult
from heatmaps_ome.exporters.tiles import TilesExporter
from heatmaps_ome.features.dense import Extraction
from heatmaps_ome.features.lanes import Lanes
from heatmaps_ome.features.pooling import Pooling
from heatmaps_ome.geometry import Window, network_pixels, raster_pixels
from heatmaps_ome.maps.raw_maps import Recipe, raw_maps
from heatmaps_ome.maps.top_tiles import picked_tiles
from heatmaps_ome.models import read_model
from heatmaps_ome.run.stopwatch import Stages
from heatmaps_ome.slides.working_copy import WorkingCopy
from heatmaps_ome.storage.cache_users import caches_in_use
from heatmaps_ome.storage.whole import link

if TYPE_CHECKING:
    from pathlib import Path

MPP = 256 / 224


class CachedWork:
    """Makes results with any cache.

    Parameters
    ----------
    folder : Path
        For models and results.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        write_export(folder / "model.pkl", parts=make_parts(n_inputs=3))
        self.model = read_model(folder / "model.pkl")
        self.rgb = {name: speckled(1200, 1300, seed) for seed, name in enumerate("ab")}
        self.n_results = 0

    def __call__(self, cache: Path) -> dict[str, bytes]:
        """Return the content of all results by name, as a run makes them."""
        with caches_in_use():
            return {
                f"{name}/{part}": content
                for name in self.rgb
                for part, content in self._of_slide(name, cache).items()
            }

    def opened(self, name: str, cache: Path) -> WorkingCopy:
        """Return a slide with its copy."""
        slide = FakeSlide(self.rgb[name], name=name)
        lattice = network_pixels(slide.shape, slide.mpp, MPP)
        return WorkingCopy(slide, slide.fingerprint(), lattice, cache, threads=1)

    def recipe(self, cache: Path) -> Recipe:
        """Return how maps are made."""
        return Recipe(
            lanes=Lanes([MeanColourTiles()]), model=self.model, pooling=Pooling(),
            extraction=Extraction(MPP, 128, 1, cache), mask_threshold=224,
            read_from="level", overlaps=False, consistency_tiles=5,
        )  # fmt: skip

    def _of_slide(self, name: str, cache: Path) -> dict[str, bytes]:
        copy = self.opened(name, cache)
        [maps] = raw_maps(copy, [self.recipe(cache)], Stages({}))
        lattice = network_pixels(copy.shape, copy.mpp, MPP)
        self.n_results += 1
        target = self.folder / f"results-{self.n_results}"
        for level, folder in enumerate(copy.level_folders(lattice)):
            for chunk in folder.glob("[0-9]*/**/*"):
                if chunk.is_file():
                    link(chunk, target / str(level) / chunk.relative_to(folder))
        result = SlideResult(
            copy, maps, (), "MSIH", lattice, raster_pixels(copy.shape, copy.mpp, lattice.l0_cell),
            tiles=picked_tiles(maps, "MSIH", 1),
        )  # fmt: skip
        TilesExporter(Settings(cache=cache)).write(result, target)
        half = lattice.downsampled(1)
        thumbnail = copy.read(half, Window(0, 0, *half.shape))
        copy.close()
        arrays = {
            part: np.ascontiguousarray(getattr(maps, part)).tobytes()
            for part in (
                "attention",
                "scores",
                "contributions",
                "logits",
                "prediction",
                "artefacts",
            )
        }
        return {
            **arrays,
            "thumbnail": thumbnail.tobytes(),
            "consistency": str(maps.consistency).encode(),
            **{
                path.relative_to(target).as_posix(): path.read_bytes()
                for path in target.rglob("*")
                if path.is_file()
            },
        }


class Warnings(logging.Handler):
    """Collects the package's log messages."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())

    def __enter__(self) -> Warnings:
        logging.getLogger("heatmaps_ome").addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("heatmaps_ome").removeHandler(self)
