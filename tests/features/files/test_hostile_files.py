"""No file of tiles runs code, reads another file, fills the memory or ends the program."""

import io
import json
import os
import pickle
import random
import struct
import sys
import zipfile
import zlib

import h5py
import numpy as np
import pytest
import torch
import zarr
from tile_files import (
    FEATURES,
    SCORES,
    SLIDE,
    XY,
    write_geojson,
    write_stamp,
    write_table,
    write_trident,
)

from heatmaps_ome.errors import FeaturesError
from heatmaps_ome.features.files import geojson, read_bag, read_scores, text_tables
from heatmaps_ome.features.tile_facts import TileFacts

FACTS = TileFacts(tile_size=256)
_FORBIDDEN = {
    "os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "pickle.find_class",
    "socket.connect",
}  # fmt: skip
_events: list[str] | None = None


def _watch(event, _arguments):
    if _events is not None and event in _FORBIDDEN:
        _events.append(event)


sys.addaudithook(_watch)


@pytest.fixture(autouse=True)
def no_code_runs():
    """Fail if anything is started, unpickled or connected while a test reads files."""
    global _events
    _events = []
    yield
    events, _events = _events, None
    assert events == []


class Payload:
    """Pickled, it starts a program when it is unpickled."""

    def __reduce__(self):
        return os.system, ("echo hacked > hacked",)


def refused(path, read=read_bag) -> str:
    with pytest.raises(FeaturesError) as error:
        read(path, SLIDE, FACTS)
    return str(error.value)


def parquet_file(path):
    import pyarrow as pa
    from pyarrow import parquet

    columns = {"x": XY[:, 0], "y": XY[:, 1], "s": SCORES, "slide": ["S1"] * len(XY)}
    parquet.write_table(pa.table(columns), path)
    return path


def zarr_file(path):
    folder = path.with_suffix("")
    root = zarr.open_group(str(folder), mode="w", zarr_format=3)
    root.create_group("obs").create_array("tumour", data=SCORES)
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(folder))
    return path


def npz_file(path):
    np.savez_compressed(path, features=FEATURES, coords=XY)
    return path


def torch_file(path):
    torch.save({"features": torch.from_numpy(FEATURES), "coords": torch.from_numpy(XY)}, path)
    return path


def h5_latest(path):
    with h5py.File(path, "w", libver="latest") as file:
        file.create_dataset("features", data=FEATURES, compression="gzip", chunks=(32, 8))
        file.create_dataset("coords", data=XY, compression="lzf", fletcher32=True, shuffle=True)
    return path


def h5_packed(path):
    with h5py.File(path, "w") as file:
        packed = {"compression": "gzip", "shuffle": True, "fletcher32": True}
        file.create_dataset("features", data=FEATURES, chunks=(32, 8), **packed)
        file.create_dataset("coords", data=XY, compression="lzf", chunks=(64, 2))
    return path


def npy_file(path):
    np.save(path.with_name("S1_coords.npy"), XY)
    np.save(path, SCORES)
    return path


CONTAINERS = {
    "h5": (write_trident, "S1.h5", read_bag), "stamp": (write_stamp, "S1.h5", read_bag),
    "h5 latest": (h5_latest, "S1.h5", read_bag), "h5 packed": (h5_packed, "S1.h5", read_bag),
    "npy": (npy_file, "S1.npy", read_scores),
    "npz": (npz_file, "S1.npz", read_bag), "pt": (torch_file, "S1.pt", read_bag),
    "geojson": (write_geojson, "S1.geojson", read_scores),
    "parquet": (parquet_file, "S1.parquet", read_scores),
    "zarr": (zarr_file, "S1.zarr.zip", read_scores),
    "csv": (lambda path: write_table(path, {"x": XY[:, 0], "y": XY[:, 1], "s": SCORES}), "S1.csv",
            read_scores),
}  # fmt: skip


