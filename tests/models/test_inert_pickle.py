"""The pickle machine makes inert values or refuses, quickly and in little memory."""

import datetime
import os
import pickle
import struct
import time
import tracemalloc
import zipfile
from collections import OrderedDict
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from model_files import altered_copy, calls, pickle_of, write_archive, write_export

from heatmaps_ome.errors import ModelError, UnsafeModelError
from heatmaps_ome.models import describe_model
from heatmaps_ome.models.refusals import Unsafe, Unusable
from heatmaps_ome.models.safe_pickle.inert_pickle import MAX_INSTRUCTIONS, interpret
from heatmaps_ome.models.safe_pickle.inert_values import ArrayRef, Global, Node, OpaqueKey

SECONDS = 20
MEGABYTES = 50


def no_storage(_persistent_id):
    raise Unusable("refers to a storage")


def root_of(data):
    return interpret(data, no_storage).root


@pytest.fixture
def frugally():
    """Fail where a test takes long or much memory."""
    tracemalloc.start()
    start = time.monotonic()
    yield
    seconds = time.monotonic() - start
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seconds < SECONDS
    assert peak < MEGABYTES << 20


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "value",
    [
        None,
        [1, -1, 1 << 40, 1.5, True, "text", ("a", ("b",)), {"k": [0], 3: ()}],
        {"empty": ((), [], {}), "nested": [[[{}]]]},
    ],
)
def test_plain_values_come_back_as_they_were(value, protocol):
    assert root_of(pickle.dumps(value, protocol)) == value


@pytest.mark.parametrize("protocol", range(2, 5))
@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=">i4").reshape(2, 3),
        np.array(["WT", "MUT"]),
        np.array([True, False]),
        np.array([0.5, np.inf]),
        np.zeros((0, 3)),
    ],
)
def test_arrays_come_back_flat_with_their_shape(array, protocol):
    found = root_of(pickle.dumps(array, protocol))
    assert isinstance(found, ArrayRef)
    assert found.shape == array.shape
    np.testing.assert_array_equal(found.values, array.ravel())


def test_an_object_array_comes_back_as_a_list():
    found = root_of(pickle.dumps(np.array(["WT", None], dtype=object), 2))
    assert found.values == ["WT", None]


def test_an_ordered_dict_and_a_scalar_come_back_plain():
    value = OrderedDict([("a", np.float64(0.5))])
    assert root_of(pickle.dumps(value, 2)) == {"a": 0.5}


def test_other_objects_stay_descriptions():
    found = root_of(pickle.dumps(datetime.timedelta(3), 2))
    assert isinstance(found, Node)
    assert found.qualname == "datetime.timedelta"
    assert found.args == (3, 0, 0)
    assert repr(found) == "<inert datetime.timedelta>"


