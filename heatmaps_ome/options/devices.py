"""Names of the devices that networks run on."""

import re
from typing import Final

from heatmaps_ome.options.bounds import nearest, quoted

DEVICES: Final = "auto, cpu, cuda, cuda:N or mps"
ALL: Final = "all"
"""Stands for all GPUs in a list of devices."""
NOT_SEVERAL: Final = {
    "device": "which is for a single one",
    "force_cpu": "which is for no GPU at all",
    "workers": "which have a device each",
    "scheduler": "whose workers have a device each",
    "cluster": "whose workers have a device each",
}
"""Options that contradict several devices, and why."""
_DEVICE = re.compile(r"auto|cpu|mps|cuda(:[0-9]{1,3})?")
_GPU = re.compile(r"cuda:[0-9]{1,3}")


def require_device(device: str, *, force_cpu: bool) -> None:
    """Refuse names of no device, and contradictions.

    Raises
    ------
    ValueError
        If there are any.
    """
    if not _DEVICE.fullmatch(device):
        hint = nearest(device, ("auto", "cpu", "cuda", "mps"))
        raise ValueError(f"--device: unknown {quoted(device)}; {hint or 'give'} {DEVICES}")
    if force_cpu and device not in ("auto", "cpu"):
        raise ValueError(f"--force-cpu contradicts --device {device}; leave out either")


def require_devices(devices: tuple[str, ...] | None) -> None:
    """Refuse lists of anything but different GPUs by their numbers, or all of them.

    Raises
    ------
    ValueError
        If it is none.
    """
    if devices is None or devices == (ALL,):
        return
    for device in devices:
        if not _GPU.fullmatch(device):
            raise ValueError(
                f"--devices: {quoted(device)} is no GPU by its number; give several as "
                "cuda:0,cuda:1, or all; a single device of any kind is given with --device"
            )
        if devices.count(device) > 1:
            raise ValueError(f"--devices names {device} twice; name each GPU once")
