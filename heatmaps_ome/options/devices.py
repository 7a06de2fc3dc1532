"""Names of the devices that networks run on."""

import re
from typing import Final

from heatmaps_ome.options.bounds import nearest, quoted

DEVICES: Final = "auto, cpu, cuda, cuda:N or mps"
_DEVICE = re.compile(r"auto|cpu|mps|cuda(:[0-9]{1,3})?")


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
