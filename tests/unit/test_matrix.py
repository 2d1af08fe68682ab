"""Cells as processes: every way in which a worker can end becomes a verdict."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.cell.events import Begun, Clock, Collected, Event, Note, Phase, decode, encode
from harness.cell.hang import innermost
from harness.cell.job import Cell, CellJob
from harness.cell.worker import verdict
from harness.errors import AwaitTimeout, Failure, HarnessError, Interrupted, LabError, UsageError
from harness.guests import catalogue
from harness.guests.windows.options import WindowsOptions
from harness.matrix import run as matrix
from harness.results.record import CaseResult, CellFiles, CellResult
from harness.results.status import Status
from harness.verify.verdict import DatagramCounts

CELL = Cell("wine", "e1000")
GOOD_CASE = CaseResult("test_a.py::test_x", Status.PASSED, datagrams=DatagramCounts(1, 1))
PREAMBLE = """
import json, os, sys, time, signal
def emit(**event): print(json.dumps(event), flush=True)
case = lambda name, status="passed": emit(event="case", id=name, status=status)
def cell(status="passed"): emit(event="cell", guest="wine", nic="e1000", status=status)
"""


def job(folder: Path, nic: str = "e1000") -> CellJob:
    place = folder / nic
    place.mkdir()
    return CellJob(
        Cell("wine", nic),
        "r1",
        place,
        "k1",
        Path("/d.sys"),
        Path("/ctl.exe"),
        suite=(Path("/s"),),
        pytest_args=("-k", "a or b"),
        memory_mib=300,
    )


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a script in the place of the worker."""

    def put(script: str) -> None:
        argv = [sys.executable, "-c", PREAMBLE + script]
        monkeypatch.setattr(matrix, "command", lambda job_file, **_: [*argv, str(job_file)])

    return put


def run_one(folder: Path, **options: Any) -> tuple[CellResult, list[Event]]:  # noqa: ANN401
    events: list[Event] = []
    result = matrix.CellProcess(job(folder), lambda cell, event: events.append(event), **options).run()
    return result, events


