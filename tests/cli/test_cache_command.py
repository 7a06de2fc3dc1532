"""``heatmaps-ome cache`` lists what a cache holds, and removes only pieces of ours."""

import os
import re
import time
from dataclasses import replace
from pathlib import Path

import pytest

from heatmaps_ome.cli.main import main
from heatmaps_ome.options.units import age_in_s, size_in_bytes
from heatmaps_ome.storage.cache import (
    Encoded,
    FeaturesKey,
    PixelsKey,
    Source,
    TilesKey,
    folder_of,
)
from heatmaps_ome.storage.cache_users import caches_in_use, partial_name
from heatmaps_ome.storage.owners import owner_of_this_process
from heatmaps_ome.storage.pieces import GrowingPiece, WholePiece

DAY_S = 86400


def keys(fingerprint):
    source = Source(fingerprint * 64, (0.5, 0.5), "level")
    encoded = Encoded(source, "e" * 64, (2.0, 2.0))
    return PixelsKey(source, (2.0, 2.0)), FeaturesKey(encoded, 4), TilesKey(encoded, 7, ())


@pytest.fixture
def cache(tmp_path):
    """Return a cache of two slides: "old", used 10, 20 and 30 days ago, and "new", used now."""
    folder = tmp_path / "out" / ".cache"
    with caches_in_use():
        for name, fingerprint in (("old", "a"), ("new", "b")):
            pixels, features, tiles = keys(fingerprint)
            GrowingPiece(folder, pixels, name).write("0/0/0/0", bytes(300_000))
            GrowingPiece(folder, features, name).write("c/0/0/0", bytes(200_000))
            WholePiece(folder, tiles, name).write(
                lambda partial: (partial / "features.npy").write_bytes(bytes(100_000))
            )
    for days, key in zip((10, 20, 30), keys("a"), strict=True):
        at = time.time() - days * DAY_S
        os.utime(folder_of(folder, key) / "piece.json", (at, at))
    return folder


def pieces(cache):
    return {path.relative_to(cache).as_posix() for path in cache.glob("[a-z]*/*") if path.is_dir()}


def of(fingerprint, *kinds):
    made = (folder_of(Path(), key) for key in keys(fingerprint))
    return {path.as_posix() for path in made if not kinds or path.parts[0] in kinds}


