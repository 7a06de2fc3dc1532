"""The makers of raw maps: of a dense grid, of features of tiles, or of given scores.

A run has one maker for all of its slides; of each slide it gives the source of its maps. Everything
after that, scaling, drawing, files and records, is the same whatever the maps come from.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from heatmaps_ome.errors import ModelError
from heatmaps_ome.maps.raw_maps import raw_maps
from heatmaps_ome.run.provenance import extractor_record
from heatmaps_ome.slides.opening import AUTO, open_slide
from heatmaps_ome.storage.cache import Encoded, FeaturesKey

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from heatmaps_ome.extractors.protocol import Extractor
    from heatmaps_ome.features.lanes import Lanes
    from heatmaps_ome.geometry import Grid
    from heatmaps_ome.maps.heatmap_set import HeatmapSet
    from heatmaps_ome.maps.raw_maps import Recipe, Stages
    from heatmaps_ome.models.model_set import ModelSet
    from heatmaps_ome.run.slide_row import SlideRow
    from heatmaps_ome.slides.bad_tiles import BadTilePolicy
    from heatmaps_ome.slides.icc import Icc
    from heatmaps_ome.slides.opened_slide import OpenedSlide
    from heatmaps_ome.slides.reader import ReadFrom
    from heatmaps_ome.slides.working_copy import WorkingCopy
    from heatmaps_ome.storage.cache import Key
    from heatmaps_ome.storage.cache import Source as SlidePixels

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reading:
    """How the slides of a run are read.

    Attributes
    ----------
    target_mpp : float
        µm per pixel of the working copy.
    read_from : "level" or "level0"
    bad_tiles : "fail" or "blank"
    cache : Path
    threads : int
    reader : str
        Name of the reader of all slides, or "auto".
    icc : "ignore" or "apply"
        Whether the slides' profiles of colours are applied.
    """

    target_mpp: float
    read_from: ReadFrom
    bad_tiles: BadTilePolicy
    cache: Path
    threads: int
    reader: str = AUTO
    icc: Icc = "ignore"

    def opened(self, file: Path, mpp: float | None) -> OpenedSlide:
        """Return an open slide; see `open_slide`."""
        return open_slide(file, mpp, self.read_from, self.bad_tiles, self.reader, self.icc)


class Source(Protocol):
    """Where the raw maps of one slide come from."""

    @property
    def digests(self) -> list[str]:
        """Digests of all that its maps depend on beside slide and options, in order; and words."""
        ...

    @property
    def named(self) -> tuple[tuple[str, str], ...]:
        """Name and digest of each model."""
        ...

    @property
    def files(self) -> tuple[Path, ...]:
        """The files beside the slide's that its maps are made of; a model's are not among them."""
        ...

    def record(self) -> dict[str, Any]:
        """Return the origin of the maps for the slide's provenance, as plain JSON values."""
        ...

    def is_made(self, fingerprint: str) -> bool:
        """Return whether the maps are in the cache."""
        ...

    def parts(self, slide: WorkingCopy, fingerprint: str, stages: Stages) -> list[HeatmapSet]:
        """Return each model's maps of the slide, with the classes in the same order."""
        ...


class Maker(Protocol):
    """Makes the raw maps of all slides of a run.

    Attributes
    ----------
    reading : Reading
    model_digest, extractor_digest : str
        Maps of others have other units, so that no scaling is shared with them.
    lanes : Lanes or None
        The devices that the network runs on; None: none does.
    overlaps : bool
        Whether these compute while the CPU reads the next slide.
    """

    # Read-only, so that frozen dataclasses are such makers.
    @property
    def reading(self) -> Reading: ...  # noqa: D102
    @property
    def model_digest(self) -> str: ...  # noqa: D102
    @property
    def extractor_digest(self) -> str: ...  # noqa: D102
    @property
    def lanes(self) -> Lanes[Any] | None: ...  # noqa: D102
    @property
    def overlaps(self) -> bool: ...  # noqa: D102

    def features_key(self, source: SlidePixels, pixels: Grid) -> Key | None:
        """Return the key of a slide's features in the cache; None: there are none.

        Parameters
        ----------
        pixels : Grid
            The lattice of network pixels.
        """
        ...

    def source(self, row: SlideRow, slide: OpenedSlide) -> Source:
        """Return the source of a slide's maps; HeatmapsError if it has none that fits."""
        ...

    def prepare(self) -> None:
        """Make ready what costs time, so that its errors show before the first slide."""
        ...

    def record(self) -> dict[str, Any]:
        """Return the facts that hold for all slides, as plain JSON values."""
        ...


