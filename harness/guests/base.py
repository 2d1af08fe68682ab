"""What the harness asks of a guest, in Windows' own commands; every guest answers the same ones.

A guest is driven through a ``Shell`` alone, so that nothing here knows SSH, libvirt or Linux.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from pathlib import Path
from typing import Protocol, TypeVar

from harness.errors import AwaitTimeout, LabError
from harness.guests import netsh, services
from harness.model import profile as profiles
from harness.model.profile import StackProfile
from harness.nics import Nic
from harness.vm.domain import BootSpec

DUT_INTERFACE = "DUT"
_BETWEEN_LOOKS_SECONDS = 0.1


class Result(Protocol):
    """What a command in the guest gave: exit code, standard output and standard error as text."""

    @property
    def exit_code(self) -> int:
        """The program's exit code, as far as the way into the guest carries it."""

    @property
    def stdout(self) -> str:
        """Standard output."""

    @property
    def stderr(self) -> str:
        """Standard error."""


class Shell(Protocol):
    """The way into a guest (``harness.control.ssh.Shell``)."""

    def run(self, command: str, timeout: float = ...) -> Result:
        """Run one command line; raises AwaitTimeout when it does not end in ``timeout`` seconds."""

    def put(self, local: Path | bytes, remote: str) -> None:
        """Copy a file, or bytes, into the guest."""


class Connection(Shell, Protocol):
    """A shell whose end matters, because the guest restarts."""

    def await_end(self, seconds: float) -> bool:
        """Wait until the other side ends it; whether it did in time."""

    def close(self) -> None:
        """End it."""


_Connection = TypeVar("_Connection", bound=Connection)


class Link(Protocol):
    """The DUT NIC's addresses and neighbours (``harness.model.site.Site``)."""

    @property
    def interfaces4(self) -> tuple[IPv4Interface, ...]:
        """IPv4 addresses with their prefixes, the primary one first."""

    @property
    def interfaces6(self) -> tuple[IPv6Interface, ...]:
        """IPv6 addresses with their prefixes, the primary one first."""

    @property
    def neighbours(self) -> Mapping[IPv4Address | IPv6Address, bytes]:
        """MAC of every address that gets a static neighbour entry."""

    @property
    def mtu(self) -> int:
        """Largest IP packet of the link, in bytes."""


