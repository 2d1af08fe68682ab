"""The machine that acceptance steps work on: started with the NIC that a step asks for, kept while they agree."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from harness import nics
from harness.capture.frames import CapturedFrame, is_ip
from harness.capture.origin import is_guest
from harness.capture.session import CaptureSession
from harness.cell import saving
from harness.cell.driver import SampleDriver
from harness.control.ssh import Shell
from harness.driver_build import build as drivers
from harness.driver_build import sign
from harness.errors import HarnessError, LabError
from harness.files import removal
from harness.guests.windows.windows_guest import WindowsGuest
from harness.lab import namespace
from harness.lab.bridges import Bridges
from harness.lab.network import CONTROL_GUEST, DUT_NIC_MAC, GUEST_ADDRESSES, PEERS
from harness.model import profile as profiles
from harness.model.addresses import mac_bytes
from harness.model.site import Site
from harness.vm.domain import DomainSpec
from harness.vm.libvirt import Connection
from harness.vm.machine import Machine
from harness.vm.ram import Ram

DEFAULT_NIC = "e1000e"
_LOGIN_SECONDS = 600.0


class Bench:
    """One guest on one lab.

    Args:
        guest: what is accepted.
        connection: libvirt.
        network: the lab's bridges.
        folder: takes evidence.
        accelerator: "kvm" or "tcg".
        say: told of progress.
    """

    def __init__(
        self,
        guest: WindowsGuest,
        connection: Connection,
        network: Bridges,
        folder: Path,
        accelerator: str,
        say: Callable[[str], None],
    ) -> None:
        self.guest = guest
        self.folder = folder
        self.say = say
        self.nic: str | None = None
        self.boot_seconds = 0.0
        self._connection = connection
        self._network = network
        self._accelerator = accelerator
        self._machine: Machine | None = None
        self._memory = namespace.WORK / "ram"
        self._shell: Shell | None = None
        self._signed: Path | None = None

    def shell(self, nic: str = DEFAULT_NIC) -> Shell:
        """A login on the guest with this NIC under test; boots when it is not up, or up with another NIC."""
        if self._shell is not None and self._shell.is_active() and self.nic == nic:
            return self._shell
        if self._machine is None or self._machine.ended is not None or self.nic != nic:
            self.stop()
            self._start(nic)
        self._shell = self.connect()
        return self._shell

    @property
    def machine(self) -> Machine:
        """The running machine."""
        if self._machine is None:
            raise LabError("the guest is not running")
        return self._machine

    def connect(self) -> Shell:
        """Log in anew, waiting for as long as a boot takes."""
        return Shell.connect(
            str(CONTROL_GUEST),
            self.guest.ssh_private_key,
            self.guest.host_public_key,
            _LOGIN_SECONDS,
            self.machine.console_tail,
            user=self.guest.user,
            alive=self.machine.require_running,
        )

    def restart(self) -> Shell:
        """Restart Windows and log in again."""
        self._shell = self.guest.restart(self.shell(self.nic or DEFAULT_NIC), self.connect)
        return self._shell

    def reconnect(self) -> Shell:
        """Log in to a guest that came back by itself, after a crash or a restore."""
        if self._shell is not None:
            self._shell.close()
        self._shell = self.connect()
        return self._shell

    def stop(self) -> None:
        """End the machine; its overlay is forgotten at the next start."""
        if self._shell is not None:
            self._shell.close()
            self._shell = None
        if self._machine is not None:
            self._machine.destroy()
            self._machine = None
        removal.remove(self._memory)

    def start_saveable(self) -> Shell:
        """A login on a guest that was booted just now, with its memory in a file: it can become a state."""
        self.stop()
        return self._start(self.nic or DEFAULT_NIC, Ram(self._memory, shared=True))

    def save_and_restore(self) -> tuple[float, float]:
        """Make the guest a state and run it from that, as the cells of a run do; gives the seconds of either.

        Raises:
            LabError: no space, or libvirt or QEMU refused.
            AwaitTimeout: the restored guest lets nobody in.
        """
        with removal.scratch("state-", beside=self.folder) as folder:
            began = time.monotonic()
            try:
                saving.write(self.guest, self.machine, self._memory, folder)
            except OSError as error:
                raise LabError(f"the guest's state cannot be written to {self.folder}: {error.strerror}") from error
            saved = time.monotonic()
            saving.restore(self.guest, self.machine, folder)
            self.reconnect()
            return saved - began, time.monotonic() - saved

    def _start(self, nic: str, memory: Ram | None = None) -> Shell:
        spec = DomainSpec(
            f"accept-{self.guest.name}",
            self.guest.boot_spec(),
            nics.get(nic),
            self._accelerator,
            self.folder / "console.log",
            dut_bridge=self._network.dut,
            control_bridge=self._network.control,
        )
        self._machine = Machine(self._connection, spec)
        self.nic = nic
        began = time.monotonic()
        self._machine.start(memory)
        self._shell = self.connect()
        self.boot_seconds = time.monotonic() - began
        return self._shell

    def site(self) -> Site:
        """The lab as the guest must be configured for it."""
        mac = self._network.facts.mac
        neighbours = {str(peer): mac for peer in PEERS}
        return Site.of(DUT_NIC_MAC, GUEST_ADDRESSES, neighbours, profiles.get(self.guest.stack), host_macs=(mac,))

    def signed_driver(self) -> Path:
        """The sample driver with the lab's signature."""
        if self._signed is None:
            self._signed = sign.sign(drivers.build().wsksend_sys, self.folder / "wsksend.sys")
        return self._signed

    def driver(self) -> SampleDriver:
        """The sample driver in the guest, not loaded yet."""
        return SampleDriver(
            self.guest, self.shell(self.nic or DEFAULT_NIC), self.signed_driver(), drivers.build().wskctl_exe
        )

    @contextlib.contextmanager
    def capture(self, name: str) -> Iterator[Capture]:
        """A capture of the DUT bridge into a folder of its own."""
        folder = self.folder / f"capture-{name}"
        folder.mkdir(exist_ok=True)
        with CaptureSession(self._network.dut, folder) as session:
            yield Capture(session)


class Capture:
    """What was seen of the guest between two points."""

    def __init__(self, session: CaptureSession) -> None:
        self._session = session

    def during(self, name: str, act: Callable[[], None], frames: int, seconds: float = 2.0) -> list[CapturedFrame]:
        """Do something and give the guest's IP frames, waiting for so many of them at most ``seconds``."""
        self._session.begin(name)
        try:
            act()
        finally:
            self._session.end(name, frames, seconds)
        return from_guest(self._session.frames(name))

    def everything(self, name: str, seconds: float) -> list[CapturedFrame]:
        """All frames that the guest sends in a stretch of time without anybody asking for one."""
        self._session.begin(name)
        self._session.end(name, None, seconds)
        mac = mac_bytes(DUT_NIC_MAC)
        return [frame for frame in self._session.frames(name) if is_guest(frame.direction, frame.data, mac)]


def from_guest(frames: Sequence[CapturedFrame]) -> list[CapturedFrame]:
    """The IP frames that the guest sent."""
    mac = mac_bytes(DUT_NIC_MAC)
    return [frame for frame in frames if is_guest(frame.direction, frame.data, mac) and is_ip(frame.data)]


def quietly(act: Callable[[], object]) -> None:
    """Clean up; what fails then has told its reason before."""
    with contextlib.suppress(HarnessError):
        act()
