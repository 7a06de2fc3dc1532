"""Makers of maps of tiles: features of any system with models, or scores that any tool gave."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from heatmaps_ome.errors import FeaturesError, OptionError
from heatmaps_ome.features.files import (
    check_on_slide,
    facts_of,
    find_tiles_of,
    read_bag,
    read_scores,
    tissue_share,
)
from heatmaps_ome.maps.bag_maps import BagRecipe, bag_maps
from heatmaps_ome.maps.tile_maps import given_classes, given_maps
from heatmaps_ome.run.maker import WithoutNetwork, with_covariates
from heatmaps_ome.storage.cache import folder_of
from heatmaps_ome.storage.digests import digest_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from heatmaps_ome.features.bag import Bag, Tiles, TileScores
    from heatmaps_ome.features.slide_facts import SlideFacts
    from heatmaps_ome.features.tile_facts import TileFacts
    from heatmaps_ome.maps.explanations.explanation import Compat, Explain
    from heatmaps_ome.maps.heatmap_set import HeatmapSet
    from heatmaps_ome.maps.raw_maps import Stages
    from heatmaps_ome.models.model_set import ModelSet
    from heatmaps_ome.run.maker import Reading
    from heatmaps_ome.run.slide_row import SlideRow
    from heatmaps_ome.slides.opened_slide import OpenedSlide
    from heatmaps_ome.slides.working_copy import WorkingCopy

logger = logging.getLogger(__name__)

_SCORES_DIGEST: Final = digest_of({"scores": "of tiles"})
LEAST_TISSUE: Final = 0.6
"""Share of tiles on tissue below which they may be another slide's."""
_NO_TISSUE: Final = 0.02
"""Share of tiles on tissue below which they are another slide's."""
_FEW_TILES: Final = 10
"""Fewest tiles whose share on tissue means anything."""


def tile_record(tiles: Tiles) -> dict[str, Any]:
    """Return the origin of tiles as plain JSON values."""
    return {
        "system": tiles.system,
        "count": tiles.count,
        "digest": tiles.digest,
        "notes": list(tiles.notes),
    }


def _checked(tiles: Tiles, slide: OpenedSlide, path: Path) -> None:
    """Warn of tiles that may be another slide's; FeaturesError if they are."""
    for warning in check_on_slide(tiles, facts_of(slide)):
        logger.warning("%s: %s", slide.path.name, warning)
    share = tissue_share(slide, tiles) if tiles.count else 1.0
    if share < _NO_TISSUE and tiles.count >= _FEW_TILES:
        raise FeaturesError(
            f"{path}: {100 * share:.0f} % of its {tiles.count:,} tiles lie on tissue of "
            f"{slide.path.name}; give that slide's file, or the unit of its coordinates"
        )
    if share < LEAST_TISSUE:
        logger.warning(
            "%s: only %.0f %% of the %s tiles lie on tissue; check that the file is this slide's, "
            "and the unit of its coordinates", slide.path.name, 100 * share, f"{tiles.count:,}",
        )  # fmt: skip


def _file_of(given: Path | None, row: SlideRow, what: str) -> Path:
    """Return the file of a slide's features or scores."""
    if given is None:
        raise FeaturesError(
            f"{row.path.name}: no {what} are given for it; fill its cell in the column {what} of "
            "the table"
        )
    return find_tiles_of(given, row.path, row.name or row.path.stem)


