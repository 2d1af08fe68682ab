"""A guest that crashes during a run: its case fails with the stop code, the guest comes back, the suite goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from harness.cell.keeper import GuestKeeper
from harness.control.ssh import Shell
from harness.errors import Failure, LabError
from harness.guests.windows.crash.bugcheck import Bugcheck
from harness.guests.windows.crash.fingerprint import fingerprint
from harness.guests.windows.windows_guest import WindowsGuest, WindowsImage
from harness.history.store import sign
from harness.results.status import Status
from harness.verify.verdict import Finding
from harness.vm.libvirt import Event
from harness.wsk import operations as op
from tests.unit.fake_windows import FakeWindows, Server
from tests.unit.test_session_case import GOOD, SITE, Cell, FaultlessDriver

SIGN = fingerprint(Bugcheck(0xD1, (0xFFFFA50000000010, 2, 0, 0xFFFFF80112345678)))
NEXT = GOOD.replace("test_case", "test_next")


class Machine:
    """The machine that the fake Windows runs in."""

    def __init__(self, windows: FakeWindows) -> None:
        self.windows = windows
        self.ended: Event | None = None
        self.crash_notices: tuple[str, ...] = ()
        self.starts = 0

    def dump_windows(self, path: Path) -> None:
        raise LabError("no dump header")

    def destroy(self) -> None:
        self.ended = Event.DESTROYED

    def start(self) -> None:
        self.starts += 1
        self.ended, self.crash_notices = None, ()
        self.windows.boot = f"2026-01-01T02:{self.starts:02}:00.0000000Z"


class Driver(FaultlessDriver):
    """Does what ``act`` does at its next send."""

    def __init__(self) -> None:
        super().__init__()
        self.act: Callable[[], None] = lambda: None
        self.broken = False
        self.shells: list[Shell] = []

    def execute(self, operations: Sequence[op.Operation]) -> list[op.Outcome]:
        if any(isinstance(operation, op.SendTo) for operation in operations):
            act, self.act = self.act, lambda: None
            act()
        return super().execute(operations)

    def findings(self) -> Sequence[Finding]:
        return ()

    def install_in(self, shell: Shell) -> None:
        assert shell.run("exit 7").exit_code == 7
        self.shells.append(shell)
        self.broken = False


class Kept(Cell):
    """A cell of stand-ins whose guest is the fake Windows."""

    driver: Driver

    def __init__(self, folder: Path, server: Server) -> None:
        super().__init__(folder)
        self.windows, self.machine = server.machine, Machine(server.machine)
        manifest = {"guest": "ws2022", "key": "k", "release": "server-2022", "host_public_key": server.host_public_key}
        guest = WindowsGuest(WindowsImage(folder, manifest), folder)

        def connect(seconds: float) -> Shell:
            if self.machine.ended is not None:
                raise LabError("the guest ended")
            return Shell.connect(
                "127.0.0.1", server.key, server.host_public_key, 5.0, user="Administrator", port=server.port
            )

        self.keeper = GuestKeeper(guest, self.machine, connect, folder, settle=0.1)
        self.keeper.login()
        self.driver = self.session._driver = Driver()
        self.silences = 0
        self.keeper.keep(self.driver, SITE, self.count)
        self.session.watch = self.session.keeper = self.keeper

    def count(self) -> None:
        self.silences += 1


@pytest.fixture
def cell(tmp_path: Path) -> Iterator[Kept]:
    with Server(FakeWindows(), tmp_path) as server:
        kept = Kept(tmp_path, server)
        yield kept
        kept.keeper.close()


def raising(cell: Kept, error: Exception, before: Callable[[], None]) -> Callable[[], None]:
    def act() -> None:
        before()
        cell.driver.broken = isinstance(error, Failure)
        raise error

    return act


LOST = LabError("the relay in the guest ended (wskctl.exe serve)")
SILENT = Failure("the driver did not answer a request within 30 s")


@pytest.mark.parametrize("error", [LOST, SILENT])
def test_a_crash_fails_its_case_and_the_next_one_runs(cell: Kept, error: Exception, tmp_path: Path) -> None:
    cell.driver.act = raising(cell, error, cell.windows.crash)
    assert cell.run(GOOD + NEXT).status is Status.PASSED
    crashed = cell.session.results[0]
    assert crashed.status is Status.FAILED
    assert "0xd1 DRIVER_IRQL_NOT_LESS_OR_EQUAL (0xffffa50000000010, 0x2, 0x0, 0xfffff80112345678)" in crashed.reason
    assert [finding.verdict for finding in crashed.findings] == ["crash"]
    assert SIGN.key in crashed.findings[0].detail
    assert [path.read_bytes()[:7] for path in (tmp_path / "dumps").iterdir()] == [b"dump of"]
    assert "dumps/MEMORY-" in crashed.reason
    assert len(cell.driver.shells) == 1, "the driver is loaded in the boot that followed"
    assert cell.machine.starts == 0, "it came back by itself"
    assert cell.silences == 1
    assert any("Rename-NetAdapter" in text for text in map(decoded, cell.windows.commands)), "its NIC is configured"


def decoded(command: str) -> str:
    from harness.guests.windows import powershell

    if " -File " in command:
        return "Rename-NetAdapter" if "dut.ps1" in command else ""
    return powershell.decode(command) if "-EncodedCommand" in command else command


def test_equal_crashes_are_one_failure_to_the_history_and_one_dump(cell: Kept, tmp_path: Path) -> None:
    cell.driver.act = raising(cell, LOST, cell.windows.crash)
    cell.run(GOOD)
    cell.driver.act = raising(cell, LOST, cell.windows.crash)
    cell.run(GOOD)
    first, second = cell.session.results
    assert sign(first) == sign(second) == f"crash {SIGN.text}"
    assert len(list((tmp_path / "dumps").iterdir())) == 1
    assert "that of the first of these crashes" in second.reason
    cell.driver.act = raising(cell, LOST, lambda: cell.windows.crash(0x139))
    assert "KERNEL_SECURITY_CHECK_FAILURE" in cell.run(GOOD).reason
    assert len(list((tmp_path / "dumps").iterdir())) == 2


def test_a_crash_that_the_machine_told_of_counts_though_the_case_went_well(cell: Kept) -> None:
    def notice() -> None:
        cell.machine.crash_notices = ("crashloaded",)
        cell.windows.crash()

    cell.driver.act = notice
    assert cell.run(GOOD).status is Status.FAILED
    assert cell.run(GOOD).status is Status.PASSED, "the notice is counted once"


def test_a_guest_that_hangs_is_switched_off_and_proves_nothing(cell: Kept) -> None:
    def vanish() -> None:
        cell.machine.ended = Event.CRASHED  # kept by libvirt: nobody answers, and the crash device said nothing
        cell.windows.hang_up()

    cell.driver.act = raising(cell, LOST, vanish)
    result = cell.run(GOOD)
    assert result.status is Status.INCONCLUSIVE
    assert "gone without a trace" in result.reason
    assert "no dump from the host: no dump header" in result.reason
    assert cell.machine.starts == 1
    assert cell.run(GOOD).status is Status.PASSED


def test_a_panic_without_dump_is_a_crash_too(cell: Kept) -> None:
    def panic() -> None:
        cell.machine.ended, cell.machine.crash_notices = Event.CRASHED, ("panicked",)
        cell.windows.hang_up()

    cell.driver.act = raising(cell, LOST, panic)
    result = cell.run(GOOD)
    assert result.status is Status.FAILED
    assert result.findings[0].field == "without a stop code"
    assert cell.run(GOOD).status is Status.PASSED


def test_a_lost_connection_of_a_guest_that_runs_is_the_lab_s_fault(cell: Kept) -> None:
    cell.driver.act = raising(cell, LOST, cell.windows.hang_up)
    result = cell.run(GOOD)
    assert (result.status, result.reason) == (Status.INCONCLUSIVE, LOST.what)


def test_a_machine_that_somebody_ended_is_no_crash(cell: Kept) -> None:
    def kill() -> None:
        cell.machine.ended = Event.FAILED
        cell.windows.hang_up()

    cell.driver.act = raising(cell, LOST, kill)
    assert cell.run(GOOD).status is Status.INCONCLUSIVE
    assert "not run" in cell.run(GOOD).reason
    assert cell.machine.starts == 0


def test_a_driver_that_hangs_in_a_guest_that_runs_costs_a_restart(cell: Kept) -> None:
    cell.driver.act = raising(cell, SILENT, lambda: None)
    result = cell.run(GOOD)
    assert (result.status, result.reason) == (Status.FAILED, SILENT.what)
    assert any(command.startswith("shutdown.exe /r") for command in cell.windows.commands)
    assert len(cell.driver.shells) == 1
    assert cell.run(GOOD).status is Status.PASSED


def test_a_driver_that_crashes_the_guest_when_it_unloads(cell: Kept) -> None:
    cell.run(GOOD)

    def unload() -> None:
        cell.windows.crash()
        raise Failure("driver wsksend did not unload: the connection broke")

    cell.session.end(unload)
    last = cell.session.results[-1]
    assert last.status is Status.FAILED
    assert "DRIVER_IRQL_NOT_LESS_OR_EQUAL" in last.reason


def test_a_guest_that_does_not_come_back_ends_the_cell(cell: Kept) -> None:
    def vanish() -> None:
        cell.machine.ended = Event.CRASHED
        cell.windows.hang_up()

    def stay_away() -> None:
        raise LabError("libvirt could not start the guest")

    cell.machine.start = stay_away  # type: ignore[method-assign]
    cell.driver.act = raising(cell, LOST, vanish)
    cell.run(GOOD)
    assert "not run: the guest could not be renewed" in cell.run(GOOD).reason
