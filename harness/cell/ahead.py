"""A worker that is started before its cell is known: it reads its modules while the command line reads its own.

The first cell of a run takes it; every other cell starts a worker for itself. One that nobody takes is ended, and one
that cannot be started is not missed: the cell's own says why.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

from harness import children
from harness.errors import LabError
from harness.lab import namespace

WORKER = "harness.cell.worker"
WAIT = "--wait"  # as in the worker, which is not imported here: that would take the time that is to be saved
COMMANDS = ("run", "nightly", "bisect")
_SETTINGS = ("--help", "-h", "--units", "--scheduler")

_lock = threading.Lock()
_waiting: subprocess.Popen[bytes] | None = None


def begin(arguments: Sequence[str]) -> None:
    """Start a worker if this command line looks like one that runs cells here; call it on a thread that stays."""
    global _waiting
    command = next((word for word in arguments if not word.startswith("-")), "")
    if command not in COMMANDS or any(word.split("=")[0] in _SETTINGS for word in arguments):
        return
    with contextlib.suppress(LabError, OSError):
        _waiting = children.start_worker(
            namespace.command(children.python(WORKER, WAIT)),
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            new_session=True,
        )


def take(job_file: Path, needs: Sequence[Path]) -> subprocess.Popen[bytes] | None:
    """Give the waiting worker its job.

    Args:
        job_file: the job.
        needs: what the worker must reach: it has entered its namespaces without knowing of it.

    Returns:
        the worker, or ``None`` when there is none, or none that would do.
    """
    global _waiting
    if any(path.is_relative_to(namespace.WORK.parent) for path in needs):
        return None
    with _lock:
        worker, _waiting = _waiting, None
    if worker is None or worker.stdin is None:
        return None
    try:
        with worker.stdin as pipe:
            pipe.write(os.fsencode(job_file) + b"\n")
    except OSError:
        _kill(worker)
        return None
    worker.stdin = None  # closed: whoever follows the worker has nothing more to say to it
    return worker


def end() -> None:
    """End the worker that nobody took."""
    global _waiting
    with _lock:
        worker, _waiting = _waiting, None
    if worker is not None:
        _kill(worker)


def _kill(worker: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()
    for pipe in (worker.stdin, worker.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
