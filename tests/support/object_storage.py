"""An S3 server of this process, which can be told to fail; and a web server of files."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field

import boto3
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

KEYS = {
    "AWS_ACCESS_KEY_ID": "tests",
    "AWS_SECRET_ACCESS_KEY": "secret-of-the-tests",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_CONFIG_FILE": "/nowhere",
    "AWS_SHARED_CREDENTIALS_FILE": "/nowhere",
    "AWS_EC2_METADATA_DISABLED": "true",
}
_DENIED = [b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>"]
_BUSY = [b"<Error><Code>SlowDown</Code><Message>slow down</Message></Error>"]


@dataclass
class Faults:
    """What a server does wrong: every n-th request fails; 0: none.

    Attributes
    ----------
    busy : int
        Requests answered by 503.
    dropped : int
        Requests whose connection ends in the middle of the answer.
    slow_s : float
        Time that each answer takes longer, in s.
    denied : tuple of str
        Methods that are forbidden.
    """

    busy: int = 0
    dropped: int = 0
    slow_s: float = 0.0
    denied: tuple[str, ...] = ()
    number: itertools.count = field(default_factory=lambda: itertools.count(1))


class Server:
    """A server in a thread of this process, with faults on demand and counts of its requests."""

    def __init__(self, application) -> None:
        self._application = application
        self.faults = Faults()
        self.requests: Counter[str] = Counter()
        self.log: list[tuple[str, str]] = []
        self.before = None
        """Called with (method, path) before each request."""
        self._server = make_server(
            "127.0.0.1", 0, self._answer, threaded=True, request_handler=_Quiet
        )
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def forget(self) -> None:
        """Count from 0, without faults."""
        self.faults = Faults()
        self.requests.clear()
        self.log.clear()
        self.before = None

    @contextmanager
    def failing(self, **faults):
        self.faults = Faults(**faults)
        try:
            yield
        finally:
            self.faults = Faults()

    def _answer(self, environ, start_response):
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        self.requests[method] += 1
        self.log.append((method, path))
        if self.before is not None:
            self.before(method, path)
        faults = self.faults
        number = next(faults.number)
        time.sleep(faults.slow_s)
        if method in faults.denied:
            start_response("403 Forbidden", [("Content-Type", "application/xml")])
            return [] if method == "HEAD" else _DENIED
        if faults.busy and number % faults.busy == 0:
            start_response("503 Slow Down", [("Content-Type", "application/xml")])
            return [] if method == "HEAD" else _BUSY
        answer = self._application(environ, start_response)
        if faults.dropped and number % faults.dropped == 0:
            return _cut(answer, environ["werkzeug.socket"])
        return answer


def _cut(answer, connection):
    """Yield half of an answer, then end the connection as a cable that is pulled does."""
    data = b"".join(answer)
    if len(data) > 1:
        yield data[: len(data) // 2]
    connection.shutdown(socket.SHUT_RDWR)


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *args) -> None:
        pass


def s3_server() -> Server:
    return Server(DomainDispatcherApplication(create_backend_app))


def client_of(server: Server):
    """Return boto3's own client, which is no code of ours."""
    return boto3.client(
        "s3", endpoint_url=server.url, region_name="us-east-1",
        aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
    )  # fmt: skip


def objects_of(server: Server, bucket: str, prefix: str = "") -> dict[str, bytes]:
    """Return all objects of a bucket by their keys, read by boto3."""
    client, objects = client_of(server), {}
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for entry in page.get("Contents", ()):
            objects[entry["Key"]] = client.get_object(Bucket=bucket, Key=entry["Key"])[
                "Body"
            ].read()
    return objects


def web_server(folder, with_parts: bool = True) -> Server:
    """Return a web server of a folder's files, with or without Range."""
    from werkzeug.wrappers import Request, Response

    @Request.application
    def application(request):
        path = folder / request.path.lstrip("/")
        if not path.is_file():
            return Response("no such file", status=404)
        response = Response(path.read_bytes(), mimetype="application/octet-stream")
        response.set_etag(str(path.stat().st_mtime_ns))
        if with_parts:
            response.make_conditional(
                request, accept_ranges=True, complete_length=path.stat().st_size
            )
        return response

    return Server(application)
