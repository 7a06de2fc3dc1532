"""What a file lacks is asked for by the option's name; what fits no family, or two, is refused."""

from __future__ import annotations

import json

import network_files
import numpy as np
import pytest
import torch
from checkpoint_files import (
    chief_organ,
    clam,
    dsmil,
    marugoto,
    millab_abmil,
    slideflow,
    tensors,
    torchmil_abmil,
    weights,
    xmil,
)
from model_files import write_export

from heatmaps_ome.cli import main as cli
from heatmaps_ome.errors import ModelError
from heatmaps_ome.models import describe_model, read_model
from heatmaps_ome.models.conversion import convert_model
from heatmaps_ome.models.model_facts import ModelFacts

KNOWN_TASK = {"task": "classification"}


def saved(path, state):
    path.parent.mkdir(exist_ok=True, parents=True)
    torch.save(tensors(state), path)
    return path


def refusal(path, **facts):
    with pytest.raises(ModelError) as caught:
        read_model(path, ModelFacts(**facts))
    text = str(caught.value)
    assert text.startswith(str(path))
    assert "\n" not in text
    return text.removeprefix(str(path))


def bag(n_features=12):
    features = torch.from_numpy(np.random.default_rng(0).normal(size=(30, n_features))).float()
    return features, torch.zeros(30, 2)


@pytest.mark.parametrize("n_outputs", [1, 3])
def test_marugotos_and_slideflows_keys_are_told_apart_by_the_user(tmp_path, n_outputs):
    path = saved(tmp_path / "best_valid.pth", marugoto(12, n_outputs).state)
    text = refusal(path)
    for option in ("--family marugoto", "--task", "--attention-gate", "--temperature"):
        assert option in text
    task = {"task": "classification"} if n_outputs == 1 else {}
    assert read_model(path, ModelFacts(family="marugoto", **task)).family.startswith("marugoto")
    facts = ModelFacts(gate=0.0, temperature=1.0, **task)
    assert read_model(path, facts).family.startswith("slideflow")
    assert "--attention-gate and --temperature" in refusal(path, family="slideflow")
    assert "--attention-gate and --temperature" in refusal(path, gate=0.5)


def test_survival_is_no_task_of_slideflow(tmp_path):
    path = saved(tmp_path / "best_valid.pth", marugoto(12, 1).state)
    model = read_model(path, ModelFacts(task="survival"))
    assert (model.target.task, model.target.link, model.target.outputs) == (
        "survival", "identity", ("risk",)
    )  # fmt: skip


@pytest.mark.parametrize(
    ("task", "head", "link"),
    [
        ("classification", "head.1", "sigmoid"),
        ("regression", "head.1", "sigmoid"),
        ("regression", "head.3", "identity"),
        ("survival", "head.3", "identity"),
    ],
)
def test_a_single_output_needs_a_task(tmp_path, task, head, link):
    path = saved(tmp_path / "model.pth", marugoto(12, 1, head).state)
    text = refusal(path, family="marugoto")
    assert "single output" in text
    assert "--task classification, regression or survival" in text
    assert "without" in text
    target = read_model(path, ModelFacts(family="marugoto", task=task)).target
    assert (target.task, target.link) == (task, link)


@pytest.mark.parametrize(("task", "link"), [("regression", "identity"), ("survival", "identity")])
def test_an_export_of_a_single_output_needs_a_task(tmp_path, task, link):
    from model_files import make_parts

    path = tmp_path / "export.pkl"
    write_export(path, classes=None, parts=make_parts(n_out=1))
    assert "--task classification, regression or survival" in refusal(path)
    model = read_model(path, ModelFacts(task=task))
    assert (model.target.link, model.target.label) == (link, "isMSIH")
    assert model.contributions(*bag(8)).shape == (30, 1)
    assert describe_model(path).lacking.startswith("has a single output")


def test_an_export_with_classes_takes_no_other_facts(tmp_path):
    write_export(tmp_path / "export.pkl")
    assert "--task" in refusal(tmp_path / "export.pkl", task="survival")
    assert "--class-names" in refusal(tmp_path / "export.pkl", class_names=("a", "b"))
    assert "--family clam" in refusal(tmp_path / "export.pkl", family="clam")
    same = ModelFacts(class_names=("MSIH", "nonMSIH"), task="classification", family="marugoto")
    assert read_model(tmp_path / "export.pkl", same).digest == (
        read_model(tmp_path / "export.pkl").digest
    )


