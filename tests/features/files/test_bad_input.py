"""Bad files are refused in a sentence: the file, what was found, what to do."""

import sys
from subprocess import PIPE, Popen

import h5py
import numpy as np
import pytest
import torch
from tile_files import (
    FEATURES,
    PLACES,
    SCORES,
    SLIDE,
    XY,
    write_clam,
    write_patches,
    write_stamp,
    write_table,
    write_trident,
)

from heatmaps_ome.errors import FeaturesError
from heatmaps_ome.features.bag import Tiles
from heatmaps_ome.features.files import check_on_slide, find_tiles_of, read_bag, read_scores
from heatmaps_ome.features.tile_facts import NO_FACTS, TileFacts

N = len(XY)


def refused(path, facts=NO_FACTS, read=read_bag) -> str:
    with pytest.raises(FeaturesError) as error:
        read(path, SLIDE, facts)
    message = str(error.value)
    assert str(path) in message
    assert "\n" not in message
    return message


@pytest.mark.parametrize(("change", "reason"), [
    ({"xy": None}, "no coordinates"),
    ({"feat_type": "slide"}, "type 'slide', which have no tiles"),
    ({"feat_type": "patient"}, "type 'patient', which have no tiles"),
    ({"xy": XY[:-1]}, f"has {N} rows and {N - 1} coordinates"),
    ({"xy": XY[:0], "features": FEATURES[:0]}, "0 tiles"),
    ({"xy": np.where(XY == 256, np.nan, XY)}, "coordinates that are no finite numbers"),
    ({"features": np.where(np.arange(N) == 7, np.inf, FEATURES.T).T}, "features that are NaN or "
     "infinite, first in row 8"),
    ({"xy": XY * 2}, "beyond the slide S1 of 4000 × 3000 px"),
    ({"xy": XY[[0, *range(N - 1)]]}, "as rows 1 and 2 at x 0, y 0"),
    ({"unit": "px"}, "unit 'px'"),
])  # fmt: skip
def test_stamps_faults(tmp_path, change, reason):
    assert reason in refused(write_stamp(tmp_path / "S1.h5", **change))


@pytest.mark.parametrize(("change", "reason"), [
    ({"level0_width": 4001}, "is of a slide of 4001 × 3000 px, and S1 has 4000 × 3000 px"),
    ({"xy": XY[:0], "features": np.empty(0, np.float32)}, "0 tiles"),
    ({"features": FEATURES[0]}, "a whole slide's"),
    ({"features": FEATURES[:, :, None, None]}, "shape (140, 8, 1, 1)"),
])  # fmt: skip
def test_tridents_faults(tmp_path, change, reason):
    assert reason in refused(write_trident(tmp_path / "S1.h5", **change))


def test_another_slides_patches_are_refused(tmp_path):
    path = write_clam(tmp_path / "S1.h5")
    patches = write_patches(tmp_path / "p.h5", level_dim=np.array([5000, 3000]))
    with pytest.raises(FeaturesError, match="5000 × 3000 px") as error:
        read_bag(path, SLIDE, TileFacts(coords=patches))
    assert str(patches) in str(error.value)
    assert "has 140 rows, and q.h5 has 139 coordinates" in refused(
        path, TileFacts(coords=write_patches(tmp_path / "q.h5", XY[:-1] + 3))
    )


def test_bare_tensors_are_refused_by_name(tmp_path):
    torch.save(torch.from_numpy(FEATURES), tmp_path / "S1.pt")
    assert "no coordinates of its tiles, as CLAM's and TRIDENT's pt" in refused(tmp_path / "S1.pt")
    torch.save(torch.from_numpy(FEATURES[0]), tmp_path / "S1.pt")
    facts = TileFacts(coords=write_patches(tmp_path / "p.h5"))
    assert "a whole slide's" in refused(tmp_path / "S1.pt", facts)