class Runs:
    """A pickle of it leaves a file behind when unpickled by Python."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_os_system_is_not_run(tmp_path, protocol):
    marker = tmp_path / "ran"
    data = pickle.dumps({"deep": [(Runs(marker),)]}, protocol)
    (node,) = root_of(data)["deep"][0]
    assert node.qualname.endswith(".system")
    assert not marker.exists()
    pickle.loads(data)
    assert marker.exists(), "the attack itself does not work"


def test_a_chain_of_getattr_is_not_run(tmp_path):
    marker = tmp_path / "ran"
    chain = (
        b"cbuiltins\ngetattr\n(cbuiltins\n__import__\n(Vos\ntRVsystem\ntR"
        b"(Vtouch " + str(marker).encode() + b"\ntR."
    )
    found = root_of(chain)
    assert found.qualname == "<call>"
    assert not marker.exists()
    pickle.loads(chain)
    assert marker.exists(), "the attack itself does not work"


def test_every_name_that_a_pickle_asks_for_is_known():
    found = interpret(calls("os", "system", "true") + b"cbuiltins\neval\n.", no_storage)
    assert found.names == {"os.system", "builtins.eval"}
    assert found.root == Global("builtins.eval")


@pytest.mark.parametrize(
    ("data", "opcode"),
    [
        (b"(Vtrue\nios\nsystem\n.", "INST"),
        (b"(cos\nsystem\nVtrue\no.", "OBJ"),
        (b"\x82\x01.", "EXT1"),
        (b"\x83\x01\x00.", "EXT2"),
        (b"\x84\x01\x00\x00\x00.", "EXT4"),
        (b"Pkey\n.", "PERSID"),
        (b"\x97.", "NEXT_BUFFER"),
        (b"\x96" + bytes(8) + b".", "BYTEARRAY8"),
    ],
)
def test_other_instructions_are_refused(data, opcode):
    with pytest.raises(Unsafe, match=f"instruction {opcode}, "):
        root_of(data)


def test_a_foreign_codec_is_refused():
    with pytest.raises(Unsafe, match="codec"):
        root_of(b"c_codecs\nencode\n(Vabc\nVrot13\ntR.")


@pytest.mark.parametrize("code", ["V8", "M8[ns]", "U9999999", "O9", "f16", "i4,i4", ""])
def test_unknown_dtypes_are_refused(code):
    with pytest.raises(Unsafe, match="type"):
        root_of(f"cnumpy\ndtype\n(V{code}\ntR.".encode())


def test_a_structured_dtype_is_refused():
    array = np.zeros(2, dtype=[("a", "i4"), ("b", "f8")])
    with pytest.raises(Unsafe):
        root_of(pickle.dumps(array, 2))


HUGE = struct.pack("<Q", 1 << 60)
GIGABYTE = struct.pack("<i", 1 << 30)


@pytest.mark.usefixtures("frugally")
@pytest.mark.parametrize(
    "data",
    [
        b"\x8d" + HUGE + b"x.",
        b"\x8e" + HUGE + b"x.",
        b"X" + GIGABYTE + b"x.",
        b"B" + GIGABYTE + b"x.",
        b"T" + GIGABYTE + b"x.",
        b"\x8b" + GIGABYTE + b"x.",
        b"\x80\x04\x95" + HUGE + b"N.",
        b"p" + b"9" * 4000 + b"\n.",
        b"Np99999999999999999999\n.",
        b"L" + b"9" * 1_000_000 + b"L\n.",
    ],
    ids=lambda data: f"{data[:12]!r}",
)
def test_a_length_bomb_is_refused(data):
    with pytest.raises(Unusable):
        root_of(data)


@pytest.mark.parametrize("instruction", [b"N", b"(", b"}", b")\x85"])
def test_endless_instructions_are_refused_within_seconds(instruction):
    start = time.monotonic()
    with pytest.raises(Unusable, match="instructions"):
        root_of(instruction * (MAX_INSTRUCTIONS + 2))
    assert time.monotonic() - start < SECONDS


@pytest.mark.usefixtures("frugally")
def test_a_tuple_of_2_to_the_60_is_never_unfolded():
    doubled = b")" + b"2\x86" * 60
    assert isinstance(root_of(doubled + b"."), tuple)
    (key,) = root_of(b"}" + doubled + b"Ns.")
    assert isinstance(key, OpaqueKey)


OBJECT_ARRAY = b"h\x00)R(K\x01K\x01\x85h\x01\x89]h\x02atbq\x020"
DEPTH = 100_000


@pytest.mark.parametrize(
    "data",
    [
        b")" + b"\x85" * DEPTH,
        b"(" * DEPTH + b"l" * DEPTH,
        b"Nq\x000" + b"}Nh\x00sq\x000" * DEPTH + b"h\x00",
        b"ca\nb\nq\x00)R" + b"q\x010h\x00h\x01\x85R" * DEPTH,
        b"ca\nb\nq\x00)Rq\x010" + b"h\x00)Rh\x01bq\x010" * DEPTH + b"h\x01",
        b"cnumpy._core.multiarray\n_reconstruct\nq\x000cnumpy\ndtype\n(VO8\ntRq\x010Nq\x020"
        + OBJECT_ARRAY * DEPTH
        + b"h\x02",
    ],
    ids=["tuples", "lists", "dicts", "arguments", "states", "arrays"],
)
def test_deep_nesting_does_not_crash(data):
    root = root_of(data + b".")
    assert root is not None
    del root


@pytest.mark.usefixtures("frugally")
def test_copying_one_long_value_again_and_again_is_refused():
    text = b"V" + b"x" * 1_000_000 + b"\nq\x000"
    copies = b"c_codecs\nencode\nq\x01" + b"0h\x01(h\x00Vlatin1\ntR" * 5_000 + b"."
    with pytest.raises(Unusable, match="unfolds"):
        root_of(text + copies)
    pairs = b"VK\nN\x86q\x000(" + b"h\x00" * 20_000 + b"lq\x020"
    again = b"ccollections\nOrderedDict\nq\x01" + b"0h\x01h\x02\x85R" * 5_000 + b"."
    with pytest.raises(Unusable, match="unfolds"):
        root_of(pairs + again)


@pytest.mark.parametrize(
    "shape", ["(L-1L\nt", "(L1099511627777L\nt", "(I1\nI1\nI1\nI1\nI1\nI1\nI1\nI1\nI1\nt"]
)
def test_an_impossible_array_shape_is_refused(shape):
    array = b"cnumpy._core.multiarray\n_reconstruct\n)R(K\x01" + shape.encode()
    with pytest.raises(Unusable, match="shape"):
        root_of(array + b"cnumpy\ndtype\n(Vf8\ntRI00\nC\x00tb.")


def test_an_array_larger_than_its_buffer_is_refused():
    array = b"cnumpy._core.multiarray\n_reconstruct\n)R(K\x01J\xff\xff\xff\x3f\x85"
    with pytest.raises(Unusable, match="fill"):
        root_of(array + b"cnumpy\ndtype\n(Vf8\ntRI00\nC\x08abcdefghtb.")


STORAGE = b"((Vstorage\nctorch\nFloatStorage\nV0\nVcpu\nK\x04tQ"


def export_with_tensor(path, geometry):
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n" + STORAGE + geometry + b"tR."
    write_archive(path, tensor, [("data/0", bytes(16))])
    return path


@pytest.mark.parametrize(
    "geometry",
    [
        b"K\x00(K\x05t(K\x01t",  # past the end
        b"K\x01(K\x04t(K\x01t",  # past the end by its offset
        b"K\x00(K\x02K\x02t(K\x03K\x01t",  # past the end by its strides
        b"K\x00(J\xff\xff\xff\x7ft(K\x00t",  # huge through a stride of 0
        b"J\xff\xff\xff\xff(K\x04t(K\x01t",  # a negative offset
        b"K\x00(J\xff\xff\xff\xfft(K\x01t",  # a negative extent
        b"K\x03(K\x04t(J\xff\xff\xff\xfft",  # a negative stride
        b"K\x00(K\x04K\x01t(K\x01t",  # strides of another rank
    ],
)
def test_a_tensor_outside_its_storage_is_refused(tmp_path, geometry):
    path = export_with_tensor(tmp_path / "export.pkl", geometry)
    with pytest.raises(ModelError, match=r"export\.pkl holds (a tensor|an array)"):
        describe_model(path)


def test_a_tensor_inside_its_storage_is_read(tmp_path):
    path = export_with_tensor(tmp_path / "export.pkl", b"K\x00(K\x02K\x02t(K\x02K\x01t")
    with pytest.raises(ModelError, match="holds no fastai Learner"):
        describe_model(path)


def test_a_storage_of_another_length_is_refused(tmp_path):
    write_archive(tmp_path / "export.pkl", STORAGE[1:] + b".", [("data/0", bytes(12))])
    with pytest.raises(ModelError, match="not as long"):
        describe_model(tmp_path / "export.pkl")


@pytest.mark.usefixtures("frugally")
def test_a_deflate_bomb_is_refused(tmp_path):
    bomb = bytes(100 << 20)
    tracemalloc.stop()
    write_archive(tmp_path / "export.pkl", bomb, compression=zipfile.ZIP_DEFLATED)
    del bomb
    tracemalloc.start()
    with pytest.raises(ModelError, match="compressed"):
        describe_model(tmp_path / "export.pkl")


@pytest.mark.usefixtures("frugally")
@pytest.mark.parametrize("claimed", [5, 1 << 30])
def test_an_entry_that_lies_about_its_size_is_refused(tmp_path, claimed):
    path = tmp_path / "export.pkl"
    write_archive(path, b"N.")
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02")
    struct.pack_into("<II", data, at + 20, claimed, claimed)
    path.write_bytes(data)
    with pytest.raises(ModelError, match="damaged"):
        describe_model(path)


def test_a_large_file_is_refused_unread(tmp_path):
    path = tmp_path / "export.pkl"
    with path.open("wb") as file:
        file.write(b"PK\x03\x04")
        file.truncate(1 << 40)
    with pytest.raises(ModelError, match="too many"):
        describe_model(path)


@pytest.mark.usefixtures("frugally")
def test_an_archive_of_endless_entries_is_refused(tmp_path):
    path = tmp_path / "export.pkl"
    path.write_bytes(b"PK\x03\x04" + (b"PK\x01\x02" + bytes(42)) * 30_000)
    with pytest.raises(ModelError, match="entries"):
        describe_model(path)


@pytest.mark.parametrize(
    "data",
    [b"", b"PK\x03\x04", b"PK\x05\x06" + bytes(18), b"hello", b"GIF89a", b"\x00" * 100],
    ids=repr,
)
def test_a_file_that_is_no_model_is_refused_by_name(tmp_path, data):
    path = tmp_path / "thing.pkl"
    path.write_bytes(data)
    with pytest.raises(ModelError, match=r"thing\.pkl is"):
        describe_model(path)


def test_a_missing_file_and_a_folder_are_refused_by_name(tmp_path):
    with pytest.raises(ModelError, match=r"absent\.pkl cannot be read"):
        describe_model(tmp_path / "absent.pkl")
    with pytest.raises(ModelError, match="cannot be read"):
        describe_model(tmp_path)


def test_a_bare_pickle_is_refused(tmp_path):
    path = tmp_path / "export.pkl"
    path.write_bytes(pickle.dumps(Runs(tmp_path / "ran"), 2))
    with pytest.raises(UnsafeModelError, match="--allow-pickle"):
        describe_model(path)
    assert not (tmp_path / "ran").exists()


def test_archives_of_another_make_are_refused(tmp_path):
    path = tmp_path / "export.pkl"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("readme.txt", "hello")
    with pytest.raises(ModelError, match=r"one data\.pkl"):
        describe_model(path)
    write_archive(path, b"N.", [("byteorder", b"big")])
    with pytest.raises(ModelError, match="big-endian"):
        describe_model(path)


@pytest.fixture(scope="module")
def small_export(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "export.pkl"
    write_export(path)
    return path


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_export_is_refused(tmp_path, small_export, kept):
    data = small_export.read_bytes()
    path = tmp_path / "export.pkl"
    path.write_bytes(data[: int(kept * len(data))])
    with pytest.raises(ModelError, match="damaged"):
        describe_model(path)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_altered_pickles_are_read_or_refused(tmp_path, small_export, data):
    original = bytearray(pickle_of(small_export))
    places = st.lists(st.tuples(st.integers(0, len(original) - 1), st.integers(0, 255)), max_size=4)
    for place, byte in data.draw(places):
        original[place] = byte
    path = tmp_path / "export.pkl"
    altered_copy(small_export, path, lambda _: bytes(original))
    read_or_refuse(path)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(place=st.integers(0, 1 << 16), byte=st.integers(0, 255))
def test_altered_files_are_read_or_refused(tmp_path, small_export, place, byte):
    altered = bytearray(small_export.read_bytes())
    altered[-1 - place % len(altered)] = byte
    path = tmp_path / "export.pkl"
    path.write_bytes(altered)
    read_or_refuse(path)


def read_or_refuse(path):
    with suppress(ModelError):
        describe_model(path)
