"""Only regular files of a bounded size are read; all else is refused at once."""

import os
import socket

import pytest

from heatmaps_ome.storage.regular_file import (
    open_regular,
    read_bytes,
    read_json,
    read_text,
    require_regular,
)


@pytest.fixture
def odd(tmp_path, monkeypatch):
    """Paths to all that is no regular file, by its name in the sentence."""
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    os.mkfifo("fifo")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        yield {
            "a FIFO": tmp_path / "fifo",
            "a FIFO, and": tmp_path / "link",
            "a folder": tmp_path / "folder",
            "a socket": tmp_path / "socket",
            "a device": "/dev/zero",
        }


@pytest.mark.parametrize(
    "read",
    [require_regular, open_regular, lambda path: read_bytes(path, 10), read_text, read_json],
)
def test_only_regular_files_are_read(odd, read):
    for kind, path in odd.items():
        with pytest.raises(OSError, match=f"it is {kind}") as caught:
            read(path)
        assert caught.value.strerror.endswith("only regular files are read as files")
        assert caught.value.filename == os.fspath(path)


def test_a_link_to_a_regular_file_is_one(tmp_path):
    (tmp_path / "file").write_text("7")
    (tmp_path / "link").symlink_to("file")
    assert require_regular(tmp_path / "link").st_size == 1
    assert read_json(tmp_path / "link") == 7
    with open_regular(tmp_path / "link") as file:
        assert file.read() == b"7"


def test_files_are_read_up_to_a_limit(tmp_path):
    path = tmp_path / "list"
    path.write_bytes(b"x" * 100)
    assert read_text(path, 100) == "x" * 100
    with pytest.raises(OSError, match="it has more than"):
        read_text(path, 99)


@pytest.mark.skipif(not os.path.exists("/proc/self/maps"), reason="needs Linux's /proc")  # noqa: PTH110
def test_a_file_without_a_size_is_limited_too():
    assert os.stat("/proc/self/maps").st_size == 0  # noqa: PTH116
    with pytest.raises(OSError, match="it has more than"):
        read_bytes("/proc/self/maps", 10)


def test_json_that_is_nested_too_deeply_is_a_value_error(tmp_path):
    path = tmp_path / "deep.json"
    path.write_text("[" * 1_000_000)
    with pytest.raises(ValueError, match="nested too deeply"):
        read_json(path)


def test_text_that_is_not_utf_8_is_a_value_error(tmp_path):
    path = tmp_path / "latin"
    path.write_bytes(b"\xe9")
    with pytest.raises(ValueError, match="utf-8"):
        read_text(path)


@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
def test_a_name_that_no_file_has_is_an_os_error(name):
    with pytest.raises(OSError, match="no file name has"):
        read_text(name)


def test_pipes_of_the_shell_are_read_where_they_are_welcome():
    reader, writer = os.pipe()
    try:
        os.write(writer, b"a.svs\n")
        os.close(writer)
        with pytest.raises(OSError, match="a FIFO"):
            read_text(f"/dev/fd/{reader}")
        assert read_text(f"/dev/fd/{reader}", pipes=True) == "a.svs\n"
    finally:
        os.close(reader)


def test_a_fifo_on_disk_is_refused_where_pipes_are_welcome(odd):
    with pytest.raises(OSError, match="a FIFO"):
        read_text(odd["a FIFO"], pipes=True)


def test_an_endless_pipe_is_limited():
    reader, writer = os.pipe()
    try:
        os.write(writer, b"x" * 1000)
        os.close(writer)
        with pytest.raises(OSError, match="it has more than"):
            read_text(f"/dev/fd/{reader}", 99, pipes=True)
    finally:
        os.close(reader)