class Guest(ABC):
    """One guest: what it boots from and who may log in, and the commands that drive it.

    Attributes:
        name: as in harness.toml.
        stack: name of its stack profile (``harness.model.profile``).
        ready_line: text that the guest's console shows when its services are up.
        boot_seconds: how long a guest without hardware virtualisation may take to show it.
        user: login name.
        own_verifier: the harness's own driver verifier watches drivers in it.
        login_seconds: how long its SSH server may take to let somebody in once its services are up.
        crash_seconds: how long it may take, after its kernel has stopped, to write a dump and to come up again by
            itself; 0 for a guest that does not do so: its end is the lab's fault.
        silence_seconds: how long it must be silent on the NIC under test before the first case, 0 for not at all.
    """

    name: str
    stack: str
    ready_line: str
    boot_seconds: float
    user: str = "root"
    own_verifier: bool = True
    silence_seconds: float = 0.0
    login_seconds: float = 60.0
    crash_seconds: float = 0.0

    @property
    def keeps_state(self) -> bool:
        """Whether a booted machine may be saved and used again by other runs."""
        return True

    def prepare(self, shell: _Connection, connect: Callable[[], _Connection]) -> _Connection:
        """Make a guest that has just booted what the run asks for; gives the connection that is then the right one.

        Args:
            shell: the way into it.
            connect: makes another one after a restart.
        """
        return shell

    @abstractmethod
    def boot_spec(self) -> BootSpec:
        """Kernel, disks, memory and machine."""

    @property
    @abstractmethod
    def ssh_private_key(self) -> Path:
        """The key that the guest lets in."""

    @property
    @abstractmethod
    def host_public_key(self) -> str:
        """What the guest proves itself with: "ssh-ed25519 BASE64"."""

    def versions(self) -> dict[str, str]:
        """What results must say of this guest: its build, the NIC's driver."""
        return {}

    def obstacle(self, nic: Nic) -> str:
        """Why a cell with this NIC cannot work; empty when it can, or when nobody knows."""
        return ""

    def watcher(self, shell: Shell) -> str:
        """What of the guest's own watches the driver under test now, by its own words; empty without one.

        Raises:
            LabError: it was asked to watch, and does not say that it does.
        """
        return ""

    def take_driver(self, driver: Path, folder: Path) -> Path:
        """The driver as this guest loads it; a changed copy goes into ``folder``."""
        return driver

    def demands(self) -> dict[str, str]:
        """What a run asks of this guest besides its image; a saved machine serves the runs that ask the same."""
        return {}

    def keep(self, folder: Path) -> None:  # noqa: B027 (most write to no disk)
        """Put into the folder of a state what belongs to the machine that was just saved: disks, facts.

        Raises:
            OSError: no space.
        """

    def resume(self, folder: Path, *, own: bool) -> None:  # noqa: B027
        """Before a restore: make the machine's disks, and what is known of it, those of the state in a folder.

        Args:
            folder: what ``keep`` filled.
            own: the disks lean on nothing in the folder, for the machine will be a state itself.

        Raises:
            OSError, LabError: no space.
        """

    def start_over(self) -> None:  # noqa: B027
        """Before a boot in place of a saved machine: disks as the image has them.

        Raises:
            OSError, LabError: no space.
        """

    def close(self) -> None:  # noqa: B027 (most have nothing to forget)
        """Forget what this run wrote."""

    def profile(self) -> StackProfile:
        """How its stack behaves, with what was seen of this very image where there is such a record."""
        return profiles.get(self.stack)

    def configure_dut(self, shell: Shell, link: Link, timeout: float = 60.0) -> None:
        """Give the DUT NIC its MTU, addresses, static neighbours and the routes for broadcasts and multicasts.

        Returns when the NIC has its link. May be called again: what is there already is replaced.

        Raises:
            LabError: the guest refuses; its words are quoted.
            AwaitTimeout: the NIC has no link after ``timeout`` seconds.
        """
        self._address_dut(shell, link, timeout)
        self._await_link(shell, timeout)

    def _address_dut(self, shell: Shell, link: Link, timeout: float) -> None:
        commands = netsh.configuration(DUT_INTERFACE, link.interfaces4, link.interfaces6, link.neighbours, link.mtu)
        result = shell.run(" && ".join(commands), timeout)
        if result.exit_code == 0:
            return
        for command in netsh.removal(DUT_INTERFACE, link.interfaces4, link.interfaces6, link.neighbours):
            shell.run(command, timeout)  # fails for what is not there, which is what we want of it
        result = shell.run(" && ".join(commands), timeout)
        if result.exit_code:
            said = " ".join(f"{result.stdout} {result.stderr}".split())
            raise LabError(f"the guest refuses the addresses of its NIC under test: {said}")

    def _await_link(self, shell: Shell, timeout: float) -> None:
        """Wait for the link; an e1000e takes three seconds, and what is sent before is lost."""
        deadline = time.monotonic() + timeout
        command = netsh.show_link(DUT_INTERFACE)
        while not netsh.is_connected((result := shell.run(command, timeout)).stdout):
            if time.monotonic() > deadline:
                raise AwaitTimeout(f"the link of the guest's NIC {DUT_INTERFACE}", timeout, detail=result.stdout)
            time.sleep(_BETWEEN_LOOKS_SECONDS)  # netsh offers no event for it

    def load_driver(self, shell: Shell, sys_path: str, name: str, timeout: float = 60.0) -> None:
        """Register a driver as a kernel service and start it; one that is registered already is replaced.

        Args:
            shell: the way into the guest.
            sys_path: the driver's file in the guest ("C:/harness/wsksend.sys").
            name: the service's name.
            timeout: seconds for each command.

        Raises:
            Failure: the guest does not load it; says why in words.
        """
        services.load(shell, sys_path, name, timeout)

    def unload_driver(self, shell: Shell, name: str, timeout: float = 30.0) -> None:
        """Stop a driver, wait until it has stopped, and delete its service.

        Raises:
            Failure: it refuses, or is not stopped after ``timeout`` seconds.
        """
        services.unload(shell, name, timeout)

    def restart(self, shell: _Connection, connect: Callable[[], _Connection]) -> _Connection:
        """Restart the guest and log in to its next boot; see ``crash_seconds`` for which guests can.

        Raises:
            LabError: it does not go down or does not come back, or is of a kind that cannot.
        """
        raise LabError(f"a guest of kind {self.name} cannot be restarted")

    def renew(self, shell: Shell, timeout: float = 60.0) -> None:
        """End everything that a broken driver may have left in the guest, so that one can be loaded again.

        Raises:
            LabError: this guest cannot.
        """
        raise LabError(f"a guest of kind {self.name} has no way to get rid of a broken driver")

    def driver_state(self, shell: Shell, name: str, timeout: float = 30.0) -> str | None:
        """State of a driver's service as Windows calls it ("RUNNING", "STOPPED", ...), ``None`` without service."""
        return services.state(shell, name, timeout)