@dataclass(frozen=True, eq=False)
class BagSource:
    """A slide whose maps are those of the features of its tiles.

    Attributes
    ----------
    path : Path
        The file of the features.
    slide : SlideFacts
    facts : TileFacts
    models : ModelSet
        With this patient's covariates.
    recipe : BagRecipe
        With the first of the models.
    tiles : mapping
        The record of the tiles, as they were when the run was planned.
    """

    path: Path
    slide: SlideFacts
    facts: TileFacts
    models: ModelSet
    recipe: BagRecipe
    tiles: Mapping[str, Any]

    @property
    def digests(self) -> list[str]:
        """See `Source`."""
        return [self.tiles["digest"], *self.models.cache_digests, self.recipe.explain]

    @property
    def named(self) -> tuple[tuple[str, str], ...]:
        """See `Source`."""
        return self.models.named

    @property
    def files(self) -> tuple[Path, ...]:
        """See `Source`."""
        return (self.path,)

    def record(self) -> dict[str, Any]:
        """See `Source`."""
        return {
            "model": self.models.record(),
            "extractor": _extractor_record(
                self.tiles["encoder"], self.recipe.model.n_features, self.recipe.explain
            ),
            "pooling": None,
            "tiles": dict(self.tiles),
        }

    @property
    def _recipes(self) -> tuple[BagRecipe, ...]:
        return tuple(replace(self.recipe, model=model) for model in self.models.models)

    def is_made(self, fingerprint: str) -> bool:
        """See `Source`."""
        keys = (recipe.key(fingerprint, self.tiles["digest"]) for recipe in self._recipes)
        return all(folder_of(self.recipe.cache, key).is_dir() for key in keys)

    def parts(self, slide: WorkingCopy, fingerprint: str, stages: Stages) -> list[HeatmapSet]:
        """See `Source`."""
        with stages("features"):
            bag = read_bag(self.path, self.slide, self.facts)
        _require_same(bag, self.tiles["digest"], self.path)
        return [
            bag_maps(slide, recipe.key(fingerprint, bag.digest), lambda: bag, recipe, stages)
            for recipe in self._recipes
        ]


def _features_digest(n_features: int, explain: Explain) -> str:
    """Return the digest that stands for the unknown extractor of given features.

    Maps that are explained otherwise have another scale, as those of another extractor have.
    """
    return digest_of({"features of tiles": n_features, "explain": explain})


def _extractor_record(encoder: str, n_features: int, explain: Explain) -> dict[str, Any]:
    """Return the facts on the extractor of given features; "" as its name where it is unknown."""
    return {
        "name": encoder,
        "digest": _features_digest(n_features, explain),
        "channels": n_features,
    }


def _scores_record(digest: str, maps: Iterable[str]) -> dict[str, Any]:
    """Return what stands for model and extractor where maps were given."""
    model = {"digest": digest, "classes": list(maps), "target_label": None, "features": 0}
    return {"model": model, "extractor": {"name": "", "digest": _SCORES_DIGEST, "channels": 0}}


def _require_same(tiles: Tiles, digest: str, path: Path) -> None:
    """Refuse tiles that changed while the run was under way."""
    if tiles.digest != digest:
        raise FeaturesError(
            f"{path} has changed since the run began; run the command again once it is complete"
        )


@dataclass(frozen=True, eq=False)
class BagMaker(WithoutNetwork):
    """Makes maps of features: tiles of any system + models.

    Attributes
    ----------
    models : ModelSet
    covariates : mapping of name → value
        Values for all slides.
    features : Path or None
        A file, or a folder with one for each slide; None: the table has them.
    facts : TileFacts
    explain : Explain
    classes : tuple of str
        The classes to draw.
    reading : Reading
    compat : Compat or None
        The program whose own picture is added.
    """

    models: ModelSet
    covariates: Mapping[str, str]
    features: Path | None
    facts: TileFacts
    explain: Explain
    classes: tuple[str, ...]
    reading: Reading
    compat: Compat | None = None

    @property
    def model_digest(self) -> str:
        """Digest of the models as a set."""
        return self.models.digest

    @property
    def extractor_digest(self) -> str:
        """Digest of the kind of features, and of the way in which predictions are explained."""
        return _features_digest(self.models.first.n_features, self.explain)

    def source(self, row: SlideRow, slide: OpenedSlide) -> BagSource:
        """See `Maker`."""
        path = _file_of(row.features or self.features, row, "features")
        bag = read_bag(path, facts_of(slide), self.facts)
        self._require_fit(bag, path)
        _checked(bag, slide, path)
        models = with_covariates(self.models, row, self.covariates)
        recipe = BagRecipe(
            models.first, self.explain, self.classes, self.reading.cache, self.compat
        )
        record = {**tile_record(bag), "encoder": bag.encoder}
        return BagSource(path, facts_of(slide), self.facts, models, recipe, record)

    def _require_fit(self, bag: Bag, path: Path) -> None:
        """Refuse features of another length than the models take."""
        wanted, n_features = self.models.first.n_features, bag.features.shape[1]
        if bag.count and n_features != wanted:
            encoder = f" of {bag.encoder}" if bag.encoder else ""
            raise FeaturesError(
                f"{path} has {n_features} features{encoder} per tile, and "
                f"{self.models.paths[0].name} was trained on {wanted}; give the features that the "
                "model was trained on"
            )

    def prepare(self) -> None:
        """See `Maker`: nothing takes time."""

    def record(self) -> dict[str, Any]:
        """See `Maker`."""
        extractor = _extractor_record("", self.models.first.n_features, self.explain)
        return {"model": self.models.record(), "extractor": extractor}


