"""Runs the benchmarks of a checkout (``tests/bench``) and prints what they measured, each beside its peer."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

from harness.errors import EXIT_FAILED, EXIT_PASSED, UsageError
from harness.files import ownership, removal
from harness.resources import root

NAMES = ("readers", "growth", "verdicts", "latency", "fuzz")
_USUAL = {"readers": 1_000_000, "growth": 10_000_000, "verdicts": 0, "latency": 2, "fuzz": 2000}
"""How many frames (or files, or cells) each takes when nobody says."""


def run(names: tuple[str, ...], count: int | None, folder: Path | None, *, as_json: bool) -> int:
    """Run benchmarks by name, all of them when none is named; gives the exit code.

    Args:
        names: which of ``NAMES``.
        count: frames or files instead of the usual number.
        folder: where the captures are kept; a temporary folder by default.
        as_json: print JSON.

    Raises:
        UsageError: a name is not known, or this is no checkout.
    """
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise UsageError(f"benchmark {unknown[0]!r} is not known", mend=f"use some of: {', '.join(NAMES)}")
    if not (root() / "tests" / "bench").is_dir():
        raise UsageError("benchmarks are not installed with the package", mend="run them from a checkout")
    sys.path.insert(0, str(root()))
    results, code = [], EXIT_PASSED
    with ownership.claimed(folder) if folder else removal.scratch("harness-bench-") as place:
        for name in names or NAMES:
            module = importlib.import_module(f"tests.bench.{name}")
            try:
                result = module.run(place, _USUAL[name] if count is None else count)
            except (AssertionError, RuntimeError) as error:
                print(f"{name}: {error}", file=sys.stderr)
                code = EXIT_FAILED
                continue
            results.append(result)
            if not as_json:
                print("\n".join([f"{name}:", *module.lines(result)]), flush=True)
    if as_json:
        print(json.dumps({"schema": 1, "benchmarks": results}, indent=1))
    return code