class WithoutNetwork:
    """What makers have in common that compute no features."""

    @property
    def lanes(self) -> None:
        """No device runs a network."""

    @property
    def overlaps(self) -> bool:
        """See `Maker`."""
        return False

    def features_key(self, source: SlidePixels, pixels: Grid) -> None:
        """See `Maker`."""


@dataclass(frozen=True, eq=False)
class DenseSource:
    """A slide whose maps are those of a dense grid of cells.

    Attributes
    ----------
    recipe : Recipe
        How raw maps are made, with the first of the models.
    models : ModelSet
        With this patient's covariates.
    mpp : float or None
        µm per level-0 pixel that the user gave for the slide.
    pixels : str
        What the pixels' values depend on beside the slide's file: see `SlideReader`.
    """

    recipe: Recipe
    models: ModelSet
    mpp: float | None
    pixels: str = ""

    @property
    def digests(self) -> list[str]:
        """See `Source`."""
        return [*self.models.cache_digests, *filter(None, [self.pixels])]

    @property
    def named(self) -> tuple[tuple[str, str], ...]:
        """See `Source`."""
        return self.models.named

    @property
    def files(self) -> tuple[Path, ...]:
        """See `Source`."""
        return ()

    def record(self) -> dict[str, Any]:
        """See `Source`."""
        return {
            "model": self.models.record(),
            "extractor": extractor_record(self.recipe.extractor),
            "pooling": asdict(self.recipe.pooling),
        }

    @property
    def _recipes(self) -> tuple[Recipe, ...]:
        """How raw maps are made, one per model."""
        return tuple(replace(self.recipe, model=model) for model in self.models.models)

    def is_made(self, fingerprint: str) -> bool:
        """See `Source`."""
        return all(
            recipe.kept_in(fingerprint, self.mpp, self.pixels).is_dir() for recipe in self._recipes
        )

    def parts(self, slide: WorkingCopy, fingerprint: str, stages: Stages) -> list[HeatmapSet]:
        """See `Source`."""
        return raw_maps(slide, self._recipes, stages)


@dataclass(frozen=True, eq=False)
class DenseMaker:
    """Makes maps of a dense grid: slide + extractor + models.

    Attributes
    ----------
    recipe : Recipe
        How raw maps are made, with the first of the models.
    models : ModelSet
    covariates : mapping of name → value
        Values for all slides.
    reading : Reading
    """

    recipe: Recipe
    models: ModelSet
    covariates: Mapping[str, str]
    reading: Reading

    @property
    def model_digest(self) -> str:
        """Digest of the models as a set."""
        return self.models.digest

    @property
    def extractor_digest(self) -> str:
        """Digest of the extractor."""
        return self.recipe.extractor.digest

    @property
    def lanes(self) -> Lanes[Extractor]:
        """The devices that the network runs on."""
        return self.recipe.lanes

    @property
    def overlaps(self) -> bool:
        """See `Maker`."""
        return self.recipe.overlaps

    def features_key(self, source: SlidePixels, pixels: Grid) -> FeaturesKey:
        """See `Maker`."""
        extractor = self.recipe.extractor
        encoded = Encoded(source, extractor.digest, pixels.l0_cell)
        return FeaturesKey(encoded, self.recipe.extraction.chunk_cells(extractor))

    def source(self, row: SlideRow, slide: OpenedSlide) -> DenseSource:
        """See `Maker`."""
        warn_of_scale(row, slide, self.recipe.extraction.target_mpp)
        models = with_covariates(self.models, row, self.covariates)
        return DenseSource(self.recipe, models, row.mpp, slide.pixels)

    def prepare(self) -> None:
        """Build the network; HeatmapsError if its weights do not fit."""
        self.recipe.lanes.prepare()

    def record(self) -> dict[str, Any]:
        """See `Maker`."""
        return {
            "model": self.models.record(),
            "extractor": extractor_record(self.recipe.extractor),
        }


def warn_of_scale(row: SlideRow, slide: OpenedSlide, target_mpp: float) -> None:
    """Warn of a slide that is enlarged for the network."""
    if max(slide.mpp) > 2 * target_mpp:
        logger.warning(
            "%s has %.3g µm per pixel, far coarser than the %.3g that the network sees: it is "
            "enlarged, and its maps mean little", row.path.name, max(slide.mpp), target_mpp,
        )  # fmt: skip


def with_covariates(models: ModelSet, row: SlideRow, common: Mapping[str, str]) -> ModelSet:
    """Return the models with the covariates of a slide's patient."""
    try:
        own = models.for_slide(row.covariates, common)
    except ModelError as error:
        raise ModelError(f"{row.origin or row.path.name}: {error}") from error
    if own.imputation:
        logger.warning("%s: %s", row.path.name, own.imputation)
    return own
