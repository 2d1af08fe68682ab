"""One run from request to reports: checks it, prepares what all cells share, runs the cells, writes the folder."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from harness import resources
from harness.errors import UsageError
from harness.matrix import catalogue
from harness.matrix.cells import Cell, CellJob, HostLab
from harness.matrix.events import Event
from harness.matrix.run import Observer, run_cells
from harness.report import facts, html, junit
from harness.report.progress import Watcher
from harness.report.results import FILE_NAME, CellResult, Results, RunInfo, write

RUNS = Path("runs")


@dataclass(frozen=True, slots=True)
class Request:
    """What a user asked for; names are checked, paths exist or are to be made.

    Args:
        guests, nics: names; the cells are all pairs.
        driver: the ``.sys`` under test; ``None`` builds the sample driver.
        suite: test files or folders; empty takes the regression suite.
        pytest_args: further arguments for pytest in every cell.
        output: the run's folder; ``None`` makes a dated one under ``runs/``.
        jobs: cells at the same time; ``None`` takes the number of cores.
        memory_mib, host, cold: as in ``CellJob``.
    """

    guests: tuple[str, ...]
    nics: tuple[str, ...]
    driver: Path | None = None
    suite: tuple[Path, ...] = ()
    pytest_args: tuple[str, ...] = ()
    output: Path | None = None
    jobs: int | None = None
    memory_mib: int | None = None
    host: HostLab | None = None
    cold: bool = False
    verifier: bool = True

    def cells(self) -> list[Cell]:
        """All pairs, guest by guest, each once."""
        return list(dict.fromkeys(Cell(guest, nic) for guest in self.guests for nic in self.nics))


def check(request: Request) -> None:
    """See that the request can be carried out, before anything is built or started.

    Raises:
        UsageError: an unknown guest or NIC, or a path that does not exist.
    """
    for name in request.guests:
        catalogue.check_guest(name)
    for name in request.nics:
        catalogue.check_nic(name)
    if request.driver is not None and not request.driver.is_file():
        raise UsageError(f"no such driver file: {request.driver}")
    for path in request.suite:
        if not Path(str(path).split("::", 1)[0]).exists():
            raise UsageError(f"no such suite: {path}")


def run_folder(output: Path | None, now: datetime) -> Path:
    """Make the run's folder; one that holds an earlier run is used again, any other must be empty.

    Raises:
        UsageError: the folder holds something else, or cannot be made.
    """
    try:
        if output is not None:
            output.mkdir(parents=True, exist_ok=True)
            if any(output.iterdir()) and not (output / FILE_NAME).is_file():
                raise UsageError(f"{output} is not empty and not the folder of a run", mend="name another with -o")
            return output.absolute()
        for attempt in range(1, 1000):
            folder = RUNS / (now.strftime("%Y-%m-%d-%H%M%S") + (f"-{attempt}" if attempt > 1 else ""))
            try:
                folder.mkdir(parents=True)
            except FileExistsError:
                continue
            return folder.absolute()
    except OSError as error:
        raise UsageError(f"cannot make the run's folder {error.filename}: {error.strerror}") from error
    raise UsageError("no free name for the run's folder", mend="name one with -o")


@dataclass(frozen=True, slots=True)
class Prepared:
    """What all cells of a run share, decided once: a worker takes these and looks for nothing newer.

    Args:
        driver: the ``.sys`` under test.
        relay: ``wskctl.exe``.
        keys: of drivers and images, for the record.
        images: key of each guest's image.
        verifier: ``verifier.sys``; ``None`` leaves drivers unwatched.
    """

    driver: Path
    relay: Path
    keys: dict[str, str]
    images: dict[str, str]
    verifier: Path | None = None


def prepare(request: Request, watcher: Watcher) -> Prepared:
    """Build what the cells share, the drivers and the guests' images, unless their caches have them."""
    from harness.drivers import build as drivers

    built = drivers.build()
    images = {name: catalogue.prepare_guest(name, watcher.say) for name in dict.fromkeys(request.guests)}
    keys = {"drivers": built.key} | {f"image {name}": key for name, key in images.items()}
    driver = request.driver.absolute() if request.driver else built.wsksend_sys
    return Prepared(driver, built.wskctl_exe, keys, images, built.verifier_sys if request.verifier else None)


def execute(request: Request, folder: Path, watcher: Watcher) -> Results:
    """Carry the request out and write ``results.json``, ``junit.xml`` and ``index.html`` into ``folder``.

    The record is written after every cell, so that a run which is killed leaves what it knew.
    """
    started = datetime.now(UTC)
    run = RunInfo(id=f"{started:%Y%m%dT%H%M%SZ}-{os.getpid()}", started=started.isoformat(timespec="seconds"))
    write(Results(run, ()), folder)
    facts_seen: dict[str, dict[str, str]] = {}
    looking = threading.Thread(target=lambda: facts_seen.update(host=facts.host(), versions=facts.versions()))
    looking.start()
    begun = time.monotonic()
    prepared = prepare(request, watcher)
    if time.monotonic() - begun > 1.0:
        watcher.say(f"driver and images are ready after {time.monotonic() - begun:.1f} s")
    jobs = [_job(request, prepared, cell, run.id, folder) for cell in request.cells()]
    looking.join()
    run = replace(run, host=facts_seen["host"], versions=facts_seen["versions"] | prepared.keys)
    done: dict[Cell, CellResult] = {}
    observer = _recording(run, [job.cell for job in jobs], done, folder, watcher.observe)
    at_once = request.jobs or len(os.sched_getaffinity(0))
    cells, interrupted = run_cells(jobs, observer, at_once=at_once)
    ended = datetime.now(UTC).isoformat(timespec="seconds")
    results = Results(replace(run, ended=ended, interrupted=interrupted), cells)
    write(results, folder)
    reports(results, folder)
    return results


def reports(results: Results, folder: Path) -> None:
    """Make every report that is made from the record."""
    junit.write(results, folder)
    html.write(results, folder)


def _job(request: Request, prepared: Prepared, cell: Cell, run_id: str, folder: Path) -> CellJob:
    place = folder / "cells" / cell.name
    place.mkdir(parents=True, exist_ok=True)
    for old in place.iterdir():  # of an earlier run in the same folder: stale evidence is worse than none
        if old.is_file():
            old.unlink()
    return CellJob(
        cell=cell,
        run_id=run_id,
        folder=place,
        image=prepared.images[cell.guest],
        driver=prepared.driver,
        relay=prepared.relay,
        verifier=prepared.verifier,
        suite=tuple(path.absolute() for path in request.suite) or (resources.suite(),),
        pytest_args=request.pytest_args,
        memory_mib=request.memory_mib,
        host=request.host,
        cold=request.cold,
    )


def _recording(
    run: RunInfo, order: Sequence[Cell], done: dict[Cell, CellResult], folder: Path, observer: Observer
) -> Observer:
    """An observer that also keeps the record on disk up to date, cell by cell."""
    lock = threading.Lock()

    def observe(cell: Cell, event: Event) -> None:
        observer(cell, event)
        if isinstance(event, CellResult):
            with lock:
                done[cell] = event
                write(Results(run, tuple(done[each] for each in order if each in done)), folder)

    return observe
