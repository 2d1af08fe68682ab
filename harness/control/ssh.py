"""Drives a guest over SSH: commands, files and byte streams; the only module that imports paramiko.

The guest proves itself by a pinned host key, the harness by its own key; no password, no agent, no known_hosts.
"""

from __future__ import annotations

import base64
import contextlib
import io
import logging
import os
import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import paramiko

from harness.errors import AwaitTimeout, LabError

PORT, USER = 22, "root"
_ATTEMPT_SECONDS = 5.0
_BETWEEN_ATTEMPTS_SECONDS = 0.1
_BETWEEN_REFUSALS_SECONDS = 2.0
_KEEPALIVE_SECONDS = 15
_CHUNK = 1 << 16
_ENDING_SECONDS = 0.2
STREAM_SECONDS = 60.0
"""What a command in the guest may take to answer on its stream, or to read what is written to it."""
_ORPHAN_SECONDS = 1.0  # a process left behind by a command may hold its output open; it is not waited for longer

MOST_OUTPUT = 64 << 20
"""Bytes that a command may print, and that may be read of a file that grows."""
MOST_FETCHED = 64 << 30
"""Bytes of the longest file that is copied from a guest: a dump of all memory of a large one."""
_MOST_ERRORS = 1 << 16  # of a stream's standard error, the end of which is quoted
_MOST_QUOTED = 2000
_PIECES = 64

_TRANSIENT = (OSError, EOFError, paramiko.SSHException)


@dataclass(frozen=True, slots=True)
class Result:
    """What a command gave.

    Args:
        exit_code: unsigned, 32 bits on Windows; -1 when the guest gave none.
        stdout, stderr: text with CRLF turned into LF; bytes that are not UTF-8 are replaced.
    """

    exit_code: int
    stdout: str
    stderr: str


class Stream:
    """A command's standard input and output as a binary duplex stream (``harness.control.wskctl``'s protocol).

    Its standard error is kept and quoted in errors.

    Args:
        channel: of the command.
        command: as it was started.
        seconds: what one ``read`` or ``write`` may wait; ``None`` where a person attends to it, and can end it.
    """

    def __init__(self, channel: paramiko.Channel, command: str, seconds: float | None = STREAM_SECONDS) -> None:
        self._channel = channel
        self._command = command
        self._seconds = seconds
        self._errors = b""
        channel.settimeout(seconds)

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes as soon as there are any; none at the end of the stream, however it ended.

        Raises:
            AwaitTimeout: nothing came in time; what comes later can still be read.
        """
        try:
            return self._channel.recv(size)
        except TimeoutError:
            awaited = f"{self._command!r} in the guest to write something"
            raise AwaitTimeout(awaited, self._seconds or 0.0, detail=self.errors()) from None
        except OSError:
            return b""

    def write(self, data: bytes) -> None:
        """Write all of ``data``.

        Raises:
            AwaitTimeout: the command takes no more in time.
            LabError: the command ended, or the connection broke.
        """
        try:
            self._channel.sendall(data)
        except TimeoutError:
            awaited = f"{self._command!r} in the guest to read its input"
            raise AwaitTimeout(awaited, self._seconds or 0.0, detail=self.errors()) from None
        except OSError as error:
            connection = self._channel.get_transport()
            connection.join(_ENDING_SECONDS)  # a connection that breaks closes its channels before it ends itself
            whole = connection.is_active()
            what = f"{self._command!r} ended in the guest" if whole else "the SSH connection to the guest broke"
            raise LabError(f"{what}: {error}", detail=self.errors()) from error

    def errors(self) -> str:
        """The end of what the command wrote to standard error so far."""
        for _ in range(_PIECES):
            if not self._channel.recv_stderr_ready():
                break
            self._errors = (self._errors + self._channel.recv_stderr(_CHUNK))[-_MOST_ERRORS:]
        return _text(self._errors)

    def fileno(self) -> int:
        """A descriptor that is readable while ``read`` would not wait."""
        return self._channel.fileno()

    def end_input(self) -> None:
        """The command sees the end of its input; its output may go on."""
        with contextlib.suppress(OSError, EOFError):
            self._channel.shutdown_write()

    def resize(self, columns: int, rows: int) -> None:
        """Tell the command's terminal its size."""
        with contextlib.suppress(OSError, paramiko.SSHException):
            self._channel.resize_pty(columns, rows)

    def exit_code(self) -> int:
        """Of the command, once its output has ended: unsigned as in ``Result``; -1 when the guest gives none."""
        told = self._channel.status_event.wait(_ATTEMPT_SECONDS)
        code = self._channel.recv_exit_status() if told else -1
        return code & 0xFFFFFFFF if code >= 0 else -1

    def finish(self, seconds: float = _ATTEMPT_SECONDS) -> None:
        """End the command's input, wait ``seconds`` at most until the command has ended, and close the stream.

        A driver can be unloaded only once no program has its device open any more.
        """
        self.end_input()
        self._channel.status_event.wait(seconds)
        self.close()

    def close(self) -> None:
        """End the stream in both directions; the command sees the end of its input."""
        _close(self._channel)