@pytest.mark.parametrize("folder", ["", "models"], ids=["beside", "one folder up"])
@pytest.mark.parametrize(
    "params",
    [
        {"model": "attention_mil", "model_kwargs": {"attention_gate": 0.5, "temperature": 2.0}},
        {"model": "attention_mil", "attention_gate": 0.5, "temperature": 2},
    ],
)
def test_slideflows_settings_are_read_beside_the_model(tmp_path, folder, params):
    sample = slideflow(3, 0.5, 2.0)
    path = saved(tmp_path / folder / "best_valid.pth", sample.state)
    labels = {"0": "LUAD", "1": "LUSC", "2": "normal"}
    content = {"params": params, "outcome_labels": labels, "bags": "/hospital/bags"}
    (tmp_path / "mil_params.json").write_text(json.dumps(content))
    model = read_model(path)
    assert model.target.outputs == ("LUAD", "LUSC", "normal")
    features, places = bag()
    np.testing.assert_allclose(
        model.logits(features, places), sample.logits(features.numpy().astype("f8")), atol=1e-5
    )
    assert "leave out --attention-gate" in refusal(path, gate=0.0)
    assert "leave out --class-names" in refusal(path, class_names=("a", "b", "c"))


@pytest.mark.parametrize(
    ("kwargs", "gate"), [(None, False), ({}, False), ({"attention_gate": 0.75}, True)]
)
def test_settings_that_slideflow_left_at_their_defaults(tmp_path, kwargs, gate):
    path = saved(tmp_path / "best_valid.pth", slideflow(2, 0, 1).state)
    params = {"params": {"model": "attention_mil", "model_kwargs": kwargs, "loss": "cross_entropy"}}
    (tmp_path / "mil_params.json").write_text(json.dumps(params))
    assert read_model(path).additivity == ("given a choice" if gate else "pooled")


def test_slideflows_loss_names_the_task(tmp_path):
    path = saved(tmp_path / "best_valid.pth", slideflow(1, 0, 1).state)
    (tmp_path / "mil_params.json").write_text(json.dumps({"params": {"loss": "mse"}}))
    assert read_model(path).target.task == "regression"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[" * 100_000, "no JSON file"),
        ("[]", "no JSON object"),
        ('{"params": 3}', "without parameters"),
        ('{"params": {"model": "transmil"}}', "another model"),
        ('{"params": {"attention_gate": "x"}}', "no number"),
        ('{"params": {"attention_gate": true}}', "no number"),
        ('{"params": {"attention_gate": 1}}', "a gate is at least 0 and below 1"),
        ('{"params": {"temperature": 0}}', "a temperature above 0"),
        ('{"params": {"temperature": NaN}}', "a temperature above 0|no JSON"),
    ],
)
def test_damaged_settings_are_refused(tmp_path, content, message):
    path = saved(tmp_path / "best_valid.pth", slideflow(3, 0, 1).state)
    (tmp_path / "mil_params.json").write_text(content)
    with pytest.raises(ModelError, match=message):
        read_model(path)


def test_chief_asks_for_its_organ(tmp_path):
    path = saved(tmp_path / "CHIEF_pretraining.pth", chief_organ(0).state)
    assert "0 to 18, with --head" in refusal(path)
    assert "--head takes 0 to 18" in refusal(path, head="19")
    one, other = (read_model(path, ModelFacts(head=head)) for head in ("3", "4"))
    assert one.digest != other.digest


def test_the_broken_multi_branch_clam_is_refused_by_name(tmp_path):
    state = clam(n_features=30, n_classes=3, multi=True).state
    broken = {k: v for k, v in state.items() if not k.startswith("classifiers.")}
    broken |= weights(1, ("classifiers", 48, 3))
    assert "CLAM_MB" in refusal(saved(tmp_path / "s_0_checkpoint.pt", broken))


def test_models_without_a_class_head_are_refused_by_name(tmp_path):
    state = {k: v for k, v in millab_abmil(18, 2).state.items() if not k.startswith("classifier")}
    assert "MIL-Lab ABMIL that embeds slides" in refusal(saved(tmp_path / "a.bin", state))
    heads = [(f"model.image_pooler.{part}.0", 8, 8)
             for part in ("attention_heads", "gating_layers", "branching_layers")]  # fmt: skip
    state = weights(
        1,
        ("model.pre_attention_layers.0", 8, 8),
        *heads,
        ("model.image_pooler.condensing_layer", 8, 8),
    )
    assert "TRIDENT ABMIL" in refusal(saved(tmp_path / "b.pt", state))


