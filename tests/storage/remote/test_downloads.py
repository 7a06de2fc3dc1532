"""Files come whole from object storage and web servers, or one sentence states why not."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest
from object_storage import client_of, web_server

from heatmaps_ome.errors import RemoteError
from heatmaps_ome.storage.remote import download as downloads
from heatmaps_ome.storage.remote.client import Client, Patience
from heatmaps_ome.storage.remote.download import Download, download
from heatmaps_ome.storage.remote.faults import ChangedError

DATA = np.random.default_rng(0).bytes(3_300_001)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(downloads, "PART_BYTES", 400_000)


def put(s3, key="a b/1.svs", data=DATA):
    client_of(s3).put_object(Bucket="slides", Key=key, Body=data)
    s3.forget()
    return f"s3://slides/{key}"


def fetched(client, url, path):
    download(client, [Download(client.file(url), path)])
    return path.read_bytes()


def test_a_file_comes_in_parts(s3, client, tmp_path):
    url = put(s3)
    assert fetched(client, url, tmp_path / "a") == DATA
    assert s3.requests == {"HEAD": 2, "GET": 9}


@pytest.mark.parametrize("faults", [{"busy": 3}, {"dropped": 3}, {"busy": 2, "dropped": 5}])
def test_a_file_comes_whole_through_faults(s3, client, tmp_path, faults):
    url = put(s3)
    with s3.failing(**faults):
        assert fetched(client, url, tmp_path / "a") == DATA
    assert 12 < s3.requests.total() < 40  # parts are read again, not the file


def test_a_file_that_is_replaced_meanwhile_is_refused(s3, client, tmp_path):
    url = put(s3)
    file = client.file(url)
    put(s3, data=DATA[::-1])
    with pytest.raises(ChangedError, match="was replaced while it was downloaded"):
        download(client, [Download(file, tmp_path / "a")])


def test_a_network_that_stays_away_is_one_sentence_with_the_tries(s3, client, tmp_path):
    url = put(s3)
    with s3.failing(busy=1), pytest.raises(RemoteError) as refusal:
        client.file(url)
    assert str(refusal.value) == (
        "s3://slides/a b/1.svs could not be reached in 6 tries (HTTP status 503); check the "
        "network, and start again: what is done is kept"
    )
    assert s3.requests.total() == 6


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("s3://nowhere/1.svs", "there is no bucket nowhere; check the name"),
        ("s3://slides/none.svs", "there is nothing of this name; check the URL"),
        ("gopher://slides/1.svs", "no library knows gopher://; give s3://"),
    ],
)
def test_wrong_names_are_one_sentence(s3, client, url, sentence):
    with pytest.raises(RemoteError, match=sentence) as refusal:
        client.file(url)
    assert str(refusal.value).startswith(url)
    assert "\n" not in str(refusal.value)


def test_missing_rights_are_one_sentence(s3, client):
    url = put(s3)
    with s3.failing(denied=("HEAD", "GET")), pytest.raises(RemoteError) as refusal:
        client.file(url)
    assert str(refusal.value).startswith(f"{url}: access is denied; ask the owner of slides")
    assert s3.requests.total() == 1  # another try would not help


def test_missing_credentials_are_one_sentence(s3, monkeypatch):
    url = put(s3)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(RemoteError, match="there are no credentials; set AWS_PROFILE"):
        Client().file(url)
    assert s3.requests.total() == 0


@pytest.mark.parametrize("with_parts", [True, False])
def test_a_web_server_gives_files_with_parts_and_without(client, tmp_path, with_parts):
    (tmp_path / "1.svs").write_bytes(DATA)
    server = web_server(tmp_path, with_parts)
    try:
        with server.failing(dropped=4):
            url = f"{server.url}/1.svs?signature=secret"
            assert fetched(client, url, tmp_path / "a") == DATA
    finally:
        server.close()


def test_signatures_are_in_no_message(client, tmp_path, caplog):
    server = web_server(tmp_path)
    url = f"{server.url}/1.svs?X-Amz-Signature=secret"
    with caplog.at_level("DEBUG", "heatmaps_ome"):
        with pytest.raises(RemoteError) as absent:
            client.file(url)
        server.close()
        with pytest.raises(RemoteError) as gone:
            client.file(url)
    assert "nothing of this name" in str(absent.value)
    assert "could not be reached in 6 tries" in str(gone.value)
    assert "secret" not in f"{absent.value} {gone.value} {caplog.text}"
    assert gone.value.__cause__ is None
    assert gone.value.__suppress_context__


def test_waits_double_up_to_a_limit_and_differ():
    patience = Patience(tries=6, first_wait_s=1, longest_wait_s=5)
    for trial, longest in enumerate([1, 2, 4, 5, 5]):
        waits = {patience.wait_s(trial) for _ in range(20)}
        assert longest / 2 <= min(waits) < max(waits) <= longest


def test_the_checksum_of_a_file_is_that_which_the_server_states(s3, client):
    assert client.file(put(s3)).md5 == hashlib.md5(DATA).hexdigest()


def test_libraries_are_imported_for_urls_alone_and_asked_for_where_they_lack(monkeypatch):
    script = (
        "import sys, heatmaps_ome.slides.staging, heatmaps_ome.storage.remote.outputs\n"
        "print({'fsspec', 's3fs', 'gcsfs', 'paramiko', 'aiohttp', 'botocore'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(RemoteError) as refusal:
        Client().file("gs://slides/1.svs")
    assert str(refusal.value) == "gs:// needs more libraries: pip install 'heatmaps-ome[cloud]'"
