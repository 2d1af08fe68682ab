"""Where an installation is, how long each phase may take, and when a key must be pressed: pure.

The phases follow from what the guest told (``beacons``), how often it was started, and whether it wrote to its disk.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from enum import StrEnum

from harness.guests.windows.beacons import Told

STARTED_BYTES = 1 << 20
"""A guest that wrote this much to its disk has left the firmware and the boot loader behind."""
MAX_BOOTS = 8
_PRESS_SECONDS = 20.0
EMULATED_SLOWNESS = 6.0
"""A boot loader on an emulated CPU, on a busy host, was seen to ask for a key 30 s after the firmware started it."""
FIRMWARE_LINE = "BdsDxe: starting Boot"


class Phase(StrEnum):
    """A stretch of the installation; the value says what it waits for."""

    BOOT = "Setup to start from the media"
    COPY = "Setup to copy Windows to the disk"
    SPECIALIZE = "Windows to set itself up"
    PROVISION = "the first logon to prepare the image"
    POWER_OFF = "the guest to power off"


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds that each phase may take with hardware virtualisation."""

    boot: float = 900.0
    copy: float = 5400.0
    specialize: float = 5400.0
    provision: float = 3600.0
    power_off: float = 300.0

    def of(self, phase: Phase) -> float:
        """The deadline of a phase."""
        return float(getattr(self, phase.name.lower()))

    def scaled(self, factor: float) -> Deadlines:
        """All of them longer, for a slower machine."""
        return replace(self, **{field.name: getattr(self, field.name) * factor for field in fields(self)})


def phase_of(told: Told, boot: int, written: int) -> Phase:
    """Where the installation is.

    Args:
        told: what the guest told so far, over all starts.
        boot: how often it was started before this time.
        written: bytes written to the disk since this start.
    """
    if told.ready:
        return Phase.POWER_OFF
    if told.has_phase("first-logon"):
        return Phase.PROVISION
    if told.has_phase("specialize") or boot > 0:
        return Phase.SPECIALIZE
    return Phase.COPY if told.has_phase("windowspe") or written > STARTED_BYTES else Phase.BOOT


def press_key(phase: Phase, seconds: float, seconds_since_firmware: float | None, slowness: float = 1.0) -> bool:
    """Whether to press a key now, as "press any key to boot from CD" wants it.

    Args:
        phase: keys are pressed only before Setup has started.
        seconds: since the machine was started.
        seconds_since_firmware: since the firmware said that it starts something; ``None`` while it did not.
        slowness: how much longer than with hardware virtualisation the boot loader may take to ask.
    """
    since = seconds if seconds_since_firmware is None else seconds_since_firmware
    return phase is Phase.BOOT and since < _PRESS_SECONDS * slowness
