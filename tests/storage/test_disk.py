"""A disk that cannot be written is named in one sentence, with the remedy."""

import errno
import os
import shutil
from types import SimpleNamespace

import pytest

from heatmaps_ome.errors import OutputError
from heatmaps_ome.storage import disk
from heatmaps_ome.storage.disk import bytes_text, disk_error


def sentence(path, code, **more):
    error = disk_error(path, OSError(code, os.strerror(code), str(path)), **more)
    assert isinstance(error, OutputError)
    text = str(error)
    assert "\n" not in text
    assert text.startswith(f"{path} cannot be written")
    return text


@pytest.fixture
def mounted(tmp_path, monkeypatch):
    """Return a folder that a disk of 2 TB, nearly full, is mounted at."""
    place = tmp_path / "data"
    (place / "cohort").mkdir(parents=True)
    monkeypatch.setattr(disk.Path, "is_mount", lambda self: self == place, raising=False)
    monkeypatch.setattr(
        disk.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(2 * 10**12, 0, 12_345_678)
    )
    return place


def test_a_full_disk_is_named_with_its_room(mounted):
    text = sentence(mounted / "cohort" / "not" / "yet" / "there", errno.ENOSPC)
    assert f"no space is left on the disk {mounted} (12.3 MB of 2.00 TB are free)" in text
    assert text.endswith("free some there or choose another place with --output-path")


def test_the_option_is_that_of_the_place(mounted):
    assert sentence(mounted / "x", errno.ENOSPC, option="--cache-dir").endswith("--cache-dir")


def test_a_quota_is_not_a_full_disk(mounted):
    assert f"your quota on the disk {mounted} is used up" in sentence(mounted / "x", errno.EDQUOT)


def test_a_disk_without_room_for_more_files_is_no_full_one(mounted, monkeypatch):
    monkeypatch.setattr(disk.os, "statvfs", lambda _: SimpleNamespace(f_files=9, f_favail=0))
    assert f"the disk {mounted} takes no more files" in sentence(mounted / "x", errno.ENOSPC)


def test_a_disk_that_does_not_answer_is_named_too(mounted, monkeypatch):
    def gone(_):
        raise OSError(errno.EIO, "gone")

    monkeypatch.setattr(disk.shutil, "disk_usage", gone)
    assert f"no space is left on the disk {mounted};" in sentence(mounted / "x", errno.ENOSPC)


def test_a_read_only_disk_and_denied_permission_are_different(mounted):
    assert f"the disk {mounted} is read-only" in sentence(mounted / "x", errno.EROFS)
    for code in (errno.EACCES, errno.EPERM):
        assert "permission is denied; change its permissions" in sentence(mounted / "x", code)


def test_any_other_error_is_given_in_the_systems_words(mounted):
    assert os.strerror(errno.EIO) in sentence(mounted / "x", errno.EIO)
    assert "in our words" in str(disk_error(mounted, OSError("in our words")))


def test_a_sentence_stays_as_it_is(mounted):
    error = OutputError("a sentence")
    assert disk_error(mounted, error) is error


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1, "1 B"), (999, "999 B"), (1000, "1.00 kB"), (9_994, "9.99 kB"),
     (9_995, "10.0 kB"), (99_950, "100 kB"), (999_499, "999 kB"), (999_500, "1.00 MB"),
     (10**9, "1.00 GB"), (54 * 10**9, "54.0 GB"), (10**18, "1000 PB")],
)  # fmt: skip
def test_bytes_are_given_with_three_digits(count, text):
    assert bytes_text(count) == text
