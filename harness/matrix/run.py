"""Runs cells: each a process of its own, as many at once as asked, handed to a ``concurrent.futures.Executor``.

A cell always answers: with its worker's verdict, or, when the worker died or fell silent, with an inconclusive one
that holds all the cases it had told of.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path

from harness import children
from harness.cell import ahead
from harness.cell.ahead import WORKER
from harness.cell.events import Clock, Event, Note, Phase, decode
from harness.cell.hang import CLOCK_GRACE, Progress
from harness.cell.job import Cell, CellJob
from harness.cell.worker import INTERRUPTED, LOG_FILE, needs
from harness.errors import LabError
from harness.files import digests
from harness.lab import namespace
from harness.matrix.admission import Admission
from harness.results.record import CAPTURE, DAMAGED, PLAN, CaseResult, CellFiles, CellResult
from harness.results.status import Status

SILENCE_LIMIT = 300.0  # seconds without an event; every wait inside a worker has a shorter deadline of its own
_AFTER_A_CASE = 240.0  # seconds for the verdict on a case that used all its time, and for a renewed driver
GRACE = 10.0  # seconds from the request to end to SIGKILL

Observer = Callable[[Cell, Event], None]


def command(job_file: Path, *, isolated: bool, worker: str = WORKER) -> list[str]:
    """The worker's command line, in namespaces of its own when the cell is isolated."""
    plain = children.python(worker, str(job_file))
    if not isolated:
        return plain
    return namespace.command(plain)


class CellProcess:
    """One worker process and what it has told so far."""

    def __init__(
        self, job: CellJob, observer: Observer, *, silence_limit: float = SILENCE_LIMIT, worker: str = WORKER
    ) -> None:
        self.job = job
        self._worker = worker
        self._observer = observer
        self._silence_limit = silence_limit
        self._cases: list[CaseResult] = []
        self._timings: dict[str, float] = {}
        self._phase = "start"
        self._progress = Progress()
        self._process: subprocess.Popen[bytes] | None = None
        self._ended_by = ""
        self._ended_at = 0.0
        self._fell_silent = False
        self._lock = threading.Lock()

    def run(self) -> CellResult:
        """Run the cell to its verdict; once more, from a boot, where it failed on a saved state that is damaged."""
        result = self._attempt()
        if DAMAGED in result.facts and not self._ended_by:
            self._observer(self.job.cell, Note(f"{result.reason}; the cell is run again from a boot"))
            self._cases, self._timings, self._phase, self._progress = [], {}, "start", Progress()
            again = self._attempt()
            result = replace(again, facts={**again.facts, "run again": result.reason})
        self._observer(self.job.cell, result)
        return result

    def _attempt(self) -> CellResult:
        """Start the worker, follow it to its end, and return its verdict."""
        folder = self.job.folder
        started = time.monotonic()
        with (folder / LOG_FILE).open("wb") as log:
            with self._lock:
                if self._ended_by:
                    return self._without_verdict("was never started")
                file = self.job.save()
                fits = self.job.isolated and self._worker == WORKER
                self._process = (fits and ahead.take(file, needs(self.job))) or children.start_worker(
                    command(file, isolated=self.job.isolated, worker=self._worker),
                    stderr=log,
                    new_session=True,  # Ctrl-C reaches the parent alone, which ends its workers in order
                )
            process = self._process
            try:
                verdict = self._follow(process)
            finally:
                self._kill(process)
                assert process.stdout is not None
                process.stdout.close()
        result = verdict or self._without_verdict(_death(process.returncode))
        timings = {**result.timings, "total": round(time.monotonic() - started, 3)}
        identity = {"driver": _digest(self.job.driver), "image": self.job.image}
        return replace(
            result,
            driver=result.driver or self.job.cell.driver or self.job.driver.name,
            timings=timings,
            versions={**identity, **result.versions},
            folder=result.folder or f"cells/{self.job.folder.name}",
            files=_files(self.job.folder),
        )

    def end(self, reason: str) -> None:
        """Ask the worker to end; its cell becomes inconclusive with this reason. Safe from any thread."""
        with self._lock:
            if not self._ended_by:
                self._ended_by, self._ended_at = reason, time.monotonic()
            if self._process is not None and self._process.poll() is None:
                _signal_group(self._process, signal.SIGTERM)

    def is_told_to_end(self) -> bool:
        """Whether ``end`` was called."""
        return bool(self._ended_by)

    def _follow(self, process: subprocess.Popen[bytes]) -> CellResult | None:
        verdict: CellResult | None = None
        for line in self._lines(process):
            try:
                event = decode(line)
            except (ValueError, KeyError, TypeError):
                continue  # a foreign line is in nobody's interest; a missing verdict is noticed below
            self._progress.note(event)
            match event:
                case Phase(name, seconds):
                    self._phase = name
                    if seconds is not None:
                        self._timings[name] = self._timings.get(name, 0.0) + seconds
                case CaseResult():
                    self._cases.append(event)
                case Clock():
                    continue
                case CellResult():
                    verdict = event
                    break  # the last word: what the process does after it is not waited for
            self._observer(self.job.cell, event)
        if verdict is None:
            return None
        # A verdict without cases of its own (an error, an interruption) keeps those that were told before.
        whole = replace(
            verdict, cases=verdict.cases or tuple(self._cases), timings=verdict.timings or dict(self._timings)
        )
        return self._progress.checked(whole)

    def _lines(self, process: subprocess.Popen[bytes]) -> Iterator[bytes]:
        """Lines of the worker's standard output, until it closes it, falls silent, or does not end when told to."""
        assert process.stdout is not None
        buffer = b""
        last = time.monotonic()
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while True:
                running = self._progress.running
                limit = max(self._silence_limit, running.seconds + _AFTER_A_CASE if running is not None else 0.0)
                latest = min(last + limit, self._progress.latest(CLOCK_GRACE))
                deadline = self._ended_at + GRACE if self._ended_by else latest
                remaining = deadline - time.monotonic()
                if not selector.select(timeout=min(1.0, max(0.0, remaining))):
                    if remaining <= 0 and not self._ended_by and time.monotonic() < last + limit:
                        self._progress.overdue = True
                        _signal_group(process, signal.SIGTERM)  # what can still clean up does; ``_kill`` sees to it
                        return
                    if remaining <= 0:
                        self._fell_silent = self._fell_silent or not self._ended_by
                        where = f"in {running.id}" if running is not None else f"during {self._phase}"
                        self.end(f"the worker was silent for {limit:.0f} s {where}")
                        return
                    continue
                chunk = os.read(process.stdout.fileno(), 1 << 16)
                if not chunk:
                    return
                last = time.monotonic()
                *lines, buffer = (buffer + chunk).split(b"\n")
                yield from lines

    def _kill(self, process: subprocess.Popen[bytes]) -> None:
        """See the process end: at once when it has closed its output, by SIGKILL when it has not."""
        if not self._ended_by:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE)
        if process.poll() is None:
            _signal_group(process, signal.SIGKILL)
        process.wait()

    def _without_verdict(self, how: str) -> CellResult:
        running = self._progress.running
        where = f"in {running.id}" if running is not None else f"during {self._phase}"
        reason = self._ended_by or f"the worker {how} {where}, before its verdict"
        log = self.job.folder / LOG_FILE
        tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:] if log.exists() else []
        result = CellResult(
            self.job.cell.guest,
            self.job.cell.nic,
            Status.INCONCLUSIVE,
            reason=reason,
            fault="lab",
            timings=dict(self._timings),
            cases=tuple(self._cases),
            detail="\n".join(tail),
            evidence={"log": LOG_FILE},
        )
        asked = bool(self._ended_by) and not self._fell_silent
        how = "fell silent" if self._fell_silent else how
        return self._progress.ended(result, self.job.folder, how, asked=asked)


