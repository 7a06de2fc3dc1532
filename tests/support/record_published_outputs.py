"""Records the features of small encoders by the programs that published theirs.

Run it where transformers 5, torchscale 0.3 and open_clip_torch 3 are installed::

    python -m tests.support.record_published_outputs
"""

import json
import sys
import tempfile
import types
from pathlib import Path

import torch
from torch import nn

from tests.support import published_cases

WIDTH = 32
SHAPE = {"num_hidden_layers": 2, "hidden_size": WIDTH, "num_attention_heads": 4, "patch_size": 8}


def transformers_case(kind: str, config: dict, *, new_names: bool = False) -> dict:
    """Record the class token of one of Hugging Face's models."""
    import transformers
    from safetensors.torch import load_file, save_file

    model_class = getattr(transformers, f"{kind}Model")
    model = model_class(getattr(transformers, f"{kind}Config")(**SHAPE, **config)).eval()
    if new_names:
        shapes = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
        model.load_state_dict(published_cases.weights(shapes))
    else:
        with tempfile.TemporaryDirectory() as folder:
            model.save_pretrained(folder)
            file = Path(folder) / "model.safetensors"
            shapes = {name: list(tensor.shape) for name, tensor in load_file(file).items()}
            save_file(published_cases.weights(shapes), file, {"format": "pt"})
            model = model_class.from_pretrained(folder).eval()
    with torch.inference_mode():
        features = model(published_cases.images()).last_hidden_state[:, 0]
    return {"shapes": shapes, "features": features.tolist()}


def beit3_case() -> dict:
    """Record the class token of torchscale's BEiT-3, with MUSK's settings and heads."""
    fairscale = types.ModuleType("fairscale.nn")
    fairscale.wrap = fairscale.checkpoint_wrapper = None  # for training in parallel only
    sys.modules["fairscale"] = types.ModuleType("fairscale")
    sys.modules["fairscale.nn"] = fairscale
    from torchscale.architecture.config import EncoderConfig
    from torchscale.model.BEiT3 import BEiT3

    network = nn.Module()
    network.beit3 = BEiT3(
        EncoderConfig(
            img_size=published_cases.SIDE, patch_size=8, vocab_size=7, multiway=True,
            layernorm_embedding=False, normalize_output=True, no_output_layer=True,
            encoder_embed_dim=WIDTH, encoder_attention_heads=4, encoder_ffn_embed_dim=64,
            encoder_layers=2, max_source_positions=6,
        )
    )  # fmt: skip
    network.language_head = nn.Linear(WIDTH, WIDTH, bias=False)
    network.vision_head = nn.Linear(WIDTH, WIDTH, bias=False)
    network.logit_scale = nn.Parameter(torch.ones(1))
    shapes = {name: list(tensor.shape) for name, tensor in network.state_dict().items()}
    network.load_state_dict(published_cases.weights(shapes))
    with torch.inference_mode():
        states = network.eval().beit3(visual_tokens=published_cases.images())["encoder_out"]
    return {"shapes": shapes, "features": states[:, 0].tolist()}


def conch_case() -> dict:
    """Record an image tower of timm's transformer and open_clip's pooler, named as CONCH's."""
    from open_clip.transformer import AttentionalPooler
    from timm.models.vision_transformer import VisionTransformer

    visual = nn.Module()
    visual.trunk = VisionTransformer(
        img_size=published_cases.SIDE, patch_size=8, embed_dim=WIDTH, depth=2, num_heads=4,
        num_classes=0,
    )  # fmt: skip
    visual.attn_pool_contrast = AttentionalPooler(16, WIDTH, n_head=8, n_queries=1)
    visual.ln_contrast = nn.LayerNorm(16)
    visual.proj_contrast = nn.Parameter(torch.zeros(16, 16))
    visual.attn_pool_caption = AttentionalPooler(24, WIDTH, n_head=8, n_queries=3)
    visual.ln_caption = nn.LayerNorm(24)
    tower = nn.Module()
    tower.visual = visual
    tower.text = nn.Linear(4, 4)
    tower.logit_scale = nn.Parameter(torch.ones([]))
    shapes = {name: list(tensor.shape) for name, tensor in tower.state_dict().items()}
    tower.load_state_dict(published_cases.weights(shapes))
    tower.eval()
    with torch.inference_mode():
        tokens = visual.trunk.forward_features(published_cases.images())
        features = visual.ln_contrast(visual.attn_pool_contrast(tokens)[:, 0])
    return {"shapes": shapes, "features": features.tolist()}


