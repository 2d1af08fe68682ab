"""The SSH client: awaits the guest, knows it by its key, runs commands, moves files, carries bytes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest

from harness.control import ssh
from harness.control.ssh import Shell
from harness.errors import AwaitTimeout, LabError
from tests.integration.ssh_server import SshServer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SshServer]:
    with SshServer(tmp_path) as running:
        yield running


def connect(server: SshServer, seconds: float = 10.0) -> Shell:
    return Shell.connect("127.0.0.1", server.key_file, server.host_public_key, seconds, port=server.port)


def test_a_command_gives_its_exit_code_and_text(server: SshServer) -> None:
    with connect(server) as shell:
        answer = shell.run("printf 'a\\r\\nb\\n'; printf 'bad \\377' >&2; exit 3")
    assert (answer.exit_code, answer.stdout, answer.stderr) == (3, "a\nb\n", "bad \ufffd")


def test_more_output_than_ssh_windows_hold_arrives_whole(server: SshServer) -> None:
    with connect(server) as shell:
        answer = shell.run("head -c 5000000 /dev/zero | tr '\\0' x")
    assert answer.stdout == "x" * 5_000_000


def test_a_command_that_does_not_end_is_named(server: SshServer) -> None:
    with (
        connect(server) as shell,
        pytest.raises(AwaitTimeout, match=r"waited 0\.3 s for 'echo on; sleep 9' to end") as caught,
    ):
        shell.run("echo on; sleep 9", timeout=0.3)
    assert caught.value.detail == "on\n"


def test_a_command_that_prints_without_end_is_ended(server: SshServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh, "MOST_OUTPUT", 3 << 20)
    for command in ("yes | head -c 9000000", "yes | head -c 9000000 >&2"):
        with connect(server) as shell, pytest.raises(LabError, match="printed more than 3 MiB") as caught:
            shell.run(command, timeout=60.0)
        assert len(caught.value.detail) < 10_000


def test_files_of_the_guest_without_an_end_are_not_read_to_it(
    server: SshServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(ssh, "MOST_OUTPUT", 1000)
    monkeypatch.setattr(ssh, "MOST_FETCHED", 1000)
    log = tmp_path / "verifier.log"
    log.write_bytes(bytes(600))
    with connect(server) as shell:
        grown = shell.follow(str(log))
        assert len(grown()) == 600
        log.write_bytes(bytes(1000))
        assert len(grown()) == 400
        log.write_bytes(bytes(100_000))
        with pytest.raises(LabError, match=r"verifier\.log in the guest has grown by more than"):
            grown()
        with pytest.raises(LabError, match=r"verifier\.log in the guest has more than"):
            shell.fetch(str(log), tmp_path / "copy")


def test_a_guest_that_is_not_up_yet_is_awaited(tmp_path: Path) -> None:
    with SshServer(tmp_path, delay=0.7) as late, connect(late) as shell:
        assert shell.run("true").exit_code == 0


def test_a_guest_that_never_comes_is_told_with_its_console(tmp_path: Path) -> None:
    key = SshServer(tmp_path)
    with pytest.raises(AwaitTimeout, match=r"the guest's SSH at 127\.0\.0\.1") as caught:
        Shell.connect("127.0.0.1", key.key_file, key.host_public_key, 0.5, lambda: "Kernel panic", port=1)
    assert "refused" in caught.value.what
    assert caught.value.detail == "Kernel panic"


def test_waiting_ends_with_the_machine(tmp_path: Path) -> None:
    def gone() -> None:
        raise LabError("the guest crashed")

    key = SshServer(tmp_path)
    with pytest.raises(LabError, match="the guest crashed"):
        Shell.connect("127.0.0.1", key.key_file, key.host_public_key, 30, port=1, alive=gone)


def test_another_host_key_is_refused(server: SshServer) -> None:
    other = paramiko.ECDSAKey.generate()
    wanted = f"{other.get_name()} {other.get_base64()}"
    with pytest.raises(LabError, match="another host key"):
        Shell.connect("127.0.0.1", server.key_file, wanted, 5, port=server.port)


def test_a_refused_key_is_not_tried_for_ever(server: SshServer, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger"
    paramiko.ECDSAKey.generate().write_private_key_file(str(stranger))
    started = time.monotonic()
    with pytest.raises(LabError, match="refuses the harness's key"):
        Shell.connect("127.0.0.1", stranger, server.host_public_key, 30, port=server.port)
    assert time.monotonic() - started < 5


def test_files_go_both_ways(server: SshServer, tmp_path: Path) -> None:
    data = bytes(range(256)) * 1000
    with connect(server) as shell:
        shell.put(data, str(tmp_path / "there"))
        shell.fetch(str(tmp_path / "there"), tmp_path / "back")
        assert (tmp_path / "back").read_bytes() == data
        with pytest.raises(LabError, match="cannot write /nosuch/folder/x in the guest"):
            shell.put(data, "/nosuch/folder/x")


def test_a_stream_is_clean_for_all_bytes(server: SshServer) -> None:
    with connect(server) as shell:
        stream = shell.open_stream("cat")
        every = bytes(range(256)) * 64
        stream.write(every)
        assert exactly(stream.read, len(every)) == every
        for number in range(100):
            stream.write(bytes([number]) * 64)
            assert exactly(stream.read, 64) == bytes([number]) * 64
        stream.close()


def test_a_stream_ends_when_the_connection_breaks(server: SshServer) -> None:
    with connect(server) as shell:
        stream = shell.open_stream("cat")
        server.drop()
        assert stream.read(1) == b""
        with pytest.raises(LabError, match="the SSH connection to the guest broke"):
            stream.write(b"x")
        with pytest.raises(LabError, match="cannot start 'true'"):
            shell.run("true")


def test_a_connection_that_breaks_during_a_command_is_a_lab_error(
    server: SshServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_channel: paramiko.Channel) -> None:
        raise EOFError  # as paramiko has it when the socket goes before it knows

    with connect(server) as shell:
        threading.Timer(0.2, server.drop).start()
        monkeypatch.setattr(paramiko.Channel, "close", broken)
        with pytest.raises(LabError, match="the connection to the guest broke during 'sleep 9'"):
            shell.run("sleep 9")


def exactly(read: object, count: int) -> bytes:
    data = b""
    while len(data) < count:
        data += read(count - len(data))  # type: ignore[operator]
    return data
