"""``harness shell`` on a real guest: one command, lines of a pipe, and a person at a terminal."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness import resources
from harness.guests.wine import wine_image

SHELL = [sys.executable, "-m", "harness", "shell", "--no-install", "--nic", "e1000"]
SECONDS = 120.0


@pytest.fixture(autouse=True)
def image() -> None:
    if wine_image.find() is None:
        pytest.skip("the Wine image is not built yet; `harness image build wine` builds it")


def ran(*arguments: str, lines: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*SHELL, *arguments],
        cwd=resources.root(),
        input=lines,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def test_a_command_runs_where_the_driver_is_loaded_and_gives_its_exit_code(tmp_path: Path) -> None:
    good = ran("-o", str(tmp_path / "kept"), "--", "sc", "query", "wsksend")
    assert (good.returncode, "RUNNING" in good.stdout) == (0, True), good.stderr
    assert {"capture.pcapng", "console.log"} <= {path.name for path in (tmp_path / "kept").iterdir()}
    bad = ran("--", "sc", "query", "no-such-service")
    assert bad.returncode == 1060 & 0xFF
    assert "1060" in bad.stdout


def test_lines_of_a_pipe_are_commands_up_to_the_first_that_fails() -> None:
    done = ran(lines="sc query wsksend\n\nsc query no-such-service\nsc query wsksend\n")
    assert done.returncode == 1060 & 0xFF
    assert done.stdout.count("SERVICE_NAME") == 1


def test_a_driver_that_does_not_load_is_said(tmp_path: Path) -> None:
    (tmp_path / "text.sys").write_text("no driver")
    done = ran("--driver", str(tmp_path / "text.sys"), "--", "ver")
    assert done.returncode == 1
    assert "did not load" in done.stderr
    assert "Traceback" not in done.stderr


class Person:
    """Types at ``harness shell`` and reads the screen."""

    def __init__(self) -> None:
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            os.chdir(resources.root())
            os.execv(SHELL[0], SHELL)
        self.screen = ""

    def awaits(self, text: str) -> None:
        deadline = time.monotonic() + SECONDS
        while text not in self.screen:
            assert time.monotonic() < deadline, f"awaited {text!r} on {self.screen!r}"
            if select.select([self._terminal], [], [], 1.0)[0]:
                self.screen += os.read(self._terminal, 1 << 16).decode(errors="replace")
        self.screen = self.screen.partition(text)[2]

    def types(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def end(self) -> int:
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            if select.select([self._terminal], [], [], 0.1)[0]:
                try:
                    self.screen += os.read(self._terminal, 1 << 16).decode(errors="replace")
                except OSError:  # its other end is closed
                    break
        os.close(self._terminal)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_a_person_at_a_terminal_ends_a_command_and_then_the_guest() -> None:
    person = Person()
    person.awaits("C:\\>")
    person.types("sc query wsksend\r")
    person.awaits("RUNNING")
    person.awaits("C:\\>")
    person.types("linux:echo begun; sleep 600\r")
    person.awaits("\nbegun")
    person.types("\x03")
    person.awaits("C:\\>")
    person.types("exit\r")
    assert person.end() == 0, person.screen
