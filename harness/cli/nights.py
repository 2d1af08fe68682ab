"""The commands ``nightly``, ``history``, ``bisect`` and ``matrix``."""

from __future__ import annotations

import contextlib
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from harness import printable
from harness.cli import options as shared
from harness.cli.options import (
    Adapter,
    Certificates,
    Cold,
    ConfigFile,
    Driver,
    Exclude,
    Guests,
    HistoryFile,
    Include,
    Insecure,
    Jobs,
    Json,
    Keyword,
    Nics,
    NoInstall,
    SchedulerAddress,
    Suite,
    Timeout,
)
from harness.errors import EXIT_INTERRUPTED, EXIT_PASSED, LabError, UsageError


def add_to(app: typer.Typer) -> None:
    """Add the commands to the application."""
    for command in (matrix, nightly, history, bisect):
        app.command()(command)


def matrix(
    config: ConfigFile = None,
    guest: Guests = None,
    nic: Nics = None,
    include: Include = None,
    exclude: Exclude = None,
    history_file: HistoryFile = None,
    json: Json = False,
) -> None:
    """Show what a night would run, why cells are skipped, how long it takes, and each cell's latest result."""
    from harness.cli import config as configuration
    from harness.history.store import asked
    from harness.matrix import launch, overview

    settings = configuration.load(config)
    request = shared.request_of(settings, guest=guest, nic=nic, include=include, exclude=exclude, whole=True)
    launch.check(request)
    path = history_file or settings.history
    with contextlib.ExitStack() as stack:
        file = None
        if path.exists():
            try:
                file = stack.enter_context(asked(path))
            except LabError as error:  # it says how long cells take, and no more than that
                _say(f"no estimates: {error.line()}")
        rows = overview.rows(request.planned(), file, overview.records(launch.RUNS))
    if json:
        shared.print_json({"schema": 1, "cells": [row.to_dict() for row in rows]})
    else:
        print("\n".join(map(printable.line, overview.lines(rows))))


def nightly(
    config: ConfigFile = None,
    guest: Guests = None,
    nic: Nics = None,
    driver: Driver = None,
    adapter: Adapter = "",
    suite: Suite = None,
    keyword: Keyword = "",
    include: Include = None,
    exclude: Exclude = None,
    runs: Annotated[Path, typer.Option("--runs", help="Folder of all nights.")] = Path("runs"),
    history_file: HistoryFile = None,
    known: Annotated[Path | None, typer.Option("--known", help="Known failures (TOML).")] = None,
    jobs: Jobs = None,
    timeout: Timeout = 60.0,
    scheduler: SchedulerAddress = "",
    certificates: Certificates = None,
    insecure: Insecure = False,
    cold: Cold = False,
    keep_days: Annotated[int, typer.Option("--keep-days", min=1, help="Keep evidence so long.")] = 30,
    keep_gb: Annotated[float, typer.Option("--keep-gb", min=0.0, help="Keep so much evidence.")] = 20.0,
    units: Annotated[
        Path | None, typer.Option("--units", help="Write systemd units and a CI example to a folder, and end.")
    ] = None,
    no_install: NoInstall = False,
) -> None:
    """Run the matrix, compare with earlier nights, keep history. 1: new failures; 3: verdicts missing; else 0."""
    from dataclasses import replace

    from rich.console import Console

    from harness.cli import config as configuration
    from harness.history import known as known_failures
    from harness.matrix import launch
    from harness.matrix.nightly import examples, keep, night
    from harness.report import markdown
    from harness.report.progress import Watcher

    if units is not None:
        for path in examples.write(units, Path.cwd()):
            print(printable.line(str(path)))
        return
    settings = configuration.load(config)
    request = shared.request_of(
        settings,
        guest=guest,
        nic=nic,
        driver=driver,
        suite=suite,
        keyword=keyword,
        adapter=adapter,
        include=include,
        exclude=exclude,
        jobs=jobs,
        cold=cold,
        whole=True,
    )
    request = replace(request, timeout=timeout)
    excused = known_failures.load(known or settings.known)
    with Watcher(Console(stderr=True)) as watcher:
        done = night.run(
            request,
            launch.Options(scheduler=shared.scheduler_of(scheduler, certificates, insecure)),
            runs=runs,
            history=history_file or (settings.history if config or runs == Path("runs") else runs / "history.sqlite"),
            known=excused,
            bounds=keep.Bounds(keep_days, int(keep_gb * (1 << 30))),
            watcher=watcher,
            now=datetime.now().astimezone(),
        )
    print(markdown.render(done.results, done.comparison))
    print(printable.line(f"report: {done.folder / 'index.html'}"))
    raise typer.Exit(EXIT_INTERRUPTED if done.results.run.interrupted else done.comparison.exit_code())


def history(
    case: Annotated[str, typer.Argument(help="Part of a case's id: show its trend.")] = "",
    config: ConfigFile = None,
    guest: Annotated[str, typer.Option("--guest", help="Only on this guest.")] = "",
    nic: Annotated[str, typer.Option("--nic", help="Only on this NIC.")] = "",
    history_file: HistoryFile = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Lines of each list.")] = 20,
    json: Json = False,
) -> None:
    """First bad run and driver build of what fails, flakes, slowest cases; with a case, its trend."""
    from harness.cli import config as configuration
    from harness.history import answers
    from harness.history.store import asked

    path = history_file or configuration.load(config).history
    if not path.exists():
        raise UsageError(f"there is no history {path} yet", mend="`harness run` and `harness nightly` write it")
    with asked(path) as file:
        answer = answers.collect(file, case=case, guest=guest, nic=nic, limit=limit)
    if json:
        shared.print_json({"schema": 1, **answer})
    else:
        print("\n".join(map(printable.line, answers.lines(answer, case, limit))))


def bisect(
    folder: Annotated[Path, typer.Argument(help="Folder of driver builds (*.sys, or folders with one each).")],
    config: ConfigFile = None,
    guest: Annotated[str, typer.Option("--guest", help="Guest.")] = "wine",
    nic: Annotated[str, typer.Option("--nic", help="NIC model.")] = "virtio-net",
    adapter: Adapter = "",
    suite: Suite = None,
    keyword: Keyword = "",
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Folder of the runs.")] = None,
    json: Json = False,
    no_install: NoInstall = False,
) -> None:
    """Find the first bad driver build of a folder, in the order of their names, by as few runs as it takes."""
    from dataclasses import asdict

    from rich.console import Console

    from harness.cli import config as configuration
    from harness.matrix import bisect as search
    from harness.report.progress import Watcher

    settings = configuration.load(config)
    request = shared.request_of(settings, guest=[guest], nic=[nic], adapter=adapter, suite=suite, keyword=keyword)
    builds = search.builds(folder)
    place = output or Path("runs") / f"bisect-{datetime.now():%Y-%m-%d-%H%M%S}"
    with Watcher(Console(stderr=True)) as watcher:
        found = search.run(request, builds, place, watcher)
    if json:
        shared.print_json({"schema": 1, **asdict(found)})
    else:
        print(printable.line(found.line()))
    raise typer.Exit(EXIT_PASSED)


def _say(text: str) -> None:
    print(printable.line(text), file=sys.stderr)
