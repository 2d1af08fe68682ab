"""The pytest plugin: a test gets its cell's ``wsk`` however pytest came by the plugin; who was wrong is kept apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from harness.cell.ledger import Ending
from harness.cell.pytest_plugin import CellPlugin
from harness.cell.session import Session
from harness.cell.threads import Threads
from harness.errors import HarnessError, LabError
from harness.results.status import Status


class FakeSession:
    """Stands for a cell's session: one case, and what the plugin told of it."""

    def __init__(self, broken: HarnessError | None = None) -> None:
        wsk, wire = SimpleNamespace(of="the driver"), SimpleNamespace(of="the network")
        self.case = self.current = SimpleNamespace(wsk=wsk, wire=wire, reason="")
        self.told: list[str] = []
        self.threads = Threads()
        self._broken = broken

    def announce(self, name: str, seconds: float) -> None:
        assert seconds == 60.0

    def tell_clock(self, seconds: float | None) -> None:
        """The parent's clock is no part of this."""

    def begin_case(self, name: str) -> None:
        if self._broken is not None:
            raise self._broken

    def collected(self, ids: Sequence[str]) -> None:
        assert len(ids) == 1

    def between(self, name: str) -> None:
        """Nothing is done between cases."""

    def end_between(self) -> None:
        """Nothing was."""

    end_wider = end_between

    def judge_case(self, error: BaseException | None = None, *, skipped: bool = False) -> Status:
        self.told.append(f"judged: {error}")
        return Status.PASSED

    def finish_case(self, ending: Ending) -> Status:
        self.told.append(f"ended: {ending.failure}{' '.join(ending.doubts)}")
        return Status.INCONCLUSIVE if ending.doubts else Status.FAILED if ending.failure else Status.PASSED


BODY = "def test_one(wsk, wire):\n    assert (wsk.of, wire.of) == ('the driver', 'the network')\n"


def run(folder: Path, session: FakeSession, *arguments: str, body: str = BODY) -> pytest.ExitCode | int:
    file = folder / f"{folder.name}.py"  # its own name: pytest keeps modules by name
    file.write_text(body)
    quiet = ["-q", "-p", "no:cacheprovider", "--import-mode=importlib", "-c", "/dev/null", f"--rootdir={folder}"]
    return pytest.main([*quiet, *arguments, str(file)], plugins=[CellPlugin(cast(Session, session))])


@pytest.mark.parametrize("arguments", [("-p", "no:harness"), ("-p", "harness.cell.pytest_plugin", "-p", "no:harness")])
def test_a_cell_gives_its_own_driver_and_network(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    session = FakeSession()
    assert run(tmp_path, session, *arguments) == 0
    assert session.told == ["judged: None", "ended: "]


def test_a_lab_error_before_the_body_is_told_as_one(tmp_path: Path) -> None:
    session = FakeSession(LabError("the capture has died"))
    assert run(tmp_path, session) == 1
    assert session.told == ["ended: the capture has died"]


@pytest.mark.parametrize("closing", ["pass", "raise OSError('the relay answered something else')"])
def test_a_worker_that_is_asked_to_end_begins_no_other_test(tmp_path: Path, closing: str) -> None:
    session = FakeSession()
    head = "from harness.errors import Interrupted\ndef test_one():\n"
    body = f"    try:\n        raise Interrupted\n    finally:\n        {closing}\n"
    assert run(tmp_path, session, body=head + body) == pytest.ExitCode.INTERRUPTED
    assert session.told == []


def test_a_suite_that_imports_all_of_the_interface_has_the_names_of_the_readme() -> None:
    names: dict[str, object] = {}
    exec("from harness.api import *", names)
    assert {"AF_INET", "AF_INET6", "ANY", "Endpoint", "Forced", "Sent", "Wire", "Wsk", "pattern"} <= names.keys()
