"""The process of one shell: brings the guest up as a cell's worker does, and hands its command line to a person.

Started as ``python -m harness.shell.worker CELL.json [COMMAND]``, wrapped by ``harness.lab.namespace.command``, with
the person's terminal. Without a terminal and a command, the lines of standard input are commands. Its exit code is that
of the command, or of the last one; 255 stands for all above it.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cell import modules
from harness.cell.job import CellJob
from harness.cell.worker import INTERRUPTED, session, verdict
from harness.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_LAB, EXIT_USAGE
from harness.guests import catalogue
from harness.shell import terminal

if TYPE_CHECKING:  # what is imported before the namespaces are entered must not be theirs
    from harness.cell.start import Ready
    from harness.control.ssh import Shell

_EXITS = {"driver": EXIT_FAILED, "user": EXIT_USAGE}


def main(arguments: list[str]) -> int:
    """Be the shell of the cell that the first argument describes; a second one is the command to run in the guest."""
    modules.prefer_own()
    modules.add_users_folders(Path.cwd())
    job = CellJob.from_json(Path(arguments[0]).read_text(encoding="utf-8"))
    command = arguments[1] if len(arguments) > 1 else ""
    codes: list[int] = []

    def conduct(job: CellJob, ready: Ready) -> None:
        keys = os.isatty(0)
        if command:
            codes.append(terminal.attend(ready.shell.open_stream(command, seconds=None), None if keys else 0))
        elif keys:
            own = catalogue.is_windows(job.cell.guest)  # the Wine guest's console does not work on a terminal
            ends = "`exit` or Ctrl-]" if own else "`exit` or Ctrl-D"
            _say(f"{job.cell}: {ready.how}; driver {job.driver.name}; {ends} ends the guest")
            if own:
                codes.append(terminal.attend(ready.shell.open_stream("", terminal.size(0), None)))
            else:
                codes.append(_prompt(ready.shell))
        else:
            codes.append(_lines(ready.shell))
        ready.session.give_up("left")  # nothing is judged, and the driver need not unload

    result = verdict(job, lambda event: None, partial(session, conduct=conduct))
    if codes:
        return exit_of(codes[0])
    if result.reason == INTERRUPTED:
        return EXIT_INTERRUPTED
    _say(result.reason)
    if result.detail:
        print(result.detail, file=sys.stderr)
    return _EXITS.get(result.fault, EXIT_LAB)


def exit_of(code: int) -> int:
    """The exit code that tells the guest's: Windows' has 32 bits, and no failure may look like a success."""
    return EXIT_LAB if code < 0 else min(code, 255)


def _prompt(shell: Shell) -> int:
    """A prompt of our own; each line is a command by itself, and Ctrl-C ends what runs and nothing else."""
    import readline  # noqa: F401  (gives `input` its line editing and history)

    while True:
        try:
            line = input("C:\\>").strip()
            if line == "exit":
                return 0
            if line:
                program = shell.open_stream(line, seconds=None)
                try:
                    terminal.attend(program, None)
                finally:
                    program.close()
        except EOFError:
            print()
            return 0
        except KeyboardInterrupt:
            print("^C")


def _lines(shell: Shell) -> int:
    """Run each line of the input by itself; the first that fails is the last. Wine's cmd.exe takes no script so."""
    for line in sys.stdin:
        if (text := line.strip()) and (code := terminal.attend(shell.open_stream(text, seconds=None), None)):
            return code
    return 0


def _say(text: str) -> None:
    print(f"harness: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
