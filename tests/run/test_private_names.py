"""No shared file names the folders and lists that a run was given: they may name patients."""

import base64
import re
import zlib

import pytest
from broken_results import good_run
from slide_files import speckled, write_slide

MARKS = ("MarkIn", "MarkOut", "MarkCache", "MarkList", "MarkModel")
_STREAM = re.compile(rb"\x78[\x01\x5e\x9c\xda]")
_BASE64 = re.compile(rb"[A-Za-z0-9+/]{200,}={0,2}")


@pytest.fixture(scope="module", params=["0.4", "0.5"])
def run(request, tmp_path_factory):
    """A run whose every folder and list has a mark in its name; one of its slides fails."""
    folder = tmp_path_factory.mktemp("private") / "MarkIn"
    folder.mkdir()
    (folder / "MarkModel").mkdir()
    write_slide(folder / "a.svs", speckled(805, 2107))
    (folder / "MarkList.txt").write_text(f"{folder / 'a.svs'}\n")
    return good_run(
        folder, ngff=request.param, output_path=folder.parent / "MarkOut",
        cache_dir=folder.parent / "MarkCache", from_file=folder / "MarkList.txt", slides=(),
        formats=("ome-zarr", "ome-tiff", "png", "cells", "regions", "tiles", "report"),
    )  # fmt: skip


def texts(data):
    """Yield the bytes of a file, and all that is packed in them as zlib or base64."""
    yield data
    for packed in _BASE64.findall(data):
        yield from unpacked(base64.b64decode(packed + b"=" * (-len(packed) % 4)))
    yield from unpacked(data)


def unpacked(data):
    for match in _STREAM.finditer(data):
        try:
            yield zlib.decompressobj().decompress(data[match.start() :], 1 << 22)
        except zlib.error:
            continue


def test_no_shared_file_names_a_folder_or_a_list(run):
    output = run.parent.parent / "MarkOut"
    files = [
        path
        for path in output.rglob("*")
        # QuPath's project has to name the slides' folder, and so have later stages of a run; both
        # lie apart, and are served to nobody.
        if path.is_file() and not {"qupath", ".maps"} & {*path.parts}
    ]
    assert len(files) > 50
    naming = {
        (path.relative_to(output).as_posix(), mark)
        for path in files
        for text in texts(path.read_bytes())
        for mark in MARKS
        if mark.encode() in text
    }
    assert naming == set()
    assert not [path for path in files if any(m in str(path.relative_to(output)) for m in MARKS)]
