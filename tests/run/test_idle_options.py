"""Options that have no effect with a run's models or on its device are warned of."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from heatmaps_ome.extractors import precision
from heatmaps_ome.options import CreateOptions, ExportOptions
from heatmaps_ome.run.idle_options import (
    warn_of_idle_colours,
    warn_of_idle_encoder_options,
    warn_of_idle_options,
)
from heatmaps_ome.run.settings import settings_of, settings_of_export


def warnings_of(caplog, *, device="cpu", additive=(True,), **values):
    options = CreateOptions(
        model_path=(Path("m.pkl"),), output_path=Path("out"), true_class="X", **values
    )
    kinds = ["pooled" if one else "none" for one in additive]
    models = SimpleNamespace(models=[SimpleNamespace(additivity=kind) for kind in kinds])
    warn_of_idle_options(settings_of(options), models, device)
    return caplog.messages


@pytest.fixture(autouse=True)
def slow_bfloat16(monkeypatch):
    """Devices with and without fast bfloat16, whatever this machine has."""
    monkeypatch.setattr(
        precision, "_computes_bfloat16_faster", lambda device: device.type == "cuda"
    )


def test_usual_options_have_an_effect(caplog):
    assert warnings_of(caplog, additive=(False,)) == []


def test_colours_of_contributions_that_no_model_has_are_warned_of(caplog):
    [sentence] = warnings_of(caplog, additive=(False, False), contribution_cmap="bwr")
    assert sentence.startswith("--contribution-cmap has no effect")


def test_colours_of_contributions_of_one_model_are_in_order(caplog):
    assert warnings_of(caplog, additive=(False, True), contribution_cmap="bwr") == []


@pytest.mark.parametrize(("device", "warned"), [("cpu", 1), ("cuda:0", 0)])
def test_bfloat16_is_warned_of_where_it_is_slower(caplog, device, warned):
    messages = warnings_of(caplog, device=device, precision="bfloat16")
    assert len(messages) == warned
    assert all("slower than float32 on cpu" in message for message in messages)


@pytest.mark.parametrize(("device", "warned"), [("cpu", 0), ("cuda", 1)])
def test_a_limit_of_memory_is_warned_of_where_the_gpu_has_its_own(caplog, device, warned):
    messages = warnings_of(caplog, device=device, max_memory=4.0)
    assert len(messages) == warned
    assert all(message.startswith("--max-memory has no effect") for message in messages)


ENCODER_OPTIONS = {
    "extractor": "tiny", "extractor_weights": Path("w.pth"), "no_pool": True,
    "consistency_tiles": 3, "device": "cuda", "precision": "bfloat16", "block_size": 64,
    "max_memory": 2.0, "mask_threshold": 100.0, "exclude_artefacts": ("pen",),
}  # fmt: skip
TILE_OPTIONS = {
    "explain": "ig", "coords": Path("c.h5"), "coords_unit": "um", "tile_size": 256.0,
    "origin": "centre", "stride": 2.0, "dataset": "feats",
}  # fmt: skip


def flag_of(name):
    return f"--{name.replace('_', '-')} has no effect"


@pytest.mark.parametrize("name", ENCODER_OPTIONS)
def test_options_of_the_encoder_are_warned_of_beside_features(caplog, name):
    options = CreateOptions(
        model_path=(Path("m.pkl"),), output_path=Path("out"), **{name: ENCODER_OPTIONS[name]}
    )
    warn_of_idle_encoder_options(settings_of(options))
    [sentence] = caplog.messages
    assert sentence.startswith(flag_of(name))


@pytest.mark.parametrize("name", TILE_OPTIONS)
def test_facts_on_tiles_are_warned_of_without_features(caplog, name):
    [sentence] = warnings_of(caplog, **{name: TILE_OPTIONS[name]})
    assert sentence.startswith(flag_of(name))


def test_a_run_of_features_with_usual_options_warns_of_nothing(caplog):
    options = CreateOptions(
        model_path=(Path("m.pkl"),), output_path=Path("out"), features=Path("f"), **TILE_OPTIONS
    )
    warn_of_idle_encoder_options(settings_of(options))
    assert caplog.messages == []


COLOURS = {
    "att_cmap": ("viridis", "attention"), "att_alpha": (0.3, "attention"),
    "att_lower_threshold": (0.1, "attention"), "att_upper_threshold": (0.9, "attention"),
    "contribution_cmap": ("bwr", "contribution"),
}  # fmt: skip


@pytest.mark.parametrize("name", COLOURS)
def test_colours_of_kinds_that_were_not_given_are_warned_of(caplog, name):
    value, kind = COLOURS[name]
    options = ExportOptions(
        scores=Path("s.csv"), slides=(Path("a.svs"),), output_path=Path("out"), **{name: value}
    )
    settings = settings_of_export(options)
    warn_of_idle_colours(settings, {kind, "value"})
    assert caplog.messages == []
    warn_of_idle_colours(settings, {"value"})
    [sentence] = caplog.messages
    assert sentence.startswith(flag_of(name))
    assert kind in sentence
