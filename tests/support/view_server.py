"""The real command ``heatmaps-ome view`` in a process of its own, and plain requests to it."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

WAIT_S = 60


@dataclass(frozen=True)
class Running:
    """A server that runs: its process, what it said when it started, and where it is."""

    process: subprocess.Popen
    said: str
    url: str

    @property
    def port(self) -> int:
        return int(re.search(r":(\d+)/", self.url)[1])

    def rss_mib(self) -> float:
        """Return the memory that the process has at the moment."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024

    def raw(self, request: bytes, *, and_no_more: bool = False) -> bytes:
        """Send bytes as they are and return all that comes back."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=WAIT_S) as connection:
            answer = b""
            # A server may break off what is no request instead of answering it.
            with suppress(ConnectionError) if and_no_more else nullcontext():
                connection.sendall(request)
                if and_no_more:
                    connection.shutdown(socket.SHUT_WR)
                while part := connection.recv(65536):
                    answer += part
        return answer

    def get(self, target: str, method: str = "GET", **headers: str) -> tuple[int, dict, bytes]:
        """Return status, headers and body of a target that is sent as it is written."""
        given = {"Host": f"127.0.0.1:{self.port}", "Connection": "close"}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        lines = [f"{method} {target} HTTP/1.1", *(f"{k}: {v}" for k, v in given.items()), "", ""]
        head, _, body = self.raw("\r\n".join(lines).encode("latin-1")).partition(b"\r\n\r\n")
        first, *rest = head.decode("latin-1").split("\r\n")
        return int(first.split()[1]), {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)
        }, body  # fmt: skip

    def json(self, target: str):
        """Return the JSON at a target."""
        status, _, body = self.get(target)
        assert status == 200, body
        return json.loads(body)


@contextmanager
def viewing(folder: Path, *options: str):
    """Run the command on a folder until the block ends; it ends by Ctrl-C, with exit code 0."""
    words = [sys.executable, "-m", "heatmaps_ome.cli.main", "view", str(folder), "--no-browser"]
    process = subprocess.Popen(
        [*words, "--port", "0", *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        said = ""
        while "Ctrl-C" not in said:
            line = process.stdout.readline()
            assert line, process.stderr.read()
            said += line
        yield Running(process, said, re.search(r"^  (http://\S+/)$", said, re.MULTILINE)[1])
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=WAIT_S)
        assert process.returncode == 0, errors
        assert not errors
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()
