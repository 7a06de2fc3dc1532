"""The device that the network runs on, and the extractor on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heatmaps_ome.errors import OptionError
from heatmaps_ome.extractors import load_extractor

if TYPE_CHECKING:
    from heatmaps_ome.extractors.protocol import Extractor
    from heatmaps_ome.run.settings import Encoder


def extractor_of(encoder: Encoder) -> Extractor:
    """Return the extractor on its device, not built yet."""
    return load_extractor(
        encoder.name, encoder.weights, usable_device(encoder.device), encoder.precision
    )


def usable_device(device: str) -> str:
    """Return the torch device to use.

    Parameters
    ----------
    device : str
        torch's name, or "auto".

    Raises
    ------
    OptionError
        If the device is not available.
    """
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(1, device=torch.device(device))
    except (RuntimeError, AssertionError) as error:
        raise OptionError(
            f"the device {device!r} cannot be used here; leave out --device to have one chosen"
        ) from error
    return device
