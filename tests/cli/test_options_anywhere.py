"""Options stand before, between and after slides, and a mistyped word is named first."""

from dataclasses import fields
from pathlib import Path

import pytest
from command_options import OPTIONS

from heatmaps_ome.cli import main as cli
from heatmaps_ome.cli.arguments import OptionsParser
from heatmaps_ome.cli.words import Flag, sort_words
from heatmaps_ome.options import (
    ConvertOptions,
    CreateOptions,
    DemoOptions,
    InfoOptions,
    ValidateOptions,
    ViewOptions,
    flags_of,
)


def parsed(options, words):
    return OptionsParser(options, "heatmaps-ome", "").parse_args(words)


def test_all_commands_are_tried():
    assert set(OPTIONS) == set(cli.COMMANDS)


PARTS = [["a.svs"], ["-m", "m.pkl"], ["--true-class", "X"], ["-o", "out"], ["--no-pool"], ["b.svs"]]


@pytest.mark.parametrize("first", range(len(PARTS)))
def test_options_of_create_stand_anywhere(first):
    words = [word for part in (*PARTS[first:], *PARTS[:first]) for word in part]
    options = parsed(CreateOptions, words)
    assert set(options.slides) == {Path("a.svs"), Path("b.svs")}
    assert options.model_path == (Path("m.pkl"),)
    assert (options.true_class, options.output_path, options.no_pool) == ("X", Path("out"), True)


@pytest.mark.parametrize(
    ("options", "words", "name", "value"),
    [
        (ConvertOptions, ["a", "--overwrite", "b"], "target", Path("b")),
        (ConvertOptions, ["--overwrite", "a", "b"], "source", Path("a")),
        (InfoOptions, ["a", "--", "--b"], "paths", (Path("a"), Path("--b"))),
        (ValidateOptions, ["a", "--slide", "s", "--json", "b"], "paths", (Path("a"), Path("b"))),
        (ViewOptions, ["--no-browser", "out", "--port", "9"], "path", Path("out")),
        (ViewOptions, ["--port", "9", "--no-browser", "out"], "port", 9),
        (DemoOptions, ["--seed", "3", "-v"], "verbose", True),
        (DemoOptions, ["-vo", "x"], "output_path", Path("x")),
        (DemoOptions, ["-ox"], "output_path", Path("x")),
        (DemoOptions, ["-o=x"], "output_path", Path("x")),
    ],
)
def test_options_of_the_other_commands_stand_anywhere(options, words, name, value):
    assert getattr(parsed(options, words), name) == value


def test_several_models_may_follow_one_flag_wherever_it_stands():
    words = ["a.svs", "-m", "1.pkl", "2.PKL", "b.svs", "-o", "o", "-m=3.pt", "-t", "X", "c.pkl.svs"]
    options = parsed(CreateOptions, words)
    assert options.model_path == tuple(map(Path, ("1.pkl", "2.PKL", "3.pt")))
    assert options.slides == tuple(map(Path, ("a.svs", "b.svs", "c.pkl.svs")))


def test_words_behind_two_dashes_are_slides():
    options = parsed(
        CreateOptions, ["-m", "m.pkl", "-o", "o", "-t", "X", "--", "-m", "--", "x.pkl"]
    )
    assert options.slides == (Path("-m"), Path("--"), Path("x.pkl"))


def test_the_last_of_several_values_counts_and_the_user_learns_it(caplog):
    words = ["-o", "one", "--seed", "4", "-o", "two", "--seed", "4"]
    assert parsed(DemoOptions, words).output_path == Path("two")
    assert caplog.messages == ["--output-path is given more than once; the last, two, counts"]


def error_of(capsys, words):
    assert cli.main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    return err.splitlines()[0]


def misspelt(flag):
    """Return an option with its last letter but one left out."""
    return flag[:-2] + flag[-1:]


@pytest.mark.parametrize(
    ("command", "flag"),
    [
        (command, flag)
        for command, options in OPTIONS.items()
        for flag in flags_of(options)
        if len(flag) > 5
    ],
)
def test_a_mistyped_option_is_named_first_with_the_nearest(capsys, command, flag):
    # Required options and arguments are missing too.
    for word in (misspelt(flag), f"{misspelt(flag)}=7", flag[1:]):
        line = error_of(capsys, [command, word])
        name = word.partition("=")[0]
        assert line.startswith(f"heatmaps-ome {command}: {name}: there is no such option")
        assert f"did you mean {flag}?" in line or f" {flag}" in line


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["craete", "a.svs"], "there is no command 'craete'; did you mean create?"),
        (["convert_model"], "did you mean convert-model?"),
        (["-v", "create"], "options follow the command: heatmaps-ome create -v"),
        (["\x1b[2Jx"], r"there is no command '\x1b[2Jx'"),
        (["view"], "the following arguments are required: OUTPUT_PATH"),
        (["view", "a", "b"], "b: one argument too many; heatmaps-ome view takes OUTPUT_PATH"),
        (["convert-model", "a", "b", "c"], "takes MODEL and MODEL_SAFETENSORS"),
        (["demo", "x"], "heatmaps-ome demo takes nothing but options"),
        (["demo", "--fiducials=1"], "--fiducials takes no value; leave out =1"),
        (["demo", "--seed"], "--seed needs a value"),
        (["demo", "-o", "--seed", "3"], "-o needs a value, but --seed follows"),
        (["demo", "--seed=--"], "--seed needs a value, which -- is not"),
        (["demo", "--zzz"], "--zzz: there is no such option"),
        (["demo", "--output_path", "x"], "did you mean --output-path?"),
        (["demo", "\u2014overwrite"], "there is no such option; did you mean --overwrite?"),
        (["demo", "\u2013seed", "3"], "there is no such option; did you mean --seed?"),
    ],
)
def test_other_wrong_words_are_named(capsys, words, sentence):
    assert sentence in error_of(capsys, words)


def test_no_command_at_all_is_a_usage_error(capsys):
    assert cli.main([]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == cli.USAGE
    assert cli.main(["--help"]) == 0
    assert capsys.readouterr().out == cli.USAGE


@pytest.mark.parametrize("words", [["create", "--zzz", "--help"], ["create", "a.svs", "-h"]])
def test_help_is_given_wherever_it_is_asked_for(capsys, words):
    assert cli.main(words) == 0
    assert "--output-path" in capsys.readouterr().out


def test_every_option_is_sorted_as_it_is_given():
    for options in OPTIONS.values():
        for entry in fields(options):
            for flag in entry.metadata.get("args", [f"--{entry.name.replace('_', '-')}"]):
                if flag.startswith("-"):
                    takes = entry.type is not bool
                    words = ["a", flag, *(["-1"] if takes else []), "b"]
                    sorted_ = sort_words(words, {flag: Flag(flag, takes)})
                    assert sorted_.rest == ["a", "b"]
                    assert sorted_.options == [(flag, "-1" if takes else None)]
                    assert sorted_.problems == []
