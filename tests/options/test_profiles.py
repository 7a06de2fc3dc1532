"""A profile is a set of defaults, and an option that is given counts more."""

from dataclasses import fields, replace
from pathlib import Path

import pytest

from heatmaps_ome.cli.arguments import OptionsParser
from heatmaps_ome.exporters import REGISTRY
from heatmaps_ome.options import FORMATS, PROFILES, CreateOptions, ExportOptions, MapsOptions
from heatmaps_ome.run.job import Job
from heatmaps_ome.run.provenance import effective_options, given_options
from heatmaps_ome.run.settings import settings_of, settings_of_export

WORDS = ["a.svs", "-m", "m.pkl", "-o", "out", "-t", "X"]
ARCHIVED = tuple(name for name in FORMATS if name != "tiles")
OWN = {entry.name: entry for entry in fields(CreateOptions) if "in_profiles" in entry.metadata}


def asked(*words, options=CreateOptions):
    return OptionsParser(options, "heatmaps-ome create", "").parse_args([*WORDS, *words])


def files(*words):
    return settings_of(asked(*words)).output


def test_the_standard_profile_is_no_profile():
    assert settings_of(asked("--profile", "standard")) == settings_of(asked())
    usual = files()
    assert (usual.formats, usual.files.ngff, usual.files.flattened) == (FORMATS, "0.4", False)
    assert (usual.files.small_previews, usual.files.cells_geojson) == (False, True)


def test_an_archive_has_few_and_small_files():
    archive = settings_of(asked("--profile", "archive"))
    written = archive.output.files
    assert (written.ngff, written.flattened, written.small_previews) == ("0.5", False, True)
    assert not written.cells_geojson
    assert archive.output.formats == ARCHIVED
    assert archive.resources.keep_pixels == "until-drawn"
    # Pictures of tiles are pixels of the slide.
    assert written.cache is None


def test_the_full_profile_writes_every_format_and_flattened_pictures():
    full = files("--profile", "full")
    assert set(full.formats) == set(REGISTRY)
    assert full.files.flattened


@pytest.mark.parametrize(
    ("profile", "words", "name", "value"),
    [
        ("archive", ["--ngff", "0.4"], "ngff", "0.4"),
        ("archive", ["--previews", "all"], "small_previews", False),
        ("archive", ["--cells-geojson", "few"], "cells_geojson", True),
        ("archive", ["--flattened"], "flattened", True),
        ("full", ["--ngff", "0.5"], "ngff", "0.5"),
    ],
)
def test_an_option_that_is_given_counts_more(profile, words, name, value):
    assert getattr(files("--profile", profile).files, name) != value
    for line in (["--profile", profile, *words], [*words, "--profile", profile]):
        assert getattr(files(*line).files, name) == value


def test_formats_that_are_given_are_those_of_the_full_profile_too():
    assert files("--profile", "full", "--formats", "png,cells").formats == ("png", "cells")


def test_flags_can_be_given_as_off_from_python():
    options = replace(asked("--profile", "full"), flattened=False)
    assert not settings_of(options).output.files.flattened


def test_pictures_of_a_size_need_no_flag_where_the_profile_writes_them():
    assert files("--profile", "full", "--flat-mpp", "2").files.flat_mpp == 2
    for line in (["--flat-mpp", "2"], ["--flat-mpp", "2", "--profile", "archive"]):
        with pytest.raises(SystemExit):
            asked(*line)
    with pytest.raises(ValueError, match="--flat-mpp needs --flattened"):
        replace(asked("--profile", "full"), flattened=False, flat_mpp=2.0)


def test_records_have_the_values_and_not_the_profile():
    archive, same = asked("--profile", "archive"), asked("--ngff", "0.5", "--previews", "small",
                                                         "--cells-geojson", "never", "--formats",
                                                         ",".join(ARCHIVED))  # fmt: skip
    record = effective_options(archive)
    assert record == effective_options(same)
    assert record["ngff"] == "0.5"
    assert record["formats"] == list(ARCHIVED)
    assert "profile" not in record


def test_later_stages_go_by_the_profile_that_maps_was_told():
    told = given_options(asked("--profile", "archive", "--ngff", "0.4", options=MapsOptions))
    settings = Job("create", told, {}, ("X",), "X").settings(Path("out"))
    assert (settings.output.files.ngff, settings.output.files.small_previews) == ("0.4", True)
    assert settings.resources.keep_pixels == "until-drawn"


def test_export_has_the_profiles_too():
    options = ExportOptions(output_path=Path("out"), profile="archive", ngff="0.4")
    settings = settings_of_export(options)
    assert settings.resources.keep_pixels == "until-drawn"
    assert (settings.output.files.ngff, settings.output.files.cells_geojson) == ("0.4", False)


def test_the_help_tells_the_defaults_of_each_profile(capsys):
    with pytest.raises(SystemExit):
        asked("--help")
    # Lines are broken between words, and behind hyphens.
    text = "".join(capsys.readouterr().out.split())
    for note in (
        "(default: 0.4; in profile archive: 0.5)",
        f"(default: {','.join(FORMATS)}; in profile archive: {','.join(ARCHIVED)}; in profile "
        f"full: {','.join(REGISTRY)})",
        "serves such pictures without (in profile full: on)",
        "options that are given count more (default: standard)",
        *(f"{name} ({purpose})" for name, purpose in PROFILES.items()),
    ):
        assert "".join(note.split()) in text


def test_profiles_have_only_values_that_their_options_take():
    for name, entry in OWN.items():
        for profile, value in entry.metadata["in_profiles"].items():
            assert profile in PROFILES
            options = replace(asked(), **{name: value})
            assert getattr(options, name) == value != entry.metadata["usual"]
    with pytest.raises(ValueError, match=r"--profile: unknown 'archives'; did you mean archive\?"):
        replace(asked(), profile="archives")
