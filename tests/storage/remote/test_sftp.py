"""Slides and results over SFTP, as over S3: the same code, another library."""

from pathlib import Path

import pytest
from sftp_server import SftpServer

from heatmaps_ome.errors import RemoteError
from heatmaps_ome.slides.staging import Staging
from heatmaps_ome.storage.remote.client import Client, Patience
from heatmaps_ome.storage.remote.mirror import Mirror
from heatmaps_ome.storage.remote.scratch import Scratch

PATIENCE = Patience(tries=2, first_wait_s=0.001)


@pytest.fixture
def sftp(tmp_path, monkeypatch):
    """The URL of a server's folder, whose key this user knows."""
    root, home = tmp_path / "server", tmp_path / "home"
    (root / "data").mkdir(parents=True)
    (home / ".ssh").mkdir(parents=True)
    server = SftpServer(root)
    (home / ".ssh" / "known_hosts").write_text(server.known)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    yield f"sftp://me:secret@127.0.0.1:{server.port}/data", root / "data"
    server.close()


def test_slides_come_by_sftp_and_results_go_there(sftp, tmp_path):
    url, there = sftp
    client = Client(PATIENCE)
    (there / "1.svs").write_bytes(b"pixels" * 1000)
    staging = Staging(client, lambda: Scratch(tmp_path / "scratch", 10_000))
    staging.remember(f"{url}/1.svs")
    place = Path(f"sftp://me@{url.partition('@')[2]}/1.svs")
    before = staging.slide(place).stamp()
    with staging.local(place) as path:
        assert path.read_bytes() == b"pixels" * 1000
    (there / "1.svs").write_bytes(b"other!" * 1001)
    assert staging.slide(place).stamp() != before
    staging.close()

    folder = tmp_path / "mirror"
    (folder / "slide" / "deep").mkdir(parents=True)
    mirror = Mirror(client, f"{url}/run", folder, [])
    mirror.require_writable()
    (folder / "slide" / "deep" / "0").write_text("values")
    (folder / "slide" / "provenance.json").write_text('{"request": "first"}')
    mirror.push(folder / "slide")
    assert (there / "run" / "slide" / "deep" / "0").read_text() == "values"
    assert mirror.slides() == ["slide"]
    mirror.pull_folder("slide")
    assert (folder / "slide" / "deep" / "0").read_text() == "values"


def test_a_host_whose_key_is_not_known_is_refused(sftp, tmp_path):
    url, _ = sftp
    (tmp_path / "home" / ".ssh" / "known_hosts").write_text("")
    with pytest.raises(RemoteError, match=r"its key is not in .*known_hosts; connect to it once"):
        Client(PATIENCE).file(f"{url}/1.svs")


def test_a_wrong_password_is_one_sentence_without_it(sftp):
    url, _ = sftp
    with pytest.raises(RemoteError) as refusal:
        Client(PATIENCE).file(f"{url.replace('secret', 'guess')}/1.svs")
    assert "the credentials are not accepted; add a key to your ssh agent" in str(refusal.value)
    assert "guess" not in str(refusal.value)
