"""Brings a guest to where tests can begin: from a saved state that proves itself, else by a cold boot that says why.

Two states are kept per guest and NIC: "booted" (services up, NIC under test configured) serves every driver build,
"loaded" has one build loaded as well. No SSH connection is open in either, for it would die with the restore. A guest
that becomes a state has its memory in a file of its own in the lab; one for tests shares the state's, copy-on-write.

The blocks of a state are compared with its manifest while QEMU starts, and nothing is asked of the guest before they
fit. A damaged state is removed, the guest is started in the next longer way, and the state is made again by that.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from harness.cell import adapter_names, saving
from harness.cell import driver as drivers
from harness.cell.adapter import DriverAdapter
from harness.cell.deadline import CALL_SECONDS, LOAD_SECONDS, bounded
from harness.cell.driver import SampleDriver
from harness.cell.job import CellJob
from harness.cell.session import Session
from harness.control.ssh import Shell
from harness.errors import HarnessError, LabError
from harness.files import removal
from harness.guests import base as guests
from harness.guests.base import Guest
from harness.model.site import Site
from harness.results.record import CaseResult
from harness.results.status import Status
from harness.vm import ram, saved, sparse
from harness.vm.domain import DomainSpec, domain_xml
from harness.vm.machine import Machine
from harness.vm.ram import Ram
from harness.vm.saved import DamagedStateError

PROOF = "harness::a restored guest's first datagram"
_PROOF_PORT = 9
_SPARE_MIB = 64  # for what else the lab keeps in memory
_SOURCES = (
    *sorted(Path(guests.__file__).parent.glob("*.py")),
    Path(drivers.__file__),
    Path(ram.__file__),
    Path(saving.__file__),
    Path(sparse.__file__),
    Path(__file__),
)
"""What decides how a guest is configured; a change makes older states useless."""

LoadedDriver = SampleDriver | DriverAdapter
Phase = Callable[[str], AbstractContextManager[None]]


@dataclass(frozen=True, slots=True)
class Ready:
    """A guest that tests can begin on, and how it came to be: "cold boot", "restored", "restored, driver loaded"."""

    session: Session
    driver: LoadedDriver
    how: str
    shell: Shell
    state: saved.Saved | None = None
    """The state that the guest was restored from."""


def prove(session: Session) -> str:
    """Send one datagram and hold it against the model, as a case of its own that counts in no result.

    Returns:
        why the guest is not to be trusted; empty when it is. A datagram that came, but not as predicted, speaks for
        the guest: what is wrong with it is the suite's to judge.
    """
    session.begin_case(PROOF)
    error: Exception | None = None
    try:
        with session.case.wsk.datagram_socket() as sock:
            session.case.wire.expect(sock.send_to(b"are you there?", session.case.wire.peer(_PROOF_PORT)))
    except Exception as caught:
        error = caught
    status = session.end_case(error)
    result: CaseResult = session.results.pop()
    seen = result.datagrams.matched + result.datagrams.altered + result.datagrams.duplicated
    if status is Status.PASSED or seen:
        return ""
    return result.told() or str(status)


def keys(job: CellJob, guest: Guest, spec: DomainSpec, site: Site, versions: dict[str, str]) -> tuple[str, str]:
    """Keys of the states "booted" and "loaded": over the domain, versions, image, site, driver, relay and sources.

    Where a run keeps its console and its disks is no part of them.
    """
    parts = {
        "xml": domain_xml(_placeless(spec)),
        "image": job.image,
        "host key": guest.host_public_key,  # an image that was built again has other keys under the same name
        "site": str(site.to_json()),
        **{f"version of {name}": version for name, version in versions.items()},
        **{f"demand {name}": value for name, value in guest.demands().items()},
    }
    return saved.key(parts, _SOURCES), saved.key(parts, (*_SOURCES, *_files(job)))


def _placeless(spec: DomainSpec) -> DomainSpec:
    """The same machine with its console, and whatever it writes to, at places of no run."""
    boot = spec.boot
    disks = tuple(disk if disk.readonly else replace(disk, path=Path("/disk")) for disk in boot.disks)
    nvram, screen = boot.nvram and Path("/nvram"), boot.screen and Path("/screen")
    return replace(spec, boot=replace(boot, disks=disks, nvram=nvram, screen=screen), console=Path("/console"))


def _files(job: CellJob) -> tuple[Path, ...]:
    """What goes into the guest."""
    files = (job.driver, job.relay)
    more = (job.verifier, adapter_names.file_of(job.adapter))
    return (*files, *(path for path in more if path is not None))


class Starter:
    """Starts one cell's guest.

    Args:
        job: the cell.
        guest: its profile.
        machine: not yet started.
        site: how the NIC under test is to be configured.
        phase: times a phase by name.
        connect: logs in.
        session: makes the session that judges with a driver.
        states: the cache, ``None`` to boot whatever it holds.
        versions: of QEMU and libvirt: a state serves the version that wrote it.
        work: folder of the lab, for the memory of a guest that becomes a state.
    """

    def __init__(
        self,
        job: CellJob,
        guest: Guest,
        machine: Machine,
        site: Site,
        *,
        phase: Phase,
        connect: Callable[[], Shell],
        session: Callable[[LoadedDriver], Session],
        states: saved.States | None,
        versions: dict[str, str],
        work: Path,
    ) -> None:
        self._job, self._guest, self._machine, self._site = job, guest, machine, site
        self._phase, self._connect, self._session, self._states = phase, connect, session, states
        self._booted, self._loaded = keys(job, guest, machine.spec, site, versions)
        self._memory = work / "ram"
        self.doubts: list[str] = []
        self._shell: Shell | None = None
        self._driver: LoadedDriver | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="start")
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="blocks")
        self._restored: saved.Saved | None = None
        self._early: Future[LoadedDriver] | None = None
        self._power: Future[None] | None = None
        if states is not None and states.find(self._loaded) is None and (doubt := self._no_room()):
            self.doubts.append(doubt)
            self._states = None

    def begin(self) -> None:
        """Restore a guest that has the driver loaded, or switch one on, while the caller starts the capture.

        The capture runs long before a guest that boots has a driver for its NIC. Errors are raised by ``start``.
        """
        states = self._states
        if states is None:
            self._power = self._thread.submit(self._machine.start)
        elif (state := states.find(self._loaded)) is not None:
            self._early = self._thread.submit(self._attached_to, state)
        elif states.find(self._booted) is None:
            self._power = self._thread.submit(self._machine.start, self._own_memory())

    def start(self) -> Ready:
        """Start the guest by the shortest way that holds.

        Raises:
            HarnessError: the guest or the driver did not come up in a cold boot either.
        """
        states = self._states
        if states is None:
            return self._cold()
        try:
            for _ in range(2):  # each of the two states may be damaged
                try:
                    return self._by_state(states)
                except DamagedStateError:
                    self._early = None
                    self._end()
            return self._by_state(states)
        finally:
            self.doubts = [*states.damaged, *self.doubts]

    def _by_state(self, states: saved.States) -> Ready:
        """Start from a state, or make the states that are missing."""
        try:
            if self._early is not None:
                return self._proven(self._early.result(), "restored, driver loaded")
            if self._power is None and (state := states.find(self._booted)) is not None:
                self._restore_to_load(state)
                if self._job.passing:
                    return self._passing("restored, driver loaded into it")
                return self._keeping_loaded(states, "restored, driver loaded into it")
        except DamagedStateError:
            raise
        except HarnessError as error:
            self.doubts.append(f"a saved guest was not used: {error.what}")
            self._end()
            return self._cold()
        self._boot(self._own_memory())
        try:
            self._keep(states, self._booted)
            if self._job.passing:
                return self._passing("cold boot, saved and restored")
            return self._keeping_loaded(states, "cold boot, saved and restored")
        except HarnessError as error:
            self.doubts.append(f"the guest could not be saved: {error.what}")
            self._end()
            return self._cold()

    def close(self) -> None:
        """End relay and connection, and whatever ``begin`` still does."""
        self._thread.shutdown(wait=True)
        self._reader.shutdown(wait=True)
        self._hang_up()

    def _hang_up(self) -> None:
        driver, self._driver = self._driver, None
        shell, self._shell = self._shell, None
        if driver is not None:
            driver.close()
        if shell is not None:
            shell.close()

    def _attached_to(self, state: saved.Saved) -> LoadedDriver:
        self._restore(state)
        self._driver = self._driver_by(self._login())
        with self._phase("attach"):
            self._driver.attach()
        return self._driver

    def _proven(self, driver: LoadedDriver, how: str) -> Ready:
        session = self._session(driver)
        with self._phase("proof"), bounded(CALL_SECONDS, "a restored guest's first datagram"):
            doubt = prove(session)
        if doubt:
            raise LabError(f"it did not prove itself: {doubt}")
        return self._ready(session, driver, how)

    def _ready(self, session: Session, driver: LoadedDriver, how: str) -> Ready:
        assert self._shell is not None  # the driver was reached by it
        return Ready(session, driver, how, self._shell, self._restored)

    def _keeping_loaded(self, states: saved.States, how: str) -> Ready:
        self._installed()
        return self._proven(self._attached_to(self._keep(states, self._loaded)), how)

    def _passing(self, how: str) -> Ready:
        driver = self._installed()
        return self._ready(self._session(driver), driver, how)

    def _keep(self, states: saved.States, name: str) -> saved.Saved:
        """Save the running guest under a key; it ends by that, and is restored when that is all."""
        self._hang_up()
        with self._phase("save"):
            facts = {"guest": self._job.cell.guest, "nic": self._job.cell.nic, "image": self._job.image}
            state = states.save(name, self._write, facts)
        if name == self._booted:
            self._restore_to_load(state)
        return state

    def _no_room(self) -> str:
        """Why a guest cannot have memory of its own in the lab; empty when it can. QEMU would die when it runs out."""
        need, free = self._machine.spec.boot.memory_mib, shutil.disk_usage(self._memory.parent).free >> 20
        if need + _SPARE_MIB <= free:
            return ""
        return f"the guest was not saved: its {need} MiB of memory do not fit into the {free} MiB of the lab's own"

    def _own_memory(self) -> Ram:
        return Ram(self._memory, shared=True)

    def _write(self, folder: Path) -> None:
        saving.write(self._guest, self._machine, self._memory, folder)

    def _cold(self) -> Ready:
        self._boot()
        driver = self._installed()
        session = self._session(driver)
        if self.doubts and self._states is not None and not prove(session):  # so it was the state, not the driver
            self._states.discard(self._loaded)
            self._states.discard(self._booted)
        return self._ready(session, driver, "cold boot")

    def _boot(self, memory: Ram | None = None) -> None:
        with self._phase("boot"):
            if (power := self._power) is not None:
                self._power = None
                power.result()
            else:
                self._machine.start(memory)
            self._machine.await_console(self._guest.ready_line, self._guest.boot_seconds)
        shell = self._login()
        with self._phase("configure"):
            self._shell = shell = self._guest.prepare(shell, self._connect)
            self._guest.configure_dut(shell, self._site)

    def _login(self) -> Shell:
        with self._phase("ssh"):
            self._shell = self._connect()
        return self._shell

    def _driver_by(self, shell: Shell) -> LoadedDriver:
        """The driver under test, driven by its adapter or as the sample's kind."""
        job = self._job
        if job.adapter:
            return adapter_names.find(job.adapter)(self._guest, shell, job.driver)
        return SampleDriver(self._guest, shell, job.driver, job.relay, job.verifier)

    def _installed(self) -> LoadedDriver:
        shell = self._shell or self._login()
        self._driver = self._driver_by(shell)
        with self._phase("load"), bounded(LOAD_SECONDS, "the driver to be loaded"):
            self._driver.install()
        return self._driver

    def _restore(self, state: saved.Saved, memory: Path | None = None) -> None:
        """Restore a guest, and compare the state's blocks meanwhile.

        Raises:
            DamagedStateError: they are not what was saved.
            LabError: libvirt or QEMU refused.
        """
        assert self._states is not None  # the state is one of theirs
        with self._phase("restore"):
            compared = self._reader.submit(self._states.require_whole, state)
            try:
                saving.restore(self._guest, self._machine, state.folder, memory)
            except HarnessError:
                compared.result()  # the damage says more than what it led to
                raise
            compared.result()
        self._restored = state

    def _restore_to_load(self, state: saved.Saved) -> None:
        """Restore a guest to load a driver into; it becomes a state itself, unless the driver is a passing one."""
        self._restore(state, None if self._job.passing else self._memory)

    def _end(self) -> None:
        self._restored = None
        with contextlib.suppress(HarnessError):
            self._hang_up()
        self._machine.destroy()
        removal.remove(self._memory)
        try:
            self._guest.start_over()
        except OSError as error:
            raise LabError(f"the guest's disk cannot be made anew: {error.strerror or error}") from error
