"""Verification against tshark's field output, dpkt, scapy and pyshark on the same file, in the same run.

The harness's time is that of the whole command, start of Python included; slow peers read fewer frames, and their time
is scaled.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path
from typing import Any

from tests.bench import peers
from tests.bench.bursts import write
from tests.bench.clock import harness, measure

_FEW = {"dpkt": 200_000, "scapy": 20_000, "pyshark": 2_000}


def run(folder: Path, frames: int) -> dict[str, Any]:
    """Measure all readers that are installed; gives seconds of CPU for ``frames`` frames, and ratios."""
    capture, plan = write(folder, frames)
    command = harness("verify", str(capture), "--plan", str(plan), "--reader", "fast")
    ours = min((measure(command) for _ in range(3)), key=lambda item: item.cpu)
    if f"{frames} of {frames} matched" not in ours.output:
        raise RuntimeError(f"the verdict is wrong: {ours.output}")
    rows: list[dict[str, Any]] = [{"reader": "harness verify", "frames": frames, "cpu": ours.cpu, "ratio": 1.0}]
    rows[0]["resident_mb"] = ours.resident_mb
    if shutil.which("tshark"):
        told = measure(peers.tshark(capture), keep=False)
        rows.append({"reader": "tshark -T fields", "frames": frames, "cpu": told.cpu, "ratio": told.cpu / ours.cpu})
    for name, few in _FEW.items():
        if importlib.util.find_spec(name) is None:
            rows.append({"reader": name, "frames": 0, "cpu": None, "ratio": None})
            continue
        few = min(few, frames)
        module = [sys.executable, "-m", "tests.bench.peers", name, str(capture)]
        start = measure([*module, "1"]).cpu
        cpu = (measure([*module, str(few)]).cpu - start) * frames / few
        rows.append({"reader": name, "frames": few, "cpu": cpu, "ratio": cpu / ours.cpu})
    return {"benchmark": "readers", "frames": frames, "rows": rows}


def lines(result: dict[str, Any]) -> list[str]:
    """The result for people."""
    out = [f"{result['frames']} datagrams of 64 bytes of payload, seconds of CPU"]
    for row in result["rows"]:
        if row["cpu"] is None:
            out.append(f"  {row['reader']:18} not installed")
            continue
        scaled = "" if row["frames"] == result["frames"] else f", scaled from {row['frames']} frames"
        out.append(f"  {row['reader']:18} {row['cpu']:9.2f} s  x {row['ratio']:.1f}{scaled}")
    return out
