"""Asks the verifier in the guest whether it watches the driver under test, and checks the answer.

A log without findings proves nothing, because a verifier that is not loaded writes none either. So the harness asks at
the start of each cell and after each load, with a fresh random number, and reads the answer from the log, where the
findings are. A log that was saved with a guest cannot contain that number.
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
"""Version of the verifier's log that this module reads; ``drivers/verifier/report.h`` defines it."""
_ANSWER = re.compile(r"([0-9a-f]+) version (\d+), (\S+), (\d+) imports")


class Control(Protocol):
    """Sends requests to the WSK provider (``harness.control.wskctl``)."""

    def watch(self, number: int) -> int:
        """Ask the verifier to write a line with that number into its log; returns the NTSTATUS."""


@dataclass(frozen=True, slots=True)
class Watching:
    """The verifier's answer.

    Args:
        version: version of its log.
        driver: file name of the driver's image whose imports it intercepts.
        imports: number of intercepted imports.
    """

    version: int
    driver: str
    imports: int

    def __str__(self) -> str:
        return f"version {self.version} watches {self.driver} ({self.imports} imports)"


def ask(control: Control) -> int:
    """Ask the verifier to write into its log which driver it watches; returns the number that its line will have.

    Raises:
        LabError: no verifier is loaded, or the guest does not answer.
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
    """Find the verifier's answer in its log and check it.

    Args:
        lines: new lines of the log.
        number: the number that ``ask`` returned.
        driver: file name of the driver that the verifier must watch.

    Raises:
        LabError: the log has no answer with that number, or the verifier has another version of the log, or it watches
            another driver or none of the driver's imports.
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
