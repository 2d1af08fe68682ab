"""What a guest tells on COM1 while it is installed: lines "HARNESS: ...", parsed from the serial log: pure.

HARNESS: phase windowspe | specialize | first-logon
HARNESS: step NAME            a step of provision.ps1 begins
HARNESS: fact KEY VALUE       something to keep (host key, build, edition)
HARNESS: failed STEP REASON   provisioning ended
HARNESS: ready                all done, the machine powers off
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum

_LINE = re.compile(r"HARNESS: (phase|step|fact|failed|ready|up)\b ?([^\r\n]*)[\r\n]")


class Kind(StrEnum):
    """The first word of a beacon."""

    PHASE = "phase"
    STEP = "step"
    FACT = "fact"
    FAILED = "failed"
    READY = "ready"
    UP = "up"


@dataclass(frozen=True, slots=True)
class Beacon:
    """One line."""

    kind: Kind
    text: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """All that was told so far."""

    beacons: tuple[Beacon, ...] = ()
    facts: dict[str, str] = field(default_factory=dict)

    @property
    def ready(self) -> bool:
        """The guest said that it is ready."""
        return any(beacon.kind is Kind.READY for beacon in self.beacons)

    @property
    def failed(self) -> str:
        """The step that failed and why; empty when none did."""
        return next((beacon.text for beacon in self.beacons if beacon.kind is Kind.FAILED), "")

    def has_phase(self, name: str) -> bool:
        """Whether the phase was told of."""
        return any(beacon.kind is Kind.PHASE and beacon.text == name for beacon in self.beacons)


def parse(text: str) -> Told:
    """Beacons in a serial log; a line that has not ended yet does not count, and a firmware's escapes do no harm."""
    beacons = tuple(Beacon(Kind(kind), words.strip()) for kind, words in _LINE.findall(text))
    facts: dict[str, str] = {}
    for beacon in beacons:
        if beacon.kind is Kind.FACT:
            key, _, value = beacon.text.partition(" ")
            facts[key] = value.strip()
    return Told(beacons, facts)
