"""Convert a model file, which may name its training's patients, to one with the model alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from heatmaps_ome.errors import OutputError, UnsafeModelError
from heatmaps_ome.models.converted import require_target, write_converted
from heatmaps_ome.models.model_facts import NO_FACTS
from heatmaps_ome.models.reading import read_model, read_stored
from heatmaps_ome.models.refusals import naming
from heatmaps_ome.models.stored_network import StoredNetwork

if TYPE_CHECKING:
    from pathlib import Path

    from heatmaps_ome.models.attention_mil import AttentionMIL
    from heatmaps_ome.models.model_facts import ModelFacts


def convert_model(
    source: Path,
    target: Path,
    facts: ModelFacts = NO_FACTS,
    *,
    allow_pickle: bool = False,
    overwrite: bool = False,
) -> None:
    """Write the model in ``source``, and nothing else of it, to ``target`` as safetensors.

    Raises
    ------
    ModelError
        If the source cannot be read.
    OutputError
        If the target exists (and is not to be replaced), is the source, or cannot be written.
    """
    require_target(target, overwrite=overwrite)
    if _are_one_file(source, target):
        raise OutputError(f"{target} is the model to convert; give another file to write")
    try:
        model = read_stored(source, facts)
    except UnsafeModelError:
        if not allow_pickle:
            raise
        model = cast("AttentionMIL", read_model(source, facts, allow_pickle=True))
    if isinstance(model, StoredNetwork):
        from heatmaps_ome.models.network_model import from_stored_network

        with naming(source):  # what cannot be built is not worth writing
            from_stored_network(model)
    write_converted(model, target, overwrite=overwrite)


def _are_one_file(source: Path, target: Path) -> bool:
    try:
        return source.samefile(target)
    except OSError:  # one of them is not there
        return False