def test_an_extractor_of_torchmils_own_is_refused(tmp_path):
    state = torchmil_abmil(11, 1, gate=True, lazy=True).state | weights(1, ("feat_ext.0", 20, 11))
    assert "feat_ext" in refusal(saved(tmp_path / "model.pt", state))


def test_an_unknown_family_names_keys_that_are_there(tmp_path):
    state = weights(1, ("backbone.layer1", 8, 8), ("neck.conv", 8, 8))
    text = refusal(saved(tmp_path / "model.pt", state))
    assert "backbone.layer1.weight" in text
    assert "--model-code" in text
    assert "clam" in text
    private = saved(tmp_path / "b.pt", {"/hospital/PATIENT 1\x1b[2J": np.zeros((2, 2), "f4")})
    assert "PATIENT" not in refusal(private)


def test_another_layer_is_another_family(tmp_path):
    """A network with a layer more than ours would give other results."""
    for sample in (clam(n_features=30, n_classes=2), marugoto(12, 3), dsmil(15, 1),
                   xmil(13, 2, 1, "classifier"), millab_abmil(18, 2)):  # fmt: skip
        state = sample.state | weights(1, ("extra.0", 4, 4))
        assert "no known family" in refusal(saved(tmp_path / "model.pt", state))


def test_settings_of_slideflow_are_no_others(tmp_path):
    path = saved(tmp_path / "model.pt", clam(n_features=30, n_classes=2).state)
    assert "leave out --attention-gate" in refusal(path, gate=0.5)
    assert "leave out --temperature" in refusal(path, temperature=1.0)


