"""A cell and the job that describes it to a worker: values that travel as JSON from process to process."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from harness.guests.windows.options import WindowsOptions

JOB_FILE = "cell.json"


@dataclass(frozen=True, slots=True)
class Cell:
    """One guest x one NIC x one driver build.

    Guest and NIC are names of the catalogue, the NIC with its options; the driver is a label of harness.toml, empty in
    a run of one build.
    """

    guest: str
    nic: str
    driver: str = ""

    @property
    def name(self) -> str:
        """Name of the cell's folder."""
        return "--".join(re.sub(r"[^A-Za-z0-9.+=,_-]", "_", part) for part in self._parts)

    @property
    def _parts(self) -> tuple[str, ...]:
        return (self.guest, self.nic, self.driver) if self.driver else (self.guest, self.nic)

    def __str__(self) -> str:
        return " x ".join(self._parts)


@dataclass(frozen=True, slots=True)
class HostLab:
    """A libvirt and bridges that the host has, used in place of a lab of the cell's own.

    Args:
        uri: libvirt connection URI, e.g. "qemu:///system".
        bridge: bridge for the NIC under test; captured on, so it must be on this machine.
        control_bridge: bridge for the control NIC, on which the host serves DHCP.
        control_address: address that the control NIC gets there.
    """

    uri: str
    bridge: str
    control_bridge: str
    control_address: str


@dataclass(frozen=True, slots=True)
class CellJob:
    """All that a worker needs to know to run a cell.

    Args:
        cell: what to run.
        run_id: of the run that the cell belongs to; goes into the capture's markers.
        folder: the cell's own folder, which exists; all evidence goes there.
        image: key of the guest's image, found or built before any cell starts.
        driver: the ``.sys`` under test.
        relay: ``wskctl.exe``, which goes into the guest beside it.
        verifier: ``verifier.sys`` of the Wine guest; ``None`` leaves the driver unwatched.
        suite: test files or folders for pytest.
        pytest_args: further arguments for pytest (``-k`` ...).
        memory_mib: guest memory; ``None`` leaves it to the guest's profile.
        host: libvirt and bridges of the host; ``None`` makes a lab in namespaces of its own.
        states_gib: disk space that all saved states may take.
        cold: boot the guest, whatever saved states there are, and save none.
        passing: no state is saved with this driver loaded, for nobody will want it again.
        only: ids of the cases to run; empty runs the whole suite.
        adapter: who drives ``driver`` when it is not the sample's kind (``harness.adapter``); empty for the sample.
        windows: what is asked of a Windows guest alone.
        timeout: seconds that a case may take, its fixtures included.
        names: what stands before the ids of each suite's cases (``harness.cell.identity``); empty to find out.
    """

    cell: Cell
    run_id: str
    folder: Path
    image: str
    driver: Path
    relay: Path
    verifier: Path | None = None
    suite: tuple[Path, ...] = ()
    pytest_args: tuple[str, ...] = ()
    memory_mib: int | None = None
    host: HostLab | None = None
    states_gib: int = 6
    cold: bool = False
    passing: bool = False
    only: tuple[str, ...] = ()
    adapter: str = ""
    windows: WindowsOptions = field(default_factory=WindowsOptions)
    timeout: float = 60.0
    names: tuple[str, ...] = ()

    @property
    def isolated(self) -> bool:
        """Whether the cell runs in namespaces of its own."""
        return self.host is None

    def to_json(self) -> str:
        """The job as one JSON object."""
        return json.dumps(asdict(self), default=str, indent=1)

    @classmethod
    def from_json(cls, text: str) -> CellJob:
        """The job back from ``to_json``; raises ``ValueError``, ``KeyError`` or ``TypeError`` on anything else."""
        value: dict[str, Any] = json.loads(text)
        value["cell"] = Cell(**value["cell"])
        value["host"] = HostLab(**value["host"]) if value["host"] else None
        windows = value["windows"]
        windows["nic_driver"] = Path(windows["nic_driver"]) if windows["nic_driver"] else None
        value["windows"] = WindowsOptions(**windows)
        value["folder"] = Path(value["folder"])
        value["driver"] = Path(value["driver"])
        value["relay"] = Path(value["relay"])
        value["verifier"] = Path(value["verifier"]) if value["verifier"] else None
        value["suite"] = tuple(Path(path) for path in value["suite"])
        value["pytest_args"] = tuple(value["pytest_args"])
        value["only"] = tuple(value["only"])
        value["names"] = tuple(value["names"])
        return cls(**value)

    def save(self) -> Path:
        """Write the job into the cell's folder and return the file's path."""
        path = self.folder / JOB_FILE
        path.write_text(self.to_json(), encoding="utf-8")
        return path
