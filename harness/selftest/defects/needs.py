"""Learns what each test function of the suite is needed for: ``python -m harness.selftest.defects.needs``.

Every defect of the driver runs over the whole regression suite. The narrowest of those that a function catches, the
ones that make the fewest other functions fail, go into ``tests/defects/needs.json``; a test holds the suite against it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness import resources
from harness.cell.job import CellJob
from harness.driver_build.edited import Objects, build
from harness.errors import HarnessError
from harness.files import removal
from harness.results.record import CellResult
from harness.results.status import Status
from harness.selftest.defects import table
from harness.selftest.defects.once import function
from harness.selftest.defects.run import Runner, claim

FILE = "needs.json"
NARROWEST = 3
PLUGIN = ("-p", "harness.selftest.defects.once")

Needs = dict[str, dict[str, int]]
"""By test function ("test_buffers.py::test_offset") the defects that it catches, each with how many functions do."""


def suite() -> list[str]:
    """The test files of the regression suite."""
    return [path.name for path in sorted(resources.suite().glob("test_*.py"))]


def caught(result: CellResult) -> set[str]:
    """The functions of the suite that failed in a defect's cell."""
    files = set(suite())
    failed = (case.id for case in result.cases if case.status is Status.FAILED)
    return {function(case) for case in failed if case.partition("::")[0] in files}


def with_defect(needs: Mapping[str, Mapping[str, int]], name: str, functions: Collection[str]) -> Needs:
    """The needs with what one defect makes fail, in place of what was known of it."""
    known = {each: {key: count for key, count in found.items() if key != name} for each, found in needs.items()}
    for each in functions:
        known.setdefault(each, {})[name] = len(functions)
    return {
        each: dict(sorted(found.items(), key=lambda item: (item[1], item[0]))[:NARROWEST])
        for each, found in sorted(known.items())
        if found
    }


def load() -> Needs:
    """What is known.

    Raises:
        OSError: the file cannot be read.
    """
    path = resources.root() / table.FOLDER / FILE
    known: Needs = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return known


def save(needs: Mapping[str, Mapping[str, int]]) -> None:
    """Write what is known, a line for each function."""
    lines = (f"{json.dumps(each)}: {json.dumps(found)}" for each, found in needs.items())
    path = resources.root() / table.FOLDER / FILE
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def learn(only: Collection[str], folder: Path, jobs: int) -> None:
    """Run the chosen defects, all when none is named, and note what each makes fail.

    Args:
        only: groups and names.
        folder: where each cell leaves its evidence.
        jobs: cells at the same time.

    Raises:
        HarnessError: neither a driver nor the image can be built.
    """
    runner = Runner(folder, _say)
    lock = threading.Lock()

    def job(defect: table.Defect) -> CellJob:
        driver = build(defect.edits, objects, folder / "drivers" / defect.id)
        own = [case for case in defect.cases if case.partition("::")[0] not in suite()]
        return runner.job(defect.id, driver, [*suite(), *own], pytest_args=PLUGIN)

    def note(defect: table.Defect) -> None:
        functions = caught(runner.cell(job(defect)))
        with lock:
            save(with_defect(load(), defect.id, functions))
        _say(f"{defect.id}: {len(functions)} functions")

    chosen = [each for each in table.load() if not only or {each.id, each.group} & set(only)]
    with removal.scratch("objects-") as temporary, ThreadPoolExecutor(jobs) as pool:
        objects = Objects.make(temporary)
        list(pool.map(note, chosen))


def _say(line: str) -> None:
    print(line, flush=True)


def _main() -> int:
    parser = argparse.ArgumentParser(prog="python -m harness.selftest.defects.needs", description=__doc__)
    parser.add_argument("only", nargs="*", help="groups and names; all when none is given")
    parser.add_argument("-o", "--output", type=Path, help="folder of the run")
    parser.add_argument("--jobs", type=int, default=2, help="cells at the same time")
    asked = parser.parse_args()
    folder = claim(asked.output or Path(tempfile.mkdtemp(prefix="needs-")))
    try:
        learn(asked.only, folder, asked.jobs)
    except HarnessError as error:
        print(error.line(), file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(_main())
