"""Hostile captures by the hundred thousand: every one gets an error in one line or a verdict."""

from __future__ import annotations

import resource
import time
from pathlib import Path
from typing import Any

from harness.capture.tshark import one_pass
from tests.corpus.hostile import run as feed


def run(folder: Path, frames: int) -> dict[str, Any]:
    """Judge ``frames`` mutated captures, with our own readers alone, each in columns and one by one."""
    find, one_pass.find = one_pass.find, lambda: ""
    start = time.monotonic()
    try:
        counts = feed(range(frames), folder)
    finally:
        one_pass.find = find
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    return {
        "benchmark": "fuzz",
        "files": frames,
        "results": dict(counts),
        "seconds": time.monotonic() - start,
        "resident_mb": resident,
    }


def lines(result: dict[str, Any]) -> list[str]:
    """The result for people."""
    counts = ", ".join(f"{count} {name}" for name, count in sorted(result["results"].items()))
    took = f"{result['seconds']:.0f} s, {result['resident_mb']:.0f} MB resident at most"
    return [f"  {result['files']} mutated captures: {counts}; {took}"]
