"""How soon after the guest's last frame on the bridge a case's verdict is there, over the whole suite on real cells."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

NICS = ("virtio-net", "e1000")


def run(folder: Path, count: int) -> dict[str, Any]:
    """Run the suite on ``count`` NICs, one cell at a time, and read ``verdict_seconds`` of its cases."""
    rows = []
    for nic in NICS[:count]:
        out = folder / f"latency-{nic}"
        argv = [sys.executable, "-m", "harness", "run", "--no-install", "--nic", nic, "-o", str(out)]
        ended = subprocess.run(argv, capture_output=True, text=True, check=False)
        if ended.returncode:
            raise RuntimeError(f"harness run on {nic} ended with {ended.returncode}: {ended.stderr.strip()[-300:]}")
        (cell,) = json.loads((out / "results.json").read_text(encoding="utf-8"))["cells"]
        waits = sorted(case["verdict_seconds"] * 1e3 for case in cell["cases"] if case["verdict_seconds"] is not None)
        rows.append(
            {
                "nic": nic,
                "cases": len(waits),
                "median_ms": statistics.median(waits),
                "p95_ms": waits[len(waits) * 95 // 100],
                "worst_ms": waits[-1],
                "send_s": cell["timings"]["send"],
                "verify_s": cell["timings"]["verify"],
            }
        )
    return {"benchmark": "latency", "rows": rows}


def lines(result: dict[str, Any]) -> list[str]:
    """The result for people."""
    return [
        f"  {row['nic']}: {row['cases']} cases with frames: median {row['median_ms']:.1f} ms, "
        f"95 % within {row['p95_ms']:.1f} ms, worst {row['worst_ms']:.1f} ms; "
        f"the suite's calls took {row['send_s']:.1f} s, its verdicts {row['verify_s']:.1f} s"
        for row in result["rows"]
    ]
