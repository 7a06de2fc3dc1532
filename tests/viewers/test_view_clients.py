"""Clients that send or take nothing keep nobody else waiting, and are dropped."""

import socket
import threading
import time
from contextlib import contextmanager

import pytest
import uvicorn

from heatmaps_ome.viewers.server import app as server_app
from heatmaps_ome.viewers.server.app import LOOPBACK, application
from heatmaps_ome.viewers.server.connections import PatientConnection
from heatmaps_ome.viewers.server.served import Served
from heatmaps_ome.viewers.server.server import configuration

CLIENTS = 300


class Impatient(PatientConnection):
    REQUEST_S = STALL_S = 1.0


class Few(PatientConnection):
    MOST = 40


@contextmanager
def serving(folder, connection):
    """Serve a folder of one large file in this process; give the port and the connections."""
    (folder / "a").mkdir()
    for name in ("provenance.json", "maps.json"):
        (folder / "a" / name).write_text("{}")
    (folder / "a" / "large").write_bytes(bytes(32 << 20))
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    server = uvicorn.Server(
        configuration(application(Served(folder), folder, LOOPBACK), connection)
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        yield listening.getsockname()[1], server.server_state.connections
    finally:
        server.should_exit = server.force_exit = True
        thread.join(20)
        listening.close()


def connected(port, text=b""):
    connection = socket.socket()
    connection.settimeout(30)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)
    connection.connect(("127.0.0.1", port))
    connection.sendall(text)
    return connection


def request(target, port):
    return f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode()


def answer(port):
    """Return the first line of the answer to an ordinary request, and its seconds."""
    start = time.monotonic()
    with connected(port, request("/api/palettes.json", port)) as connection:
        return connection.recv(15), time.monotonic() - start


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(lambda port: request("/files/a/large", port), id="never read"),
        pytest.param(lambda _: b"", id="never send"),
        pytest.param(lambda _: b"GET / HTTP/1.1\r\nHost: ", id="send half a request"),
    ],
)
def test_clients_that_do_nothing_are_dropped_and_stop_nobody(tmp_path, text, monkeypatch):
    monkeypatch.setattr(server_app, "_STALL_S", 0.1)
    with serving(tmp_path, Impatient) as (port, connections):
        idle = [connected(port, text(port)) for _ in range(CLIENTS)]
        try:
            first, seconds = answer(port)
            assert first == b"HTTP/1.1 200 OK"
            assert seconds < 20
            limit = time.monotonic() + 20
            while connections and time.monotonic() < limit:
                time.sleep(0.05)
            assert not connections
            assert answer(port)[0] == b"HTTP/1.1 200 OK"
        finally:
            for connection in idle:
                connection.close()


def test_turns_are_given_back_long_before_clients_are_dropped(tmp_path, monkeypatch):
    monkeypatch.setattr(server_app, "_STALL_S", 0.1)
    with serving(tmp_path, PatientConnection) as (port, connections):
        idle = [connected(port, request("/files/a/large", port)) for _ in range(CLIENTS)]
        assert answer(port)[0] == b"HTTP/1.1 200 OK"
        assert len(connections) >= CLIENTS - 1
        for connection in idle:
            connection.close()


def test_a_new_client_takes_the_place_of_one_that_does_nothing(tmp_path):
    with serving(tmp_path, Few) as (port, connections):
        idle = [connected(port) for _ in range(2 * Few.MOST)]
        assert answer(port)[0] == b"HTTP/1.1 200 OK"
        assert len(connections) <= Few.MOST
        for connection in idle:
            connection.close()


def test_a_client_that_reads_slowly_gets_all(tmp_path, monkeypatch):
    monkeypatch.setattr(server_app, "_STALL_S", 0.1)
    with serving(tmp_path, Impatient) as (port, _):
        with connected(port, request("/files/a/large", port)) as connection:
            size = 0
            while part := connection.recv(1 << 20):
                size += len(part)
                time.sleep(0.0005)
        assert size > 32 << 20
