"""Whether the verifier in the guest watches the driver under test now, by its own words.

Silence proves nothing: a verifier whose file is empty is not loaded, and finds nothing. So the harness asks, at the
start of each cell and after each load, with a number that nobody has used before, and reads the answer where findings
are read: in the log. A log that was saved with a guest has no such answer.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from harness.driver_verifier.findings import Line
from harness.errors import Failure, LabError

VERSION = 2
"""Of what the verifier says, as ``drivers/verifier/report.h`` has it."""
_ANSWER = re.compile(r"([0-9a-f]+) version (\d+), (\S+), (\d+) imports")


class Control(Protocol):
    """The way to the WSK provider (``harness.control.wskctl``)."""

    def watch(self, number: int) -> int:
        """Have the verifier write its line; gives the NTSTATUS."""


@dataclass(frozen=True, slots=True)
class Watching:
    """What the verifier said.

    Args:
        version: of its log.
        driver: file name of the image whose imports are bound to it.
        imports: how many of them are.
    """

    version: int
    driver: str
    imports: int

    def __str__(self) -> str:
        return f"version {self.version} watches {self.driver} ({self.imports} imports)"


def ask(control: Control) -> int:
    """Have the verifier write into its log that it watches; gives the number that the line has.

    Raises:
        LabError: no verifier is loaded, or nobody answers.
    """
    number = secrets.randbits(63) | 1
    try:
        status = control.watch(number)
    except Failure as failure:
        raise LabError(f"the verifier was asked whether it watches: {failure.what}") from failure
    if status:
        raise LabError(f"no verifier watches the driver: the guest answers {status:#010x} when it is asked")
    return number


def answered(lines: Sequence[Line], number: int, driver: str) -> Watching:
    """The verifier's answer to a question.

    Args:
        lines: new lines of its log.
        number: what ``ask`` gave.
        driver: file name of the driver that it must watch.

    Raises:
        LabError: the log has no such answer, or it watches another driver, or nothing of it.
    """
    for line in lines:
        found = _ANSWER.fullmatch(line.words) if line.code == "watching" else None
        if found is None or int(found[1], 16) != number:
            continue
        seen = Watching(int(found[2]), found[3], int(found[4]))
        if seen.version != VERSION:
            raise LabError(
                f"the verifier speaks version {seen.version} of its log, the harness {VERSION}",
                mend="build drivers and harness from one tree",
            )
        if seen.driver.lower() != driver.lower() or not seen.imports:
            raise LabError(f"the verifier does not watch {driver}: it says that it {str(seen).partition(' ')[2]}")
        return seen
    raise LabError(f"the verifier does not say that it watches {driver}: its log has no answer")
