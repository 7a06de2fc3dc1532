"""Convert a pickle, which holds its training set's paths, to a file with the model alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heatmaps_ome.errors import UnsafeModelError
from heatmaps_ome.models.converted import write_converted
from heatmaps_ome.models.reading import read_model, read_stored

if TYPE_CHECKING:
    from pathlib import Path


def convert_model(
    source: Path, target: Path, *, allow_pickle: bool = False, overwrite: bool = False
) -> None:
    """Write the model in ``source``, and nothing else of it, to ``target`` as safetensors.

    Raises
    ------
    ModelError
        If the source cannot be read.
    OutputError
        If the target exists (and is not to be replaced) or cannot be written.
    """
    try:
        model = read_stored(source)
    except UnsafeModelError:
        if not allow_pickle:
            raise
        model = read_model(source, allow_pickle=True)
    write_converted(model, target, overwrite=overwrite)