class Shell:
    """A connection to a guest's SSH server; ``connect`` makes one."""

    def __init__(self, transport: paramiko.Transport, host: str) -> None:
        self._transport = transport
        self._host = host
        self._sftp: paramiko.SFTPClient | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    @classmethod
    def connect(
        cls,
        host: str,
        key: Path,
        host_public_key: str,
        deadline: float,
        console_tail: Callable[[], str] = lambda: "",
        *,
        user: str = USER,
        port: int = PORT,
        alive: Callable[[], None] = lambda: None,
        insist: bool = False,
    ) -> Self:
        """Wait until the guest answers, make sure that it is the right one, and log in.

        Args:
            host: its address.
            key: private key file (OpenSSH).
            host_public_key: "ssh-ed25519 BASE64", what the guest must prove itself with.
            deadline: seconds to wait.
            console_tail: gives the last lines of the guest's console, for errors.
            user: login name.
            port: TCP port.
            alive: called before each attempt; raises when waiting has no point (the machine ended).
            insist: try a refused key again until the time is up: Windows refuses right ones while it starts or stops.

        Raises:
            AwaitTimeout: no login in time; names the last reason.
            LabError: the host key is another one, or the guest refuses ours.
        """
        identity = paramiko.PKey.from_path(key)
        kind, _, blob = host_public_key.strip().partition(" ")
        expected = paramiko.PKey.from_type_string(kind, base64.b64decode(blob.split(" ")[0]))
        logging.getLogger("paramiko").setLevel(logging.CRITICAL)  # every reason is in an exception already
        end = time.monotonic() + deadline
        reason = "no attempt was made"
        while (left := end - time.monotonic()) > 0:
            alive()
            try:
                return cls(_login(host, port, user, identity, expected, min(left, _ATTEMPT_SECONDS)), host)
            except paramiko.AuthenticationException as error:
                reason = f"the guest refuses the harness's key: {error}"
                if insist:
                    time.sleep(min(_BETWEEN_REFUSALS_SECONDS, max(0.0, end - time.monotonic())))
                    continue
                raise LabError(reason, detail=console_tail()) from error
            except paramiko.BadHostKeyException as error:
                raise LabError(f"{host} answers with another host key than the guest's: {error}") from error
            except _TRANSIENT as error:
                reason = str(error) or type(error).__name__
            # A refused connection says nothing of when to try again: this is the one place that polls.
            time.sleep(min(_BETWEEN_ATTEMPTS_SECONDS, max(0.0, end - time.monotonic())))
        raise AwaitTimeout(f"the guest's SSH at {host} ({reason})", deadline, detail=console_tail())

    def run(self, command: str, timeout: float = 60.0) -> Result:
        """Run a command and wait for its end.

        Raises:
            AwaitTimeout: it did not end within ``timeout`` seconds.
            LabError: the connection broke, or the command printed more than ``MOST_OUTPUT``.
        """
        channel = self._execute(command)
        out, err = bytearray(), bytearray()
        deadline = time.monotonic() + timeout
        exited = 0.0
        try:
            while True:
                ended = channel.eof_received or channel.closed  # before the last look: what came before it counts
                more = _drain(channel, out, err)
                if len(out) + len(err) > MOST_OUTPUT:
                    what = f"{command!r} printed more than {MOST_OUTPUT >> 20} MiB in the guest"
                    raise LabError(what, detail=_text((out + err)[:_MOST_QUOTED]))
                if ended and not more:
                    break
                now = time.monotonic()
                if channel.exit_status_ready():
                    exited = exited or now
                    if now - exited > _ORPHAN_SECONDS:
                        break
                if now > deadline:
                    raise AwaitTimeout(
                        f"{command!r} to end in the guest", timeout, detail=_text((out + err)[-_MOST_ERRORS:])
                    )
                if more:
                    continue
                select.select([channel], [], [], min(deadline - now + 0.001, _ORPHAN_SECONDS / 2))
            told = channel.status_event.wait(max(0.1, deadline - time.monotonic()))
            code = channel.recv_exit_status() if told else -1  # -1: the channel was closed without one
            if not told or (code < 0 and not self._transport.is_active()):
                raise LabError(f"the connection to the guest broke during {command!r}", detail=_text(out + err))
            return Result(code & 0xFFFFFFFF if code >= 0 else -1, _text(out), _text(err))
        finally:
            _close(channel)

    def put(self, local: Path | bytes, remote: str) -> None:
        """Copy a file, or bytes, to the guest.

        Raises:
            LabError: the guest refused; its folder may be missing, or a loaded driver holds the file.
        """
        try:
            if self._sftp is None:
                self._sftp = paramiko.SFTPClient.from_transport(self._transport)
            assert self._sftp is not None
            source = io.BytesIO(local if isinstance(local, bytes) else local.read_bytes())
            self._sftp.putfo(source, remote)
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise LabError(f"cannot write {remote} in the guest: {error}") from error

    def fetch(self, remote: str, local: Path) -> None:
        """Copy a file of the guest to the host, piece by piece: a dump has gigabytes.

        Raises:
            LabError: the guest refused, the connection broke, there is no room for it, or it has no end.
        """

        def bounded(done: int, size: int) -> None:
            if done > MOST_FETCHED:
                raise LabError(f"{remote} in the guest has more than {MOST_FETCHED >> 30} GiB")

        try:
            if self._sftp is None:
                self._sftp = paramiko.SFTPClient.from_transport(self._transport)
            assert self._sftp is not None
            with local.open("wb") as sink:
                self._sftp.getfo(remote, sink, bounded)
        except _TRANSIENT as error:
            raise LabError(f"cannot fetch {remote} from the guest: {error}") from error

    def follow(self, remote: str) -> Callable[[], bytes]:
        """Open a file of the guest that grows; each call of the result gives what was added since the last.

        Raises:
            LabError: the guest refused; the result raises it, too, and when more than ``MOST_OUTPUT`` was added.
        """
        total = 0

        def failed(error: Exception) -> LabError:
            return LabError(f"cannot read {remote} in the guest: {str(error) or type(error).__name__}")

        def grown() -> bytes:
            nonlocal total
            try:
                added = bytes(file.read(MOST_OUTPUT + 1 - total))
            except _TRANSIENT as error:
                raise failed(error) from error
            total += len(added)
            if total > MOST_OUTPUT:
                raise LabError(f"{remote} in the guest has grown by more than {MOST_OUTPUT >> 20} MiB")
            return added

        try:
            if self._sftp is None:
                self._sftp = paramiko.SFTPClient.from_transport(self._transport)
            assert self._sftp is not None
            channel = self._sftp.get_channel()
            if channel is not None:
                channel.settimeout(_ATTEMPT_SECONDS * 3)  # a guest that is gone gives no answer at all
            file = self._sftp.open(remote, "rb")
        except _TRANSIENT as error:
            raise failed(error) from error
        return grown

    def open_stream(
        self, command: str, window: tuple[int, int] | None = None, seconds: float | None = STREAM_SECONDS
    ) -> Stream:
        """Start a command and talk to it in bytes.

        Args:
            command: none is the guest's interactive command line.
            window: columns and rows of a terminal that it gets, on which its standard error comes out, too.
            seconds: what one ``read`` or ``write`` of the stream may wait; ``None`` where a person can end it.

        Raises:
            LabError: the connection broke.
        """
        return Stream(self._execute(command, window), command, seconds)

    def is_active(self) -> bool:
        """Whether the connection still stands."""
        return self._transport.is_active()

    def await_end(self, seconds: float) -> bool:
        """Wait until the connection ends from the other side; whether it did in time."""
        self._transport.join(seconds)
        return not self._transport.is_active()

    def close(self) -> None:
        """Close the connection and every stream on it."""
        self._transport.close()

    def _execute(self, command: str, window: tuple[int, int] | None = None) -> paramiko.Channel:
        try:
            channel = self._transport.open_session(timeout=_ATTEMPT_SECONDS * 2)
            if window is not None:
                channel.get_pty(os.environ.get("TERM", "xterm"), *window)
            if command:
                channel.exec_command(command)
            else:
                channel.invoke_shell()
        except _TRANSIENT as error:
            reason = str(error) or type(error).__name__
            raise LabError(f"cannot start {command!r} in the guest: {reason}") from error
        return channel


