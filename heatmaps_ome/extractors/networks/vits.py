"""Vision transformers of timm's, with the settings that it has no names for."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from torch import nn

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer


def vision_transformer(
    *, norm_eps: float = 1e-6, swiglu: bool = False, **arguments: Any
) -> VisionTransformer:
    """Return a vision transformer in evaluation mode without a classifier, its weights unset.

    Parameters
    ----------
    norm_eps : float
        Added to variances: 1e-12 in Hugging Face's ViT, 1e-5 in BEiT-3, 1e-6 in timm's and
        DINOv2's.
    swiglu : bool
        Whether a block's MLP is gated: ``W2 (silu(a) · b)``, where ``W1 x = (a, b)``; Shazeer
        2020, https://arxiv.org/abs/2002.05202. ``mlp_ratio`` is the width of ``(a, b)`` then.
    arguments : object
        Of timm's ``VisionTransformer``: img_size, patch_size, embed_dim, depth, num_heads,
        mlp_ratio, init_values, reg_tokens, no_embed_class and others.

    Raises
    ------
    ImportError
        If timm is missing.
    """
    from timm.layers.mlp import SwiGLUPacked
    from timm.models.vision_transformer import VisionTransformer

    if swiglu:
        arguments |= {"mlp_layer": SwiGLUPacked, "act_layer": nn.SiLU}
    return VisionTransformer(
        num_classes=0,
        global_pool="token",
        norm_layer=partial(nn.LayerNorm, eps=norm_eps),
        weight_init="skip",
        **arguments,
    ).eval()
