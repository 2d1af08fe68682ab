"""Verification against tshark's field output, dpkt, scapy and pyshark on the same file, in the same run.

``cpu`` is that of the whole command, start of Python and its imports included; ``net`` is without the start, which a
file of a single frame shows. Slow peers read fewer frames, and their time is scaled.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.bench import peers
from tests.bench.bursts import write
from tests.bench.clock import Measured, harness, measure

_FEW = {"dpkt": 200_000, "scapy": 20_000, "pyshark": 2_000}


def run(folder: Path, frames: int) -> dict[str, Any]:
    """Measure all readers that are installed; gives seconds of CPU for ``frames`` frames, and ratios."""
    capture, plan = write(folder, frames)
    single, plan_of_single = write(folder, 1)
    ours = _best(_verify(capture, plan))
    if f"{frames} of {frames} matched" not in ours.output:
        raise RuntimeError(f"the verdict is wrong: {ours.output}")
    start = _best(_verify(single, plan_of_single)).cpu
    rows = [_row("harness verify", frames, ours.cpu, ours.cpu - start)]
    rows[0]["resident_mb"] = ours.resident_mb
    if shutil.which("tshark"):
        told, least = measure(peers.tshark(capture), keep=False), measure(peers.tshark(single), keep=False)
        rows.append(_row("tshark -T fields", frames, told.cpu, told.cpu - least.cpu))
    for name, few in _FEW.items():
        if importlib.util.find_spec(name) is None:
            rows.append({"reader": name, "frames": 0, "cpu": None})
            continue
        few = min(few, frames)
        module = [sys.executable, "-m", "tests.bench.peers", name, str(capture)]
        least = measure([*module, "1"])
        net = (measure([*module, str(few)]).cpu - least.cpu) * frames / few
        rows.append(_row(name, few, net + least.cpu, net))
    for row in rows:
        if row["cpu"] is not None:
            row["ratio"], row["net_ratio"] = row["cpu"] / rows[0]["cpu"], row["net"] / rows[0]["net"]
    return {"benchmark": "readers", "frames": frames, "rows": rows}


def lines(result: dict[str, Any]) -> list[str]:
    """The result for people."""
    out = [f"{result['frames']} datagrams of 64 bytes of payload, seconds of CPU: whole command, and without its start"]
    for row in result["rows"]:
        if row["cpu"] is None:
            out.append(f"  {row['reader']:18} not installed")
            continue
        scaled = "" if row["frames"] == result["frames"] else f"  scaled from {row['frames']} frames"
        whole = f"{row['cpu']:8.2f} s x {row['ratio']:.1f}"
        out.append(f"  {row['reader']:18} {whole:20} {row['net']:8.2f} s x {row['net_ratio']:.1f}{scaled}")
    return out


def _verify(capture: Path, plan: Path) -> list[str]:
    return harness("verify", str(capture), "--plan", str(plan), "--reader", "fast")


def _best(command: Sequence[str], clock: Callable[[Sequence[str]], Measured] = measure) -> Measured:
    """The cheapest of three runs: what else the machine does can only add."""
    return min((clock(command) for _ in range(3)), key=lambda item: item.cpu)


def _row(reader: str, frames: int, cpu: float, net: float) -> dict[str, Any]:
    return {"reader": reader, "frames": frames, "cpu": cpu, "net": max(net, 1e-9)}
