"""The command ``run``: the suite on every cell, now, by hand or in CI."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

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
    Output,
    SchedulerAddress,
    Shard,
    Suite,
    Timeout,
)
from harness.errors import EXIT_INTERRUPTED

if TYPE_CHECKING:
    from harness.matrix.launch import Options, Request
    from harness.results.record import Results


def add_to(app: typer.Typer, remember: Callable[[Path], None]) -> None:
    """Add the command; ``remember`` is told the run's folder, where an error's traceback goes."""

    @app.command()
    def run(
        config: ConfigFile = None,
        guest: Guests = None,
        nic: Nics = None,
        driver: Driver = None,
        adapter: Adapter = "",
        suite: Suite = None,
        keyword: Keyword = "",
        include: Include = None,
        exclude: Exclude = None,
        output: Output = None,
        json: Json = False,
        jobs: Jobs = None,
        timeout: Timeout = 60.0,
        memory: Annotated[int | None, typer.Option("--memory", min=128, help="Guest memory in MiB.")] = None,
        cold: Cold = False,
        retry: Annotated[bool, typer.Option("--retry", help="Ask once more where the failure allows it.")] = False,
        resume: Annotated[bool, typer.Option("--resume", help="Go on with a killed run in the same folder.")] = False,
        shard: Shard = "1/1",
        scheduler: SchedulerAddress = "",
        certificates: Certificates = None,
        insecure: Insecure = False,
        history_file: HistoryFile = None,
        verifier: Annotated[
            bool, typer.Option("--verifier/--no-verifier", help="Watch the driver in the guest.")
        ] = True,
        driver_verifier: Annotated[
            bool, typer.Option("--driver-verifier", help="Windows guests: Driver Verifier watches the driver.")
        ] = False,
        nic_driver: Annotated[
            Path | None, typer.Option("--nic-driver", help="Windows guests: driver package for the NIC under test.")
        ] = None,
        no_install: NoInstall = False,
    ) -> None:
        """Run the suite on every guest x NIC, and report."""
        from dataclasses import replace

        from harness.cli import config as configuration
        from harness.history import store
        from harness.matrix import launch

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
        )
        if memory:
            request = replace(request, memory_mib=memory)
        request = replace(
            request,
            output=output or settings.output,
            timeout=timeout,
            verifier=verifier,
            windows=replace(
                request.windows,
                driver_verifier=driver_verifier or request.windows.driver_verifier,
                nic_driver=nic_driver.absolute() if nic_driver else request.windows.nic_driver,
            ),
        )
        there = shared.scheduler_of(scheduler, certificates, insecure)
        options = launch.Options(resume=resume, retry=retry, shard=shared.shard(shard), scheduler=there)
        if history_file is not None:
            store.require(history_file)
        # A run into a folder of somebody's choice leaves no other file, unless a history is kept here.
        file = history_file or settings.history
        keeps = history_file is not None or request.output is None or file.exists()
        raise typer.Exit(_run(request, options, file if keeps else None, remember, json=json))


def _run(
    request: Request, options: Options, history: Path | None, remember: Callable[[Path], None], *, json: bool
) -> int:
    from datetime import datetime

    from rich.console import Console

    from harness.matrix import launch
    from harness.report import table
    from harness.report.progress import Watcher
    from harness.results import record

    launch.check(request)
    folder = launch.run_folder(request.output, datetime.now())
    remember(folder)
    with Watcher(Console(stderr=True)) as watcher:
        results = launch.execute(request, folder, watcher, options)
        if history is not None:
            _keep(results, folder, history, watcher)
    if json:
        sys.stdout.write(record.dumps(results))
    else:
        table.show(results, Console(), folder)
    return EXIT_INTERRUPTED if results.run.interrupted else results.exit_code()


def _keep(results: Results, folder: Path, path: Path, watcher: object) -> None:
    """Write the history, and the reports once more with it; a history that cannot be written ends no run."""
    from harness.history.store import opened, tolerated
    from harness.matrix import launch, overview
    from harness.report.progress import Watcher

    assert isinstance(watcher, Watcher)
    with tolerated(watcher.say), opened(path, watcher.say, records=lambda: overview.records(path.parent)) as file:
        file.add(results)
        launch.reports(results, folder, file)
