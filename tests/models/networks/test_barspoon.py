"""STAMP's barspoon against torch's own transformer of the same tensors."""

from __future__ import annotations

from dataclasses import replace

import network_files as files
import numpy as np
import pytest
import torch
from torch import nn

from heatmaps_ome.models.checkpoint import read_checkpoint
from heatmaps_ome.models.dialects import stamp
from heatmaps_ome.models.model_facts import NO_FACTS
from heatmaps_ome.models.refusals import Unusable

TARGETS = {"grade": ["high", "low", "mid"], "micro satellites?": ["no", "yes"]}
KEYS = {"grade": "grade", "micro satellites?": "micro_satellites_"}


class Original(nn.Module):
    """The architecture of barspoon out of torch's parts."""

    def __init__(self, width: int = 12, n_hidden: int = 10) -> None:
        super().__init__()
        options = {"dim_feedforward": n_hidden, "batch_first": True, "norm_first": True}
        self.projector = nn.Sequential(nn.Linear(6, width), nn.ReLU())
        encoder = nn.TransformerEncoderLayer(width, 3, **options)
        self.transformer_encoder = nn.TransformerEncoder(encoder, 2, enable_nested_tensor=False)
        decoder = nn.TransformerDecoderLayer(width, 4, **options)
        self.transformer_decoder = nn.TransformerDecoder(decoder, 3)
        tokens = {KEYS[name]: torch.rand(width) for name in TARGETS}
        self.class_tokens = nn.ParameterDict(tokens)
        self.heads = nn.ModuleDict(
            {KEYS[name]: nn.Linear(width, len(classes)) for name, classes in TARGETS.items()}
        )

    def forward(self, features, um_places, *, uses_places=True):
        """Return the logits of each target by its name."""
        tiles = self.projector(features[None])
        if uses_places:
            tiles = tiles + waves(um_places, tiles.shape[-1])
        tokens = torch.stack([self.class_tokens[KEYS[name]] for name in TARGETS])[None]
        tokens = self.transformer_decoder(tokens, self.transformer_encoder(tiles))[0]
        return {
            name: self.heads[KEYS[name]](token) for name, token in zip(TARGETS, tokens, strict=True)
        }


def waves(um_places, width):
    """Return sines of x and y and cosines of x and y, of wavelengths up to 100,000."""
    exponents = np.arange(width // 4) / width
    phases = um_places.numpy().astype("f8")[:, :, None] / 100_000**exponents
    parts = [wave(phases).reshape(len(phases), -1) for wave in (np.sin, np.cos)]
    return torch.from_numpy(np.concatenate(parts, axis=1)).float()


@pytest.fixture
def original():
    """Return a seeded barspoon with weights far from their start."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        network = Original().eval()
        for weight in network.parameters():
            weight.data += 0.2 * torch.randn_like(weight)
    return network


def write(path, network, **changes):
    """Write a barspoon as STAMP does."""
    state = {key: value.detach().numpy() for key, value in network.state_dict().items()}
    plain = {
        "categories": TARGETS, "ground_truth_label": list(TARGETS), "num_encoder_heads": 3,
        "num_decoder_heads": 4, "positional_encoding": True, **changes,
    }  # fmt: skip
    return files.write_lightning(path, state, **plain)


@pytest.mark.parametrize("uses_places", [True, False])
@pytest.mark.parametrize("head", list(TARGETS))
def test_barspoon_predicts_the_chosen_target(tmp_path, original, head, uses_places):
    path = write(tmp_path / "a.ckpt", original, positional_encoding=uses_places)
    model = files.model_of(path, stamp, replace(NO_FACTS, head=head))
    features, um_places = files.bag(30)
    with torch.no_grad():
        expected = original(features, um_places, uses_places=uses_places)[head]
    np.testing.assert_allclose(model.logits(features, um_places), expected, rtol=2e-5, atol=1e-5)
    assert model.target.outputs == tuple(TARGETS[head])
    assert model.target.label == head


def test_barspoons_single_tiles_are_bags_of_one(tmp_path, original):
    path = write(tmp_path / "a.ckpt", original)
    model = files.model_of(path, stamp, replace(NO_FACTS, head="grade"))
    features, um_places = files.bag(5)
    alone = [model.logits(features[i : i + 1], um_places[i : i + 1]) for i in range(5)]
    together = model.tile_logits(features, um_places)
    np.testing.assert_allclose(together, torch.stack(alone), rtol=1e-5, atol=1e-6)


def test_a_targets_name_may_be_its_key(tmp_path, original):
    path = write(tmp_path / "a.ckpt", original)
    model = files.model_of(path, stamp, replace(NO_FACTS, head="micro_satellites_"))
    assert model.target.label == "micro satellites?"


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (None, r"predicts several targets; choose one of grade, micro satellites\? with --head"),
        ("stage", r"has no target stage; choose one of grade, micro satellites\? with --head"),
    ],
)
def test_a_choice_among_several_targets_is_needed(tmp_path, original, head, message):
    path = write(tmp_path / "a.ckpt", original)
    with pytest.raises(Unusable, match=message):
        stamp.read(read_checkpoint(path), replace(NO_FACTS, head=head))


def test_places_that_may_or_may_not_count_are_not_guessed(tmp_path, original):
    path = write(tmp_path / "a.ckpt", original, positional_encoding=None)
    with pytest.raises(Unusable, match="lacks positional_encoding"):
        stamp.read(read_checkpoint(path), replace(NO_FACTS, head="grade"))