def _login(
    host: str, port: int, user: str, identity: paramiko.PKey, expected: paramiko.PKey, seconds: float
) -> paramiko.Transport:
    """One attempt."""
    connection = socket.create_connection((host, port), timeout=seconds)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    transport = paramiko.Transport(connection)
    try:
        transport.banner_timeout = seconds
        transport.auth_timeout = seconds * 4
        transport.start_client(timeout=seconds * 4)
        seen = transport.get_remote_server_key()
        if seen != expected:
            raise paramiko.BadHostKeyException(host, seen, expected)
        transport.auth_publickey(user, identity)
        transport.set_keepalive(_KEEPALIVE_SECONDS)
    except BaseException:
        transport.close()
        raise
    return transport


def _close(channel: paramiko.Channel) -> None:
    """Close a channel; one whose connection is breaking at this very moment closes by that."""
    with contextlib.suppress(EOFError, OSError):
        channel.close()


def _drain(channel: paramiko.Channel, out: bytearray, err: bytearray) -> bool:
    """Take what has arrived, some pieces of it at most; whether there is more."""
    for _ in range(_PIECES):
        if channel.recv_ready():
            out += channel.recv(_CHUNK)
        elif channel.recv_stderr_ready():
            err += channel.recv_stderr(_CHUNK)
        else:
            return False
    return True


def _text(data: bytes | bytearray) -> str:
    return bytes(data).decode("utf-8", errors="replace").replace("\r\n", "\n")