def _files(folder: Path) -> tuple[CellFiles, ...]:
    """Plan and capture that a cell left, with their digests."""
    files = CellFiles(f"cells/{folder.name}", digests.of_file(folder, PLAN), digests.of_file(folder, CAPTURE))
    return (files,) if files.plan or files.capture else ()


def _digest(driver: Path) -> str:
    try:
        return hashlib.sha256(driver.read_bytes()).hexdigest()[:16]
    except OSError:
        return ""


def _death(returncode: int) -> str:
    number = -returncode if returncode < 0 else returncode - 128  # a wrapper ends with 128 + the signal's number
    with contextlib.suppress(ValueError):
        return f"was killed by {signal.Signals(number).name}"
    return f"ended with exit code {returncode}"


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Signal the worker's whole session: the wrapper that holds the namespaces need not pass signals on."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def run_cells(
    jobs: Sequence[CellJob],
    observer: Observer,
    *,
    at_once: int,
    executor: Executor | None = None,
    admission: Admission | None = None,
) -> tuple[tuple[CellResult, ...], bool]:
    """Run all jobs in this order, at most ``at_once`` at the same time and as many as ``admission`` lets in.

    ``KeyboardInterrupt`` ends the running cells in order and starts no other; each then has a verdict all the same.

    Returns:
        the results in the order of the jobs, and whether the run was interrupted.
    """
    processes = [CellProcess(job, observer) for job in jobs]
    own = executor or ThreadPoolExecutor(max_workers=max(1, at_once), thread_name_prefix="cell")
    interrupted = False
    try:
        futures: list[Future[CellResult]] = [own.submit(_admitted, process, admission) for process in processes]
        while True:
            try:
                wait(futures)
                break
            except KeyboardInterrupt:
                interrupted = True
                for process in processes:
                    process.end(INTERRUPTED)
        return tuple(future.result() for future in futures), interrupted
    finally:
        if executor is None:
            own.shutdown(wait=True)


def _admitted(process: CellProcess, admission: Admission | None) -> CellResult:
    if admission is None:
        return process.run()
    try:
        with admission.admitted(process.job, process.is_told_to_end):
            return process.run()
    except LabError as error:
        process.end(error.line())
        return process.run()
