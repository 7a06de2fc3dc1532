"""No array of a stranger is read that might run code or fill the memory."""

import gzip
import json
import os
import shutil
import tracemalloc
import zlib
from pathlib import Path

import numcodecs
import numpy as np
import pytest
import zarr
from fakes import FakeSlide, slide_result

from heatmaps_ome.errors import ResultError
from heatmaps_ome.maps.store import read_values, write_values
from heatmaps_ome.slides import plain_zarr
from heatmaps_ome.slides.plain_zarr import inside, read_object, require_plain_array
from heatmaps_ome.validate.result import validate
from heatmaps_ome.viewers.files import viewer_files

SIDE = 64
ARRAY = {
    "zarr_format": 2, "shape": [SIDE, SIDE], "chunks": [SIDE, SIDE], "dtype": "<f4", "order": "C",
    "fill_value": 0, "filters": None, "compressor": None, "dimension_separator": "/",
}  # fmt: skip
ARRAY_3 = {
    "zarr_format": 3, "node_type": "array", "shape": [SIDE, SIDE], "data_type": "float32",
    "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [SIDE, SIDE]}},
    "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
    "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
    "fill_value": 0, "attributes": {},
}  # fmt: skip
NUMBERS = np.arange(SIDE * SIDE, dtype="<f4")
PLAIN = NUMBERS.tobytes()
BOMB = bytes(200 << 20)


def written(folder, facts, chunk=PLAIN):
    """Write an array of one chunk by hand."""
    version3 = facts.get("zarr_format") == 3
    place = folder / "c/0/0" if version3 else folder / "0/0"
    place.parent.mkdir(parents=True)
    place.write_bytes(chunk)
    name = "zarr.json" if version3 else ".zarray"
    (folder / name).write_text(json.dumps(facts), encoding="utf-8")
    return folder


def packed(name, data):
    codec = {
        "zlib": numcodecs.Zlib(), "gzip": numcodecs.GZip(), "zstd": numcodecs.Zstd(),
        "blosc": numcodecs.Blosc("zstd"), "lz4": numcodecs.LZ4(),
    }[name]  # fmt: skip
    return bytes(codec.encode(np.frombuffer(data, "u1")))


def codec_3(name):
    given = {
        "blosc": {"typesize": 4, "cname": "zstd", "clevel": 5, "shuffle": "shuffle", "blocksize": 0}
    }
    return {"name": name, "configuration": given.get(name, {"level": 1})}


@pytest.mark.parametrize("name", sorted(plain_zarr.COMPRESSORS))
def test_arrays_of_the_listed_codecs_are_read(tmp_path, name):
    facts = ARRAY | {"compressor": {"id": name}}
    array = written(tmp_path / "2", facts, packed(name, NUMBERS.tobytes()))
    require_plain_array(array, whole=True)
    assert np.array_equal(zarr.open_array(array, mode="r")[...].ravel(), NUMBERS)
    if name in ("zlib", "lz4"):
        return
    facts = ARRAY_3 | {"codecs": [*ARRAY_3["codecs"], codec_3(name)]}
    array = written(tmp_path / "3", facts, packed(name, NUMBERS.tobytes()))
    require_plain_array(array, whole=True)
    assert np.array_equal(zarr.open_array(array, mode="r")[...].ravel(), NUMBERS)


