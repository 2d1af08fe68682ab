"""One night: lock the host, go on where a killed night stopped, run, compare, keep, tell."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from harness import resources
from harness.errors import LabError, UsageError
from harness.history import questions
from harness.history.compare import Comparison, compare
from harness.history.known import Known
from harness.history.store import History, opened, tolerated
from harness.matrix import launch
from harness.matrix.nightly import keep
from harness.matrix.overview import sorted_records
from harness.report import markdown
from harness.report.progress import Watcher
from harness.results.record import FILE_NAME, Results, load, load_run

PREFIX = "nightly-"
RESUME_HOURS = 20.0
"""An unfinished night that is older is not gone on with: the next one has begun."""


@dataclass(frozen=True, slots=True)
class Night:
    """What became of a night."""

    results: Results
    comparison: Comparison
    folder: Path


@contextmanager
def locked(path: Path | None = None) -> Iterator[None]:
    """Hold the host's night: a lock that the kernel drops with the process, however it ends.

    Raises:
        LabError: another night holds it.
    """
    path = path or resources.cache() / "nightly.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise LabError(f"another night runs on this host ({file.read().strip() or 'unknown'})") from error
        file.seek(0)
        file.truncate()
        file.write(f"process {os.getpid()} since {datetime.now(UTC).isoformat(timespec='seconds')}")
        file.flush()
        yield


def run(
    request: launch.Request,
    options: launch.Options,
    *,
    runs: Path,
    history: Path,
    known: tuple[Known, ...],
    bounds: keep.Bounds,
    watcher: Watcher,
    now: datetime,
) -> Night:
    """Run a night, or the rest of one.

    Raises:
        LabError: another night runs, or the lab cannot be prepared.
        UsageError: the request cannot be carried out.
    """
    launch.check(request)
    with locked():
        with opened(history, watcher.say, records=lambda: records(runs)) as file:
            absorb(file, runs, watcher.say)
            seconds, memory = questions.estimates(file), questions.memory(file)
        left = unfinished(runs, now)
        folder = launch.claim(left) if left is not None else _fresh(runs, now)
        options = replace(options, resume=left is not None, retry=True, seconds=seconds, memory=memory)
        options = replace(options, fresh=lambda: _fresh(runs, now))
        results, folder = launch.execute_in(request, folder, watcher, options)
        comparison = compare(results, None, known, now.date())
        with tolerated(watcher.say), opened(history, watcher.say, records=lambda: records(runs)) as file:
            comparison = compare(results, questions.before(file, results.run.id) or None, known, now.date())
            file.add(results, nightly=True)
            launch.reports(results, folder, file)
        (folder / markdown.FILE_NAME).write_text(markdown.render(results, comparison), encoding="utf-8")
        for gone in keep.apply(runs, bounds, now.astimezone(UTC), spare=(folder,)):
            watcher.say(f"evidence of {gone.name} was removed; its record stays")
    return Night(results, comparison, folder)


def records(runs: Path) -> Iterator[Results]:
    """The records of all nights, oldest first."""
    for file in reversed(sorted_records(runs, f"{PREFIX}*")):
        with contextlib.suppress(UsageError):
            yield load(file)


def absorb(history: History, runs: Path, say: Callable[[str], None]) -> None:
    """Take nights into the history that ended between their record and it (a kill at that moment)."""
    known = {row["id"] for row in history.rows("SELECT id FROM run")}
    for file in reversed(sorted_records(runs, f"{PREFIX}*")):
        with contextlib.suppress(UsageError):
            run = load_run(file)
            if run.ended and run.id not in known:
                history.add(load(file), nightly=True)
                say(f"run {run.id} was missing in the history; it is there now")


def unfinished(runs: Path, now: datetime) -> Path | None:
    """The folder of the latest night, when that was killed and is not too old."""
    for file in sorted(runs.glob(f"{PREFIX}*/{FILE_NAME}"), reverse=True):
        try:
            run = load_run(file)
            hours = (now.astimezone(UTC) - datetime.fromisoformat(run.started)).total_seconds() / 3600
        except (UsageError, ValueError, TypeError):
            continue
        return file.parent if (not run.ended or run.interrupted) and hours < RESUME_HOURS else None
    return None


def _fresh(runs: Path, now: datetime) -> Path:
    name = f"{PREFIX}{now:%Y-%m-%d-%H%M%S}"
    for attempt in range(1, 1000):
        folder = runs / (name if attempt == 1 else f"{name}-{attempt}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise UsageError(f"cannot make the run's folder {folder}: {error.strerror}") from error
        return launch.claim(folder)
    raise UsageError(f"no free name for a night in {runs}")
