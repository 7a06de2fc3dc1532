"""Slides are named by URLs as by paths: files, folders, patterns, lists and tables."""

from pathlib import Path

import pytest
from object_storage import client_of

from heatmaps_ome.options import CreateOptions, path
from heatmaps_ome.run import slide_urls
from heatmaps_ome.run.inputs import SlideList
from heatmaps_ome.run.slide_list import slide_rows

KEYS = ("c/b.svs", "c/a.SVS", "c/notes.txt", "c/deep/d.ndpi", "c/dicom/1.dcm", "c/dicom/2.dcm",
        "c/m.mrxs", "c/m/Slidedat.ini", "c/odd[1].svs", "c/x.y.tif", "c/.hidden.svs")  # fmt: skip


@pytest.fixture
def cohort(s3, client, monkeypatch):
    monkeypatch.setattr(slide_urls, "remote_client", lambda: client)
    for key in KEYS:
        client_of(s3).put_object(Bucket="slides", Key=key, Body=b".")
    s3.forget()
    return s3


def rows(*texts, **more):
    return slide_rows(SlideList(tuple(path(text) for text in texts), None, **more))


def names(*texts):
    return [
        row.url.removeprefix("s3://slides/") if not row.problem else row.problem
        for row in rows(*texts)
    ]


def test_a_url_is_a_slide_without_a_request(cohort):
    (row,) = rows("s3://slides/c/none.svs")
    assert (row.url, row.path.name, row.problem) == ("s3://slides/c/none.svs", "none.svs", "")
    assert cohort.requests.total() == 0


def test_a_folder_names_its_slides_and_a_folder_of_dicom_is_one(cohort):
    assert names("s3://slides/c") == [
        "c/a.SVS", "c/b.svs", "c/dicom", "c/m.mrxs", "c/odd[1].svs", "c/x.y.tif",
    ]  # fmt: skip
    assert names("s3://slides/c/dicom/") == ["c/dicom"]


def test_patterns_match_as_shells_do(cohort):
    assert names("s3://slides/c/*.svs") == ["c/b.svs", "c/odd[1].svs"]
    assert names("s3://slides/c/**/*.ndpi") == ["c/deep/d.ndpi"]
    assert names("s3://slides/c/*") == [
        "c/a.SVS", "c/b.svs", "c/dicom", "c/m.mrxs", "c/odd[1].svs", "c/x.y.tif",
    ]  # fmt: skip
    assert names("s3://slides/c/odd[1].svs") == ["c/odd[1].svs"]
    assert names("s3://slides/c/*.czi") == [
        "s3://slides/c/*.czi: no slide matches this pattern; check it, or name the slides"
    ]


def test_a_slide_counts_once_however_it_is_named(cohort):
    assert names("s3://slides/c/b.svs", "s3://slides/c/*.svs") == ["c/b.svs", "c/odd[1].svs"]


def test_lists_and_tables_have_urls_too(cohort, tmp_path):
    (tmp_path / "list.txt").write_text("s3://slides/c/b.svs\ns3://slides/c/d*/*.ndpi\n")
    (tmp_path / "t.csv").write_text(
        "slide,label\ns3://slides/c/a,MSI\ns3://slides/c/none.svs,MSS\ns3://slides/c/deep,\n"
    )
    listed = slide_rows(SlideList((), tmp_path / "list.txt", tmp_path / "t.csv"))
    assert [(row.url, row.label) for row in listed[:4]] == [
        ("s3://slides/c/b.svs", None),
        ("s3://slides/c/deep/d.ndpi", None),
        ("s3://slides/c/a.SVS", "MSI"),
        ("s3://slides/c/none.svs", "MSS"),
    ]
    assert listed[4].problem == (
        "t.csv, line 4: s3://slides/c/deep is a folder, and a row is one slide; give a row to "
        "each slide"
    )


def test_a_signature_is_in_no_path_and_no_name(cohort):
    (row,) = rows("https://host/c/b.svs?X-Amz-Signature=abc")
    assert row.url == "https://host/c/b.svs?X-Amz-Signature=abc"
    assert row.path.name == "b.svs"
    assert "abc" not in f"{row.path} {row.identity}"


def test_a_bucket_that_is_not_there_is_one_problem_beside_the_others(cohort):
    good, bad = rows("s3://slides/c/b.svs", "s3://nowhere/c")
    assert (good.problem, bad.path.name) == ("", "c")
    (bad,) = rows("s3://nowhere/*.svs")
    assert bad.problem.startswith("s3://nowhere: there is no bucket nowhere")


def test_options_keep_urls_and_refuse_those_that_a_path_cannot_keep():
    options = CreateOptions(model_path=(Path("m.pkl"),), output_path=path("s3://bucket/run"))
    assert options.output_path == Path("s3:/bucket/run")
    with pytest.raises(ValueError, match="has two slashes in a row"):
        path("s3://bucket//run")


def test_options_on_files_of_disks_refuse_urls_without_their_signature():
    with pytest.raises(ValueError, match="--model-path is a URL") as refusal:
        CreateOptions(model_path=(path("https://h/m.pkl?sig=abc"),), output_path=Path("out"))
    assert str(refusal.value) == (
        "--model-path is a URL ('https://h/m.pkl'); give a path on a disk"
    )
