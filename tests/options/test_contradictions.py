"""Options that contradict each other are refused; those that have no effect are warned of."""

from dataclasses import fields
from pathlib import Path

import pytest

from heatmaps_ome.cli.arguments import OptionsParser
from heatmaps_ome.exporters import REGISTRY
from heatmaps_ome.options import (
    FORMATS,
    ConvertOptions,
    CreateOptions,
    DemoOptions,
    ViewOptions,
    flag_of,
    with_usual_values,
)
from heatmaps_ome.run.provenance import all_options
from heatmaps_ome.run.settings import settings_of

FIELDS = {entry.name: entry for entry in fields(CreateOptions)}
SOME = {
    "scaling": Path("scaling.json"), "att_lower_threshold": 0.01, "att_upper_threshold": 1.0,
    "score_threshold": 0.95, "block_size": 256,
    "max_memory": 4.0, "overlay_px": 8, "no_chain": True, "image_mpp": 2.0, "top_tiles": 3,
    "refit": True,
}  # fmt: skip
"""Option → a value that it may be given, its default included where it differs from None."""


def asked(**values):
    return CreateOptions(
        model_path=(Path("m.pkl"),), output_path=Path("out"), true_class="X", **values
    )


CONTRADICTIONS = [
    (name, other)
    for name, entry in FIELDS.items()
    for other in entry.metadata.get("contradicts", {})
]


def test_there_are_contradictions():
    assert {("score_threshold", "scaling"), ("refit", "scaling")} <= set(CONTRADICTIONS)


@pytest.mark.parametrize(("name", "other"), CONTRADICTIONS)
def test_contradictions_are_refused_with_both_names(name, other):
    if not {name, other} <= SOME.keys():
        pytest.skip("its own test has values for it")
    with pytest.raises(ValueError, match=f"{flag_of(FIELDS[name])} contradicts") as caught:
        asked(**{name: SOME[name], other: SOME[other]})
    assert flag_of(FIELDS[other]) in str(caught.value)
    for one in (name, other):
        assert getattr(asked(**{one: SOME[one]}), one) == SOME[one]


def test_an_option_that_means_nothing_alone_needs_another():
    with pytest.raises(ValueError, match="--flat-mpp needs --flattened, which writes these"):
        asked(flat_mpp=2.0)
    assert asked(flat_mpp=2.0, flattened=True).flat_mpp == 2.0


@pytest.mark.parametrize(
    "values",
    [
        {"no_pool": True, "blur_kernel_size": 3},
        {"force_cpu": True, "device": "cuda"},
        {"force_cpu": True, "device": "mps"},
        {"att_lower_threshold": 1.0},
        {"att_upper_threshold": 0.01},
        {"att_upper_threshold": 0.2, "att_lower_threshold": 0.3},
    ],
)
def test_values_that_exclude_each_other_are_refused(values):
    with pytest.raises(ValueError, match=r"contradicts|must be below"):
        asked(**values)


def test_harmony_is_taken():
    assert list(asked(no_pool=True, blur_kernel_size=0).notes()) == []
    assert list(asked(force_cpu=True, device="cpu").notes()) == []


USED_BY = [name for name, entry in FIELDS.items() if "used_by" in entry.metadata]


@pytest.mark.parametrize("name", USED_BY)
def test_an_option_that_no_format_uses_is_warned_of(name):
    users = FIELDS[name].metadata["used_by"]
    assert set(users) <= set(REGISTRY)
    if name not in SOME:
        pytest.skip("its own test has a value for it")
    others = tuple(set(FORMATS) - set(users))
    [note] = asked(**{name: SOME[name]}, formats=others).notes()
    listed = " and ".join(filter(None, (", ".join(users[:-1]), users[-1])))
    assert note.startswith(f"{flag_of(FIELDS[name])} has no effect: only {listed} use")
    assert list(asked(formats=others).notes()) == []
    for user in users:
        assert list(asked(**{name: SOME[name]}, formats=(user,)).notes()) == []


@pytest.mark.parametrize(
    ("values", "note"),
    [
        ({"formats": ("tiles", "png"), "top_tiles": 0}, "tiles are not written"),
        ({"allow_pickle": True, "model_path": (Path("a.safetensors"),)}, "--allow-pickle has no"),
    ],
)
def test_what_has_no_effect_is_warned_of(values, note):
    values = {"model_path": (Path("m.pkl"),), **values}
    options = CreateOptions(output_path=Path("out"), true_class="X", **values)
    [sentence] = options.notes()
    assert note in sentence


@pytest.mark.parametrize(
    ("options", "note"),
    [
        (DemoOptions(fiducials=True, seed=3), "--seed has no effect"),
        (ConvertOptions(Path("a.safetensors"), Path("b"), allow_pickle=True), "--allow-pickle has"),
        (ViewOptions(Path("a"), allow_origin=("*", "https://a")), "* allows all pages"),
    ],
)
def test_other_commands_warn_too(options, note):
    [sentence] = options.notes()
    assert note in sentence
    assert list(DemoOptions(fiducials=True).notes()) == []


def test_the_command_line_logs_the_warnings(caplog):
    words = ["--fiducials", "--seed", "3"]
    OptionsParser(DemoOptions, "heatmaps-ome demo", "").parse_args(words)
    assert "--seed has no effect" in caplog.text


def test_quantiles_that_are_not_given_are_the_usual_ones_in_settings_and_records():
    options = asked(score_threshold=0.5)
    quantiles = settings_of(options).drawing.quantiles
    assert (quantiles.attention_lower, quantiles.attention_upper) == (0.01, 1.0)
    assert quantiles.score == 0.5
    record = all_options(options)
    assert (record["att_lower_threshold"], record["att_upper_threshold"]) == (0.01, 1.0)
    assert record["score_threshold"] == 0.5
    assert all_options(asked(score_threshold=0.95)) == all_options(asked())


def test_records_name_no_quantiles_beside_a_scaling_that_has_its_own():
    record = all_options(asked(scaling=Path("scaling.json")))
    names = ("att_lower_threshold", "att_upper_threshold", "score_threshold")
    assert [record[name] for name in names] == [None, None, None]
    usual = with_usual_values(asked(scaling=Path("s")))
    assert [getattr(usual, name) for name in names] == [None, None, None]
