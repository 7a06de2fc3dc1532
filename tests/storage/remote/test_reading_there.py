"""Results in a bucket are validated and viewed there, without a run."""

import re
import tempfile
from pathlib import Path

import pytest
from beside_runs import run_options, work
from model_files import make_parts, write_export
from object_storage import client_of
from slide_files import speckled, write_slide
from starlette.testclient import TestClient

from heatmaps_ome.cli.main import main
from heatmaps_ome.storage.remote import client as clients
from heatmaps_ome.storage.remote import outputs
from heatmaps_ome.viewers.files import viewer_files
from heatmaps_ome.viewers.server import remote_results
from heatmaps_ome.viewers.server.app import application
from heatmaps_ome.viewers.server.remote_results import public_address, served_at
from heatmaps_ome.viewers.server.server import Address, greeting

RUN = "s3://slides/my runs/out"


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """A folder with a slide, and the results of a local run."""
    folder = tmp_path_factory.mktemp("one")
    write_slide(folder / "s0.svs", speckled(300, 400))
    write_export(folder / "export.pkl", parts=make_parts(n_inputs=3))
    work(run_options(folder, ["s0"]))
    return folder


@pytest.fixture
def there(s3, client, local, monkeypatch, tmp_path):
    """The server, with the run in a bucket."""
    for module in (clients, outputs, remote_results):
        monkeypatch.setattr(module, "remote_client", lambda: client)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    aws = client_of(s3)
    for path in sorted((local / "out").rglob("*")):
        name = path.relative_to(local / "out").as_posix()
        if path.is_file() and not name.startswith("."):
            aws.upload_file(str(path), "slides", f"my runs/out/{name}")
    aws.upload_file(str(local / "s0.svs"), "slides", "in/s0.svs")
    s3.forget()
    yield s3
    outputs.close_outputs()
    assert list((tmp_path / "scratch").iterdir()) == []


def test_results_and_slides_are_validated_and_described_by_their_urls(there, capsys):
    assert main(["validate", f"{RUN}/s0"]) == 0
    assert capsys.readouterr().out.startswith(f"{RUN}/s0: valid (")
    client_of(there).put_object(Bucket="slides", Key="my runs/out/s0/maps.json", Body=b"{}")
    assert main(["validate", f"{RUN}/s0"]) == 1
    out = capsys.readouterr().out
    assert f"{RUN}/s0/maps.json" in out
    assert "scratch" not in out
    assert main(["info", "s3://slides/in/s0.svs"]) == 0
    assert "400 × 300" in capsys.readouterr().out.replace("x", "×")
    assert main(["validate", "s3://slides/none"]) == 1
    assert "s3://slides/none: there is nothing of this name" in capsys.readouterr().err


def test_a_run_is_viewed_from_its_bucket_slide_by_slide(there, local, tmp_path):
    served = served_at(RUN, tmp_path / "scratch")
    before = {path for _, path in there.log}
    assert not any("/0/0/0/0" in path for path in before)  # no pixels yet
    app = application(served, viewer_files() / "page" / "dist", ["testserver"])
    with TestClient(app) as browser:
        slides = browser.get("/api/run.json").json()["slides"]
        assert [slide["name"] for slide in slides] == ["s0"]
        for name in ("s0.values.ome.zarr/0/0/0/0", "s0.ome.zarr/.zattrs", "maps.json"):
            answer = browser.get(f"/files/s0/{name}")
            assert answer.content == (local / "out" / "s0" / name).read_bytes()
        # Pictures with a map burnt in are composed of the fetched files, as of local ones.
        assert browser.get("/files/s0/s0.attention.flat.ome.zarr/.zattrs").status_code == 200
        assert browser.get("/files/none/maps.json").status_code == 404
    lines = greeting(served, Address("127.0.0.1", 8765))
    bucket = re.escape(there.url.replace(":", "%3A").replace("/", "%2F"))
    assert re.search(
        rf"https://biongff\.github\.io/vizarr/\?source={bucket}%2Fslides%2Fmy%2520runs%2Fout%2Fs0"
        r"%2Fs0\.ome\.zarr",
        lines,
    )


def test_one_slide_is_viewed_by_its_url(there, tmp_path):
    served = served_at(f"{RUN}/s0", tmp_path / "scratch")
    assert [folder.name for folder in served.folders()] == ["s0"]
    assert served.only == "s0"


def test_addresses_for_browsers_are_those_of_the_stores(monkeypatch):
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)
    assert public_address("s3://bucket/a b") == "https://bucket.s3.amazonaws.com/a%20b/"
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "https://minio.example.org/")
    assert public_address("s3://bucket/run") == "https://minio.example.org/bucket/run/"
    assert public_address("sftp://host/run") == ""
    assert Path(RUN).name == "out"
