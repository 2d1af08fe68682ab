"""Runs one cell: lab, guest, driver, capture, then the suite, each on top of the one before and ended in reverse.

Everything is entered on one ``ExitStack``, so whatever goes wrong, what came before it is ended in order.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness import nics
from harness.capture.marker import SILENCE
from harness.capture.session import CaptureSession
from harness.cell.cached import held_to_its_state
from harness.cell.driver import SampleDriver
from harness.cell.events import Note, Phase, encode
from harness.cell.job import CellJob
from harness.cell.keeper import GuestKeeper
from harness.cell.lab import CellLab, taps
from harness.cell.session import Session
from harness.cell.start import PROOF, Ready, Starter
from harness.cell.suite import SUITE_LOG, run_suite
from harness.cell.trace_writer import PlanFile
from harness.control.ssh import Shell
from harness.errors import Failure, HarnessError, LabError
from harness.files import removal
from harness.guests import catalogue
from harness.guests.base import Guest
from harness.guests.silence import noise
from harness.lab import dhcp, namespace
from harness.lab.bridges import Bridges
from harness.lab.disturbance import Disturbances
from harness.lab.host_network import HostNetwork
from harness.lab.network import (
    CONTROL_GUEST,
    CONTROL_NIC_MAC,
    DUT_NIC_MAC,
    GUEST_ADDRESSES,
    PEERS,
    LabNetwork,
)
from harness.lab.peers import Peers
from harness.lab.reserved import ReservedFrames
from harness.model.addresses import mac_bytes
from harness.model.site import Site
from harness.nics import Nic
from harness.results.record import CellResult
from harness.results.status import Status, worst
from harness.trace.trace_lines import Header
from harness.vm import accelerator, capabilities
from harness.vm.domain import DomainSpec
from harness.vm.libvirt import Connection, cache_folder
from harness.vm.machine import Machine
from harness.vm.saved import States

Emit = Callable[[dict[str, Any]], None]

PLAN, CONSOLE, DOMAIN = "operations.jsonl", "console.log", "domain.xml"


@dataclass
class _Notes:
    """What the result of the cell will say of how it went."""

    emit: Emit
    timings: dict[str, float] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)
    accelerator: str = ""

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time a phase and tell of it."""
        self.emit(encode(Phase(name)))
        started = time.monotonic()
        try:
            yield
        finally:
            seconds = round(time.monotonic() - started, 3)
            self.timings[name] = round(self.timings.get(name, 0.0) + seconds, 3)  # some phases come twice
            self.emit(encode(Phase(name, seconds)))


def run_suite_of(job: CellJob, ready: Ready) -> None:
    """What a cell is for."""
    run_suite(job, ready.session)


