"""Batch normalisation folded into the convolution before it: the same function, fewer passes."""

from __future__ import annotations

import copy
from collections import Counter

from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def folded(trunk: nn.Module) -> nn.Module:
    """Return a copy of a trunk with batch normalisations folded into their convolutions.

    In evaluation a batch normalisation is an affine map per channel, and so is a convolution in
    its output: their product is a convolution with other weights. In float32 the features differ
    by rounding: by 5e-6 of their norm in a ResNet-50 on tissue.

    Parameters
    ----------
    trunk : nn.Module
        In evaluation mode; not changed.
    """
    copied = copy.deepcopy(trunk)
    modules = dict(copied.named_modules())
    for conv_name, norm_name in _consecutive(copied):
        conv, norm = modules[conv_name], modules[norm_name]
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            _replace(copied, conv_name, fuse_conv_bn_eval(conv, norm))
            _replace(copied, norm_name, nn.Identity())
    return copied


def _consecutive(trunk: nn.Module) -> list[tuple[str, str]]:
    """Return the names of pairs of modules, the second of which uses only the first's output.

    The order is that of the computation: the order of modules does not show the flow of data. A
    module that is used twice, or whose output also goes elsewhere, is in no pair.
    """
    nodes = [node for node in fx.Tracer().trace(trunk).nodes if node.op == "call_module"]
    uses = Counter(node.target for node in nodes)
    return [
        (str(before.target), str(node.target))
        for node in nodes
        for before in node.all_input_nodes
        if len(before.users) == uses[before.target] == uses[node.target] == 1
    ]


def _replace(trunk: nn.Module, name: str, module: nn.Module) -> None:
    """Put another module in a module's place."""
    parent, _, last = name.rpartition(".")
    setattr(trunk.get_submodule(parent), last, module)
