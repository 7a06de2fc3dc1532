"""The layouts of published weights whose names are not those of the networks here."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from heatmaps_ome.extractors.positions import Positions
from heatmaps_ome.extractors.renaming import Renaming

SWIN: Final = Renaming(
    sign=r"layers\.0\.downsample\.",
    renames=tuple(
        (rf"^layers\.{stage}\.downsample\.", f"layers.{stage + 1}.downsample.")
        for stage in (2, 1, 0)
    ),
    left_out=(r".*\.relative_position_index$", r".*\.attn_mask$", r"head\."),
)
"""The original Swin's: a stage ends with the merging of patches with which timm's next begins.

Indices and masks of windows follow from their size.
"""

TRANSFORMERS: Final = Renaming(
    sign=r"(\w+\.)?embeddings\.patch_embeddings\.projection\.",
    renames=(
        (r"^\w+\.(?=embeddings\.|encoder\.|layers\.|layernorm\.)", ""),
        (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
        (r"^embeddings\.position_embeddings$", "pos_embed"),
        (r"^embeddings\.register_tokens$", "reg_token"),
        (r"^embeddings\.cls_token$", "cls_token"),
        (r"^layernorm\.", "norm."),
        (r"^(?:encoder\.layer|layers)\.(\d+)\.", r"blocks.\1."),
        (r"\.attention\.(?:output\.dense|o_proj)\.", ".attn.proj."),
        (r"\.attention\.(?:attention\.query|q_proj)\.", ".attn.q."),
        (r"\.attention\.(?:attention\.key|k_proj)\.", ".attn.k."),
        (r"\.attention\.(?:attention\.value|v_proj)\.", ".attn.v."),
        (r"\.(?:intermediate\.dense|mlp\.weights_in)\.", ".mlp.fc1."),
        (r"\.(?:output\.dense|mlp\.weights_out|mlp\.down_proj)\.", ".mlp.fc2."),
        (r"\.layernorm_before\.", ".norm1."),
        (r"\.layernorm_after\.", ".norm2."),
        (r"\.layer_scale([12])\.lambda1$", r".ls\1.gamma"),
    ),
    left_out=(r"(\w+\.)?embeddings\.mask_token$", r"(\w+\.)?pooler\.", r"classifier\."),
    joined=(
        (("attn.q", "attn.k", "attn.v"), "attn.qkv"),
        (("mlp.gate_proj", "mlp.up_proj"), "mlp.fc1"),
    ),
    positions=Positions(),
)
"""Hugging Face's ViT and DINOv2, by the names of its versions 4 and 5."""

TRANSFORMERS_REGISTERS: Final = replace(
    TRANSFORMERS,
    sign=r"(\w+\.)?embeddings\.register_tokens$",
    positions=Positions(antialias=True),
)
"""Hugging Face's DINOv2 with registers, and Hibou's."""

DINOV2: Final = Renaming(
    sign=r"mask_token$|blocks\.\d+\.\d+\.|blocks\.\d+\.mlp\.w12\.",
    renames=(
        # Blocks may be in chunks, but are numbered through.
        (r"^blocks\.\d+\.(\d+)\.", r"blocks.\1."),
        (r"\.mlp\.w12\.", ".mlp.fc1."),
        (r"\.mlp\.w3\.", ".mlp.fc2."),
    ),
    left_out=(r"mask_token$", r"(dino_|ibot_)?head\."),
    positions=Positions(offset=0.1),
)
"""DINOv2's own: https://github.com/facebookresearch/dinov2."""

DINOV2_REGISTERS: Final = replace(
    DINOV2,
    sign=r"register_tokens$",
    renames=((r"^register_tokens$", "reg_token"), *DINOV2.renames),
    positions=Positions(antialias=True),
)
"""DINOv2's own with registers."""

CONCH: Final = Renaming(
    sign=r"(visual\.)?attn_pool_contrast\.attn\.",
    renames=((r"^visual\.", ""),),
    left_out=(
        r"text\.",
        r"text_decoder\.",
        r"logit_scale$",
        r"(visual\.)?(attn_pool_caption|ln_caption|head)\.",
        r"(visual\.)?proj_contrast$",
    ),
)
"""CONCH's, with or without the towers for texts."""

CONCH_V1_5: Final = Renaming(
    sign=r"(visual\.)?attn_pool_contrast\.to_q\.",
    renames=(
        (r"^visual\.", ""),
        (r"^attn_pool_contrast\.to_q\.weight$", "attn_pool_contrast.attn.q_proj_weight"),
        (r"^attn_pool_contrast\.to_out\.", "attn_pool_contrast.attn.out_proj."),
    ),
    left_out=CONCH.left_out,
    split=(
        (
            "attn_pool_contrast.to_kv.weight",
            ("attn_pool_contrast.attn.k_proj_weight", "attn_pool_contrast.attn.v_proj_weight"),
        ),
    ),
    positions=Positions(offset=0.1, table="trunk.pos_embed"),
)
"""CONCHv1.5's. Its positions are those of 224 px, resampled for 448 px."""

BEIT3: Final = Renaming(
    sign=r"beit3\.vision_embed\.",
    renames=(
        (r"^beit3\.vision_embed\.cls_token$", "cls_token"),
        (r"^beit3\.vision_embed\.", "patch_embed."),
        (r"^beit3\.encoder\.embed_positions\.A\.weight$", "pos_embed"),
        (r"^beit3\.encoder\.layer_norm\.A\.", "norm."),
        (r"^beit3\.encoder\.layers\.", "blocks."),
        (r"\.A\.", "."),
        (r"\.self_attn_layer_norm\.", ".norm1."),
        (r"\.final_layer_norm\.", ".norm2."),
        (r"\.self_attn\.inner_attn_ln\.", ".attn.norm."),
        (r"\.self_attn\.out_proj\.", ".attn.proj."),
        (r"\.self_attn\.([qkv])_proj\.", r".attn.\1."),
        (r"\.ffn\.ffn_layernorm\.", ".mlp.norm."),
        (r"\.ffn\.", ".mlp."),
    ),
    left_out=(
        r"beit3\.text_embed\.",
        r"beit3\.vision_embed\.mask_token$",
        r"beit3\.encoder\..*\.B\.",
        r"(language|vision)_head\.",
        r"logit_scale$",
    ),
    joined=((("attn.q", "attn.k", "attn.v"), "attn.qkv"),),
    # Positions count from 2, as in Fairseq.
    first_rows=(("pos_embed", 2),),
    positions=Positions(),
)
"""BEiT-3's and MUSK's, whose layers have a way A for images and a way B for texts."""

BEIT3_TWO_SCALES: Final = replace(
    BEIT3,
    renames=(
        *BEIT3.renames,
        (r"^(?=(?:cls_token|pos_embed)$|(?:patch_embed|blocks|norm)\.)", "network."),
    ),
    first_rows=(("network.pos_embed", 2),),
    positions=Positions(table="network.pos_embed"),
)
"""MUSK's, for the network that sees an image at two scales."""
