"""Makes maps of a slide's own tiles: each goes through the encoder alone, as in training."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from heatmaps_ome.features.finer_tiles import finer_size
from heatmaps_ome.features.lattice_features import lattice_key
from heatmaps_ome.maps.bag_maps import bag_maps
from heatmaps_ome.maps.finer_maps import finer_maps
from heatmaps_ome.maps.slide_bag import slide_bag, tissue_tiles_of
from heatmaps_ome.run.maker import warn_of_scale, with_covariates
from heatmaps_ome.run.provenance import encoder_record
from heatmaps_ome.storage.cache import Encoded, LatticeKey, folder_of
from heatmaps_ome.storage.cache import Source as SlidePixels
from heatmaps_ome.storage.digests import digest_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from heatmaps_ome.extractors.protocol import TileEncoder
    from heatmaps_ome.features.lanes import Lanes
    from heatmaps_ome.geometry import YX, Grid
    from heatmaps_ome.maps.bag_maps import BagRecipe
    from heatmaps_ome.maps.finer_maps import Refinement
    from heatmaps_ome.maps.heatmap_set import HeatmapSet
    from heatmaps_ome.maps.raw_maps import Stages
    from heatmaps_ome.maps.slide_bag import Tiling
    from heatmaps_ome.models.model_set import ModelSet
    from heatmaps_ome.run.maker import Reading
    from heatmaps_ome.run.slide_row import SlideRow
    from heatmaps_ome.slides.opened_slide import OpenedSlide
    from heatmaps_ome.slides.working_copy import WorkingCopy


@dataclass(frozen=True, eq=False)
class SlideTilesSource:
    """A slide whose maps are those of its own tiles.

    Attributes
    ----------
    maker : SlideTilesMaker
    models : ModelSet
        With this patient's covariates.
    mpp : YX
        µm per level-0 pixel.
    pixels : str
        What else the pixels' values depend on.
    """

    maker: SlideTilesMaker
    models: ModelSet
    mpp: YX
    pixels: str
    _tiles: dict[str, Any] = field(default_factory=dict)

    @property
    def digests(self) -> list[str]:
        """See `Source`."""
        recipe = self.maker.recipe
        return [
            digest_of(self.maker.tiling.facts), *self.models.cache_digests, recipe.explain,
            *([recipe.compat] if recipe.compat else []),
            *([digest_of(self.maker.refinement.facts)] if self.maker.refinement else []),
        ]  # fmt: skip

    @property
    def named(self) -> tuple[tuple[str, str], ...]:
        """See `Source`."""
        return self.models.named

    @property
    def files(self) -> tuple[Path, ...]:
        """See `Source`."""
        return ()

    def record(self) -> dict[str, Any]:
        """See `Source`; the tiles are known once the maps are made."""
        return {
            "model": self.models.record(),
            "extractor": self.maker.extractor_record,
            "pooling": None,
            "tiles": dict(self._tiles),
        }

    def is_made(self, fingerprint: str) -> bool:
        """See `Source`."""
        bag, folder = self._bag_digest(fingerprint), self.maker.recipe.cache
        refinement = self.maker.refinement
        bags = [bag] if refinement is None else [bag, refinement.digest(bag)]
        return all(
            folder_of(folder, recipe.key(fingerprint, one)).is_dir()
            for recipe in self._recipes
            for one in bags
        )

    def parts(self, slide: WorkingCopy, fingerprint: str, stages: Stages) -> list[HeatmapSet]:
        """See `Source`."""
        digest = self._bag_digest(fingerprint)
        tiling, refinement = self.maker.tiling, self.maker.refinement
        on_tissue = cache(lambda: tissue_tiles_of(slide, tiling, stages))
        read = cache(lambda: slide_bag(slide, tiling, on_tissue, digest, stages))

        made = [
            bag_maps(slide, recipe.key(fingerprint, digest), read, recipe, stages)
            for recipe in self._recipes
        ]
        if refinement is not None:
            [recipe], [table] = self._recipes, made
            key = recipe.key(fingerprint, refinement.digest(digest))
            how = (refinement, recipe, tiling)
            made = [replace(table, finer=finer_maps(slide, table, key, how, on_tissue, stages))]
        self._tiles.update(self._tile_record(made[0], digest))
        return made

    @property
    def _recipes(self) -> Iterator[BagRecipe]:
        for model in self.models.models:
            yield replace(self.maker.recipe, model=model)

    def _bag_digest(self, fingerprint: str) -> str:
        """Return the digest of all that the features of the slide's tiles follow from."""
        reading = self.maker.reading
        source = SlidePixels(
            fingerprint, self.mpp, reading.read_from, reading.bad_tiles, self.pixels
        )
        return self.maker.tiling.digest(source)

    def _tile_record(self, made: HeatmapSet, digest: str) -> dict[str, Any]:
        """Return the record of the slide's tiles as plain JSON values."""
        facts = made.explanation
        return {
            "system": facts["system"],
            "encoder": facts["encoder"],
            "count": made.n_places,
            "digest": digest,
            **self.maker.size_record,
            **self._finer_record(made),
            "notes": list(facts["notes"]),
        }

    def _finer_record(self, made: HeatmapSet) -> dict[str, Any]:
        """Return the record of finer tiles as plain JSON values; nothing if none are asked for."""
        refinement = self.maker.refinement
        if refinement is None:
            return {}
        counts = {
            "around": len(refinement.around(made)),
            "count": 0 if made.finer is None else made.finer.n_places,
        }
        return {"refine": {**self.maker.finer_record, **counts}}


