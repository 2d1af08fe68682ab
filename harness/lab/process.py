"""Runs one supervised child process: started, awaited, ended, and killed with the thread that started it."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from harness import children
from harness.errors import LabError
from harness.lab.growth import Growth

LOG_TAIL_LINES = 12


class Child:
    """A child process whose error output is kept in a log.

    It dies with the *thread* that started it (parent-death signal), and with the lab's PID namespace anyhow.

    Args:
        name: what a person calls it, for errors.
        argv: program and arguments.
        log: file that takes its error output, and its standard output unless that goes elsewhere.
        pipe_input, pipe_output: give ``stdin`` and ``stdout`` as unbuffered pipes.
        into: file that takes its standard output; replaced when it exists.
        environment: all of its environment; ``children.tool_environment()`` when not given.

    Raises:
        LabError: the program is not installed.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        log: Path,
        *,
        pipe_input: bool = False,
        pipe_output: bool = False,
        into: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.log = log
        with log.open("ab") as sink, into.open("wb") if into else contextlib.nullcontext(sink) as output:
            self._log_start = sink.tell()
            try:
                self._process = children.start(
                    ["setpriv", "--pdeathsig", "KILL", "--", *argv],
                    environment=environment,
                    stdin=subprocess.PIPE if pipe_input else subprocess.DEVNULL,
                    stdout=subprocess.PIPE if pipe_output else output,
                    stderr=sink,
                    bufsize=0,
                    process_group=0,  # a worker asked to end, with its whole group, ends its children in order
                )
            except OSError as error:
                raise LabError(f"cannot start {name}: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.end()

    @property
    def pid(self) -> int:
        """Process id inside the lab's PID namespace."""
        return self._process.pid

    @property
    def stdin(self) -> IO[bytes]:
        """Its standard input; only with ``pipe_input``."""
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def stdout(self) -> IO[bytes]:
        """Its standard output; only with ``pipe_output``."""
        assert self._process.stdout is not None
        return self._process.stdout

    @property
    def exit_code(self) -> int | None:
        """Exit code, negative for a signal; ``None`` while it runs."""
        return self._process.poll()

    def require_alive(self) -> None:
        """Raise LabError, with the end of the log, when the process has ended."""
        code = self.exit_code
        if code is not None:
            raise LabError(f"{self.name} ended by itself ({describe_exit(code)})", detail=self.tail())

    def output(self) -> str:
        """What it wrote to the log so far."""
        with self.log.open("rb") as source:
            source.seek(self._log_start)
            return source.read().decode(errors="replace")

    def tail(self) -> str:
        """The last lines of its log."""
        return "\n".join(self.output().splitlines()[-LOG_TAIL_LINES:])

    def await_output(self, pattern: str, seconds: float) -> re.Match[str]:
        """Wait until the log matches the regular expression.

        Raises:
            AwaitTimeout: it did not within ``seconds``.
            LabError: the process ended first.
        """
        expression = re.compile(pattern)

        def probe() -> re.Match[str] | None:
            code = self.exit_code  # before the look: what it wrote before it ended counts
            found = expression.search(self.output())
            if found is None and code is not None:
                self.require_alive()
            return found

        with Growth(self.log) as growth:
            return growth.until(probe, f"{self.name} to say {pattern!r}", seconds, detail=self.tail)

    def end(self, ask: signal.Signals = signal.SIGTERM, seconds: float = 5.0) -> int:
        """Ask it to end, kill it when it does not within ``seconds``, and give its exit code."""
        if self._process.poll() is None:
            self._process.send_signal(ask)
            try:
                self._process.wait(seconds)
            except subprocess.TimeoutExpired:
                self._process.kill()
        code = self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        return code


def describe_exit(code: int) -> str:
    """An exit code in words."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
