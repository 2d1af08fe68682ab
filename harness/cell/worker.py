"""The process of one cell: enters its namespaces, runs the session, and tells its parent what happens.

Started as ``python -m harness.cell.worker CELL.json``, wrapped by ``harness.lab.namespace.command``; with ``--wait``
in place of the file it makes itself ready and reads the file's path from standard input. Its standard output belongs to
the protocol (``harness.cell.events``); whatever else prints goes to standard error, which is kept as ``worker.log``.
Exit code 0 means that the last line was the cell's verdict.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from harness import resources
from harness.cell import adapter_names, modules
from harness.cell.events import encode
from harness.cell.job import CellJob
from harness.errors import Failure, HarnessError, Interrupted, UsageError, interruption, writing
from harness.lab import namespace
from harness.results.record import CellResult
from harness.results.status import Status

if TYPE_CHECKING:
    from harness.cell.start import Ready

INTERRUPTED = "interrupted"
LOG_FILE = "worker.log"
WAIT = "--wait"

Emit = Callable[[dict[str, Any]], None]


def session(job: CellJob, emit: Emit, conduct: Callable[[CellJob, Ready], None] | None = None) -> CellResult:
    """Enter the lab's namespaces when the cell has its own, and run it; ``conduct`` takes the suite's place.

    The imports come late on purpose: only a worker enters, and what the session imports must find the namespaces.
    """
    if job.isolated and not namespace.is_inside():
        namespace.enter(keep=(*_own(), *needs(job)))
    from harness.cell.run import run_cell

    return run_cell(job, emit, conduct) if conduct else run_cell(job, emit)


def needs(job: CellJob) -> tuple[Path, ...]:
    """Files and folders of a job that its worker must reach."""
    more = (job.verifier, adapter_names.file_of(job.adapter), job.windows.nic_driver)
    return (job.folder, *job.suite, job.driver, job.relay, *(path for path in more if path))


def _own() -> tuple[Path, ...]:
    return resources.PACKAGE, resources.root(), Path(sys.prefix), resources.cache()


def _awaited() -> Path | None:
    """Make ready and wait for the job's file; ``None`` when there is none to come.

    Standard error goes to the cell's log from then on, and what the cell starts finds no pipe on standard input.
    """
    namespace.enter(keep=_own())
    import harness.cell.run  # noqa: F401  (what takes the time)

    line = sys.stdin.buffer.readline()
    if not line.endswith(b"\n"):
        return None
    path = Path(os.fsdecode(line[:-1]))
    for target, descriptor in ((os.devnull, 0), (path.with_name(LOG_FILE), 2)):
        opened = os.open(target, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.dup2(2, 1)
    return path


def verdict(job: CellJob, emit: Emit, run: Callable[[CellJob, Emit], CellResult] = session) -> CellResult:
    """Run the cell and make every way in which it can end a ``CellResult``."""
    try:
        with writing(job.folder):
            return run(job, emit)
    except KeyboardInterrupt:
        return _ended(job, "lab", INTERRUPTED)
    except HarnessError as error:
        if interruption(error):
            return _ended(job, "lab", INTERRUPTED)
        fault = "user" if isinstance(error, UsageError) else "driver" if isinstance(error, Failure) else "lab"
        return _ended(job, fault, error.line(), error.detail)
    except Exception as error:  # the boundary of the process: nothing above it could tell the parent
        if interruption(error):  # pytest itself can stumble over one
            return _ended(job, "lab", INTERRUPTED)
        with contextlib.suppress(OSError):  # the log's disk may be what is full
            traceback.print_exc()
        where = traceback.extract_tb(error.__traceback__)[-1]
        what = f"error in the harness: {type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"
        return _ended(job, "harness", what, traceback.format_exc())


def _ended(job: CellJob, fault: str, reason: str, detail: str = "") -> CellResult:
    status = Status.FAILED if fault == "driver" else Status.INCONCLUSIVE
    return CellResult(job.cell.guest, job.cell.nic, status, reason=reason, fault=fault, detail=detail)


def _private_stdout() -> Callable[[dict[str, Any]], None]:
    """Keep the real standard output for events and send everything else that prints to standard error."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    lock = threading.Lock()

    def emit(event: dict[str, Any]) -> None:
        with lock:
            channel.write(json.dumps(event, ensure_ascii=True) + "\n")
            channel.flush()

    return emit


def _interrupt(_signal: int, _frame: object) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: the clean-up must not be interrupted again
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    raise Interrupted


def main(arguments: list[str]) -> int:
    """Run the cell that the file named by the first argument describes, or the one that is waited for."""
    emit = _private_stdout()
    modules.prefer_own()
    modules.add_users_folders(Path.cwd())
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as under nohup
        signal.signal(signal.SIGHUP, _interrupt)
    path = _awaited() if arguments[0] == WAIT else Path(arguments[0])
    if path is None:
        return 0
    job = CellJob.from_json(path.read_text(encoding="utf-8"))
    emit(encode(verdict(job, emit)))
    if any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread()):
        with contextlib.suppress(Exception):  # a test may have put anything in their place
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(0)  # Python would wait for a test's thread that never ends; everything else has ended
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
