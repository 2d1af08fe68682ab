"""Cells on two Dask workers of this host, with a script as the cell: one worker is killed, and no verdict is lost."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import __version__, resources
from harness.cell.events import Event
from harness.cell.job import Cell, CellJob
from harness.errors import LabError, UsageError
from harness.matrix import certificates, remote
from harness.matrix.scheduler import Scheduler, parse
from harness.results.record import CellResult
from harness.results.status import Status

pytest.importorskip("distributed", reason="Dask is not installed: pip install 'wsk-harness[dask]'")

CELL = """
import json, os, sys, time
job = json.load(open(sys.argv[1]))
nic = job["cell"]["nic"]
open(os.environ["STARTED"], "a").write(f"{nic} {os.environ['WORKER']}\\n")
stem = job["driver"].removesuffix(".sys")
for path in (job["driver"], job["suite"][0], stem + ".debug.sys", stem + ".exe", job["adapter"].removesuffix(":Mine")):
    assert os.path.exists(path) and not path.startswith(os.environ["HOME_FOLDER"]), path
time.sleep(float(os.environ["CELL_SECONDS"]))
open(os.path.join(job["folder"], "capture.pcapng"), "w").write(nic)
print(json.dumps({"event": "case", "id": "t.py::x", "status": "passed"}), flush=True)
print(json.dumps({"event": "cell", "guest": "wine", "nic": nic, "status": "passed"}), flush=True)
"""
WORKER = """
import pathlib
import sys
import harness
from harness.guests import catalogue
from harness.matrix import remote, run, scheduler
remote.__version__ = sys.argv[2]
remote.resources.digest = lambda: sys.argv[3]
catalogue.prepare_guest = lambda name, say: "key"
run.command = lambda job_file, **_: [sys.executable, "-c", {cell!r}, str(job_file)]
folder = pathlib.Path(sys.argv[4]) if sys.argv[4] else None
remote.serve(scheduler.parse(sys.argv[1], folder), 1, {{}})
"""


class Cluster:
    """A scheduler and workers as processes."""

    def __init__(self, folder: Path, keys: Path | None = None) -> None:
        self._folder = folder
        self._keys = keys
        self.started = folder / "started"
        self.started.touch()
        file = folder / "scheduler.json"
        argv = ["-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
        if keys is not None:
            argv += ["--protocol", "tls", "--tls-ca-file", str(keys / "ca.pem")]
            argv += ["--tls-cert", str(keys / "scheduler.pem"), "--tls-key", str(keys / "scheduler.key")]
        self.processes = [self._start([*argv, "--scheduler-file", str(file)], "scheduler")]
        until(lambda: file.exists() and file.read_text().endswith("}"))
        import json

        self.scheduler = parse(str(json.loads(file.read_text())["address"]), keys)

    def worker(
        self, name: str, *, version: str = __version__, sources: str = "", seconds: float = 1.5
    ) -> subprocess.Popen[bytes]:
        script = WORKER.format(cell=CELL)
        process = self._start(
            ["-c", script, self.scheduler.address, version, sources or resources.digest(), str(self._keys or "")],
            name,
            seconds,
        )
        self.processes.append(process)
        return process

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()

    def _start(self, arguments: list[str], name: str, seconds: float = 0.0) -> subprocess.Popen[bytes]:
        environment = os.environ | {
            "STARTED": str(self.started),
            "WORKER": name,
            "HOME_FOLDER": str(self._folder / "mine"),
            "CELL_SECONDS": str(seconds),
            "PYTHONPATH": str(Path(remote.__file__).parents[2]),
            "DASK_TEMPORARY_DIRECTORY": str(self._folder / "dask"),
        }
        log = (self._folder / f"{name}.log").open("wb")
        return subprocess.Popen([sys.executable, *arguments], env=environment, stdout=log, stderr=log)


def until(true: object, seconds: float = 40.0) -> None:
    deadline = time.monotonic() + seconds
    assert callable(true)
    while not true():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.05)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path)
    yield made
    made.end()


def jobs(folder: Path, count: int) -> list[CellJob]:
    mine = folder / "mine"
    driver, suite, adapter = mine / "d.sys", mine / "suite", mine / "mine.py"
    suite.mkdir(parents=True)
    for path in (driver, mine / "d.debug.sys", mine / "d.exe", adapter, suite / "test_a.py"):
        path.write_bytes(b"MZ")
    made = []
    for number in range(count):
        place = folder / f"cells/wine--nic{number}"
        place.mkdir(parents=True)
        cell = Cell("wine", f"nic{number}")
        job = CellJob(cell, "run1", place, "image", driver, driver, suite=(suite,), adapter=f"{adapter}:Mine")
        made.append(job)
    return made


def test_one_of_two_workers_killed_and_every_cell_has_one_verdict(cluster: Cluster, tmp_path: Path) -> None:
    first = cluster.worker("first")
    cluster.worker("second")
    until(lambda: all("Registered to" in (tmp_path / f"{name}.log").read_text() for name in ("first", "second")))

    def kill() -> None:
        until(lambda: "first" in cluster.started.read_text())
        time.sleep(0.5)  # in the middle of its cell
        first.kill()

    threading.Thread(target=kill).start()
    told: list[tuple[str, Status]] = []

    def observe(cell: Cell, event: Event) -> None:
        assert isinstance(event, CellResult)
        told.append((cell.nic, event.status))

    made = jobs(tmp_path, 5)
    assert remote.run_jobs(made, observe, cluster.scheduler) is False
    assert sorted(told) == [(f"nic{number}", Status.PASSED) for number in range(5)]
    assert first.wait(10) == -9
    begun = [line.split() for line in cluster.started.read_text().splitlines()]
    lost = {nic for nic, worker in begun if worker == "first"} & {nic for nic, worker in begun if worker == "second"}
    assert len(lost) == 1, "the cell that the dead worker held ran again, and no other"
    assert all((job.folder / "capture.pcapng").read_text() == job.cell.nic for job in made), "evidence came back"


@pytest.mark.parametrize("other", [{"version": "0.0.1"}, {"sources": "00000000"}], ids=["number", "sources"])
def test_a_worker_of_another_version_is_refused(cluster: Cluster, tmp_path: Path, other: dict[str, str]) -> None:
    cluster.worker("old", **other)  # type: ignore[arg-type]
    until(lambda: "Registered to" in (tmp_path / "old.log").read_text())
    with pytest.raises(UsageError, match=r"has harness .*(0\.0\.1|00000000).*, this is"):
        remote.run_jobs(jobs(tmp_path, 1), lambda cell, event: None, cluster.scheduler)


def test_no_scheduler_and_no_worker_are_said(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LabError, match="has no worker"):
        remote.run_jobs(jobs(tmp_path, 1), lambda cell, event: None, cluster.scheduler)
    monkeypatch.setattr(remote, "CONNECT_SECONDS", 1.0)
    with pytest.raises(LabError, match="no Dask scheduler answers"):
        remote.run_jobs([], lambda cell, event: None, parse("tcp://127.0.0.1:9"))


def listening(pid: int) -> set[str]:
    """Local addresses, in hexadecimal, on which a process listens."""
    own = {os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()}
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and f"socket:[{words[9]}]" in own:
                found.add(words[1].partition(":")[0])
    return found


def test_a_worker_listens_on_the_way_to_its_scheduler_alone(cluster: Cluster, tmp_path: Path) -> None:
    worker = cluster.worker("first")
    until(lambda: "Registered to" in (tmp_path / "first.log").read_text())
    assert listening(worker.pid) == {"0100007F"}, "127.0.0.1, and neither 0.0.0.0 nor an address of a network"


def test_hosts_with_the_labs_certificates_run_cells_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys, strange = tmp_path / "keys", tmp_path / "strange"
    certificates.make(keys)
    certificates.make(strange)
    cluster = Cluster(tmp_path, keys)
    try:
        assert cluster.scheduler.protocol == "tls"
        cluster.worker("first", seconds=0.1)
        until(lambda: "Registered to" in (tmp_path / "first.log").read_text())
        told: list[Event] = []
        remote.run_jobs(jobs(tmp_path, 1), lambda cell, event: told.append(event), cluster.scheduler)
        assert [event.status for event in told if isinstance(event, CellResult)] == [Status.PASSED]
        monkeypatch.setattr(remote, "CONNECT_SECONDS", 2.0)
        there = cluster.scheduler
        for other in (Scheduler("tls", there.host, there.port, strange), Scheduler("tcp", there.host, there.port)):
            with pytest.raises(LabError, match="no Dask scheduler answers"):
                remote.run_jobs([], lambda cell, event: None, other)
    finally:
        cluster.end()
