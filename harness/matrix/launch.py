"""One run from request to reports: checks it, prepares what all cells share, runs the cells, writes the folder."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from harness import resources
from harness.cell import adapter_names, cell_files, identity, suite_settings
from harness.cell.events import Event
from harness.cell.job import Cell, CellJob, HostLab
from harness.errors import UsageError, writing
from harness.files import ownership
from harness.guests import catalogue
from harness.guests.windows.options import WindowsOptions
from harness.history.store import History
from harness.matrix import retry
from harness.matrix.admission import RESERVE_MIB, Admission, available_mib, longest_first, need_mib
from harness.matrix.ledger import PLAN_FILE, Ledger, begin, digest, finished, recorded
from harness.matrix.run import run_cells
from harness.matrix.scheduler import Scheduler
from harness.matrix.select import Planned, Requirement, chosen, plan
from harness.report import facts, html, junit
from harness.report.progress import Watcher
from harness.results.record import FILE_NAME, CellResult, Results, RunInfo, load_run, write
from harness.results.status import Status
from harness.setup import doctor

RUNS = Path("runs")


@dataclass(frozen=True, slots=True)
class Request:
    """What a user asked for; names are checked, paths exist or are to be made.

    Args:
        guests, nics: names; "default" among NICs stands for the default matrix.
        driver: the ``.sys`` under test; ``None`` builds the sample driver.
        drivers: several builds by label in its place; the cells are all triples then.
        include, exclude, require: which of them run (``harness.matrix.select``).
        suite: test files or folders; empty takes the regression suite.
        pytest_args: further arguments for pytest in every cell.
        output: the run's folder; ``None`` makes a dated one under ``runs/``.
        jobs: cells at the same time; ``None`` takes the number of cores.
        memory_mib, states_gib, host, cold, adapter, windows, timeout: as in ``CellJob``.
    """

    guests: tuple[str, ...]
    nics: tuple[str, ...]
    driver: Path | None = None
    suite: tuple[Path, ...] = ()
    pytest_args: tuple[str, ...] = ()
    output: Path | None = None
    jobs: int | None = None
    memory_mib: int | None = None
    states_gib: int = 6
    host: HostLab | None = None
    cold: bool = False
    verifier: bool = True
    adapter: str = ""
    drivers: dict[str, Path] = field(default_factory=dict)
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    require: tuple[Requirement, ...] = ()
    windows: WindowsOptions = field(default_factory=WindowsOptions)
    timeout: float = 60.0

    def all_cells(self) -> list[Cell]:
        """All pairs, or triples, guest by guest, each once; filtered or not."""
        names = [(guest, nic) for guest in self.guests for nic in catalogue.expand_nics(self.nics)]
        return list(dict.fromkeys(Cell(*pair, label) for pair in names for label in self.drivers or ("",)))

    def planned(self) -> list[Planned]:
        """Every cell, and why it is skipped."""
        known = facts.requirable() if self.require else {}
        return plan(self.all_cells(), self.include, self.exclude, self.require, known)

    def cells(self) -> list[Cell]:
        """The cells that run.

        Raises:
            UsageError: the filters leave none.
        """
        return chosen(self.planned())


def check(request: Request) -> None:
    """See that the request can be carried out, before anything is built or started.

    Raises:
        UsageError: an unknown guest or NIC, a path that does not exist, no such adapter, or filters that leave no cell.
    """
    for name in request.guests:
        catalogue.check_guest(name)
    for name in catalogue.expand_nics(request.nics):
        catalogue.check_nic(name)
    if request.driver is not None and request.drivers:
        raise UsageError("both `driver` and `drivers` are given", mend="leave one out")
    for label, path in request.drivers.items():
        if not path.is_file():
            raise UsageError(f"no such driver file: {path} ({label})")
    request.cells()
    if request.driver is not None and not request.driver.is_file():
        raise UsageError(f"no such driver file: {request.driver}")
    catalogue.check_windows(request.windows, request.guests)
    if request.adapter:
        adapter_names.find(request.adapter)
    _check_suites(request.suite)


def _check_suites(suites: tuple[Path, ...]) -> None:
    for path in suites:
        if not Path(str(path).split("::", 1)[0]).exists():
            raise UsageError(f"no such suite: {path}")
    if same := identity.same_file(suites):
        raise UsageError(f"{same[0]} and {same[1]} are the same file", mend="name it once, and not by a link")


def run_folder(output: Path | None, now: datetime) -> Path:
    """Make the run's folder and hold it until this process ends.

    Raises:
        UsageError: the folder holds something else than an earlier run, another process works in it, or it cannot be
            made.
    """
    try:
        if output is not None:
            return claim(output)
        for attempt in range(1, 1000):
            folder = RUNS / (now.strftime("%Y-%m-%d-%H%M%S") + (f"-{attempt}" if attempt > 1 else ""))
            try:
                folder.mkdir(parents=True)
            except FileExistsError:
                continue
            return claim(folder)
    except OSError as error:
        raise UsageError(f"cannot make the run's folder {error.filename}: {error.strerror}") from error
    raise UsageError("no free name for the run's folder", mend="name one with -o")


def claim(folder: Path) -> Path:
    """Hold a run's folder until this process ends; gives its absolute path.

    A folder that holds an earlier run is used again; those of older versions have no marker, but a record.

    Raises:
        UsageError: the folder holds something else, another process works in it, or it cannot be made.
    """
    return ownership.claim(folder, ours=holds_run)


def holds_run(folder: Path) -> bool:
    """Whether there is a record of a run in the folder."""
    try:
        load_run(folder / FILE_NAME)
    except UsageError:
        return False
    return True


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
    from harness.driver_build import build as drivers

    built = drivers.build(say=watcher.say)
    images = {name: catalogue.prepare_guest(name, watcher.say) for name in dict.fromkeys(request.guests)}
    keys = {"drivers": built.key} | {f"image {name}": key for name, key in images.items()}
    driver = request.driver.absolute() if request.driver else built.wsksend_sys
    return Prepared(driver, built.wskctl_exe, keys, images, built.verifier_sys if request.verifier else None)


@dataclass(frozen=True, slots=True)
class Options:
    """How a run is carried out, which changes no verdict.

    Args:
        resume: go on with a run of the same plan in the same folder, of which only what has no verdict runs.
        retry: ask once more where the class of a failure allows it (``harness.matrix.retry``).
        shard: (i, n): only every n-th cell, from the i-th (from 1) on.
        scheduler: a Dask scheduler; none runs the cells here.
        seconds, memory: estimates by guest and NIC: seconds of a cell, MiB of its QEMU.
        fresh: makes another folder when the one to go on in holds a run of another plan, or one that has ended.
    """

    resume: bool = False
    retry: bool = False
    shard: tuple[int, int] = (1, 1)
    scheduler: Scheduler | None = None
    seconds: Mapping[tuple[str, str], float] = field(default_factory=dict)
    memory: Mapping[tuple[str, str], int] = field(default_factory=dict)
    fresh: Callable[[], Path] | None = None


class _Platform:
    """What the run runs on, looked up beside its start: asking every tool takes longer than starting the first cell."""

    def __init__(self) -> None:
        self._seen: dict[str, dict[str, str]] = {}
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)  # of this thread, and of the tools that it asks
        self._seen.update(host=facts.host(), versions=facts.versions())

    def end(self) -> None:
        """See the tools end that were asked."""
        self._thread.join()

    def note(self, ledger: Ledger, run: RunInfo, keys: dict[str, str]) -> RunInfo:
        """Put it into the record."""
        self._thread.join()
        ledger.run = replace(run, host=self._seen["host"], versions=self._seen["versions"] | keys)
        return ledger.run

    def noted(self, ledger: Ledger, run: RunInfo, keys: dict[str, str]) -> Callable[[Cell, CellResult], None]:
        """Takes results into the record, with what the run runs on once the first of them is there."""

        def add(cell: Cell, result: CellResult) -> None:
            self.note(ledger, run, keys)
            ledger.add(cell, result)

        return add


def execute(request: Request, folder: Path, watcher: Watcher, options: Options | None = None) -> Results:
    """Carry the request out and write ``results.json`` and the reports into ``folder``; see ``execute_in``."""
    return execute_in(request, folder, watcher, options or Options())[0]


def execute_in(request: Request, folder: Path, watcher: Watcher, options: Options) -> tuple[Results, Path]:
    """Carry the request out; gives the results and the folder, which is another one when the run could not go on there.

    The record is written after every cell, so that a run which is killed leaves what it knew.

    Raises:
        UsageError: nothing is left to run.
        LabError: the drivers or an image cannot be built, the scheduler is not there, or the folder's disk is full.
    """
    planned = request.planned()
    for line in suite_settings.unread(path.absolute() for path in request.suite):
        watcher.say(line)
    platform = _Platform()
    try:
        with writing(folder):
            return _execute(request, planned, folder, watcher, options, platform)
    finally:
        platform.end()


def _execute(
    request: Request,
    planned: Sequence[Planned],
    folder: Path,
    watcher: Watcher,
    options: Options,
    platform: _Platform,
) -> tuple[Results, Path]:
    started = datetime.now(UTC)
    cells, shard = _share(planned, *options.shard)
    run = RunInfo(f"{started:%Y%m%dT%H%M%SZ}-{os.getpid()}", started.isoformat(timespec="seconds"), shard=shard)
    if not options.resume:
        write(Results(run, ()), folder)
    begun = time.monotonic()
    if request.host is None and not options.scheduler:
        doctor.require_lab()
    prepared = prepare(request, watcher)
    if time.monotonic() - begun > 1.0:
        watcher.say(f"driver and images are ready after {time.monotonic() - begun:.1f} s")
    jobs = [job_of(request, prepared, cell, run.id, _place(folder, cell)) for cell in cells]
    made_of = digest(jobs)
    before = recorded(folder, made_of, ended=options.fresh is None) if options.resume else None
    if options.resume and before is None and (folder / PLAN_FILE).exists():
        if options.fresh is None:
            mend = "ask for what it was begun with, or leave out --resume to begin anew"
            raise UsageError(f"the run in {folder} is one of other cells, suite, driver or image", mend=mend)
        folder = options.fresh()
        jobs = [job_of(request, prepared, cell, run.id, _place(folder, cell)) for cell in cells]
    if before is not None:
        run = replace(before.run, ended="", interrupted=False)
        jobs = [replace(job, run_id=run.id) for job in jobs]
    ledger = _ledger(run, planned, cells, folder, before)
    rest = [job for job in jobs if ledger.get(job.cell) is None]
    if before is not None:
        watcher.say(f"going on with run {run.id}: {len(jobs) - len(rest)} of {len(jobs)} cells are done")
    begin(folder, made_of)
    for job in rest:
        cell_files.clear(job.folder)
    interrupted = _run(rest, request, options, platform.noted(ledger, run, prepared.keys), watcher)
    run = platform.note(ledger, run, prepared.keys)
    if options.retry and not interrupted:
        interrupted = _again(jobs, request, options, ledger, watcher)
    ended = datetime.now(UTC).isoformat(timespec="seconds")
    ledger.run = replace(ledger.run, ended=ended, interrupted=interrupted)
    results = ledger.results()
    write(results, folder)
    reports(results, folder)
    return results, folder


def _share(planned: Sequence[Planned], index: int, count: int) -> tuple[list[Cell], str]:
    """The cells of a shard, and its name in the record; that of a whole run is empty."""
    cells = chosen(planned)[index - 1 :: count]
    if not cells:
        raise UsageError(f"shard {index} of {count} has no cell", mend="use fewer shards")
    return cells, f"{index}/{count}" if count > 1 else ""


def _ledger(
    run: RunInfo, planned: Sequence[Planned], cells: Sequence[Cell], folder: Path, before: Results | None
) -> Ledger:
    """The record with what is known already: cells that are skipped, and those of a run that goes on."""
    done = {
        each.cell: CellResult(each.cell.guest, each.cell.nic, Status.SKIPPED, each.skip, driver=each.cell.driver)
        for each in planned
        if each.skip
    }
    if before is not None:
        for cell in cells:
            for result in before.cells:
                if result.folder == f"cells/{cell.name}" and finished(result):
                    done[cell] = result
    order = [each.cell for each in planned if each.skip or each.cell in cells]
    return Ledger(run, order, folder, done)


def _run(
    jobs: Sequence[CellJob],
    request: Request,
    options: Options,
    add: Callable[[Cell, CellResult], None],
    watcher: Watcher,
) -> bool:
    """Run the jobs, longest first, each result given to ``add``; gives whether the run was interrupted."""

    def observe(cell: Cell, event: Event) -> None:
        watcher.observe(cell, event)
        if isinstance(event, CellResult):
            add(cell, event)

    if not jobs:
        return False
    ordered = longest_first(jobs, options.seconds)
    if options.scheduler:
        from harness.matrix import remote  # late: Dask is an extra

        return remote.run_jobs(ordered, observe, options.scheduler)
    at_once = request.jobs or len(os.sched_getaffinity(0))
    room = Admission(available_mib() - RESERVE_MIB, lambda job: _need(job, options))
    return run_cells(ordered, observe, at_once=at_once, admission=room)[1]


def _again(jobs: Sequence[CellJob], request: Request, options: Options, ledger: Ledger, watcher: Watcher) -> bool:
    """Ask once more for the verdicts that may be; both attempts stay in the record."""
    second: list[CellJob] = []
    first: dict[Cell, CellResult] = {}
    for job in jobs:
        result = ledger.get(job.cell)
        ids = retry.wanted(result) if result is not None else None
        if result is None or ids is None:
            continue
        first[job.cell] = result
        folder = job.folder.with_name(f"{job.folder.name}--retry")
        folder.mkdir(parents=True, exist_ok=True)
        cell_files.clear(folder)
        second.append(replace(job, folder=folder, only=ids))
    if not second:
        return False
    watcher.say(f"running again: {', '.join(str(job.cell) for job in second)}")

    def add(cell: Cell, result: CellResult) -> None:
        ledger.add(cell, retry.merged(first[cell], result))

    return _run(second, request, options, add, watcher)


def _need(job: CellJob, options: Options) -> int:
    return need_mib(job, options.memory, catalogue.memory_mib(job.cell.guest))


def reports(results: Results, folder: Path, history: History | None = None) -> None:
    """Make every report that is made from the record, with trends where there is a history."""
    junit.write(results, folder)
    html.write(results, folder, history)


def _place(folder: Path, cell: Cell) -> Path:
    """The cell's own folder, made."""
    place = folder / "cells" / cell.name
    for path in (place.parent, place):
        if path.is_symlink():
            raise UsageError(f"{path} is a link, through which nothing is written", mend="name another folder with -o")
        try:
            path.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            raise UsageError(f"{path} is no folder", mend="name another folder with -o") from None
    return place


def job_of(request: Request, prepared: Prepared, cell: Cell, run_id: str, folder: Path) -> CellJob:
    """The job of a cell; ``folder`` is its own, and exists."""
    suite = tuple(path.absolute() for path in request.suite) or (resources.suite(),)
    return CellJob(
        cell=cell,
        run_id=run_id,
        folder=folder,
        image=prepared.images[cell.guest],
        driver=request.drivers[cell.driver].absolute() if cell.driver else prepared.driver,
        relay=prepared.relay,
        verifier=prepared.verifier,
        suite=suite,
        pytest_args=request.pytest_args,
        memory_mib=request.memory_mib,
        states_gib=request.states_gib,
        host=request.host,
        cold=request.cold,
        adapter=adapter_names.absolute(request.adapter),
        windows=request.windows,
        timeout=request.timeout,
        names=tuple(identity.prefix(path, Path.cwd()) for path in suite),
    )
