"""Every option is bounded by what it can mean, on the command line and from Python."""

import math
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Literal, get_origin

import pytest
from command_options import OPTIONS

from heatmaps_ome.cli import main as cli
from heatmaps_ome.options import (
    CreateOptions,
    ViewOptions,
    flag_of,
)

WORDS = {
    "cache": ["a"],
    "collect": ["a"],
    "compare": ["a", "b"],
    "convert-model": ["a.pkl", "b.safetensors"],
    "create": ["a.svs", "-m", "m.pkl", "-o", "out", "-t", "X"],
    "demo": [],
    "draw": ["a"],
    "export": ["a.csv", "--slide", "a.svs", "-o", "out"],
    "extract": ["a.svs", "-o", "out"],
    "extractors": [],
    "fit": ["a"],
    "info": ["a"],
    "maps": ["a.svs", "-m", "m.pkl", "-o", "out", "-t", "X"],
    "share": ["a"],
    "validate": ["a"],
    "view": ["a"],
}
"""Command → the words that it needs."""
COMMANDS = {command: (options, WORDS[command]) for command, options in OPTIONS.items()}
FLAGS = [
    (command, entry)
    for command, (options, _) in COMMANDS.items()
    for entry in fields(options)
    if flag_of(entry).startswith("-") and entry.type is not bool
]
NUMBERS = [(command, entry) for command, entry in FLAGS if entry.metadata["type"] in (int, float)]
OTHERS = [(command, entry) for command, entry in FLAGS if (command, entry) not in NUMBERS]


def test_all_commands_are_tried():
    assert set(COMMANDS) == set(cli.COMMANDS)


def names(pairs):
    return [f"{command} {flag_of(entry)}" for command, entry in pairs]


