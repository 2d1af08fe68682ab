"""How verification grows with the file: CPU seconds and resident size from 10 thousand to 10 million datagrams."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.bench.bursts import write
from tests.bench.clock import harness, measure


def run(folder: Path, frames: int) -> dict[str, Any]:
    """Measure every power of ten from 10,000 to ``frames``."""
    rows = []
    count = 10_000
    while count <= frames:
        capture, plan = write(folder, count)
        told = measure(harness("verify", str(capture), "--plan", str(plan), "--reader", "fast"))
        if f"{count} of {count} matched" not in told.output:
            raise RuntimeError(f"the verdict is wrong: {told.output}")
        rows.append({"frames": count, "cpu": told.cpu, "wall": told.wall, "resident_mb": told.resident_mb})
        count *= 10
    return {"benchmark": "growth", "rows": rows}


def lines(result: dict[str, Any]) -> list[str]:
    """The result for people."""
    out = ["datagrams of 64 bytes of payload: whole command, start of Python included"]
    first = result["rows"][0]
    for row in result["rows"]:
        each = (row["cpu"] - first["cpu"]) / max(1, row["frames"] - first["frames"]) * 1e9
        more = f"  {each:.0f} ns for each further one" if row is not first else ""
        out.append(f"  {row['frames']:>10}  {row['cpu']:6.2f} s CPU  {row['resident_mb']:6.0f} MB{more}")
    return out
