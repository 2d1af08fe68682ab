"""What a run asks of Windows guests alone: Driver Verifier, a NIC driver package, offloads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class WindowsOptions:
    """What is asked of Windows guests alone, before their first case.

    Args:
        driver_verifier: Driver Verifier watches the driver under test with its standard checks.
        nic_driver: folder of a driver package that is installed for the NIC under test; ``None`` takes what is there.
        offloads: "off", "on" or "keep": what the NIC's driver is told to leave to the NIC.
    """

    driver_verifier: bool = False
    nic_driver: Path | None = None
    offloads: str = "keep"