def run(capsys, *words):
    code = main(["cache", *map(str, words)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.parametrize("place", [".", ".cache"])
def test_a_cache_is_listed_by_slide_and_kind(place, cache, capsys):
    code, out, _ = run(capsys, cache.parent / place)
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == f"{cache}: 2 slides, 6 pieces, 1.20 MB"
    assert lines[2].split() == ["slide", "kind", "pieces", "files", "size", "last", "use"]
    rows = [line.split() for line in lines[3:]]
    assert [row[:2] for row in rows] == [
        [slide, kind] for slide in ("new", "old") for kind in ("pixels", "features", "tiles")
    ]
    # A journal and a record come on top of the chunk.
    assert rows[0][2:6] == ["1", "3", "300", "kB"]
    assert rows[3][6] == time.strftime("%Y-%m-%d", time.localtime(time.time() - 10 * DAY_S))
    assert len(pieces(cache)) == 6


def test_old_pieces_are_removed(cache, capsys):
    code, out, _ = run(capsys, cache, "--older-than", "15d")
    assert code == 0
    assert f"{cache}: removed 2 pieces, 30" in out
    assert "left: 4 pieces, 90" in out
    assert pieces(cache) == of("b") | of("a", "pixels")


def test_pieces_used_longest_ago_are_removed_until_the_rest_fits(cache, capsys):
    run(capsys, cache, "--max-size", "950kB")
    assert pieces(cache) == of("b") | of("a", "pixels")
    run(capsys, cache, "--max-size", "0")
    assert pieces(cache) == set()


def test_only_the_kinds_asked_for_count(cache, capsys):
    run(capsys, cache, "--kind", "pixels,tiles", "--max-size", "450kB")
    assert pieces(cache) == of("a", "features") | of("b")


def test_a_dry_run_removes_nothing(cache, capsys):
    code, out, _ = run(capsys, cache, "--older-than", "15d", "--dry-run")
    assert code == 0
    assert "would remove 2 pieces" in out
    assert re.search(r"^old +features +1 ", out, re.MULTILINE)
    assert not re.search(r"^old +pixels", out, re.MULTILINE)
    assert len(pieces(cache)) == 6


def test_pieces_that_a_run_uses_stay(cache, capsys):
    with caches_in_use():
        GrowingPiece(cache, keys("a")[0], "old")
        _, listing, _ = run(capsys, cache)
        assert re.search(r"^old +pixels.*\(in use\)$", listing, re.MULTILINE)
        _, out, _ = run(capsys, cache, "--max-size", "0")
    assert "in use by a run, and so not removed: 1 piece, 300 kB" in out
    assert pieces(cache) == of("a", "pixels")


def test_files_of_others_stay(cache, capsys):
    strange = [
        cache / "features" / "notes.txt", cache / "features" / "mine" / "zarr.json",
        cache / "features" / ("0" * 32) / "thesis.docx",
        cache / "slides" / ("1" * 32) / "zarr.json",
    ]  # fmt: skip
    for path in strange:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("of others")
    (cache / "tiles" / ("2" * 32)).symlink_to(cache / "slides")
    run(capsys, cache, "--max-size", "0", "--older-than", "0")
    assert all(path.read_text() == "of others" for path in strange)


def test_pieces_of_the_first_version_are_listed_and_removed(tmp_path, capsys):
    for name in ("pixels/{}/complete", "features/{}/zarr.json", "pictures/{}/complete.json"):
        path = tmp_path / name.format("0" * 32)
        path.parent.mkdir(parents=True)
        path.write_text("{}")
    _, out, _ = run(capsys, tmp_path)
    assert out.count("(unknown)") == 3
    run(capsys, tmp_path, "--max-size", "0")
    assert list(tmp_path.glob("*/*")) == []


def test_what_dead_processes_left_goes_with_a_removal(cache, capsys):
    alive = owner_of_this_process()
    own = cache / "maps" / partial_name("0" * 32)
    left = [
        own.with_name(own.name.replace(alive.label, owner.label))
        for owner in (replace(alive, started=alive.started - 1), replace(alive, host="node8-1"))
    ]
    left.append(cache / ".users" / replace(alive, host="node8-1").label)
    for path in (own, *left):
        path.mkdir(parents=True) if path.suffix else path.touch()
        os.utime(path, (0, 0))
    run(capsys, cache, "--older-than", "90d")
    assert [path for path in (own, *left) if path.exists()] == [own]


def test_a_folder_that_is_no_cache_is_refused(tmp_path, capsys):
    (tmp_path / "features").mkdir()
    (tmp_path / "features" / "mine.txt").touch()
    code, out, err = run(capsys, tmp_path, "--max-size", "0")
    assert (code, out) == (1, "")
    assert err == (
        f"heatmaps-ome: {tmp_path} holds no cache of heatmaps-ome; give the folder of --cache-dir "
        "or of --output-path\n"
    )
    code, _, err = run(capsys, tmp_path / "nowhere")
    assert code == 1
    assert "is no folder" in err


def test_an_empty_cache_is_one(cache, capsys):
    run(capsys, cache, "--max-size", "0")
    code, out, _ = run(capsys, cache)
    assert (code, out) == (0, f"{cache}: 0 slides, 0 pieces, 0 B\n")


def test_names_are_safe_and_tell_slides_apart(tmp_path, capsys):
    for fingerprint in "ab":
        GrowingPiece(tmp_path, keys(fingerprint)[0], "a\x1b[2J")
    _, out, _ = run(capsys, tmp_path)
    assert "\x1b" not in out
    assert "a?[2J aaaaaaaa" in out
    assert "a?[2J bbbbbbbb" in out


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--max-size", "50"), "'50' is not a size such as 50GB"),
        (("--max-size", "-1GB"), "'-1GB' is not a size such as 50GB"),
        (("--max-size", "1e9GB"), "is not a size"),
        (("--max-size", f"{10**30}GB"), "is too large"),
        (("--older-than", "month"), "is not an age such as 30d"),
        (("--kind", "images"), "there is no kind 'images'"),
        (("--dry-run",), "add --max-size or --older-than"),
    ],
)
def test_wrong_options_are_usage_errors(words, reason, cache, capsys):
    try:
        code = main(["cache", str(cache), *words])
    except SystemExit as error:
        code = error.code
    assert code == 2
    assert reason in capsys.readouterr().err
    assert len(pieces(cache)) == 6


def test_sizes_and_ages_have_units():
    assert size_in_bytes("1.5 GiB") == 3 * 2**29
    assert size_in_bytes("20mb") == 20 * 10**6
    assert age_in_s("1.5h") == 5400
    assert age_in_s("2W") == 14 * DAY_S
