"""The size of a folder of results: every file once, whatever names it has."""

import os

from heatmaps_ome.storage.sizes import FolderSize, folder_size, size_sentence


def test_a_file_with_several_names_counts_once_and_links_are_not_followed(tmp_path):
    results, other = tmp_path / "results", tmp_path / "other"
    for folder in (results / "a" / "b", other):
        folder.mkdir(parents=True)
    (results / "one").write_bytes(b"x" * 1000)
    (results / "a" / "two").write_bytes(b"x" * 24)
    os.link(results / "one", results / "a" / "b" / "again")
    (other / "large").write_bytes(b"x" * 9999)
    assert folder_size(results) == FolderSize(2, 1024)
    (results / "link").symlink_to(other)
    found = folder_size(results)
    assert found.size < 2000


def test_no_folder_has_no_size(tmp_path):
    assert folder_size(tmp_path / "none") == FolderSize(0, 0)


def test_sizes_are_in_words():
    assert FolderSize(1, 999).sentence() == "999 B in 1 file"
    assert FolderSize(1200, 34_560_000).sentence() == "34.6 MB in 1,200 files"


def test_the_size_of_many_folders_is_estimated_by_some_spread_over_them(tmp_path):
    folders = [tmp_path / str(index) for index in range(10)]
    for index, folder in enumerate(folders):
        folder.mkdir()
        (folder / "file").write_bytes(b"x" * 100 * (index + 1))
    assert size_sentence(folders, 10) == "5.50 kB in 10 files"
    assert size_sentence(folders, 3) == "about 5.00 kB in 10 files, by 3 of them"
    assert size_sentence([], 3) == "0 B in 0 files"