def test_the_record_holds_the_digests_of_plan_and_capture(worker: Callable[[str], None], tmp_path: Path) -> None:
    place = tmp_path / "e1000"
    worker(
        f"for name in ('operations.jsonl', 'capture.pcapng'): open('{place}/' + name, 'w').write(name)\n"
        "case('a'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    result, _ = run_one(tmp_path)
    plan, capture = (hashlib.sha256(name.encode()).hexdigest() for name in ("operations.jsonl", "capture.pcapng"))
    assert result.files == (CellFiles("cells/e1000", plan, capture),)


def test_a_cell_that_failed_on_a_damaged_state_is_run_again_once(worker: Callable[[str], None], tmp_path: Path) -> None:
    worker(
        "import pathlib\n"
        "first = not pathlib.Path(sys.argv[1]).with_name('ran').exists()\n"
        "pathlib.Path(sys.argv[1]).with_name('ran').touch()\n"
        "case('x', 'inconclusive' if first else 'passed')\n"
        "facts = {'damaged state': 'block 3'} if first else {}\n"
        "status = 'inconclusive' if first else 'passed'\n"
        "emit(event='cell', guest='wine', nic='e1000', status=status, reason='block 3' * first, facts=facts)\n"
    )
    result, events = run_one(tmp_path)
    assert (result.status, [case.status for case in result.cases]) == (Status.PASSED, [Status.PASSED])
    assert result.facts == {"run again": "block 3"}
    assert [event.text for event in events if isinstance(event, Note)] == ["block 3; the cell is run again from a boot"]
    assert [event.status for event in events if isinstance(event, CellResult)] == [Status.PASSED]


def test_a_job_survives_the_way_to_the_worker(tmp_path: Path) -> None:
    sent = job(tmp_path)
    assert CellJob.from_json(sent.save().read_text()) == sent
    asked = replace(sent, windows=WindowsOptions(driver_verifier=True, nic_driver=tmp_path / "NetKVM", offloads="off"))
    assert CellJob.from_json(asked.save().read_text()) == asked


def test_what_is_asked_of_windows_needs_a_windows_guest(tmp_path: Path) -> None:
    catalogue.check_windows(WindowsOptions(), ["wine"])
    with pytest.raises(UsageError, match="no Windows guest is asked for"):
        catalogue.check_windows(WindowsOptions(driver_verifier=True), ["wine"])
    catalogue.check_windows(WindowsOptions(driver_verifier=True), ["wine", "ws2022"])
    with pytest.raises(UsageError, match="is no driver package"):
        catalogue.check_windows(WindowsOptions(nic_driver=tmp_path), ["ws2022"])


def test_folder_names_are_safe_and_tell_cells_apart() -> None:
    assert Cell("wine", "virtio-net+csum=off").name == "wine--virtio-net+csum=off"
    assert "/" not in Cell("wine", "vfio:0000/1").name


@pytest.mark.parametrize(
    "event",
    [
        Phase("boot"),
        Phase("boot", 1.5),
        Collected(2, ("a::x", "a::y")),
        Begun("a::x", 60.0),
        Clock(2.5),
        Clock(None),
        Note("cached state k was damaged: rebuilt"),
        GOOD_CASE,
        CellResult("w", "n", Status.PASSED, cases=(GOOD_CASE,)),
    ],
)
def test_events_survive_the_pipe(event: Event) -> None:
    assert decode(json.dumps(encode(event))) == event


@pytest.mark.parametrize("line", ["", "[]", "{}", '{"event": "odd"}', '{"event": "case", "id": 1, "status": "x"}'])
def test_foreign_lines_are_no_events(line: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        decode(line)


def test_a_cell_tells_its_way_and_its_verdict(tmp_path: Path, worker: Callable[[str], None]) -> None:
    worker("print('noise'); emit(event='phase', name='boot', seconds=2.5); case('test_a.py::x'); cell()")
    result, events = run_one(tmp_path)
    assert result.status is Status.PASSED
    assert [case.id for case in result.cases] == ["test_a.py::x"]
    assert result.timings["boot"] == 2.5
    assert result.timings["total"] > 0
    assert [type(event) for event in events] == [Phase, CaseResult, CellResult]


@pytest.mark.parametrize(
    ("end", "told"),
    [
        ("sys.exit(7)", "the worker ended with exit code 7 during boot"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "the worker was killed by SIGSEGV during boot"),
    ],
)
def test_a_worker_that_dies_keeps_what_it_told(
    tmp_path: Path, worker: Callable[[str], None], end: str, told: str
) -> None:
    worker(f"case('t.py::x'); emit(event='phase', name='boot'); print('last words', file=sys.stderr); {end}")
    result, _ = run_one(tmp_path)
    assert (result.status, result.fault) == (Status.INCONCLUSIVE, "lab")
    assert told in result.reason
    assert [case.id for case in result.cases] == ["t.py::x"]
    assert "last words" in result.detail


def test_a_silent_worker_is_ended(
    tmp_path: Path, worker: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matrix, "GRACE", 0.2)
    worker("signal.signal(signal.SIGTERM, signal.SIG_IGN); case('t.py::x'); time.sleep(60)")
    result, _ = run_one(tmp_path, silence_limit=0.3)
    assert result.status is Status.INCONCLUSIVE
    assert "silent" in result.reason
    assert result.timings["total"] < 20


def test_children_of_a_dead_worker_are_not_waited_for(
    tmp_path: Path, worker: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matrix, "GRACE", 0.3)
    worker("import subprocess; cell(); subprocess.Popen(['sleep', '60'], stdout=subprocess.DEVNULL)")
    started = time.monotonic()
    assert run_one(tmp_path)[0].status is Status.PASSED
    assert time.monotonic() - started < 10


def test_results_come_in_the_order_of_the_jobs(tmp_path: Path, worker: Callable[[str], None]) -> None:
    worker("nic = json.load(open(sys.argv[1]))['cell']['nic']; time.sleep(0.4 if nic == 'a' else 0); cell()")
    done: list[str] = []
    jobs = [job(tmp_path, nic) for nic in ("a", "b", "c")]
    results, interrupted = matrix.run_cells(jobs, lambda cell, event: done.append(cell.nic), at_once=3)
    assert len(results) == 3
    assert not interrupted
    assert done[-1] == "a"


def test_no_more_cells_at_once_than_asked(tmp_path: Path, worker: Callable[[str], None]) -> None:
    mark = tmp_path / "running"
    worker(f"os.mkdir({str(mark)!r}); time.sleep(0.05); os.rmdir({str(mark)!r}); cell()")
    results, _ = matrix.run_cells([job(tmp_path, nic) for nic in "abc"], lambda cell, event: None, at_once=1)
    assert [result.status for result in results] == [Status.PASSED] * 3


def test_ctrl_c_ends_the_running_and_starts_no_other(tmp_path: Path, worker: Callable[[str], None]) -> None:
    worker(
        "signal.signal(signal.SIGTERM, lambda *a: (cell('inconclusive'), os._exit(0)));"
        "case('t.py::x'); time.sleep(60); cell()"
    )
    told = threading.Event()

    def press() -> None:
        told.wait(20)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press).start()
    jobs = [job(tmp_path, nic) for nic in ("a", "b")]
    results, interrupted = matrix.run_cells(jobs, lambda cell, event: told.set(), at_once=1)
    assert interrupted
    assert [result.status for result in results] == [Status.INCONCLUSIVE] * 2
    assert [len(result.cases) for result in results] == [1, 0]
    assert results[1].reason == "interrupted"


def ended_by(error: BaseException, tmp_path: Path) -> CellResult:
    def run(_job: CellJob, _emit: Callable[[dict[str, Any]], None]) -> CellResult:
        raise error

    return verdict(job(tmp_path), lambda event: None, run)


@pytest.mark.parametrize(
    ("error", "status", "fault"),
    [
        (Failure("the driver does not load"), Status.FAILED, "driver"),
        (LabError("no bridge", detail="console"), Status.INCONCLUSIVE, "lab"),
        (AwaitTimeout("the SSH banner", 3), Status.INCONCLUSIVE, "lab"),
        (UsageError("no such NIC"), Status.INCONCLUSIVE, "user"),
        (KeyError("oops"), Status.INCONCLUSIVE, "harness"),
        (Interrupted(), Status.INCONCLUSIVE, "lab"),
        (OSError(errno.ENOSPC, "No space left on device"), Status.INCONCLUSIVE, "lab"),
        (OSError(errno.ENOENT, "No such file"), Status.INCONCLUSIVE, "harness"),
    ],
)
def test_whose_fault_decides_the_status(tmp_path: Path, error: BaseException, status: Status, fault: str) -> None:
    result = ended_by(error, tmp_path)
    assert (result.status, result.fault) == (status, fault)
    if isinstance(error, HarnessError):
        assert (result.reason, result.detail) == (error.line(), error.detail)


def test_an_error_in_the_harness_says_where(tmp_path: Path) -> None:
    assert "KeyError: 'oops' (test_matrix.py:" in ended_by(KeyError("oops"), tmp_path).reason


def test_an_interruption_over_which_something_stumbles_is_one(tmp_path: Path) -> None:
    def stumbles(_job: CellJob, _emit: object) -> CellResult:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise TypeError("reporting it failed")  # noqa: B904 (the context is what this is about)

    result = verdict(job(tmp_path), lambda _event: None, run=stumbles)
    assert (result.status, result.reason) == (Status.INCONCLUSIVE, "interrupted")


@pytest.mark.parametrize(
    ("ends", "why"),
    [
        (
            "faulthandler.dump_traceback_later(0.2, exit=True, file=stacks); import re; re.match('(a+)+b', 'a' * 40)",
            "the test did not end within 0.2 s and could not be broken into: ",
        ),
        (
            "faulthandler.enable(stacks); import ctypes; ctypes.string_at(1)",
            "the test ended the process that it ran in (Fatal Python error: Segmentation fault): ",
        ),
    ],
)
def test_a_test_that_takes_its_worker_down_is_named_with_its_stack(
    tmp_path: Path, worker: Callable[[str], None], ends: str, why: str
) -> None:
    told = "emit(event='collected', count=2, ids=['a::x', 'a::y']); emit(event='begun', id='a::x', seconds=0.2)"
    worker(f"{told}; import faulthandler; stacks = open(sys.argv[1][:-9] + 'stacks.log', 'w'); {ends}")
    result, _ = run_one(tmp_path)
    first, *rest = result.cases
    assert (first.id, first.status) == ("a::x", Status.FAILED)
    assert first.reason.startswith(why)
    assert [(case.id, case.status) for case in rest] == [("a::y", Status.INCONCLUSIVE)]
    assert result.status is Status.FAILED


BEGUN = (
    "emit(event='collected', count=3, ids=['a::w', 'a::x', 'a::y']); case('a::w');"
    "emit(event='begun', id='a::x', seconds=0.2); emit(event='clock', seconds=0.2);"
)


@pytest.mark.parametrize(
    ("ends", "how"),
    [
        ("os._exit(0)", "the worker ended with exit code 0"),
        ("os._exit(5)", "the worker ended with exit code 5"),
        ("os._exit(137)", "the worker was killed by SIGKILL"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "the worker was killed by SIGKILL"),
    ],
)
def test_a_test_that_ends_its_worker_without_a_stack_is_named_too(
    tmp_path: Path, worker: Callable[[str], None], ends: str, how: str
) -> None:
    worker(f"{BEGUN} {ends}")
    result, _ = run_one(tmp_path)
    assert [(case.id, case.status) for case in result.cases] == [
        ("a::w", Status.PASSED),
        ("a::x", Status.FAILED),
        ("a::y", Status.INCONCLUSIVE),
    ]
    assert result.cases[1].reason == f"the test ended the process that it ran in: {how}"
    assert result.cases[2].reason == "not run: a::x ended the worker"
    assert (result.status, result.fault) == (Status.FAILED, "")


@pytest.mark.parametrize("hangs", ["os.kill(os.getpid(), signal.SIGSTOP)", "os.close(1); time.sleep(60)"])
def test_a_worker_that_cannot_end_its_test_is_ended_at_the_deadline_of_the_case(
    tmp_path: Path, worker: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, hangs: str
) -> None:
    monkeypatch.setattr(matrix, "GRACE", 0.2)
    monkeypatch.setattr(matrix, "CLOCK_GRACE", 0.2)
    kept = "held = os.dup(1); os.set_inheritable(held, True);"  # as the namespaces' wrapper holds it
    worker(f"{BEGUN} {kept} signal.signal(signal.SIGTERM, signal.SIG_IGN); {hangs}")
    result, _ = run_one(tmp_path, silence_limit=30.0)
    assert [(case.id, case.status) for case in result.cases[1:]] == [
        ("a::x", Status.FAILED),
        ("a::y", Status.INCONCLUSIVE),
    ]
    assert result.cases[1].reason == "the test did not end within 0.2 s and could not be broken into"
    assert result.timings["total"] < 20


def test_a_worker_that_ends_while_it_judges_a_case_is_the_lab_s_fault(
    tmp_path: Path, worker: Callable[[str], None]
) -> None:
    worker(f"{BEGUN} emit(event='clock', seconds=None); os._exit(1)")
    result, _ = run_one(tmp_path)
    assert (result.status, result.fault) == (Status.INCONCLUSIVE, "lab")
    assert [case.status for case in result.cases] == [Status.PASSED, Status.INCONCLUSIVE, Status.INCONCLUSIVE]
    assert "while the case was set up or judged" in result.cases[1].reason


def test_a_worker_that_does_not_end_after_its_verdict_is_not_waited_for(
    tmp_path: Path, worker: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matrix, "GRACE", 0.2)
    worker("case('t.py::x'); cell(); time.sleep(60)")
    result, _ = run_one(tmp_path)
    assert result.status is Status.PASSED
    assert result.timings["total"] < 20


def test_a_worker_that_is_asked_to_end_blames_no_case(tmp_path: Path, worker: Callable[[str], None]) -> None:
    worker(f"{BEGUN} time.sleep(60)")
    process: list[matrix.CellProcess] = []

    def observe(_cell: Cell, event: Event) -> None:
        if isinstance(event, Begun):
            process[0].end("interrupted")

    process.append(matrix.CellProcess(job(tmp_path), observe))
    result = process[0].run()
    assert (result.status, result.reason) == (Status.INCONCLUSIVE, "interrupted")
    assert [case.id for case in result.cases] == ["a::w"]


def test_a_case_that_was_collected_and_has_no_result_makes_the_cell_inconclusive(
    tmp_path: Path, worker: Callable[[str], None]
) -> None:
    worker("emit(event='collected', count=2, ids=['t.py::x', 't.py::y']); case('t.py::x'); cell()")
    result, _ = run_one(tmp_path)
    assert result.status is Status.INCONCLUSIVE
    assert "1 collected cases have no result: t.py::y" in result.reason


def test_the_place_of_a_hang_is_the_main_thread_s_in_the_suite() -> None:
    stacks = """Timeout (0:00:15)!
Thread 0x01 (most recent call first):
  File "/usr/lib/python3.11/threading.py", line 320 in wait
  File "/s/test_a.py", line 3 in reader

Thread 0x02 (most recent call first):
  File "/usr/lib/python3.11/re/__init__.py", line 166 in match
  File "/s/test_a.py", line 7 in test_hung
  File "/v/site-packages/_pytest/python.py", line 166 in pytest_pyfunc_call
"""
    assert innermost(stacks) == "test_a.py:7 in test_hung"