def damaged(data: bytes, source: random.Random) -> bytes:
    """Return a variant of a file: bytes changed, cut, repeated, or a pickle put in."""
    out = bytearray(data)
    for _ in range(source.choice([1, 1, 2, 4, 8])):
        at = source.randrange(min(len(out), source.choice([1000, len(out)])))
        match source.randrange(6):
            case 0 | 1:
                out[at] = source.randrange(256)
            case 2:
                out[at : at + 8] = source.choice(
                    [b"\xff" * 8, b"\0" * 8, struct.pack("<q", 1 << 40)]
                )
            case 3:
                out = out[: max(8, at)]
            case 4:
                out[at:at] = out[at : at + source.randrange(1, 200)]
            case _:
                out[at:at] = pickle.dumps(Payload(), source.choice([0, 2]))
    return bytes(out)


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_hundred_variants_of_each_container_are_read_or_refused(tmp_path, container, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write, name, read = CONTAINERS[container]
    path = tmp_path / name
    data = write(path).read_bytes()
    source, n_refused = random.Random(container), 0
    for _ in range(100):
        path.write_bytes(damaged(data, source))
        try:
            tiles = read(path, SLIDE, FACTS)
        except FeaturesError:
            n_refused += 1
        else:
            assert np.isfinite(tiles.l0_places).all()
    assert n_refused > 20
    assert not (tmp_path / "hacked").exists()


def test_links_and_storage_elsewhere_are_not_followed(tmp_path):
    secret = write_trident(tmp_path / "secret.h5")
    (tmp_path / "raw").write_bytes(FEATURES.tobytes())
    for case in ("external link", "soft link", "external storage", "virtual", "link in a group"):
        path = tmp_path / "S1.h5"
        with h5py.File(path, "w") as file:
            file["coords"] = XY
            if case == "external link":
                file["features"] = h5py.ExternalLink(str(secret), "features")
            elif case == "soft link":
                file["features"] = h5py.SoftLink("/coords")
            elif case == "external storage":
                file.create_dataset(
                    "features", FEATURES.shape, "f4", external=[(str(tmp_path / "raw"), 0, 4480)]
                )
            elif case == "virtual":
                layout = h5py.VirtualLayout(FEATURES.shape, "f4")
                layout[:] = h5py.VirtualSource(str(secret), "features", FEATURES.shape)
                file.create_virtual_dataset("features", layout)
            else:
                file["features"] = FEATURES
                del file["coords"]
                file["coords"] = h5py.ExternalLink(str(secret), "coords")
        assert "elsewhere" in refused(path) or "another file" in refused(path), case


def test_only_plain_numbers_of_a_real_size_are_read(tmp_path):
    path = tmp_path / "S1.h5"

    def written(**options):
        with h5py.File(path, "w") as file:
            file["coords"] = XY
            file.create_dataset("features", **options)
        return path

    texts = [[b"text"] * 8] * len(XY)
    assert "no plain numbers" in refused(written(data=texts, dtype=h5py.string_dtype()))
    compound = np.zeros((len(XY), 8), [("a", "f4"), ("b", "f4")])
    assert "no plain numbers" in refused(written(data=compound))
    assert "no plain numbers" in refused(written(shape=(len(XY), 8), dtype=h5py.ref_dtype))
    assert "in 0 bytes" in refused(written(shape=(1 << 30, 1 << 10), dtype="f4", chunks=(64, 64)))
    assert "filters [6]" in refused(written(data=XY, scaleoffset=0))
    with h5py.File(path, "w") as file:
        file["coords"] = XY
        file.create_group("features")
    assert "a group 'features'" in refused(path)


def test_chunks_that_do_not_unpack_to_their_size_are_not_read(tmp_path):
    path = h5_packed(tmp_path / "S1.h5")
    for packed in (zlib.compress(b"x") + b"1234", zlib.compress(bytes(1 << 24)), b"12345"):
        with h5py.File(path, "r+") as file:
            file["features"].id.write_direct_chunk((32, 0), packed)
        assert "chunk" in refused(path)
    with h5py.File(h5_packed(path), "r+") as file:
        file["coords"].id.write_direct_chunk((64, 0), b"1")
    assert "damaged" in refused(path)


def test_pickles_in_arrays_and_tensors_are_not_loaded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    objects = np.array([Payload()] * 3, object)
    np.save(tmp_path / "S1.npy", objects, allow_pickle=True)
    assert "no plain numbers" in refused(tmp_path / "S1.npy", read_scores)
    np.savez(tmp_path / "S1.npz", features=objects)
    assert "no plain numbers" in refused(tmp_path / "S1.npz")
    torch.save({"features": Payload()}, tmp_path / "S1.pt")
    assert "no tensor" in refused(tmp_path / "S1.pt")
    (tmp_path / "S1.pt").write_bytes(pickle.dumps(Payload()))
    assert "no file of torch" in refused(tmp_path / "S1.pt")
    assert not (tmp_path / "hacked").exists()


def test_arrays_that_claim_more_than_they_hold_are_refused(tmp_path):
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776, 8), }"
    body = io.BytesIO()
    np.lib.format.write_array(body, np.zeros((2, 2), np.float32))
    start = body.getvalue()[:6] + b"\1\0" + struct.pack("<H", 118) + header.ljust(117).encode()
    (tmp_path / "S1.npy").write_bytes(start + b"\n" + bytes(64))
    assert "cut short or damaged" in refused(tmp_path / "S1.npy")
    with zipfile.ZipFile(tmp_path / "S1.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("features.npy", start + b"\n" + bytes(64))
    assert "cut short or damaged" in refused(tmp_path / "S1.npz")


def test_bytes_of_a_damaged_archive_are_not_quoted(tmp_path):
    path = tmp_path / "S1.zarr.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("zarr.json", "{}")
    data = bytearray(path.read_bytes())
    data[26:28] = (200).to_bytes(2, "little")  # the name in the local header becomes longer
    data[30:30] = b"\x00secret\n" * 30
    path.write_bytes(bytes(data))
    text = refused(path, read_scores)
    assert "damaged" in text
    assert len(text) < len(str(path)) + 200
    assert text.isprintable()


def test_zipped_stores_do_not_lead_out_of_their_folder(tmp_path):
    path = tmp_path / "S1.zarr.zip"
    for name in ("../evil", "/tmp/evil", "a/../../evil", "a\\..\\evil"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("zarr.json", "{}")
            archive.writestr(name, "x")
        assert "damaged archive" in refused(path, read_scores)
    assert not list(tmp_path.parent.glob("evil"))


def test_arrays_of_zarr_with_other_codecs_or_links_are_not_read(tmp_path):
    folder = tmp_path / "S1.zarr"
    group = zarr.open_group(str(folder), mode="w", zarr_format=2)
    group.create_group("obs").create_array("tumour", data=SCORES)
    facts = folder / "obs/tumour/.zarray"
    content = json.loads(facts.read_text("utf-8"))
    for change in (
        {"filters": [{"id": "pickle"}]}, {"dtype": "|O", "filters": [{"id": "pickle"}]},
        {"shape": [1 << 21]}, {"compressor": {"id": "pickle"}},
    ):  # fmt: skip
        facts.write_text(json.dumps({**content, **change}), "utf-8")
        assert refused(folder, read_scores)
    facts.write_text(json.dumps(content), "utf-8")
    [chunk] = [file for file in facts.parent.iterdir() if not file.name.startswith(".")]
    chunk.rename(tmp_path / "elsewhere")
    chunk.symlink_to(tmp_path / "elsewhere")
    assert refused(folder, read_scores)


def test_parquet_of_millions_of_rows_or_with_pickled_types_is_refused_or_plain(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    import pyarrow as pa
    from pyarrow import parquet

    path = tmp_path / "S1.parquet"
    parquet.write_table(pa.table({"x": np.zeros(6_000_000, np.int8)}), path)
    assert "6000000 rows" in refused(path, read_scores)
    metadata = {
        b"ARROW:extension:name": b"arrow.py_extension_type",
        b"ARROW:extension:metadata": pickle.dumps(Payload()),
    }
    field = pa.field("s", pa.float64(), metadata=metadata)
    columns = [pa.array(XY[:, 0]), pa.array(XY[:, 1]), pa.array(SCORES, pa.float64())]
    schema = pa.schema([pa.field("x", pa.int64()), pa.field("y", pa.int64()), field])
    parquet.write_table(pa.table(columns, schema=schema), path)
    assert read_scores(path, SLIDE, FACTS).count == len(XY)
    assert not (tmp_path / "hacked").exists()


@pytest.mark.parametrize(("text", "reason"), [
    ("[" * 200_000, "nested too deeply|no JSON"), ('{"features": NaN}', "holds NaN"),
    ('{"features": [1e999]}', "0 tiles"), ("[" + "9" * 10_000 + "]", "no JSON"),
    ('{"features": [{"type": "Feature", "geometry": {"type": "Polygon", "coordinates": 3}}]}',
     "no list of points"),
    ('{"features": [{"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [[["a", '
     '1]]]}}]}', "without points"),
    ('{"features": {"a": 1}}', "0 tiles"), ("3", "0 tiles"), ('{"features"', "no JSON"),
])  # fmt: skip
def test_bombs_and_other_content_in_json_are_refused(tmp_path, text, reason):
    (tmp_path / "S1.geojson").write_text(text, "utf-8")
    message = refused(tmp_path / "S1.geojson", read_scores)
    assert any(part in message for part in reason.split("|"))


def test_sizes_of_texts_are_bounded(tmp_path, monkeypatch):
    path = write_geojson(tmp_path / "S1.geojson")
    monkeypatch.setattr(geojson, "_MOST_PARTS", 100)
    assert "too many parts" in refused(path, read_scores)
    (tmp_path / "S1.csv").write_text("x,y,s\n" + "1" * (1 << 21), "utf-8")
    assert "a line of more than" in refused(tmp_path / "S1.csv", read_scores)
    (tmp_path / "S1.csv").write_text(",".join(map(str, range(9000))) + "\n", "utf-8")
    assert "9000 columns" in refused(tmp_path / "S1.csv", read_scores)
    (tmp_path / "S1.csv").write_bytes(b"x,y,s\n1,\0,3\n")
    assert "S1.csv" in refused(tmp_path / "S1.csv", read_scores)
    monkeypatch.setattr(text_tables, "_MOST_BYTES", 10)
    assert "GiB" in refused(tmp_path / "S1.csv", read_scores)


def test_pipes_are_not_opened(tmp_path):
    os.mkfifo(tmp_path / "S1.h5")
    assert "FIFO" in refused(tmp_path / "S1.h5")