def test_a_file_that_is_cut_short_is_refused(tmp_path):
    data = write_trident(tmp_path / "S1.h5").read_bytes()
    (tmp_path / "S1.h5").write_bytes(data[: len(data) // 2])
    assert "is cut short" in refused(tmp_path / "S1.h5")


_WRITER = """
import h5py, sys
with h5py.File(sys.argv[1], sys.argv[2], libver=sys.argv[3], locking=True) as file:
    if sys.argv[2] == "w":
        file["features"] = [[1.0]]
    file.flush()
    print("open", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize(("mode", "version", "reason"), [
    ("r+", "earliest", None), ("w", "latest", "is being written"),
])  # fmt: skip
def test_a_file_that_its_writer_has_open_is_read_or_refused(tmp_path, mode, version, reason):
    path = write_trident(tmp_path / "S1.h5")
    command = [sys.executable, "-c", _WRITER, str(path), mode, version]
    with Popen(command, stdin=PIPE, stdout=PIPE) as writer:
        assert writer.stdout.readline() == b"open\n"
        if reason is None:
            assert read_bag(path, SLIDE).count == N
        else:
            assert reason in refused(path)
        writer.stdin.close()


def test_a_file_that_this_process_has_open_is_read(tmp_path):
    with h5py.File(write_trident(tmp_path / "S1.h5"), "r"):
        assert read_bag(tmp_path / "S1.h5", SLIDE).count == N


@pytest.mark.parametrize(("content", "reason"), [
    (b"", "is empty"), (b"not HDF5", "is no HDF5 file"),
])  # fmt: skip
def test_other_content_is_refused(tmp_path, content, reason):
    (tmp_path / "S1.h5").write_bytes(content)
    assert reason in refused(tmp_path / "S1.h5")


def test_missing_files_folders_and_other_kinds_are_refused(tmp_path):
    assert "cannot be read" in refused(tmp_path / "none.h5")
    (tmp_path / "folder").mkdir()
    assert "folder without a zarr store" in refused(tmp_path / "folder")
    (tmp_path / "S1.docx").write_bytes(b"PK\3\4....")
    assert "kind that is not read" in refused(tmp_path / "S1.docx")


@pytest.mark.parametrize(("columns", "reason"), [
    ({"a": SCORES, "b": SCORES}, "no columns of coordinates"),
    ({"x": XY[:, 0], "y": XY[:, 1]}, "holds no scores"),
    ({"x": ["a"] * N, "y": XY[:, 1], "s": SCORES}, "texts in its column x"),
    ({"x": [*XY[:-1, 0], ""], "y": XY[:, 1], "s": SCORES}, "no finite numbers at row 140"),
    ({"x": [], "y": [], "s": []}, "0 tiles"),
    ({"1": XY[:, 0], "2": XY[:, 1]}, "numbers in its first line"),
    ({"x": XY[:, 0], "y": XY[:, 1], "s": ["1,2"] * N}, "has 4 fields in row 1 and 3"),
    ({"x": XY[:, 0], "y": XY[:, 1], "s": ["nan"] * N}, "holds no scores"),
    ({"1": XY[:, 0], "1 ": XY[:, 1]}, "numbers in its first line"),
    ({"x": XY[:, 0], "y": XY[:, 1], "s": [*SCORES[:-1], "#DIV/0!"], "t": SCORES},
     "has '#DIV/0!' in row 140 among the numbers of its column 's'"),
    ({"x": [*XY[:-1, 0], "?"], "y": XY[:, 1], "s": SCORES}, "has '?' in row 140 among the numbers"),
    ({"x": XY[:, 0], "y": XY[:, 1], "s" * 300: SCORES}, "not of 1 to 200 printable characters"),
    ({"x": XY[:, 0], "y": XY[:, 1], "s\x07t": SCORES}, "--map NAME=COLUMN"),
])  # fmt: skip
def test_faults_of_tables(tmp_path, columns, reason):
    path = write_table(tmp_path / "S1.csv", columns)
    assert reason in refused(path, TileFacts(tile_size=256), read_scores)


def test_a_few_numbers_in_a_column_of_texts_are_no_scores(tmp_path):
    names = ["1", *["tumour"] * (N - 1)]
    columns = {"x": XY[:, 0], "y": XY[:, 1], "class": names, "tile_id": ["a", *range(N - 1)],
               "s": SCORES}  # fmt: skip
    path = write_table(tmp_path / "S1.csv", columns)
    given = read_scores(path, SLIDE, TileFacts(tile_size=256, unit="px"))
    assert [one.name for one in given.maps] == ["s"]


def test_columns_of_one_name_are_refused(tmp_path):
    path = tmp_path / "S1.csv"
    path.write_text("x,y,s,s\n1,2,3,4\n", "utf-8")
    assert "several columns of the name 's'" in refused(path, NO_FACTS, read_scores)


@pytest.mark.parametrize("facts", [
    TileFacts(unit="parsec"), TileFacts(unit="level:9"), TileFacts(tile_size=0.0),
    TileFacts(tile_size=float("nan")), TileFacts(stride=-1.0),
])  # fmt: skip
def test_facts_that_cannot_be_are_refused(tmp_path, facts):
    assert "give" in refused(write_clam(tmp_path / "S1.h5"), facts) or facts.unit == "level:9"


def test_no_private_path_of_a_file_is_repeated(tmp_path):
    bag = read_bag(write_trident(tmp_path / "S1.h5"), SLIDE)
    assert "private" not in f"{bag.notes}{bag.system}{bag.encoder}"


def test_tiles_given_as_arrays_are_checked_too():
    def tiles(places):
        return Tiles(np.asarray(places, np.float64), "arrays", (), "")

    assert check_on_slide(tiles(PLACES), SLIDE) == ()
    [warning] = check_on_slide(tiles([[3900, 0, 4200, 300], [0, 0, 300, 300]]), SLIDE)
    assert "1 of 2 tiles of S1 lie mostly beyond" in warning
    for places in (
        np.empty((0, 4)), PLACES + 4000, PLACES[:, [2, 3, 0, 1]], [*PLACES, PLACES[3]],
        np.where(PLACES == 256, np.nan, PLACES),
    ):  # fmt: skip
        with pytest.raises(FeaturesError):
            check_on_slide(tiles(places), SLIDE)


@pytest.mark.parametrize("name", [
    "S1.h5", "S1_features.h5", "S1-features.h5", "S1.scores.csv", "S1.svs.h5", "S1.zarr.zip",
    "S1_attention.csv", "h5_files/S1.h5", "enc-1234abcd/S1.h5",
])  # fmt: skip
def test_files_are_found_by_the_slides_name(tmp_path, name):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"1")
    (tmp_path / "S1-2.h5").write_bytes(b"1")
    (tmp_path / "S1.index.npz").write_bytes(b"1")
    assert find_tiles_of(tmp_path, tmp_path / "slides" / "S1.svs", "S1") == path
    assert find_tiles_of(path, tmp_path / "slides" / "S1.svs", "S1") == path


def test_several_files_or_none_are_errors_that_list_them(tmp_path):
    (tmp_path / "S1.h5").write_bytes(b"1")
    (tmp_path / "S1_features.h5").write_bytes(b"1")
    with pytest.raises(FeaturesError, match=r"'S1\.h5', 'S1_features\.h5'; name one"):
        find_tiles_of(tmp_path, tmp_path / "S1.svs", "S1")
    for name in ("enc-1", "enc-2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "S3.h5").write_bytes(b"1")
    with pytest.raises(FeaturesError, match=r"'enc-1.S3\.h5', 'enc-2.S3\.h5'; name one"):
        find_tiles_of(tmp_path, tmp_path / "S3.svs", "S3")
    with pytest.raises(FeaturesError, match=r"no file for the slide S2.*'S1\.h5'"):
        find_tiles_of(tmp_path, tmp_path / "S2.svs", "S2")
    with pytest.raises(FeaturesError, match=r"cannot be read|no file"):
        find_tiles_of(tmp_path / "none", tmp_path / "S2.svs", "S2") and read_bag(
            tmp_path / "none", SLIDE
        )
