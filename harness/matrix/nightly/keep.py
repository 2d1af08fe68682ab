"""Bounds for what nights leave behind: evidence goes by age and size, the record and the history stay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from harness.cell import cell_files
from harness.errors import UsageError
from harness.files import ownership
from harness.results.record import load_run

CELLS = "cells"


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much evidence is kept: days, and bytes of all nights together."""

    days: int = 30
    size: int = 20 << 30


def apply(runs: Path, bounds: Bounds, now: datetime, spare: Sequence[Path] = ()) -> list[Path]:
    """Remove the evidence (``cells/``) of nights that are too old or too much, the oldest first.

    A night that has not ended, or is in ``spare``, is left alone; so is what is not a night, and what no run wrote.

    Returns:
        folders whose evidence went.
    """
    nights: list[tuple[datetime, Path, int]] = []
    for cells in runs.glob(f"nightly-*/{CELLS}"):
        try:
            run = load_run(cells.parent)
            started = datetime.fromisoformat(run.started)
        except (UsageError, ValueError):
            continue
        if run.ended and cells.parent not in spare and not cells.is_symlink():
            size = sum(file.stat().st_blocks * 512 for file in cells.rglob("*") if file.is_file())
            nights.append((started if started.tzinfo else started.replace(tzinfo=UTC), cells, size))
    nights.sort(reverse=True)
    total = 0
    gone = []
    for started, cells, size in nights:
        total += size
        if now - started > timedelta(days=bounds.days) or total > bounds.size:
            if not ownership.is_own(cells.parent):
                ownership.mark(cells.parent)  # of an older version: its record, read above, says that it is a night
            if cell_files.remove(cells.absolute()):
                gone.append(cells.parent)
    return gone
