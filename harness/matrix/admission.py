"""How many cells this host takes at once: by cores and by memory as measured, never more than fits.

Also their order: the longest first, so that no long cell is left alone at the end.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from harness.cell.job import Cell, CellJob
from harness.errors import LabError

RESERVE_MIB = 512
"""What is left to the host itself."""
WORKER_MIB = 260
"""A cell besides its QEMU: worker, dumpcap, tshark; resident and private, as measured."""
GUEST_MIB = 330
"""QEMU of a guest of 256 MiB with a translation cache of 64 MiB, when the history knows nothing better."""
_QEMU_MIB = 80
"""QEMU besides its guest's memory."""


def available_mib(meminfo: Path = Path("/proc/meminfo")) -> int:
    """Memory that new processes can have, in MiB (MemAvailable)."""
    for line in meminfo.read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) >> 10
    raise LabError(f"{meminfo} does not say how much memory is available")


def need_mib(job: CellJob, measured: Mapping[tuple[str, str], int], image_mib: int = 0) -> int:
    """Memory that a cell needs: what QEMU took at most in earlier runs, or an estimate.

    Args:
        job: the cell.
        measured: MiB of QEMU by guest and NIC.
        image_mib: memory of the guest's machine where its image says it.
    """
    guess = image_mib + _QEMU_MIB if image_mib else GUEST_MIB
    qemu = measured.get((job.cell.guest, job.cell.nic), 0) or guess
    return WORKER_MIB + (max(qemu, job.memory_mib + _QEMU_MIB) if job.memory_mib else qemu)


def longest_first(jobs: Sequence[CellJob], seconds: Mapping[tuple[str, str], float]) -> list[CellJob]:
    """The jobs by falling estimate; those that are not known come first, for they may be the longest."""
    return sorted(jobs, key=lambda job: -seconds.get((job.cell.guest, job.cell.nic), float("inf")))


class Admission:
    """Lets cells in while there is room.

    Args:
        budget: MiB for all cells together.
        need: MiB that a job needs.
    """

    def __init__(self, budget: int, need: Callable[[CellJob], int]) -> None:
        self._budget = budget
        self._need = need
        self._inside: dict[Cell, int] = {}
        self._changed = threading.Condition()

    @contextmanager
    def admitted(self, job: CellJob, stopped: Callable[[], bool] = lambda: False) -> Iterator[None]:
        """Hold the cell's memory while the block runs; waits for room first.

        Raises:
            LabError: the cell would not fit even alone.
        """
        need = self._need(job)
        if need > self._budget:
            raise LabError(
                f"{job.cell} needs {need} MiB, and {max(0, self._budget)} MiB are free",
                mend="give the guest less memory, or the host more",
            )
        with self._changed:
            while sum(self._inside.values()) + need > self._budget and not stopped():
                self._changed.wait(0.5)
            self._inside[job.cell] = need
        try:
            yield
        finally:
            with self._changed:
                del self._inside[job.cell]
                self._changed.notify_all()