STRANGE = {
    "objects": {"dtype": "|O", "filters": [{"id": "pickle"}]},
    "objects as filters of numbers": {"filters": [{"id": "pickle"}]},
    "texts": {"dtype": "|O", "filters": [{"id": "vlen-utf8"}]},
    "json": {"dtype": "|O", "filters": [{"id": "json2"}]},
    "msgpack": {"dtype": "|O", "filters": [{"id": "msgpack2"}]},
    "pickle as compressor": {"compressor": {"id": "pickle"}},
    "unknown compressor": {"compressor": {"id": "imagecodecs_jpeg"}},
    "compressor of a wrong type": {"compressor": {"id": ["blosc"]}},
    "compressor without a name": {"compressor": {}},
    "structure": {"dtype": [["a", "<f4"]]},
    "fixed texts": {"dtype": "<U9"},
    "void": {"dtype": "|V16"},
    "dates": {"dtype": "<M8[ns]"},
    "complex": {"dtype": "<c8"},
    "negative": {"shape": [-1, 4]},
    "bool for a length": {"shape": [True, 4]},
    "floats": {"shape": [4.0, 4]},
    "no axes": {"shape": [], "chunks": []},
    "other axes": {"shape": [4]},
    "no chunks": {"chunks": None},
    "chunks of nothing": {"chunks": [0, 64]},
    "huge": {"shape": [10**9, 10**9]},
    "huge chunk": {"chunks": [1 << 14, 1 << 14]},
    "other version": {"zarr_format": 1},
}
STRANGE_3 = {
    "texts": {"data_type": "string"},
    "raw": {"data_type": "r128"},
    "extension": {"data_type": {"name": "numpy.datetime64"}},
    "vlen": {"codecs": [{"name": "vlen-utf8"}]},
    "pickle": {"codecs": [*ARRAY_3["codecs"], {"name": "numcodecs.pickle"}]},
    "numcodecs": {"codecs": [*ARRAY_3["codecs"], {"name": "numcodecs.zlib"}]},
    "two": {"codecs": [*ARRAY_3["codecs"], codec_3("zstd"), codec_3("gzip")]},
    "no codecs": {"codecs": []},
    "one object for codecs": {"codecs": {"name": "bytes"}},
    "transformers": {"storage_transformers": [{"name": "x"}]},
    "group": {"node_type": "group"},
    "grid": {"chunk_grid": {"name": "rectangular"}},
}


def problem_of(array):
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        require_plain_array(array, whole=True)
    return str(refused.value)


@pytest.mark.parametrize("strange", STRANGE)
def test_arrays_of_zarr_2_that_are_not_plain_are_refused(tmp_path, strange):
    assert problem_of(written(tmp_path / "a", ARRAY | STRANGE[strange]))


@pytest.mark.parametrize("strange", STRANGE_3)
def test_arrays_of_zarr_3_that_are_not_plain_are_refused(tmp_path, strange):
    assert problem_of(written(tmp_path / "a", ARRAY_3 | STRANGE_3[strange]))


@pytest.mark.parametrize("name", [".zarray", "zarr.json"])
@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b"{}", b'{"zarr_format": 2}']
)
def test_cut_and_strange_metadata_is_refused(tmp_path, name, text):
    array = written(tmp_path / "a", ARRAY)
    (array / ".zarray").unlink()
    (array / name).write_bytes(text)
    assert problem_of(array)


@pytest.mark.parametrize("name", sorted(plain_zarr.COMPRESSORS))
def test_chunks_that_unpack_to_more_than_their_size_are_refused_unread(tmp_path, name):
    bomb = written(tmp_path / "2", ARRAY | {"compressor": {"id": name}}, packed(name, BOMB))
    tracemalloc.start()
    try:
        assert "unpack" in problem_of(bomb)
        assert tracemalloc.get_traced_memory()[1] < 5 << 20
    finally:
        tracemalloc.stop()
    cut = written(tmp_path / "cut", ARRAY | {"compressor": {"id": name}}, b"\x28\xb5")
    assert problem_of(cut)


def test_a_stream_of_unknown_size_and_a_second_member_are_refused(tmp_path):
    frame = bytes([0x28, 0xB5, 0x2F, 0xFD, 0x00, 0x58]) + bytes(12)
    assert problem_of(written(tmp_path / "a", ARRAY | {"compressor": {"id": "zstd"}}, frame))
    two = gzip.compress(NUMBERS.tobytes()) + gzip.compress(BOMB)
    assert problem_of(written(tmp_path / "b", ARRAY | {"compressor": {"id": "gzip"}}, two))
    assert zlib.decompress(zlib.compress(b"a")) == b"a"


def sharded(folder):
    array = zarr.create_array(
        folder, shape=(SIDE, SIDE), chunks=(32, 32), shards=(SIDE, SIDE), dtype="float32",
        compressors=zarr.codecs.ZstdCodec(level=1),
    )  # fmt: skip
    array[...] = NUMBERS.reshape(SIDE, SIDE)
    return folder


def test_chunks_inside_shards_are_checked(tmp_path):
    array = sharded(tmp_path / "a")
    require_plain_array(array, whole=True)
    shard = array / "c/0/0"
    good, bomb = shard.read_bytes(), packed("zstd", BOMB)
    first = int.from_bytes(good[-68:-60], "little")
    shard.write_bytes(good[:first] + bomb + good[first + len(bomb) :])
    assert "unpack" in problem_of(array)
    for cut in (b"", good[:40], good[:-20]):
        shard.write_bytes(cut)
        assert problem_of(array)


