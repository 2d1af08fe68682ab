"""The command ``shell``: a guest with the driver loaded, for a person or for one command."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console

from harness import children
from harness.errors import UsageError
from harness.files import ownership, removal
from harness.matrix import launch
from harness.matrix import run as matrix
from harness.report.progress import Watcher

WORKER = "harness.shell.worker"


def run(request: launch.Request, command: Sequence[str], output: Path | None) -> int:
    """Bring the guest up, and end it when the person or the command has ended.

    Args:
        request: names one cell.
        command: what runs in the guest; none is its interactive command line.
        output: folder that keeps console and capture; ``None`` keeps nothing.

    Returns:
        the exit code: the command's, or why there was no guest.

    Raises:
        UsageError: the request names several cells, or the folder is not empty.
        LabError: the drivers or the image cannot be built.
    """
    launch.check(request)
    cells = request.cells()
    if len(cells) > 1:
        raise UsageError(f"a shell has one guest, not {', '.join(map(str, cells))}", mend="--guest, --nic or --include")
    with _folder(output) as folder:
        with Watcher(Console(stderr=True)) as watcher:  # ends before the terminal is somebody else's
            prepared = launch.prepare(request, watcher)
        job = launch.job_of(request, prepared, cells[0], "shell", folder)
        line = [subprocess.list2cmdline(command)] if command else []
        argv = matrix.command(job.save(), isolated=job.isolated, worker=WORKER)
        with _terminal_restored(), children.start_worker([*argv, *line], stdin=None, stdout=None) as worker:
            return worker.wait()


@contextlib.contextmanager
def _folder(output: Path | None) -> Iterator[Path]:
    if output is None:
        with removal.scratch("harness-shell-") as folder:
            ownership.mark(folder)  # the worker, another process, writes there
            yield folder
        return
    if output.is_dir() and any(path.name != ownership.MARKER for path in output.iterdir()):
        raise UsageError(f"{output} is not empty", mend="name another with -o")
    with ownership.claimed(output) as folder:
        yield folder
    print(f"harness: console and capture: {output}", file=sys.stderr)


@contextlib.contextmanager
def _terminal_restored() -> Iterator[None]:
    """Leave Ctrl-C, which reaches the worker as well, to the worker; one that was killed leaves the terminal raw."""
    before = termios.tcgetattr(0) if os.isatty(0) else None
    handler = signal.signal(signal.SIGINT, lambda _number, _frame: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if before is not None:
            termios.tcsetattr(0, termios.TCSADRAIN, before)
