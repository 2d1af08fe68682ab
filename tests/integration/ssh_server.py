"""An SSH server on a loopback port that runs commands with the shell: stands for a guest's in tests of the client."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

import paramiko
from paramiko import common

from tests.ssh_kit import Punctual


class _Files(paramiko.SFTPServerInterface):
    """SFTP on the host's own files."""

    def open(self, path: str, flags: int, attr: paramiko.SFTPAttributes) -> paramiko.SFTPHandle | int:
        try:
            file = os.fdopen(os.open(path, flags, 0o600), "r+b" if flags & os.O_RDWR else "wb" if flags & 1 else "rb")
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno or 0)
        handle = paramiko.SFTPHandle(flags)
        handle.readfile = handle.writefile = file  # type: ignore[attr-defined]
        return handle

    def stat(self, path: str) -> paramiko.SFTPAttributes | int:
        try:
            return paramiko.SFTPAttributes.from_stat(os.stat(path))
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno or 0)


class _Session(paramiko.ServerInterface):
    def __init__(self, allowed: paramiko.PKey) -> None:
        self.allowed = allowed

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        return common.AUTH_SUCCESSFUL if key == self.allowed else common.AUTH_FAILED

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return common.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        transport = channel.get_transport()
        assert isinstance(transport, Punctual)
        transport.once_taken(lambda: _run(channel, command))
        return True


def _run(channel: paramiko.Channel, command: bytes) -> None:
    with subprocess.Popen(
        ["sh", "-c", command.decode()], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None

        def feed() -> None:
            with contextlib.suppress(OSError):
                while data := channel.recv(65536):
                    process.stdin.write(data)  # type: ignore[union-attr]
                process.stdin.close()  # type: ignore[union-attr]

        def errors() -> None:
            with contextlib.suppress(OSError):
                while data := process.stderr.read(65536):  # type: ignore[union-attr]
                    channel.sendall_stderr(data)

        threading.Thread(target=feed, daemon=True).start()
        reader = threading.Thread(target=errors, daemon=True)
        reader.start()
        with contextlib.suppress(OSError):
            while data := process.stdout.read(65536):
                channel.sendall(data)
        reader.join()
        channel.send_exit_status(process.wait())
        channel.close()


class SshServer:
    """The server while the context lasts.

    Args:
        folder: takes the client's key.
        delay: seconds before it listens; its port refuses connections until then.
    """

    def __init__(self, folder: Path, delay: float = 0.0) -> None:
        self.host_key = paramiko.ECDSAKey.generate()
        self.client_key = paramiko.ECDSAKey.generate()
        self.key_file = folder / "key"
        self.client_key.write_private_key_file(str(self.key_file))
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._transports: list[paramiko.Transport] = []
        threading.Timer(delay, self._listen).start() if delay else self._listen()

    @property
    def host_public_key(self) -> str:
        """As ``Shell.connect`` wants it."""
        return f"{self.host_key.get_name()} {self.host_key.get_base64()}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._socket.close()
        self.drop()

    def drop(self) -> None:
        """Break all connections."""
        for transport in self._transports:
            transport.close()

    def _listen(self) -> None:
        self._socket.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                transport = Punctual(connection)
                transport.add_server_key(self.host_key)
                transport.set_subsystem_handler("sftp", paramiko.SFTPServer, _Files)
                self._transports.append(transport)
                transport.start_server(event=threading.Event(), server=_Session(self.client_key))
