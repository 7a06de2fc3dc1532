"""An S3 server for the tests of this folder."""

import pytest
from object_storage import KEYS, client_of, s3_server

from heatmaps_ome.storage.remote.client import Client, Patience


@pytest.fixture(scope="session")
def s3_process():
    server = s3_server()
    yield server
    server.close()


@pytest.fixture
def s3(s3_process, monkeypatch):
    """The server, with an empty bucket "slides", and credentials in the environment."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_process.url)
    s3_process.forget()
    client = client_of(s3_process)
    for bucket in [one["Name"] for one in client.list_buckets()["Buckets"]]:
        for entry in client.list_objects_v2(Bucket=bucket).get("Contents", ()):
            client.delete_object(Bucket=bucket, Key=entry["Key"])
        client.delete_bucket(Bucket=bucket)
    client.create_bucket(Bucket="slides")
    s3_process.forget()
    yield s3_process
    s3_process.forget()


@pytest.fixture(scope="session")
def client():
    """A client that waits for next to nothing."""
    return Client(Patience(tries=6, first_wait_s=0.001, longest_wait_s=0.01))