@dataclass(frozen=True, eq=False)
class ScoresSource:
    """A slide whose maps were given.

    Attributes
    ----------
    read : callable
        Returns the scores of the slide.
    tiles : mapping
        The record of the tiles, as they were when the run was planned.
    where : Path
        The file, for messages.
    digest : str
        The maker's, which stands for the model.
    """

    read: Callable[[], TileScores]
    tiles: Mapping[str, Any]
    where: Path
    digest: str

    @property
    def digests(self) -> list[str]:
        """See `Source`."""
        return [self.tiles["digest"]]

    @property
    def named(self) -> tuple[tuple[str, str], ...]:
        """See `Source`: no model is known."""
        return ()

    @property
    def files(self) -> tuple[Path, ...]:
        """See `Source`."""
        return (self.where,)

    def record(self) -> dict[str, Any]:
        """See `Source`."""
        names = given_classes(self.tiles["maps"])
        return {**_scores_record(self.digest, names), "pooling": None, "tiles": dict(self.tiles)}

    def is_made(self, fingerprint: str) -> bool:
        """See `Source`: reading is all that there is to do."""
        return True

    def parts(self, slide: WorkingCopy, fingerprint: str, stages: Stages) -> list[HeatmapSet]:
        """See `Source`."""
        with stages("scores"):
            scores = self.read()
        _require_same(scores, self.tiles["digest"], self.where)
        return [given_maps(slide, scores)]


@dataclass(frozen=True, eq=False)
class ScoresMaker(WithoutNetwork):
    """Makes maps of scores that any tool gave.

    Attributes
    ----------
    scores : Path or None
        A file, or a folder with one for each slide; None: the table has them.
    facts : TileFacts
    reading : Reading
    in_memory : callable or None
        Returns the scores of the only slide, instead of a file.
    """

    scores: Path | None
    facts: TileFacts
    reading: Reading
    in_memory: Callable[[SlideFacts], TileScores] | None = None
    _kinds: dict[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)

    @property
    def model_digest(self) -> str:
        """Digest of the maps that were asked for."""
        return digest_of({"scores": list(self.facts.maps)})

    @property
    def extractor_digest(self) -> str:
        """The same for all given scores."""
        return _SCORES_DIGEST

    def source(self, row: SlideRow, slide: OpenedSlide) -> ScoresSource:
        """See `Maker`."""
        facts = facts_of(slide)
        if self.in_memory is not None:
            path, read = row.path, partial(self.in_memory, facts)
        else:
            path = _file_of(row.scores or self.scores, row, "scores")
            read = partial(read_scores, path, facts, self.facts)
        scores = read()
        self._require_alike(scores, path)
        _checked(scores, slide, path)
        kinds = {given.name: given.kind for given in scores.maps}
        record = {**tile_record(scores), "maps": kinds}
        return ScoresSource(read, record, path, self.model_digest)

    def _require_alike(self, scores: TileScores, path: Path) -> None:
        """Refuse maps of other names or kinds than the first slide's: they share colours."""
        own = tuple((given.name, given.kind) for given in scores.maps)
        first, wanted = next(iter(self._kinds.items()), (str(path), own))
        self._kinds.setdefault(first, wanted)
        if own != wanted:
            here, there = (", ".join(f"{n} ({k})" for n, k in maps) for maps in (own, wanted))
            raise OptionError(
                f"{path} has the maps {here}, and {first} has {there}; name those to show with "
                "--map, or export the slides in runs of their own"
            )

    def prepare(self) -> None:
        """See `Maker`: nothing takes time."""

    def record(self) -> dict[str, Any]:
        """See `Maker`."""
        return _scores_record(self.model_digest, ())
