"""Options that several commands share, and how a run's request is made of them and of ``harness.toml``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.cli.config import Config
    from harness.matrix.launch import Request
    from harness.matrix.scheduler import Scheduler

NoInstall = Annotated[bool, typer.Option("--no-install", help="Install nothing: say what is missing and end.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
Output = Annotated[Path | None, typer.Option("-o", "--output", help="Folder of the run [default: runs/DATE].")]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="Configuration [default: harness.toml, if there].")]
Guests = Annotated[list[str] | None, typer.Option("--guest", help="Guest; may be given several times.")]
Nics = Annotated[
    list[str] | None, typer.Option("--nic", help="NIC model, or `default` for the default matrix; several times.")
]
Include = Annotated[list[str] | None, typer.Option("--include", help="Only cells that match; several times.")]
Exclude = Annotated[list[str] | None, typer.Option("--exclude", help="No cell that matches; several times.")]
Driver = Annotated[Path | None, typer.Option("--driver", help="The .sys under test [default: the sample].")]
Suite = Annotated[list[Path] | None, typer.Option("--suite", help="Test file or folder [default: regression suite].")]
Keyword = Annotated[str, typer.Option("-k", help="Only cases whose names match, as pytest has it.")]
Timeout = Annotated[
    float,
    typer.Option("--timeout", min=1.0, help="Seconds that a case may take, unless its marker says otherwise."),
]
Jobs = Annotated[int | None, typer.Option("--jobs", min=1, help="Cells at once [default: one per core].")]
Adapter = Annotated[str, typer.Option("--adapter", help="Who drives it: module:Class or file.py:Class.")]
Cold = Annotated[bool, typer.Option("--cold", help="Boot every guest; use and keep no saved state.")]
SchedulerAddress = Annotated[
    str, typer.Option("--scheduler", help="Dask scheduler (tls://HOST:PORT) to run the cells.")
]
Certificates = Annotated[Path | None, typer.Option("--certificates", help="With tls://: folder of the certificates.")]
Insecure = Annotated[bool, typer.Option("--insecure", help="Use plain tcp:// to another host, unprotected.")]
HistoryFile = Annotated[Path | None, typer.Option("--history", help="History file [default: runs/history.sqlite].")]
Shard = Annotated[str, typer.Option("--shard", help="I/N: only every N-th cell, from the I-th on.")]


def scheduler_of(address: str, certificates: Path | None, insecure: bool) -> Scheduler | None:
    """The scheduler that the options name; ``None`` when the cells run here.

    Raises:
        UsageError: it is no address, or the way there is not protected.
    """
    from harness.matrix import scheduler

    if address:
        return scheduler.parse(address, certificates, insecure=insecure)
    if certificates is not None or insecure:
        raise UsageError("--certificates and --insecure belong to --scheduler", mend="name the scheduler, too")
    return None


def shard(text: str) -> tuple[int, int]:
    """Read a shard ("2/3") as two numbers.

    Raises:
        UsageError: it is no shard.
    """
    from harness.results import reading  # late: `harness --help` reads no record

    return reading.shard_of(text, "--shard")


def selection(settings: Config, include: list[str] | None, exclude: list[str] | None) -> dict[str, Any]:
    """The parts of a request that choose cells and builds, from the configuration and the options."""
    from harness.matrix.select import Requirement

    return {
        "drivers": settings.drivers,
        "include": tuple(include or settings.include),
        "exclude": (*settings.exclude, *(exclude or ())),
        "require": tuple(Requirement(each.cells, each.needs, each.reason) for each in settings.require),
    }


def request_of(
    settings: Config,
    *,
    guest: list[str] | None = None,
    nic: list[str] | None = None,
    driver: Path | None = None,
    suite: list[Path] | None = None,
    keyword: str = "",
    adapter: str = "",
    include: list[str] | None = None,
    exclude: list[str] | None = None,
    jobs: int | None = None,
    cold: bool = False,
    whole: bool = False,
) -> Request:
    """The request; ``whole`` takes the default matrix where neither options nor configuration name NICs."""
    from harness.guests import catalogue
    from harness.matrix import launch

    parts = selection(settings, include, exclude)
    if driver is not None:
        parts["drivers"] = {}
    nics = nic or (settings.nics if "nics" in settings.model_fields_set or not whole else [catalogue.DEFAULT])
    return launch.Request(
        guests=tuple(guest or settings.guests),
        nics=tuple(nics),
        driver=driver or settings.driver,
        suite=tuple(suite or settings.suite),
        pytest_args=("-k", keyword) if keyword else (),
        jobs=jobs or settings.jobs,
        memory_mib=settings.lab.memory,
        states_gib=settings.lab.states,
        host=settings.lab.host(),
        cold=cold,
        adapter=adapter or settings.adapter,
        windows=settings.windows.options(),
        **parts,
    )


def print_json(value: object) -> None:
    """Print a value as JSON."""
    import json

    print(json.dumps(value, indent=1, default=str))