def test_an_array_that_cannot_be_in_its_few_bytes_is_not_read_as_a_whole(tmp_path):
    large = written(tmp_path / "a", ARRAY | {"shape": [1 << 15, 1 << 15]})
    assert "cannot be in" in problem_of(large)
    require_plain_array(large)


def test_pipes_and_links_in_an_array_are_not_opened(tmp_path):
    array = written(tmp_path / "a", ARRAY)
    os.mkfifo(array / "0/1")
    assert "regular" in problem_of(array)
    (array / "0/1").unlink()
    (array / "0/1").symlink_to("/dev/zero")
    assert "link" in problem_of(array)
    (array / "0/1").unlink()
    (array / ".zarray").unlink()
    os.mkfifo(array / ".zarray")
    assert "regular" in problem_of(array)


def test_names_in_files_lead_nowhere_else(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "out").symlink_to("/")
    assert inside(tmp_path, "a/b") == tmp_path / "a/b"
    for name in ("..", "/etc", "a/../..", "", "a//b", ".", 3, None, "out/etc", "a\\..\\b"):
        with pytest.raises(ValueError, match=r"names nothing|leads out"):
            inside(tmp_path, name)


def test_an_object_of_absurd_size_is_not_read(tmp_path):
    (tmp_path / "a.json").write_bytes(b" " * (plain_zarr.MOST_JSON_BYTES + 1))
    with pytest.raises(ValueError, match="more than 16 MiB"):
        read_object(tmp_path / "a.json")


@pytest.fixture(params=["0.4", "0.5"])
def values(request, tmp_path):
    """The raw values of a slide."""
    slide = FakeSlide(np.full((300, 400, 3), 255, np.uint8))
    return write_values(slide_result(slide).heatmaps, tmp_path, {}, request.param)


def run_code(array, mark):
    """Make an array of objects whose first chunk makes a file when it is unpickled."""

    class Attack:
        def __reduce__(self):
            return Path.touch, (mark,)

    data = numcodecs.Pickle().encode(np.array([Attack()], object))
    shutil.rmtree(array)
    facts = {"dtype": "|O", "shape": [1], "chunks": [1], "filters": [{"id": "pickle"}]}
    (array / "0").parent.mkdir(parents=True)
    (array / "0").write_bytes(data)
    (array / ".zarray").write_text(json.dumps(ARRAY | facts), encoding="utf-8")


def test_no_command_runs_code_of_an_array(values, tmp_path):
    run_code(values / "0", tmp_path / "ran")
    with pytest.raises(ResultError, match="cannot be read"):
        read_values(values)
    assert "readable" in {problem.rule for problem in validate(values).problems}
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"zarr_format": 2}', "null"])
def test_cut_stores_are_one_sentence(values, text):
    files = [*values.rglob(".zarray"), *values.rglob(".zattrs"), *values.rglob("zarr.json")]
    for path in (file for file in files if "OME" not in file.parts):
        if path == values / "0" / ".zattrs" and text[-1:] == "}":
            continue  # No array needs attributes.
        good = path.read_bytes()
        path.write_text(text, encoding="utf-8")
        assert validate(values).problems
        if path.parent in (values, values / "0"):
            with pytest.raises(ResultError):
                read_values(values)
        path.write_bytes(good)
    assert not validate(values).problems


def test_a_level_outside_of_its_store_is_not_read(values, tmp_path):
    name = "zarr.json" if (values / "zarr.json").exists() else ".zattrs"
    facts = json.loads((values / name).read_text(encoding="utf-8"))
    attributes = facts["attributes"]["ome"] if name == "zarr.json" else facts
    attributes["multiscales"][0]["datasets"][0]["path"] = "../x"
    (values / name).write_text(json.dumps(facts), encoding="utf-8")
    shutil.copytree(values / "0", tmp_path / "x")
    [problem] = validate(values).problems
    assert (problem.rule, "names nothing" in problem.message) == ("readable", True)


def test_the_copy_for_napari_is_the_same_module():
    copy = viewer_files() / "napari" / "plain_zarr.py"
    assert copy.read_bytes() == Path(plain_zarr.__file__).read_bytes()
