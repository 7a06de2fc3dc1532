"""The devices that the network runs on, and the extractor on each of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from heatmaps_ome.errors import OptionError
from heatmaps_ome.extractors import load_extractor
from heatmaps_ome.options.devices import ALL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from heatmaps_ome.extractors.protocol import TileEncoder
    from heatmaps_ome.run.settings import Encoder


def devices_of(encoder: Encoder) -> tuple[str, ...]:
    """Return the torch devices to use.

    Raises
    ------
    OptionError
        If one of them is not available.
    """
    import torch

    if encoder.devices == (ALL,):
        count = torch.cuda.device_count()
        if not count:
            raise OptionError("--devices all: there is no GPU here; leave the option out")
        return tuple(f"cuda:{number}" for number in range(count))
    flag = "--device" if len(encoder.devices) == 1 else "--devices"
    return tuple(usable_device(device, flag) for device in encoder.devices)


def extractors_of(encoder: Encoder, devices: Sequence[str]) -> list[TileEncoder]:
    """Return the extractor on each of the devices, not built yet.

    All compute with the same number type, so that no feature depends on the device that took the
    slide; of different GPUs, with the type that the least of them is fast at.
    """
    # torch takes seconds to import, which a run without a network is spared.
    from heatmaps_ome.extractors.dense import DenseExtractor
    from heatmaps_ome.extractors.precision import resolved
    from heatmaps_ome.extractors.tile_encoder import RecipeEncoder

    precisions = {resolved(encoder.precision, device) for device in devices}
    precision = precisions.pop() if len(precisions) == 1 else "float32"
    first = load_extractor(
        encoder.name, encoder.weights, devices[0], precision, download=encoder.download
    )
    if isinstance(first, DenseExtractor | RecipeEncoder):
        # Its weights' file is read and judged once.
        return [first, *(replace(first, device=device) for device in devices[1:])]
    return [
        first,
        *(
            load_extractor(encoder.name, encoder.weights, device, precision)
            for device in devices[1:]
        ),
    ]


def are_beside(devices: Sequence[str]) -> bool:
    """Return whether devices compute while the CPU does something else."""
    return not any(device.startswith("cpu") for device in devices)


def usable_device(device: str, flag: str = "--device") -> str:
    """Return a torch device for a name or "auto"; OptionError if it is not available."""
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(1, device=torch.device(device))
    except (RuntimeError, AssertionError) as error:
        raise OptionError(
            f"the device {device!r} cannot be used here; leave out {flag} to have one chosen"
        ) from error
    return device