@dataclass(frozen=True, eq=False)
class SlideTilesMaker:
    """Makes maps of slides' tiles: slide + encoder + models.

    Attributes
    ----------
    tiling : Tiling
    recipe : BagRecipe
        How maps are made, with the first of the models.
    models : ModelSet
    covariates : mapping of name → value
        Values for all slides.
    reading : Reading
    overlaps : bool
        Whether the encoder's devices compute while the CPU reads the next slide.
    refinement : Refinement or None
        The tiles that get finer ones; None: none do.
    """

    tiling: Tiling
    recipe: BagRecipe
    models: ModelSet
    covariates: Mapping[str, str]
    reading: Reading
    overlaps: bool
    refinement: Refinement | None = None

    @property
    def model_digest(self) -> str:
        """Digest of the models as a set."""
        return self.models.digest

    @property
    def extractor_digest(self) -> str:
        """Digest of encoder, tiles and explanation: maps of others have another scale."""
        encoder = self.tiling.lanes.extractor.digest
        return digest_of({
            "extractor": encoder, "tiles": self.tiling.facts["tile"], "explain": self.recipe.explain
        })  # fmt: skip

    @property
    def lanes(self) -> Lanes[TileEncoder]:
        """The devices that the encoder runs on."""
        return self.tiling.lanes

    @property
    def size_record(self) -> dict[str, Any]:
        """The size of tiles as plain JSON values."""
        size = self.tiling.size
        return {"side_px": size.side_px, "stride_px": size.stride_px, "mpp": size.target_mpp}

    @property
    def finer_record(self) -> dict[str, Any]:
        """The choice and the distance of finer tiles as plain JSON values; empty without any."""
        if self.refinement is None:
            return {}
        stride = finer_size(self.tiling.size).stride_px
        return {
            "share": self.refinement.share,
            "class": self.refinement.class_name,
            "stride_px": stride,
        }

    @property
    def extractor_record(self) -> dict[str, Any]:
        """The facts on the encoder; its own digest is ``encoder_digest``."""
        encoder = encoder_record(self.tiling.lanes.extractor)
        return {
            **encoder, "digest": self.extractor_digest, "encoder_digest": encoder["digest"]
        }  # fmt: skip

    def features_key(self, source: SlidePixels, pixels: Grid) -> LatticeKey:
        """See `Maker`."""
        encoded = Encoded(source, self.tiling.lanes.extractor.digest, pixels.l0_cell)
        return lattice_key(encoded, self.tiling.size)

    def source(self, row: SlideRow, slide: OpenedSlide) -> SlideTilesSource:
        """See `Maker`."""
        warn_of_scale(row, slide, self.tiling.size.target_mpp)
        models = with_covariates(self.models, row, self.covariates)
        return SlideTilesSource(self, models, slide.mpp, slide.pixels)

    def prepare(self) -> None:
        """Build the network; HeatmapsError if its weights do not fit."""
        self.tiling.lanes.prepare()

    def record(self) -> dict[str, Any]:
        """See `Maker`."""
        return {
            "model": self.models.record(),
            "extractor": self.extractor_record,
            "tiles": {
                **self.size_record, **({"refine": self.finer_record} if self.refinement else {})
            },
        }  # fmt: skip
