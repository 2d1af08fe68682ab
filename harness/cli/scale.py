"""The commands ``worker`` and ``merge``: a run on several hosts, or in several CI jobs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import Insecure, NoInstall, scheduler_of
from harness.errors import UsageError


def add_to(app: typer.Typer) -> None:
    """Add the commands to the application."""
    for command in (worker, merge):
        app.command()(command)


def worker(
    scheduler: Annotated[str, typer.Argument(help="Address of the Dask scheduler: tls://HOST:PORT.")] = "",
    slots: Annotated[int | None, typer.Option("--slots", min=1, help="VMs at once [default: one per core].")] = None,
    resource: Annotated[
        list[str] | None,
        typer.Option("--resource", help="NAME=NUMBER that it has besides: kvm=1, vfio:0000:01:00.0=1."),
    ] = None,
    name: Annotated[str, typer.Option("--name", help="Name of the worker [default: by Dask].")] = "",
    certificates: Annotated[
        Path | None, typer.Option("--certificates", help="Folder of the certificates; made when no scheduler is named.")
    ] = None,
    insecure: Insecure = False,
    no_install: NoInstall = False,
) -> None:
    """Run cells for a scheduler (`dask scheduler`) until it ends, or make the certificates for its hosts."""
    if not scheduler:
        _make_certificates(certificates)
        return
    there = scheduler_of(scheduler, certificates, insecure)
    assert there is not None
    from harness.matrix import remote

    found: dict[str, float] = {}
    for each in resource or ():
        key, _, number = each.rpartition("=")
        if not key or not number.isdigit():
            raise UsageError(f"{each!r} is no resource", mend="write --resource kvm=1")
        found[key] = float(number)
    remote.serve(there, slots or len(os.sched_getaffinity(0)), found, name)


def _make_certificates(folder: Path | None) -> None:
    from harness.matrix import certificates

    if folder is None:
        raise UsageError("no scheduler is named", mend="harness worker tls://HOST:PORT --certificates DIR")
    certificates.make(folder)
    print(f"""certificates for 825 days: {folder} (copy it to each host by a way that you trust)
scheduler:    dask scheduler --protocol tls --host ADDRESS --no-dashboard --tls-ca-file {folder}/ca.pem \\
                  --tls-cert {folder}/scheduler.pem --tls-key {folder}/scheduler.key
each worker:  harness worker tls://ADDRESS:8786 --certificates {folder}
a run:        harness run --scheduler tls://ADDRESS:8786 --certificates {folder}""")


def merge(
    folders: Annotated[list[Path], typer.Argument(help="Folders of the shards' runs.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the merged run.")],
) -> None:
    """Merge the runs of shards into one record with its reports; exits as the whole run would have."""
    from rich.console import Console

    from harness.files import removal
    from harness.matrix import launch
    from harness.matrix import merge as joining
    from harness.report import markdown, table

    results = joining.merge(folders, output)
    launch.reports(results, output)
    removal.write_whole(output / markdown.FILE_NAME, markdown.render(results))
    table.show(results, Console(), output)
    raise typer.Exit(results.exit_code())
