"""Cells on several hosts: jobs to Dask workers, artifacts back; the only module that imports ``distributed``.

A job travels with its driver, relay, adapter and suite, and runs on the worker exactly as it would here: as a cell
process. A worker takes as many cells as it has declared of the resource "vm"; a cell whose worker died is given to
another one.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness import __version__, resources
from harness.cell import adapter_names
from harness.cell.events import Event
from harness.cell.job import Cell, CellJob
from harness.errors import LabError, UsageError
from harness.files import ownership, removal
from harness.matrix import parcel
from harness.matrix.scheduler import Scheduler
from harness.results.record import CellResult, cell_from_dict, to_dict
from harness.results.status import Status

CONNECT_SECONDS = 10.0
EXTRA = "pip install 'wsk-harness[dask]'"

Observer = Callable[[Cell, Event], None]


@dataclass(frozen=True, slots=True)
class Parcel:
    """A job as it travels: its JSON, and the files that it names, by name."""

    job: str
    files: bytes
    version: str


def run_jobs(jobs: Sequence[CellJob], observer: Observer, scheduler: Scheduler) -> bool:
    """Run all jobs on the scheduler's workers; every job gets a verdict. Gives whether it was interrupted.

    Raises:
        LabError: no scheduler there, or no worker.
        UsageError: Dask is not installed, a certificate is missing, or a worker has another version of the harness.
    """
    distributed = _distributed()
    try:
        client = distributed.Client(scheduler.address, timeout=CONNECT_SECONDS, security=scheduler.security("run"))
    except (OSError, TimeoutError) as error:
        raise LabError(
            f"no Dask scheduler answers at {scheduler.address}: {error}", mend="dask scheduler --host ..."
        ) from error
    with client:
        _check_workers(client, scheduler.address)
        futures = {
            client.submit(run_parcel, pack(job), resources=_resources(job), pure=False, key=_key(job)): job
            for job in jobs
        }
        told: set[Cell] = set()
        try:
            for future in distributed.as_completed(futures):
                job = futures[future]
                told.add(job.cell)
                try:
                    observer(job.cell, unpack(future.result(), job))
                except distributed.KilledWorker:
                    observer(job.cell, _lost(job, "every host that it was given to was lost"))
                except Exception as error:  # whatever a worker raises: the cell has a verdict all the same
                    observer(job.cell, _lost(job, f"the worker failed: {type(error).__name__}: {error}"))
        except KeyboardInterrupt:
            client.cancel(list(futures))
            for job in jobs:
                if job.cell not in told:
                    observer(job.cell, _lost(job, "interrupted"))
            return True
    return False


def run_parcel(sent: Parcel) -> dict[str, Any]:
    """On the worker: run one cell; gives its result and, as a tar file, all evidence."""
    from harness.matrix.run import CellProcess  # late: the scheduler's own process needs none of it

    if sent.version != harness_version():
        raise RuntimeError(f"this worker has harness {harness_version()}, the run {sent.version}")
    with removal.scratch("wsk-harness-cell-") as root:
        parcel.unpack(sent.files, root / "in")
        job = CellJob.from_json(sent.job)
        folder = root / "out"
        folder.mkdir()
        ownership.mark(root)  # the cell's worker, another process, writes there
        job = replace(
            job,
            folder=folder,
            driver=root / "in" / "driver" / job.driver.name,
            relay=root / "in" / "relay" / job.relay.name,
            verifier=root / "in" / "verifier" / job.verifier.name if job.verifier else None,
            suite=tuple(root / "in" / f"suite{number}" / path.name for number, path in enumerate(job.suite)),
            windows=replace(job.windows, nic_driver=root / "in" / "nic" if job.windows.nic_driver else None),
            image=_image(job),
            adapter=adapter_names.moved(job.adapter, root / "in" / "adapter"),
        )
        result = CellProcess(job, lambda cell, event: None).run()
        return {"result": to_dict(result), "evidence": parcel.pack({"": folder}), "host": os.uname().nodename}


def pack(job: CellJob) -> Parcel:
    """The job with all that it needs on another host.

    With a driver goes what lies beside it under its name: symbols, its catalogue, the program that speaks to it.
    """
    files = {f"driver/{job.driver.name}": job.driver, f"relay/{job.relay.name}": job.relay}
    for path in job.driver.parent.glob(f"{glob.escape(job.driver.stem)}.*"):
        if path.is_file():
            files[f"driver/{path.name}"] = path
    if (adapter := adapter_names.file_of(job.adapter)) is not None:
        files[f"adapter/{adapter.name}"] = adapter
    if job.verifier is not None:
        files[f"verifier/{job.verifier.name}"] = job.verifier
    if job.windows.nic_driver is not None:
        files["nic"] = job.windows.nic_driver
    for number, path in enumerate(job.suite):
        files[f"suite{number}/{path.name}"] = Path(str(path).split("::", 1)[0])
    return Parcel(job.to_json(), parcel.pack(files), harness_version())


def unpack(answer: dict[str, Any], job: CellJob) -> CellResult:
    """Put the evidence into the cell's folder and give the result as if it had run here."""
    parcel.unpack(answer["evidence"], job.folder)
    result = cell_from_dict(answer["result"])
    folder = f"cells/{job.folder.name}"
    files = tuple(replace(each, folder=folder) for each in result.files)
    return replace(result, folder=folder, files=files, facts={**result.facts, "worker": str(answer["host"])})


