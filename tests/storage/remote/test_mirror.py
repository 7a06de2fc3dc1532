"""Finished folders go to a URL whole or not at all, and a run goes on from there."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from object_storage import KEYS, client_of, objects_of

import heatmaps_ome
from heatmaps_ome.errors import RemoteError, ResultError
from heatmaps_ome.storage.remote import upload as uploads
from heatmaps_ome.storage.remote.client import content_md5
from heatmaps_ome.storage.remote.mirror import Mirror
from heatmaps_ome.viewers.server.links import ORIGINS

URL = "s3://slides/cohort one/run"
PREFIX = "cohort one/run/"


def made(folder, request="first", files=20):
    """Write a slide's results; all depend on the request."""
    for number in range(files):
        path = folder / "a.zarr" / "0" / str(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{request} {number}")
    (folder / "maps.json").write_text(json.dumps({"request": request}))
    (folder / "a.zarr" / ".zattrs").write_text("{}")
    (folder / "provenance.json").write_text(json.dumps({"request": request, "name": folder.name}))
    return folder


def contents(folder):
    """Return the files of a folder, without the notes of a mirror."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*") if path.is_file() and ".known" not in path.parts
    }  # fmt: skip


def remote(s3, name):
    prefix = f"{PREFIX}{name}/"
    return {k.removeprefix(prefix): v for k, v in objects_of(s3, "slides", prefix).items()}


@pytest.fixture
def mirror_in(client, tmp_path):
    def mirror(name="mirror"):
        (tmp_path / name).mkdir()
        return Mirror(client, URL, tmp_path / name, ["maps.json"])

    return mirror


def puts(s3):
    return [path for method, path in s3.log if method == "PUT"]


def test_a_finished_folder_is_there_as_it_was_here_and_only_small_files_stay(s3, mirror_in):
    mirror = mirror_in()
    folder = made(mirror.folder / "slide")
    files = contents(folder)
    mirror.push(folder)
    assert remote(s3, "slide") == files
    assert contents(folder).keys() == {"provenance.json", "maps.json"}
    assert puts(s3)[-1].endswith("/slide/provenance.json")
    assert len(puts(s3)) == len(files)


def test_browsers_and_zarr_are_told_what_files_are(s3, mirror_in):
    mirror = mirror_in()
    mirror.push(made(mirror.folder / "slide"))
    (mirror.folder / "index.html").write_text("<p>")
    mirror.push_shared()
    heads = {
        name: client_of(s3).head_object(Bucket="slides", Key=f"{PREFIX}{name}")["ContentType"]
        for name in ("slide/a.zarr/.zattrs", "slide/a.zarr/0/1", "slide/maps.json", "index.html")
    }
    assert list(heads.values()) == [
        "application/json", "application/octet-stream", "application/json", "text/html",
    ]  # fmt: skip


@pytest.mark.parametrize("faults", [{"busy": 4}, {"dropped": 4}])
def test_a_folder_arrives_whole_through_faults(s3, mirror_in, faults):
    mirror = mirror_in()
    folder = made(mirror.folder / "slide")
    files = contents(folder)
    with s3.failing(**faults):
        mirror.push(folder)
    assert remote(s3, "slide") == files


def test_a_reader_never_takes_a_mixture_for_complete(s3, mirror_in):
    mirror = mirror_in()
    mirror.push(made(mirror.folder / "slide"))
    mirror.pull_records(["slide"])
    seen = []

    def look(method, path):
        if method in ("PUT", "DELETE", "POST"):
            s3.before = None
            files = remote(s3, "slide")
            s3.before = look
            if "provenance.json" in files:
                seen.append({value.split()[0] for name, value in files.items() if "/0/" in name})

    s3.before = look
    mirror.push(made(mirror.folder / "slide", "second", files=25))
    s3.before = None
    assert all(len(requests) == 1 for requests in seen)
    assert {value.split()[0] for k, value in remote(s3, "slide").items() if "/0/" in k} == {
        b"second"
    }


def test_files_that_are_no_longer_made_vanish(s3, mirror_in):
    mirror = mirror_in()
    mirror.push(made(mirror.folder / "slide", files=25))
    mirror.pull_records(["slide"])
    mirror.push(made(mirror.folder / "slide", "second", files=20))
    assert "a.zarr/0/20" not in remote(s3, "slide")


_KILLED = """
import sys
from pathlib import Path
from heatmaps_ome.storage.remote.client import Client
from heatmaps_ome.storage.remote.mirror import Mirror
from heatmaps_ome.viewers.server.links import ORIGINS
folder = Path(sys.argv[2])
Mirror(Client(), sys.argv[1], folder, ["maps.json"]).push(folder / "slide")
"""


def test_an_upload_that_is_killed_counts_as_none_and_the_next_one_sends_the_rest(
    s3, mirror_in, tmp_path
):
    folder = made(mirror_in("killed").folder / "slide", files=60)
    files = contents(folder)
    middle = threading.Event()
    s3.before = lambda *_: middle.set() if s3.requests["PUT"] == 40 else None
    s3.faults.slow_s = 0.05
    child = subprocess.Popen(
        [sys.executable, "-c", _KILLED, URL, str(folder.parent)],
        env={**os.environ, **KEYS, "AWS_ENDPOINT_URL": s3.url},
    )
    assert middle.wait(60)
    child.send_signal(signal.SIGKILL)
    child.wait()
    s3.forget()
    there = remote(s3, "slide")
    assert 0 < len(there) < len(files)
    assert "provenance.json" not in there
    again = mirror_in()
    again.pull_records(["slide"])
    assert not (again.folder / "slide").exists()
    s3.forget()
    again.push(made(again.folder / "slide", files=60))
    assert remote(s3, "slide") == files
    # Requests in flight arrived after the list above.
    assert 0 < len(puts(s3)) <= len(files) - len(there)


def test_results_that_another_run_has_finished_are_not_sent_again(s3, mirror_in):
    one, other = mirror_in("one"), mirror_in("other")
    made(other.folder / "slide")
    one.push(made(one.folder / "slide"))
    s3.forget()
    other.push(other.folder / "slide")
    assert puts(s3) == []


def test_other_results_of_another_run_are_not_replaced(s3, mirror_in):
    one, other = mirror_in("one"), mirror_in("other")
    one.push(made(one.folder / "slide"))
    before = remote(s3, "slide")
    with pytest.raises(ResultError, match="meanwhile made by another run with other options"):
        other.push(made(other.folder / "slide", "second"))
    assert remote(s3, "slide") == before


def test_two_uploads_at_once_end_with_one_whole_result(s3, client, tmp_path):
    folders = [made(tmp_path / name / "slide", name) for name in ("one", "two")]
    both = [contents(folder) for folder in folders]
    threads = [
        threading.Thread(
            target=uploads.upload_folder,
            args=(client, folder, f"{URL}/slide", "provenance.json"),
        )
        for folder in folders
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert remote(s3, "slide") in both


def test_a_folder_comes_back_with_its_record_last(s3, mirror_in):
    one, other = mirror_in("one"), mirror_in("other")
    folder = made(one.folder / ".maps" / "slide")
    files = contents(folder)
    one.push(folder)
    s3.forget()
    other.pull_folder(".maps/slide")
    assert contents(other.folder / ".maps" / "slide") == files
    gets = [path for method, path in s3.log if method == "GET" and path.count("/") > 2]
    assert gets[-1].endswith("provenance.json")
    other.pull_folder(".maps/none")
    assert not (other.folder / ".maps" / "none").exists()


def test_lists_are_made_of_what_is_there(s3, mirror_in):
    one, other = mirror_in("one"), mirror_in("other")
    for name in ("a", "b"):
        one.push(made(one.folder / name))
    (one.folder / "runs").mkdir()
    (one.folder / "runs" / "1.json").write_text("{}")
    (one.folder / "run.json").write_text("{}")
    (one.folder / ".run.lock").write_text("")
    one.push_shared()
    client_of(s3).put_object(Bucket="slides", Key=f"{PREFIX}half/maps.json", Body=b"{}")
    assert other.slides() == ["a", "b", "half"]
    other.pull_shared()
    other.pull_small(other.slides())
    assert contents(other.folder).keys() == {
        "run.json", "runs/1.json", "a/provenance.json", "a/maps.json", "b/provenance.json",
        "b/maps.json",
    }  # fmt: skip
    assert not any("lock" in key for key in objects_of(s3, "slides"))


def test_the_page_comes_after_all_that_it_names(s3, mirror_in):
    mirror = mirror_in()
    for name in ("index.html", "run.json", "scaling.json"):
        (mirror.folder / name).write_text(name)
    (mirror.folder / "viewers").mkdir()
    (mirror.folder / "viewers" / "open.py").write_text("pass")
    mirror.push_shared()
    assert [path.rpartition("/")[2] for path in puts(s3)] == [
        "open.py", "scaling.json", "run.json", "index.html",
    ]  # fmt: skip


def test_a_bucket_without_rights_is_refused_before_anything_is_computed(s3, mirror_in):
    mirror = mirror_in()
    with s3.failing(denied=("PUT",)), pytest.raises(RemoteError, match="access is denied"):
        mirror.require_writable()
    mirror.require_writable()
    assert contents(mirror.folder) == {}
    assert objects_of(s3, "slides") == {}


def test_large_files_have_the_checksum_of_their_parts(s3, client, tmp_path, monkeypatch):
    path = tmp_path / "large"
    path.write_bytes(b"x" * (11 * 2**20))
    monkeypatch.setattr("heatmaps_ome.storage.remote.client.PART_BYTES", 5 * 2**20)
    client.put(path, "s3://slides/large")
    assert client.file("s3://slides/large").md5 == content_md5(path)
    assert content_md5(path).endswith("-3")


def test_the_cors_rules_of_the_guide_are_taken_by_the_store(s3):
    guide = Path(heatmaps_ome.__file__).parents[1] / "viewer_configs" / "README.md"
    rules, for_google = re.findall(r"```json\n(.*?)```", guide.read_text(), re.DOTALL)
    client_of(s3).put_bucket_cors(Bucket="slides", CORSConfiguration=json.loads(rules))
    [rule] = client_of(s3).get_bucket_cors(Bucket="slides")["CORSRules"]
    [other] = json.loads(for_google)
    assert set(other["origin"]) == set(rule["AllowedOrigins"]) <= {*ORIGINS}
    assert set(rule["ExposeHeaders"]) < set(other["responseHeader"])
