#!/usr/bin/env python3
"""Make random ResNet-50 weights of the shape of RetCCL's from a seed, for tests and trials.

RetCCL's own weights cannot be redistributed; these have their shape, but are not trained. Batch
norms are calibrated on noise, so that features have a natural size.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import timm
import torch


def seeded_resnet50(seed: int) -> dict[str, torch.Tensor]:
    """Return the state dict of a ResNet-50 without classifier, the same for the same seed."""
    torch.manual_seed(seed)
    # timm would initialise residual branches to 0, so that cells would see far too few pixels.
    resnet = timm.create_model("resnet50", num_classes=0, zero_init_last=False).train()
    for module in resnet.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # a plain mean over the batches below
    with torch.inference_mode():
        for _ in range(2):
            resnet(torch.randn(4, 3, 128, 128))
    return resnet.eval().state_dict()


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path, help="file to write, a torch state dict")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.save(seeded_resnet50(options.seed), options.output)
    print(options.output)


if __name__ == "__main__":
    main()
