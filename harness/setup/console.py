"""Prints the set-up's messages on standard error, and runs its tools with standard input closed."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from harness import children

EXIT_USAGE = 2
EXIT_LAB = 3


class SetupError(Exception):
    """The set-up cannot go on. ``args[0]`` is the line to show; the exit code is 2 if the user must act, else 3."""

    def __init__(self, what: str, *, detail: str = "", exit_code: int = EXIT_LAB) -> None:
        super().__init__(what)
        self.detail = detail
        self.exit_code = exit_code


def say(text: str) -> None:
    """Print one line of progress on standard error."""
    print(f"set-up: {text}", file=sys.stderr, flush=True)


def run(
    argv: Sequence[str],
    *,
    watch: Callable[[str], str | None] = lambda line: None,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Run a tool with standard input closed, and print what ``watch`` returns for each line of its output.

    Raises:
        SetupError: the tool cannot be started or fails; its last 25 lines are the detail.
    """
    tail: deque[str] = deque(maxlen=25)
    started = time.monotonic()
    try:
        own = children.setup_environment(environment)
        with children.start(argv, environment=own, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            assert process.stdout is not None
            for said in process.stdout:
                line = said.decode(errors="replace")
                tail.append(line.rstrip())
                if text := watch(line.rstrip()):
                    say(f"[{time.monotonic() - started:4.0f} s] {text}")
    except OSError as error:
        raise SetupError(f"cannot run {argv[0]}: {error.strerror}") from error
    if process.returncode:
        raise SetupError(f"`{' '.join(argv[:3])} ...` failed with {process.returncode}", detail="\n".join(tail))
