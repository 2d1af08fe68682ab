"""The faults of caches and watchers as ``harness defects`` runs them.

A fault of the cache is a whole ``harness run`` with a private copy of the cache in which one file is damaged: the run
must make it again, say so, and pass. A fault of a watcher is a cell whose watcher is silent: it must be inconclusive.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness import children, resources
from harness.errors import HarnessError
from harness.files import removal
from harness.results.record import CellResult, load
from harness.results.status import Status
from harness.selftest.defects.judge import Row
from harness.vm import sparse

if TYPE_CHECKING:
    from harness.selftest.defects.run import Runner

GROUP = "E"
CASE = "test_destination.py::test_explicit_address[ipv4]"
_NIC = "virtio-net"
_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class CacheFault:
    """A cached file that is damaged before a run.

    Args:
        id, what: of the row.
        file: pattern of the file below the private cache.
        damage: does it.
        warm: a run before makes the saved guests.
    """

    id: str
    what: str
    file: str
    damage: Callable[[Path], None]
    warm: bool = False


def empty(path: Path) -> None:
    """Leave nothing in the file."""
    path.write_bytes(b"")


def halve(path: Path) -> None:
    """Leave the first half, as a crash in the middle of writing does."""
    removal.truncate(path, path.stat().st_size // 2)


def flip(path: Path) -> None:
    """Change one byte as a disk does: the file's times stay."""
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(before.st_size // 2)
        byte = file.read(1)
        file.seek(before.st_size // 2)
        file.write(bytes([byte[0] ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


CACHE_FAULTS = (
    CacheFault("cached-verifier-empty", "verifier.sys in the cache is empty", "drivers/*/verifier.sys", empty),
    CacheFault("cached-driver-empty", "wsksend.sys in the cache is empty", "drivers/*/wsksend.sys", empty),
    CacheFault("cached-disk-half", "the guest's disk in the cache is half written", "images/wine-*/disk.erofs", halve),
    CacheFault("cached-key-flipped", "one bit of the guest's login key differs", "images/wine-*/ssh_key", flip),
    CacheFault("cached-memory-flipped", "one bit of a saved guest's memory differs", "states/*/ram", flip, warm=True),
    CacheFault("cached-state-half", "a saved guest is half written", "states/*/state", halve, warm=True),
)
SILENT = ("verifier-silent", "the verifier's file is empty and nobody noticed before the cell")


def names() -> tuple[str, ...]:
    """Ids of all rows."""
    return (*(fault.id for fault in CACHE_FAULTS), SILENT[0])


def chosen(only: str = "") -> tuple[str, ...]:
    """Ids of a group or id; all when neither is asked."""
    return tuple(name for name in names() if not only or only in (GROUP, name))


def run(name: str, runner: Runner) -> Row:
    """Run and judge one row."""
    started = time.monotonic()
    fault = next((fault for fault in CACHE_FAULTS if fault.id == name), None)
    row = _silent(runner) if fault is None else _cached(fault, runner)
    row = replace(row, seconds=round(time.monotonic() - started, 1))
    runner.tell(row)
    return row


def _silent(runner: Runner) -> Row:
    job = runner.job(SILENT[0], runner.driver, (CASE,))
    nothing = job.folder / "verifier.sys"
    nothing.write_bytes(b"")
    result = runner.cell(replace(job, verifier=nothing))
    expected = "no verifier watches the driver"
    caught = result.status is Status.INCONCLUSIVE and expected in result.reason
    seen = f"{result.status}: {result.reason}"
    return Row(
        SILENT[0], GROUP, SILENT[1], f"inconclusive, {expected}", seen, CASE, 0.0, caught, "" if caught else "missed"
    )


def _cached(fault: CacheFault, runner: Runner) -> Row:
    with removal.scratch("cache-") as folder:
        root = folder / "cache" / "wsk-harness"
        for own in runner.cached:
            shutil.copytree(own, root / own.relative_to(resources.cache()), copy_function=_copied)
        if fault.warm:
            _run(folder, "warm")
        files = list(root.glob(fault.file))
        for file in files:
            fault.damage(file)
        said, result = _run(folder, "damaged")
        why = _why(said, result) if files else f"there is no {fault.file}"
    expected = "passed, was damaged: rebuilt"
    told = next((line.strip() for line in said.splitlines() if "was damaged" in line), "")
    seen = f"{result.status if result is not None else 'no result'}: {told}"
    return Row(fault.id, GROUP, fault.what, expected, seen, CASE, 0.0, caught=not why, why=why)


def _why(said: str, result: CellResult | None) -> str:
    if result is None:
        return "the run left no record"
    if result.status is not Status.PASSED:
        return f"{result.status}, not passed: {result.reason}"
    return "" if "was damaged" in said else "nothing says that it was damaged"


def _copied(source: str, target: str) -> str:
    sparse.copy(Path(source), Path(target))
    shutil.copystat(source, target)
    return target


def _run(folder: Path, name: str) -> tuple[str, CellResult | None]:
    """What a run with the private cache says, and its cell."""
    output = folder / name
    suite = resources.suite() / CASE
    words = ("run", "--guest", "wine", "--nic", _NIC, "--suite", str(suite), "-o", str(output))
    environment = {**children.worker_environment(), "XDG_CACHE_HOME": str(folder / "cache")}
    done = children.run(children.python("harness", *words), environment=environment, seconds=_SECONDS)
    try:
        cells = load(output / "results.json").cells
    except HarnessError:
        cells = ()
    return f"{done.stdout}\n{done.stderr}", cells[0] if cells else None