def run_cell(job: CellJob, emit: Emit, conduct: Callable[[CellJob, Ready], None] = run_suite_of) -> CellResult:
    """Bring a cell up, run its suite, judge every case.

    Args:
        job: what to run and where its evidence goes.
        emit: takes progress events.
        conduct: runs the suite, or does something else with a guest that is ready.

    Raises:
        HarnessError: the cell could not be brought up; its class says whose fault that was.
    """
    notes = _Notes(emit)
    nic = nics.get(job.cell.nic)
    guest = catalogue.guest(job.cell.guest, job.image, job.windows, job.driver.name)
    if reason := guest.obstacle(nic):
        guest.close()
        return CellResult(job.cell.guest, job.cell.nic, Status.SKIPPED, reason=reason)
    job = replace(
        job,
        driver=guest.take_driver(job.driver, job.folder),
        verifier=job.verifier if guest.own_verifier else None,
        cold=job.cold or not guest.keeps_state,
    )
    with ExitStack() as stack:
        stack.callback(guest.close)
        with notes.phase("lab"):
            network = stack.enter_context(_network(job))
            peers = stack.enter_context(Peers())
            site = site_of(guest, nic, network)
            reserved = stack.enter_context(ReservedFrames(network.dut))
            capture = _capture(job.folder, network, reserved)
            alive = _dhcp(job, network, stack)
            machine = _machine(job, guest, nic, network, notes, stack)
        header = Header(job.run_id, site.profile.name, site.to_json(), str(job.cell), markers=capture.secret)
        plan = stack.enter_context(PlanFile(job.folder / PLAN, header))

        def tell(event: dict[str, Any]) -> None:
            if event.get("id") != PROOF:  # not a case of the suite
                emit(event)

        def login(seconds: float) -> Shell:
            return _shell(job, guest, machine, alive, seconds)

        keeper = GuestKeeper(guest, machine, login, job.folder)
        stack.callback(keeper.close)
        states = None if job.cold or not job.isolated else States(limit=job.states_gib << 30)
        starter = Starter(
            job,
            guest,
            machine,
            site,
            phase=notes.phase,
            connect=keeper.login if guest.crash_seconds else lambda: login(guest.login_seconds),
            session=lambda driver: Session(site, driver, capture, plan.add, tell, peers, job.folder),
            states=states,
            versions=notes.versions,
            work=namespace.WORK,
        )
        stack.callback(starter.close)
        starter.begin()
        with notes.phase("capture"):
            stack.enter_context(capture)
            notes.facts |= capture.prove()
        ready = _start(starter, keeper if guest.crash_seconds else None)
        notes.facts["start"] = "; ".join((ready.how, *starter.doubts))
        for line in starter.doubts:
            emit(encode(Note(line)))
        notes.versions |= guest.versions()
        notes.facts |= watchers(ready, guest)
        if guest.silence_seconds:
            with notes.phase("silence"):
                _require_silence(capture, guest.silence_seconds)
        session, driver = ready.session, ready.driver
        session.watch = driver
        session.lab = CellLab(machine, stack.enter_context(_disturbances(machine)), reserved)

        def settled() -> None:
            """A machine that was started again has other taps, and must be as silent as at first."""
            session.lab = CellLab(machine, stack.enter_context(_disturbances(machine)), reserved)
            _require_silence(capture, guest.silence_seconds)

        if guest.crash_seconds:
            session.watch = session.keeper = keeper
            keeper.keep(driver, site, settled)
        (job.folder / DOMAIN).write_text(machine.xml(), encoding="utf-8")
        with notes.phase("suite"):
            conduct(job, ready)
        notes.timings |= _split(notes.timings.pop("suite"), session.verifying)
        with notes.phase("unload"):
            session.end(driver.unload)
        notes.facts |= {"memory of QEMU": f"{machine.resident_bytes() >> 20} MiB", **_facts(network)}
        with notes.phase("record"):
            session.doubt(capture.stop())
            session.explain(capture.path)
    return held_to_its_state(_result(job, session, notes), states, ready.state)


def _split(suite: float, verifying: float) -> dict[str, float]:
    """The suite's seconds as those of the tests themselves and those of ending them with a verdict."""
    return {"send": round(suite - verifying, 3), "verify": round(verifying, 3)}


def site_of(guest: Guest, nic: Nic, network: Bridges) -> Site:
    """The lab as the model needs to know it."""
    mac = network.facts.mac
    return Site.of(
        DUT_NIC_MAC,
        GUEST_ADDRESSES,
        {str(peer): mac for peer in PEERS},
        guest.profile(),
        host_macs=(mac,),
        mtu=network.facts.mtu,
        pads=nic.pads_to_60,
        partial_checksum=nic.partial_checksum,
        zero_checksum_stays=nic.zero_checksum_stays,
    )


def _network(job: CellJob) -> Bridges:
    return HostNetwork(job.host.bridge, job.host.control_bridge) if job.host else LabNetwork(nics.get(job.cell.nic).mtu)


def _capture(folder: Path, network: Bridges, reserved: ReservedFrames) -> CaptureSession:
    before = network.counters()
    return CaptureSession(
        network.dut,
        folder,
        mtu=network.facts.mtu,
        lost_elsewhere=lambda: reserved.lost(lambda: sum(network.counters().since(before).values())),
        problems=network.facts.problems,
    )


def _dhcp(job: CellJob, network: Bridges, stack: ExitStack) -> Callable[[], None]:
    """Serve the control NIC its address where the host does not; what it gives raises LabError once that has ended."""
    if not job.isolated:
        return lambda: None
    server = dhcp.serve(network.control, CONTROL_NIC_MAC, CONTROL_GUEST, job.folder / "dhcp.log")
    stack.callback(server.end)
    return server.require_alive