def refusal(capsys, command, entry, value):
    words = COMMANDS[command][1]
    assert cli.main([command, *words, f"{flag_of(entry)}={value}"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    # Required options are given a second time, which is warned of.
    *warnings, first, last = err.splitlines()
    assert all("is given more than once" in line for line in warnings)
    assert last == f"See heatmaps-ome {command} --help"
    assert flag_of(entry) in first
    assert first.isprintable()
    assert len(first) < 300
    return first


@pytest.mark.parametrize(("command", "entry"), NUMBERS, ids=names(NUMBERS))
def test_numbers_have_bounds(capsys, command, entry):
    low, high = entry.metadata["between"]
    assert math.isfinite(low)
    assert math.isfinite(high)
    for value in ("nan", "inf", "-inf", "-1", "1e308", "9" * 400, "9" * 5000, "x", "", "\x1b[2J"):
        refusal(capsys, command, entry, value)
    sentence = refusal(capsys, command, entry, str(high + 1))
    assert f"give a value from {low} to {high}" in sentence


@pytest.mark.parametrize(("command", "entry"), OTHERS, ids=names(OTHERS))
def test_no_text_or_path_is_empty(capsys, command, entry):
    refusal(capsys, command, entry, "")


@pytest.mark.parametrize("command", COMMANDS)
def test_no_positional_argument_is_empty(capsys, command):
    sentence = "'' is an empty path; give . for the current folder"
    if command == "extractors":
        sentence = "NAME is empty"
    if command != "demo":
        assert cli.main([command, "", *COMMANDS[command][1][1:]]) == 2
        assert sentence in capsys.readouterr().err


CHOICES = [
    (command, entry)
    for command, entry in OTHERS
    if get_origin(entry.type) is Literal or "among" in entry.metadata
]


@pytest.mark.parametrize(("command", "entry"), CHOICES, ids=names(CHOICES))
def test_a_mistyped_choice_is_answered_with_the_nearest(capsys, command, entry):
    choices = entry.metadata.get("among", getattr(entry.type, "__args__", ()))
    choices = choices() if callable(choices) else choices
    assert choices
    for choice in choices:
        sentence = refusal(capsys, command, entry, f"{choice}x")
        assert f"did you mean {choice}?" in sentence
        assert ", ".join(choices) in sentence


@pytest.mark.parametrize(
    "device",
    [
        "cdua",
        "CPU ",
        "cuda:",
        "cuda:-1",
        "cuda:99999999999",
        "privateuseone",
        "meta",
        "xla",
        "cpu\n",
    ],
)
def test_devices_are_those_of_the_help(capsys, device):
    [entry] = [entry for entry in fields(CreateOptions) if entry.name == "device"]
    assert "auto, cpu, cuda, cuda:N or mps" in refusal(capsys, "create", entry, device)


@pytest.mark.parametrize("size", ["1000001", "129", "-3", "8"])
def test_kernels_are_odd_and_of_a_size_that_slides_have(capsys, size):
    [entry] = [entry for entry in fields(CreateOptions) if entry.name == "blur_kernel_size"]
    refusal(capsys, "create", entry, size)


@pytest.mark.parametrize("host", ["a" * 64, "a..b", "\0"])
def test_hosts_are_names_that_can_be_looked_up(host):
    with pytest.raises(ValueError, match="--host"):
        ViewOptions(Path("a"), host=host)


@pytest.mark.parametrize(
    "origin", ["x", "https://a/", "https://a/page", "ftp://a", "https://", "*a"]
)
def test_origins_are_origins(origin):
    with pytest.raises(ValueError, match="--allow-origin"):
        ViewOptions(Path("a"), allow_origin=(origin,))


@pytest.mark.parametrize("unit", ["mm", "level", "level:", "level:-1", "level:1234", "µm"])
def test_units_of_coordinates_are_units(unit):
    with pytest.raises(ValueError, match=r"--coords-unit: unknown .*; it takes px, um or level:N"):
        CreateOptions(model_path=Path("m.pt"), output_path=Path("out"), coords_unit=unit)


@pytest.mark.parametrize("unit", ["px", "um", "level:0", "level:12"])
def test_units_of_coordinates_that_are_some_are_taken(unit):
    options = CreateOptions(model_path=Path("m.pt"), output_path=Path("out"), coords_unit=unit)
    assert options.coords_unit == unit


def test_origins_that_are_some_are_taken():
    origins = ("*", "https://a", "http://127.0.0.1:8000")
    assert ViewOptions(Path("a"), allow_origin=origins).allow_origin == origins


@pytest.mark.parametrize("name", ["slides", "model_path", "output_path", "cache_dir", "true_class"])
def test_a_nul_is_refused_from_python_too(name):
    values = {"model_path": (Path("m"),), "output_path": Path("o"), "true_class": "X"}
    kind = str if name == "true_class" else Path
    with pytest.raises(ValueError, match="NUL"):
        CreateOptions(**{**values, name: kind("a\0b")})


def test_a_covariate_has_one_value():
    values = {"model_path": (Path("m"),), "output_path": Path("o"), "true_class": "X"}
    with pytest.raises(ValueError, match="'A' is both '1' and '2'"):
        CreateOptions(**values, covariate=(("A", "1"), ("B", "1"), ("A", "2")))
    twice = (("A", "1"), ("A", "1"))
    assert CreateOptions(**values, covariate=twice).covariate == twice


def test_texts_in_utf_8_are_read_in_any_locale():
    code = (
        "import sys\nfrom heatmaps_ome.cli.arguments import OptionsParser\n"
        "from heatmaps_ome.options import CreateOptions\n"
        "options = OptionsParser(CreateOptions, '', '').parse_args(sys.argv[1:])\n"
        "assert options.true_class == 'H\\xe9\\u732b', ascii(options.true_class)\n"
        "assert options.classes == ('H\\xe9', 'x'), ascii(options.classes)\n"
    )
    env = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    words = ["-m", "m", "-o", "o", "-t", "Hé猫", "--classes", "Hé,x"]
    done = subprocess.run(
        [sys.executable, "-c", code, *(word.encode() for word in words)], check=False,
        capture_output=True, env={**env, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
