"""A worker that waits for its cell: it takes one, and outlives neither the command nor its need."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.cell import ahead
from harness.cell.job import Cell, CellJob

KILLED = """
import os, sys, time
from harness.cell import ahead
ahead.begin(["run"])
print(ahead._waiting.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def waiting() -> Iterator[int]:
    """A worker that waits inside its namespaces; the process that leads its session."""
    ahead.begin(["run", "--nic", "e1000"])
    assert ahead._waiting is not None
    leader = ahead._waiting.pid
    until(lambda: any(command.startswith(sys.executable) for command in session(leader)), "the worker to start")
    yield leader
    ahead.end()


def session(leader: int) -> list[str]:
    """Command lines of the processes of a session that live."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state, _, _, of = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
            if int(of) == leader and state != "Z":
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found


def until(true: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 5.0
    while not true():
        assert time.monotonic() < deadline, f"awaited {what}"
        time.sleep(0.02)


def await_end(leader: int) -> None:
    until(lambda: not session(leader), "its processes to end")


def job(folder: Path) -> CellJob:
    """A job that ends before it has a lab: its image is not there."""
    return CellJob(Cell("wine", "e1000"), "run", folder, "no-such-image", folder / "d.sys", folder / "r.exe")


def test_it_takes_one_job_and_answers_as_any_worker(waiting: int, tmp_path: Path) -> None:
    file = job(tmp_path).save()
    worker = ahead.take(file, (tmp_path,))
    assert worker is not None
    assert worker.pid == waiting
    assert ahead.take(file, (tmp_path,)) is None, "there was one"
    told, _ = worker.communicate(timeout=30)
    assert worker.returncode == 0
    verdict = json.loads(told.splitlines()[-1])
    assert (verdict["event"], verdict["status"]) == ("cell", "inconclusive")
    assert "no-such-image" in verdict["reason"]
    assert (tmp_path / "worker.log").exists()
    await_end(waiting)


def test_one_that_died_is_not_given_a_job(waiting: int, tmp_path: Path) -> None:
    os.killpg(waiting, 9)
    await_end(waiting)
    assert ahead.take(job(tmp_path).save(), (tmp_path,)) is None


def test_what_lies_where_its_own_run_folder_is_it_could_not_reach(waiting: int, tmp_path: Path) -> None:
    assert ahead.take(job(tmp_path).save(), (tmp_path, Path("/run/user/0/suite"))) is None
    assert session(waiting), "it waits for another"


def test_one_that_nobody_took_ends_with_the_command(waiting: int) -> None:
    ahead.end()
    await_end(waiting)


def test_one_that_waits_dies_with_a_command_that_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", KILLED], stdout=subprocess.PIPE, text=True) as command:
        assert command.stdout is not None
        leader = int(command.stdout.readline())
        assert session(leader)
        command.kill()
    await_end(leader)


@pytest.mark.parametrize(
    "line", ["", "image list", "run --help", "nightly --units units", "run --scheduler tcp://h:1", "run --scheduler=x"]
)
def test_a_command_that_runs_no_cell_here_starts_none(line: str) -> None:
    ahead.begin(line.split())
    assert ahead._waiting is None