def transformers_shapes(kind: str, config: dict) -> dict[str, list[int]]:
    """Return names and shapes of a published file of Hugging Face's, with one block of all."""
    import transformers
    from safetensors.torch import load_file

    model_class = getattr(transformers, f"{kind}Model")
    model = model_class(getattr(transformers, f"{kind}Config")(**config, num_hidden_layers=1))
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        state = load_file(Path(folder) / "model.safetensors")
    return {name: list(tensor.shape) for name, tensor in state.items()}


def musk_shapes() -> dict[str, list[int]]:
    """Return names and shapes of MUSK's file, with one block of all."""
    from torchscale.architecture.config import EncoderConfig
    from torchscale.model.BEiT3 import BEiT3

    with torch.device("meta"):
        beit3 = BEiT3(
            EncoderConfig(
                img_size=384, patch_size=16, vocab_size=64010, multiway=True,
                layernorm_embedding=False, normalize_output=True, no_output_layer=True,
                encoder_embed_dim=1024, encoder_attention_heads=16, encoder_ffn_embed_dim=4096,
                encoder_layers=1,
            )
        )  # fmt: skip
    shapes = {f"beit3.{name}": list(tensor.shape) for name, tensor in beit3.state_dict().items()}
    heads = {f"{kind}_head.weight": [1024, 1024] for kind in ("language", "vision")}
    return shapes | heads | {"logit_scale": []}


def true_shapes() -> dict[str, dict]:
    """Return names, shapes and number of blocks of published files, by recipe."""
    vit = {"hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072}
    large = {"hidden_size": 1024, "num_attention_heads": 16}
    hibou = {"image_size": 224, "patch_size": 14, "use_swiglu_ffn": True}
    giant = {"hidden_size": 1536, "num_attention_heads": 24, "image_size": 518, "patch_size": 14}
    registers = "Dinov2WithRegisters"
    base = {"hidden_size": 768, "num_attention_heads": 12}
    return {
        "phikon": {"depth": 12, "shapes": transformers_shapes("ViT", vit)},
        "phikon-v2": {
            "depth": 24,
            "shapes": transformers_shapes("Dinov2", {**large, "image_size": 224, "patch_size": 16}),
        },
        "hibou-b": {"depth": 12, "shapes": transformers_shapes(registers, {**base, **hibou})},
        "hibou-l": {"depth": 24, "shapes": transformers_shapes(registers, {**large, **hibou})},
        "midnight": {
            "depth": 40,
            "shapes": transformers_shapes("Dinov2", {**giant, "use_swiglu_ffn": True}),
        },
        "musk": {"depth": 24, "shapes": musk_shapes()},
    }


def main() -> None:
    """Write all cases."""
    vit = {"image_size": published_cases.SIDE, "intermediate_size": 64}
    larger = {"image_size": 56}
    cases = {
        "vit": transformers_case("ViT", vit),
        "vit, version 5": transformers_case("ViT", vit, new_names=True),
        "dinov2": transformers_case("Dinov2", larger),
        "dinov2, swiglu": transformers_case("Dinov2", {**larger, "use_swiglu_ffn": True}),
        "dinov2, swiglu, version 5": transformers_case(
            "Dinov2", {"image_size": published_cases.SIDE, "use_swiglu_ffn": True}, new_names=True
        ),
        "dinov2, registers": transformers_case(
            "Dinov2WithRegisters", {**larger, "use_swiglu_ffn": True}
        ),
        "beit3": beit3_case(),
        "conch": conch_case(),
    }
    published_cases.RECORDED.write_text(json.dumps(cases) + "\n", encoding="utf-8")
    published_cases.TRUE_SHAPES.write_text(json.dumps(true_shapes()) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