def test_a_family_that_does_not_fit_is_refused(tmp_path):
    path = saved(tmp_path / "model.pt", dsmil(15, 1).state)
    assert "those of dsmil" in refusal(path, family="clam")
    assert "--family takes chief, clam" in refusal(path, family="clamm")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"attention_net.3.attention_c.weight": np.zeros((1, 9), "f4")}, "is given 24 values"),
        ({"attention_net.3.attention_b.0.weight": np.zeros((9, 48), "f4")}, "do not fit together"),
        ({"attention_net.0.weight": np.zeros(48, "f4")}, "do not fit together"),
        ({"classifiers.bias": np.full(3, np.nan, "f4")}, "not finite"),
        ({"classifiers.bias": np.zeros(2, "f4")}, "do not fit together"),
        ({"classifiers.weight": np.zeros((3, 48), "i4")}, "not floating numbers"),
        ({"attention_net.2.attention_c.weight": np.zeros((1, 24), "f4")}, "more than one"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(tmp_path, change, message):
    path = saved(tmp_path / "model.pt", clam(n_features=30, n_classes=3).state | change)
    assert message in refusal(path)


@pytest.mark.parametrize(
    ("sample", "key", "shape"),
    [
        (dsmil(15, 2), "b_classifier.fcc.weight", (2, 3, 15)),
        (dsmil(15, 2), "b_classifier.q.0.weight", (9, 14)),
        (dsmil(15, 2), "i_classifier.fc.0.weight", (3, 15)),
        (clam(n_features=30, n_classes=3, multi=True), "classifiers.1.weight", (1, 40)),
        (clam(n_features=30, n_classes=3, multi=True), "classifiers.1.weight", (2, 48)),
        (slideflow(3, 0.5, 1), "head.1.running_var", (19,)),
        (slideflow(3, 0.5, 1), "attention.2.weight", (2, 10)),
    ],
)
def test_networks_whose_tensors_do_not_fit_are_refused(tmp_path, sample, key, shape):
    state = sample.state | {key: np.zeros(shape, "f4")}
    path, target = saved(tmp_path / "model.pt", state), tmp_path / "model.safetensors"
    assert refusal(path, **sample.facts)
    with pytest.raises(ModelError):
        convert_model(path, target, ModelFacts(**sample.facts))
    assert not target.exists()


def test_survival_models_of_xmil_are_refused(tmp_path):
    path = saved(tmp_path / "best_model.pt", xmil(13, 4, 1, "linear_head").state)
    (tmp_path / "args.json").write_text(json.dumps({"objective": "cross-entropy"}))
    assert read_model(path).target.task == "classification"
    (tmp_path / "args.json").write_text(json.dumps({"objective": "survival-loss"}))
    assert "hazards" in refusal(path)


def test_names_of_the_hub_are_taken(tmp_path):
    path = saved(tmp_path / "pytorch_model.bin", millab_abmil(18, 2, prefix="model.").state)
    labels = {"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}
    (tmp_path / "config.json").write_text(json.dumps(labels))
    assert read_model(path).target.numbered
    (tmp_path / "config.json").write_text(json.dumps({"id2label": {"0": "no", "1": "yes"}}))
    assert read_model(path).target.outputs == ("no", "yes")


def test_info_names_the_lacking_option(tmp_path, capsys):
    path = saved(tmp_path / "best_valid.pth", marugoto(12, 1).state)
    assert cli.main(["info", str(path)]) == 0
    out = capsys.readouterr().out
    for text in ("12 per tile", "--family marugoto", "--task", "Linear(12, 20)", "outputs"):
        assert text in out
    assert "classes" not in out
    assert cli.main(["info", str(path), "--task", "survival"]) == 0
    out = capsys.readouterr().out
    assert "survival" in out
    assert "lacks" not in out


def test_info_calls_unnamed_outputs_numbers(tmp_path, capsys):
    path = saved(tmp_path / "s_0_checkpoint.pt", clam(n_features=30, n_classes=3).state)
    assert cli.main(["info", str(path)]) == 0
    assert "0, 1, 2 (numbers of the outputs" in capsys.readouterr().out
    assert cli.main(["info", str(path), "--class-names", "a,b,c"]) == 0
    out = capsys.readouterr().out
    assert "a, b, c\n" in out
    assert "numbers" not in out


def test_convert_model_takes_facts(tmp_path, capsys):
    path = saved(tmp_path / "best_valid.pth", slideflow(2, 0, 1).state)
    target = tmp_path / "model.safetensors"
    words = ["convert-model", str(path), str(target)]
    assert cli.main(words) == 1
    assert "--attention-gate" in capsys.readouterr().err
    facts = ["--attention-gate", "0.5", "--temperature", "2", "--class-names", "a,b"]
    assert cli.main([*words, *facts]) == 0
    model = read_model(target)
    assert model.target.outputs == ("a", "b")
    assert model.additivity == "given a choice"
    assert model.digest == read_model(
        path, ModelFacts(gate=0.5, temperature=2.0, class_names=("a", "b"))
    ).digest  # fmt: skip


def test_a_conversion_takes_no_facts_against_its_own(tmp_path):
    path = saved(tmp_path / "best_valid.pth", marugoto(12, 1).state)
    convert_model(path, tmp_path / "m.safetensors", ModelFacts(task="survival"))
    assert "leave out --task" in refusal(tmp_path / "m.safetensors", **KNOWN_TASK)
    assert "leave out --class-names" in refusal(tmp_path / "m.safetensors", class_names=("a",))


def test_facts_that_a_model_does_not_take_are_refused(tmp_path):
    """The user's word is never ignored."""
    path = saved(tmp_path / "model.pt", clam(n_features=30, n_classes=2).state)
    assert "leave out --head" in refusal(path, head="x")
    assert "--heads" in refusal(path, heads=4)
    convert_model(path, tmp_path / "m.safetensors")
    write_export(tmp_path / "export.pkl")
    for other in (tmp_path / "m.safetensors", tmp_path / "export.pkl"):
        assert "leave out --head" in refusal(other, head="x")
        assert "--heads" in refusal(other, heads=4)
        assert "leave out --attention-gate" in refusal(other, gate=0.5)
        assert "leave out --temperature" in refusal(other, temperature=2.0)


def test_heads_are_refused_where_the_tensors_settle_them(tmp_path):
    path = network_files.write_plain(tmp_path / "a.pth", network_files.stamp_alibi())
    known = {"task": "classification", "class_names": ("a", "b")}
    text = refusal(path, heads=4, **known)
    assert "has 3 attention heads, and --heads is 4" in text
    assert read_model(path, ModelFacts(heads=3, **known)).family.startswith("STAMP")
