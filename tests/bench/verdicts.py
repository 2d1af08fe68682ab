"""How long the verdict of a case takes once its frames are there: the judge's share of the time after the last one."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

from harness.capture.frames import Integrity
from harness.model.predict import predict
from harness.verify.judge import judge
from tests.corpus.story import SITE, STEPS, frames
from tests.unit.verify_kit import captured, dissected

_ROUNDS = 200


def run(folder: Path, frames_: int) -> dict[str, Any]:
    """Judge the corpus's first case (seven sends, one in three fragments) and its second (a burst) many times."""
    rows = []
    for case in ("sends", "more"):
        steps = [step for step in STEPS if step.case == case]
        seen = dissected(captured(frames(case)))
        times = []
        for _ in range(_ROUNDS):
            start = time.perf_counter()
            verdict = judge(predict(steps, SITE), steps, seen, Integrity(), SITE)
            times.append(time.perf_counter() - start)
        if verdict.status != "passed":
            raise RuntimeError(f"the verdict is wrong: {verdict.reason}")
        rows.append(
            {
                "case": case,
                "frames": len(seen),
                "median_ms": statistics.median(times) * 1e3,
                "worst_ms": max(times) * 1e3,
            }
        )
    return {"benchmark": "verdicts", "rows": rows}


def lines(result: dict[str, Any]) -> list[str]:
    """The result for people."""
    return [
        f"  {row['case']}: {row['frames']} frames, median {row['median_ms']:.2f} ms, worst {row['worst_ms']:.2f} ms"
        for row in result["rows"]
    ]
