"""Convert a pickle, which holds its training set's paths, to a file with the model alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heatmaps_ome.errors import OutputError, UnsafeModelError
from heatmaps_ome.models.converted import require_target, write_converted
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
        If the target exists (and is not to be replaced), is the source, or cannot be written.
    """
    require_target(target, overwrite=overwrite)
    if _are_one_file(source, target):
        raise OutputError(f"{target} is the model to convert; give another file to write")
    try:
        model = read_stored(source)
    except UnsafeModelError:
        if not allow_pickle:
            raise
        model = read_model(source, allow_pickle=True)
    write_converted(model, target, overwrite=overwrite)


def _are_one_file(source: Path, target: Path) -> bool:
    try:
        return source.samefile(target)
    except OSError:  # one of them is not there
        return False