def serve(scheduler: Scheduler, slots: int, resources_: dict[str, float], name: str = "") -> None:
    """Be a worker until it is told to end: ``slots`` VMs at once and named resources besides.

    It listens on the address from which this host reaches the scheduler, and on no other; it serves no pages.

    Raises:
        UsageError: Dask is not installed, or a certificate is missing.
        LabError: no scheduler answers.
    """
    import asyncio

    distributed = _distributed()
    import dask.config

    security, host = scheduler.security("worker"), scheduler.own_address()

    async def work() -> None:
        try:
            worker = await distributed.Worker(
                scheduler.address,
                nthreads=slots,
                resources={"vm": slots, **resources_},
                name=name or None,
                memory_limit=0,
                host=host,
                security=security,
                dashboard=False,
                dashboard_address="127.0.0.1:0",
            )
        except (OSError, TimeoutError) as error:
            raise LabError(f"no Dask scheduler answers at {scheduler.address}: {error}") from error
        worker.http_server.stop()  # Dask knows no other way to have none
        await worker.finished()

    with dask.config.set({"distributed.worker.http.routes": []}):
        asyncio.run(work())


def _check_workers(client: Any, address: str) -> None:  # noqa: ANN401 (distributed has no types)
    versions = client.run(harness_version)
    if not versions:
        raise LabError(f"the scheduler at {address} has no worker", mend=f"harness worker {address}")
    other = {worker: version for worker, version in versions.items() if version != harness_version()}
    if other:
        worker, version = next(iter(other.items()))
        raise UsageError(f"worker {worker} has harness {version}, this is {harness_version()}", mend="install the same")


def harness_version() -> str:
    """The version, asked of every worker: two states of a checkout may bear the same number."""
    return f"{__version__} ({resources.digest()})"


def _resources(job: CellJob) -> dict[str, float]:
    """What a worker must have free: a slot, and the device itself where the NIC is a physical one."""
    needs: dict[str, float] = {"vm": 1}
    if job.cell.nic.startswith("vfio:"):
        needs[job.cell.nic] = 1
    return needs


def _key(job: CellJob) -> str:
    return f"{job.run_id}-{job.folder.name}"


def _image(job: CellJob) -> str:
    """Key of the guest's image on this host; it is built here when it is not there."""
    from harness.guests import catalogue

    return catalogue.prepare_guest(job.cell.guest, lambda text: None)


def _lost(job: CellJob, reason: str) -> CellResult:
    return CellResult(
        job.cell.guest,
        job.cell.nic,
        Status.INCONCLUSIVE,
        reason=reason,
        fault="lab",
        driver=job.cell.driver or job.driver.name,
        folder=f"cells/{job.folder.name}",
    )


def _distributed() -> Any:  # noqa: ANN401
    try:
        import distributed
    except ImportError as error:
        raise UsageError("runs on several hosts need Dask, which is not installed", mend=EXTRA) from error
    return distributed
