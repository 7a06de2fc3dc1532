"""An SFTP server of a folder, in threads of this process."""

from __future__ import annotations

import functools
import os
import socket
import threading
from pathlib import Path

import paramiko


class _Login(paramiko.ServerInterface):
    def check_auth_password(self, username, password):
        good = (username, password) == ("me", "secret")
        return paramiko.AUTH_SUCCESSFUL if good else paramiko.AUTH_FAILED

    def check_channel_request(self, kind, chanid):
        return paramiko.OPEN_SUCCEEDED

    def get_allowed_auths(self, username):
        return "password"


def _answered(work):
    """Return an operation whose errors are SFTP's codes."""

    @functools.wraps(work)
    def answer(*given):
        try:
            result = work(*given)
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno)
        return paramiko.SFTP_OK if result is None else result

    return answer


class _Files(paramiko.SFTPServerInterface):
    """A folder's files."""

    root: Path

    def _real(self, path):
        return self.root / self.canonicalize(path).lstrip("/")

    @_answered
    def list_folder(self, path):
        return [
            paramiko.SFTPAttributes.from_stat(one.stat(), one.name)
            for one in self._real(path).iterdir()
        ]

    @_answered
    def stat(self, path):
        return paramiko.SFTPAttributes.from_stat(self._real(path).stat())

    lstat = stat

    @_answered
    def open(self, path, flags, attr):
        handle = paramiko.SFTPHandle(flags)
        mode = "r+b" if flags & os.O_RDWR else "wb" if flags & os.O_WRONLY else "rb"
        handle.readfile = handle.writefile = self._real(path).open(mode)
        return handle

    @_answered
    def remove(self, path):
        self._real(path).unlink()

    @_answered
    def mkdir(self, path, attr):
        self._real(path).mkdir()


class SftpServer:
    """Serves a folder; ``known`` is its line for a file of known hosts."""

    def __init__(self, root) -> None:
        self._key = paramiko.ECDSAKey.generate()
        self._files = type("Files", (_Files,), {"root": Path(root)})
        self._transports = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.known = f"[127.0.0.1]:{self.port} {self._key.get_name()} {self._key.get_base64()}\n"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            transport = paramiko.Transport(connection)
            transport.add_server_key(self._key)
            transport.set_subsystem_handler("sftp", paramiko.SFTPServer, self._files)
            transport.start_server(server=_Login())
            self._transports.append(transport)

    def close(self):
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()
        for transport in self._transports:
            transport.close()
