"""A network that takes time as a GPU does: beside the processor, which it leaves to others."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

import numpy as np

from heatmaps_ome.extractors import REGISTRY
from heatmaps_ome.extractors.dense import DenseExtractor
from heatmaps_ome.features.lanes import Lanes

NAME = "stand-in"


@dataclass(frozen=True, eq=False)
class StandIn:
    """Gives each cell the mean colour of a few of its own pixels, and sleeps for each block.

    Attributes
    ----------
    device : str
    seconds_per_mpx : float
        Time that it takes per million network pixels.
    log : list of (event, thread, device)
        "begin" and "end" of each block.
    """

    device: str = "cuda:0"
    seconds_per_mpx: float = 0.0
    log: list[tuple[str, str, str]] = field(default_factory=list)
    name: str = NAME
    digest: str = "d" * 64
    weights_digest: str = "none"
    precision: str = "float32"
    channels: int = 3
    stride_px: int = 32
    halo_px: int = 64
    bytes_per_px: int = 10
    centre_px: float = 16.0
    tile_px: int = 224

    unfit_side = DenseExtractor.unfit_side
    tile_bytes = DenseExtractor.tile_bytes

    def prepare(self) -> None:
        pass

    def __call__(self, pixels, keep=None):
        begun = self._begin()
        rows, cols = (-(-size // 32) * 32 for size in pixels.shape[:2])
        white = ((0, rows - pixels.shape[0]), (0, cols - pixels.shape[1]), (0, 0))
        padded = np.pad(pixels, white, constant_values=255)
        some = padded.reshape(rows // 32, 32, cols // 32, 32, 3)[:, ::8, :, ::8]
        out = some.mean(axis=(1, 3), dtype=np.float32).transpose(2, 0, 1) / 255
        self._end(begun, rows * cols)
        return out if keep is None else out[:, *keep.slices]

    def tiles(self, pixels):
        begun = self._begin()
        out = pixels[:, ::8, ::8].mean(axis=(1, 2), dtype=np.float32) / 255
        self._end(begun, pixels.shape[0] * pixels.shape[1] * pixels.shape[2])
        return out

    def _begin(self) -> float:
        self.log.append(("begin", threading.current_thread().name, self.device))
        return time.perf_counter()

    def _end(self, begun: float, n_pixels: int) -> None:
        left = begun + self.seconds_per_mpx * n_pixels / 1e6 - time.perf_counter()
        time.sleep(max(0.0, left))
        self.log.append(("end", threading.current_thread().name, self.device))


def load(weights, device, precision):
    """Load as a registry's function does."""
    return StandIn(device, **_usual)


_usual: dict[str, object] = {}


def install(monkeypatch, *devices: str, **usual: object) -> None:
    """Have runs compute on stand-ins, whatever the machine has."""
    monkeypatch.setitem(REGISTRY, NAME, "stand_in_gpu:load")
    for module in ("makers", "preflight"):
        monkeypatch.setattr(f"heatmaps_ome.run.{module}.devices_of", lambda _: devices)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda device: f"stand-in for {device}")
    for name, value in usual.items():
        monkeypatch.setitem(_usual, name, value)


def lanes(*devices: str, **usual) -> Lanes:
    """Return lanes of stand-ins."""
    return Lanes([StandIn(device, **usual) for device in devices])