def _machine(job: CellJob, guest: Guest, nic: Nic, network: Bridges, notes: _Notes, stack: ExitStack) -> Machine:
    """Libvirt, and the machine, not yet started."""
    chosen = accelerator.choose(stack.enter_context(removal.scratch("wsk-harness-")))
    notes.accelerator = chosen.name
    notes.facts["accelerator"] = chosen.evidence
    if job.isolated:
        if lines := capabilities.sweep(cache_folder()):
            notes.facts["cache"] = "; ".join(lines)
        stack.callback(_record_capabilities)
    connection = stack.enter_context(Connection(job.host.uri if job.host else ""))
    notes.versions |= connection.versions()
    boot = guest.boot_spec()
    if job.memory_mib is not None:
        boot = replace(boot, memory_mib=job.memory_mib)
    name = job.cell.name if job.isolated else f"{job.cell.name}-{job.run_id}"
    console = job.folder / CONSOLE
    bridges = {"dut_bridge": network.dut, "control_bridge": network.control}
    spec = DomainSpec(name, boot, nic, chosen.name, console, network.facts.mtu, **bridges)
    return stack.enter_context(Machine(connection, spec))


def _record_capabilities() -> None:
    with contextlib.suppress(OSError):  # they are checked no later then than they would have been without
        capabilities.record(cache_folder())


def watchers(ready: Ready, guest: Guest) -> dict[str, str]:
    """What watches the driver in this cell, by its own words; a cell that nobody watches says so.

    Raises:
        LabError: a watcher that was asked for does not say that it watches.
    """
    if isinstance(ready.driver, SampleDriver):
        facts = ready.driver.announcement()
    else:
        name = type(ready.driver).__name__
        facts = {
            "verifier": f"not watched: the adapter {name} drives the driver",
            "counters": f"those of the adapter {name}, where the driver keeps any",
        }
    if own := guest.watcher(ready.shell):
        facts["verifier"] = own
    return facts


def _start(starter: Starter, keeper: GuestKeeper | None) -> Ready:
    """Start the guest; one that crashed while the driver was loaded is the driver's failure, and says its stop code."""
    try:
        return starter.start()
    except HarnessError as error:
        crash = keeper.crash() if keeper is not None and keeper.met else None
        if crash is None or not crash.proven:
            raise
        raise Failure(f"{crash.line()}, while the driver was loaded", detail=error.line()) from error


def _require_silence(capture: CaptureSession, seconds: float) -> None:
    """Raise LabError when the guest sends anything that nobody asked for: cases could not tell it from their own."""
    capture.restarted()
    capture.begin(SILENCE)
    capture.end(SILENCE, None, seconds)
    heard = noise(capture.frames(SILENCE), mac_bytes(DUT_NIC_MAC))
    if heard:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(heard.items()))
        raise LabError(f"the guest is not silent on the NIC under test: {kinds} in {seconds:.0f} s")


def _shell(job: CellJob, guest: Guest, machine: Machine, served: Callable[[], None], seconds: float) -> Shell:
    def alive() -> None:
        machine.require_running()
        served()

    shell = Shell.connect(
        job.host.control_address if job.host else str(CONTROL_GUEST),
        guest.ssh_private_key,
        guest.host_public_key,
        seconds,
        machine.console_tail,
        user=guest.user,
        alive=alive,
        insist=bool(guest.crash_seconds),
    )
    machine.when_ended(shell.close)
    return shell


def _disturbances(machine: Machine) -> Disturbances:
    found = taps(machine.xml())
    dut, _ = found.get(DUT_NIC_MAC, ("", ""))  # a device that is passed through has no tap
    return Disturbances(dict(found.values()), DUT_NIC_MAC, dut)


def _facts(network: Bridges) -> dict[str, str]:
    netfilter = network.facts.bridge_nf
    return {"netfilter on bridges": ", ".join(f"{name} {value}" for name, value in netfilter.items()) or "not loaded"}


def _result(job: CellJob, session: Session, notes: _Notes) -> CellResult:
    names = {"capture": "capture.pcapng", "plan": PLAN, "console": CONSOLE, "domain": DOMAIN, "log": SUITE_LOG}
    status = worst(case.status for case in session.results)
    return CellResult(
        job.cell.guest,
        job.cell.nic,
        status,
        reason="" if session.results else "no case was judged",
        driver=job.cell.driver or job.driver.name,
        accelerator=notes.accelerator,
        timings=dict(notes.timings),
        cases=tuple(session.results),
        versions=notes.versions,
        facts=notes.facts,
        evidence={kind: name for kind, name in names.items() if (job.folder / name).exists()},
    )
