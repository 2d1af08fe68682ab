"""sc.exe: what it is told, and its answers in words."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from harness.errors import Failure
from harness.guests import services

QUERY = "\nSERVICE_NAME: x \n        TYPE               : 1  KERNEL_DRIVER \n        STATE              : {} \n"


@dataclass(frozen=True)
class Answer:
    exit_code: int
    stdout: str = ""
    stderr: str = ""


@dataclass
class FakeShell:
    """Answers commands by their verb, from a list that the last entry of repeats."""

    answers: dict[str, list[Answer]]
    commands: list[str] = field(default_factory=list)

    def run(self, command: str, timeout: float = 0) -> Answer:
        self.commands.append(command)
        left = self.answers.get(command.split()[1], [Answer(0)])
        return left.pop(0) if len(left) > 1 else left[0]

    def put(self, local: Path | bytes, remote: str) -> None:
        raise AssertionError("nothing is copied here")


def failed(function: str, error: int, carried: int | None = None) -> Answer:
    return Answer(error if carried is None else carried, f"[SC] {function} FAILED {error}:\n\n")


def test_load_creates_a_kernel_service_with_a_windows_path_and_starts_it() -> None:
    shell = FakeShell({})
    services.load(shell, "C:/harness/x.sys", "x", 1)
    assert shell.commands == [
        r"sc.exe create x type= kernel start= demand error= normal binPath= C:\harness\x.sys",
        "sc.exe start x",
    ]


def test_load_replaces_a_service_that_is_there() -> None:
    shell = FakeShell({"create": [failed("CreateService", 1073), Answer(0)], "stop": [failed("ControlService", 1062)]})
    services.load(shell, "C:/harness/x.sys", "x", 1)
    assert [command.split()[1] for command in shell.commands] == ["create", "stop", "delete", "create", "start"]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (2, "the file is not there"),
        (5, "access denied"),
        (31, "DriverEntry returned an error"),
        (127, "imports a function that this Windows does not have"),
        (193, "not a valid driver image"),
        (577, "signature"),
        (1053, "did not answer the start request"),
    ],
)
def test_a_refused_start_is_a_failure_in_words(error: int, words: str) -> None:
    shell = FakeShell({"start": [failed("StartService", error)]})
    with pytest.raises(Failure, match=rf"driver x did not load: .*{words}.*Win32 error {error}"):
        services.load(shell, "C:/harness/x.sys", "x", 1)
    assert shell.commands[-1] == "sc.exe delete x", "nothing is left behind"


def test_the_printed_number_counts_when_the_exit_code_is_cut_to_eight_bits() -> None:
    assert services.win32_error(failed("StartService", 577, carried=65)) == 577
    assert services.win32_error(Answer(577)) == 577
    assert services.win32_error(Answer(0, "[SC] CreateService SUCCESS")) == 0


def test_unload_waits_for_stopped_and_deletes() -> None:
    stopping, stopped = Answer(0, QUERY.format("3  STOP_PENDING")), Answer(0, QUERY.format("1  STOPPED"))
    shell = FakeShell({"stop": [stopping], "query": [stopping, stopped]})
    services.unload(shell, "x", 5)
    assert [command.split()[1] for command in shell.commands] == ["stop", "query", "query", "delete"]


def test_unload_that_never_ends_is_a_failure() -> None:
    stopping = Answer(0, QUERY.format("3  STOP_PENDING"))
    with pytest.raises(Failure, match="still STOP_PENDING"):
        services.unload(FakeShell({"stop": [stopping], "query": [stopping]}), "x", 0.05)


def test_a_request_that_sc_answered_without_a_word_is_made_once_more() -> None:
    """It never reached the service manager, so it says nothing against the driver."""
    stopped = Answer(0, QUERY.format("1  STOPPED"))
    shell = FakeShell({"stop": [Answer(1), stopped], "delete": [Answer(1), Answer(0)]})
    services.unload(shell, "x", 1)
    assert [command.split()[1] for command in shell.commands] == ["stop", "stop", "delete", "delete"]
    silent = FakeShell({"stop": [stopped], "delete": [Answer(1, stderr="wine client error:0: read")]})
    with pytest.raises(Failure, match=r"cannot be deleted: .*Win32 error 1\): wine client error:0: read"):
        services.unload(silent, "x", 1)
    assert [command.split()[1] for command in silent.commands] == ["stop", "delete", "delete"]
    spoken = FakeShell({"stop": [failed("ControlService", 1052)]})
    with pytest.raises(Failure, match="Win32 error 1052"):
        services.unload(spoken, "x", 1)
    assert len(spoken.commands) == 1, "who was refused is not asked again"


def test_a_request_that_wine_could_not_start_is_made_once_more() -> None:
    said = "Application could not be started, or no application associated with the specified file."
    stopped = Answer(0, QUERY.format("1  STOPPED"))
    shell = FakeShell({"stop": [Answer(1, said), stopped], "delete": [Answer(0)]})
    services.unload(shell, "x", 1)
    assert [command.split()[1] for command in shell.commands] == ["stop", "stop", "delete"]


def test_a_driver_without_unload_is_a_failure() -> None:
    with pytest.raises(Failure, match="without DriverUnload"):
        services.unload(FakeShell({"stop": [failed("ControlService", 1052)]}), "x", 1)


def test_state() -> None:
    assert services.state(FakeShell({"query": [failed("OpenService", 1060, carried=36)]}), "x", 1) is None
    assert services.state(FakeShell({"query": [Answer(0, QUERY.format("4  RUNNING"))]}), "x", 1) == "RUNNING"
