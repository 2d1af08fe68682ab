"""A run that is killed or asked to end at any moment leaves nothing behind, and the next one works."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness import resources
from harness.guests.wine import wine_image

ROOT = Path(__file__).resolve().parents[2]
SUITE = resources.suite() / "test_destination.py"
SECONDS = 240.0  # for the longest phase of a cold run on a busy host


@pytest.fixture(autouse=True)
def image() -> None:
    if wine_image.find() is None:
        pytest.skip("the Wine image is not built yet; `harness image build wine` builds it")


class Run:
    """``harness run`` in a process; its folders lie under ``folder``, which so marks all its processes."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        self.temporary = folder / "tmp"
        self.temporary.mkdir(exist_ok=True)
        self.before = self.traces()
        argv = [sys.executable, "-m", "harness", "run", "--no-install", "--nic", "e1000", "--suite", str(SUITE)]
        self.process = subprocess.Popen(
            [*argv, "-o", str(folder / "run"), *arguments],
            cwd=ROOT,
            env={**os.environ, "TMPDIR": str(self.temporary)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def follow(self, text: str) -> None:
        """Read its progress until a line has the text."""
        assert self.process.stderr is not None
        seen = []
        for line in self.process.stderr:
            seen.append(line)
            if text in line:
                return
        raise AssertionError(f"it ended without {text!r}: {''.join(seen)}")

    def end(self, number: signal.Signals) -> int:
        """Send the signal to the process alone, and see it end."""
        self.process.send_signal(number)
        self.process.communicate(timeout=60)
        return self.process.returncode

    def traces(self) -> dict[str, object]:
        """What it could leave on the host."""
        return {
            "processes": processes(str(self.folder)),
            "links": sorted(os.listdir("/sys/class/net")),
            "mounts": [line for line in Path("/proc/self/mounts").read_text().splitlines() if "wsk" in line],
            "temporary files": sorted(str(path) for path in self.temporary.iterdir()),
        }

    def await_nothing_left(self, seconds: float = 5.0) -> None:
        """The kernel takes down namespaces within a moment; compare once it had one."""
        deadline = time.monotonic() + seconds
        while self.traces() != self.before and time.monotonic() < deadline:
            time.sleep(0.02)
        assert self.traces() == self.before


def processes(mark: str) -> list[str]:
    """Command lines of the processes that live and have the mark in them, or in the environment they began with."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command, environment = ((folder / name).read_bytes() for name in ("cmdline", "environ"))
            if mark.encode() in command + environment:
                found.append(command.replace(b"\0", b" ").decode(errors="replace"))
    return found


@pytest.mark.parametrize("arguments", [(), ("--cold",)], ids=["warm", "cold"])
def test_nothing_outlives_a_killed_run_and_the_next_one_works(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    for moment in ("boot done", "load done") if arguments else ("lab done", "capture done", "proof done", "suite done"):
        run = Run(tmp_path, *arguments)
        run.follow(moment)
        assert len(run.traces()["processes"]) > 1, "the test would notice"  # type: ignore[arg-type]
        assert run.end(signal.SIGKILL) == -signal.SIGKILL
        run.await_nothing_left()
    last = Run(tmp_path, *arguments)
    last.follow("e1000: passed")
    assert last.process.wait(SECONDS) == 0
    last.await_nothing_left()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_asked_to_end_says_so_and_keeps_what_it_knew(tmp_path: Path, number: signal.Signals) -> None:
    run = Run(tmp_path, "--suite", str(resources.suite()))
    run.follow("proof done")
    time.sleep(1.0)  # some cases have passed by now, which is the situation to be tested
    assert run.end(number) == 130
    run.await_nothing_left()
    record = json.loads((tmp_path / "run" / "results.json").read_text())
    (cell,) = record["cells"]
    assert record["run"]["interrupted"] is True
    assert (cell["status"], cell["reason"]) == ("inconclusive", "interrupted")
    assert {case["status"] for case in cell["cases"]} <= {"passed"}
