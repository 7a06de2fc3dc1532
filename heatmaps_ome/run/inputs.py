"""The inputs of a run: slides, models, and tiles that were made elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from heatmaps_ome.features.tile_facts import NO_FACTS as NO_TILE_FACTS
from heatmaps_ome.models.model_facts import NO_FACTS as NO_MODEL_FACTS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from heatmaps_ome.features.bag import TileScores
    from heatmaps_ome.features.slide_facts import SlideFacts
    from heatmaps_ome.features.tile_facts import TileFacts
    from heatmaps_ome.maps.explanations.explanation import Compat, Explain
    from heatmaps_ome.models.model_facts import ModelFacts


@dataclass(frozen=True)
class SlideList:
    """The slides of a run.

    Attributes
    ----------
    paths : tuple of Path
        Slides on the command line, folders of slides, and patterns for slides.
    from_file : Path or None
        A list of further slides.
    table : Path or None
        A table of further slides, or of facts of these.
    """

    paths: tuple[Path, ...]
    from_file: Path | None
    table: Path | None = None


@dataclass(frozen=True)
class ModelFiles:
    """The MIL models, and how to read them.

    Attributes
    ----------
    paths : tuple of Path
        Files, or patterns for them.
    covariates : mapping of name → value
        Tabular inputs.
    allow_pickle : bool
        Whether fastai may load files that the safe reader refuses, which runs code from them.
    facts : ModelFacts
        Facts that the files may lack.
    """

    paths: tuple[Path, ...]
    covariates: Mapping[str, str]
    allow_pickle: bool
    facts: ModelFacts = NO_MODEL_FACTS


@dataclass(frozen=True)
class GivenScores:
    """Scores that any tool gave.

    Attributes
    ----------
    path : Path or None
        A file, or a folder with one for each slide; None: the table has them.
    in_memory : callable or None
        Returns the scores of the only slide, instead of a file.
    """

    path: Path | None
    in_memory: Callable[[SlideFacts], TileScores] | None = None


@dataclass(frozen=True)
class GivenTiles:
    """Tiles that were made elsewhere.

    Attributes
    ----------
    features : Path or None
        Features of tiles: a file, or a folder with one for each slide.
    scores : GivenScores or None
        Scores of tiles; None: maps are made by models.
    facts : TileFacts
        Facts on coordinates that the files may lack.
    explain : Explain
        How predictions from features are explained.
    compat : Compat or None
        The program whose own picture of these tiles is added.
    """

    features: Path | None = None
    scores: GivenScores | None = None
    facts: TileFacts = NO_TILE_FACTS
    explain: Explain = "auto"
    compat: Compat | None = None
