"""Takes the machine through Setup: start after start, until the guest has said that it is ready and powered off.

Each start is one layer of the disk; a reboot ends the machine, and the next start goes on from there. What the guest
says on COM1 decides the phase, each phase has its deadline, and a deadline that passes leaves a picture of the screen.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from harness.errors import AwaitTimeout, LabError
from harness.guests.windows import machine as hardware
from harness.guests.windows.beacons import Kind, Told, parse
from harness.guests.windows.phases import (
    EMULATED_SLOWNESS,
    FIRMWARE_LINE,
    MAX_BOOTS,
    Deadlines,
    Phase,
    phase_of,
    press_key,
)
from harness.guests.windows.releases import Release
from harness.guests.windows.state import State, Workplace
from harness.lab.growth import Growth
from harness.vm.domain import DomainSpec
from harness.vm.libvirt import Connection, Event
from harness.vm.machine import Machine

ENTER = 28
_CLEAN_ENDS = (Event.SHUT_DOWN, Event.DESTROYED)
_LOOK_SECONDS = 1.0

Say = Callable[[str], None]


class Installer:
    """One build's machine while it is installed.

    Args:
        connection: where it runs.
        place: the build's folder.
        release: what is installed.
        media: the Windows ISO.
        accelerator: "kvm" or "tcg".
        deadlines: of the phases.
        say: told of progress, one line each.
        uefi: firmware.
        memory_mib: in place of the release's.
    """

    def __init__(
        self,
        connection: Connection,
        place: Workplace,
        release: Release,
        media: Path,
        accelerator: str,
        deadlines: Deadlines,
        say: Say,
        *,
        uefi: bool = True,
        memory_mib: int | None = None,
    ) -> None:
        self._connection = connection
        self._place = place
        self._release = release
        self._media = media
        self._accelerator = accelerator
        self._deadlines = deadlines
        self._say = say
        self._uefi = uefi
        self._memory_mib = memory_mib
        self._heard = 0
        self._written = 0

    def run(self, state: State) -> State:
        """Start the machine as often as Setup needs; gives the state with ``installed`` set.

        Raises:
            AwaitTimeout: a phase took too long; the detail names the screenshot.
            LabError: provisioning failed, or the machine ended as it must not.
        """
        while not state.installed:
            began = time.monotonic()
            if state.boots >= MAX_BOOTS:
                raise LabError(
                    f"Setup rebooted {MAX_BOOTS} times without an end", detail=f"console: {self._place.console}"
                )
            disk = self._place.prepare_boot(state, self._release.disk_gib)
            self._heard = max(self._heard, len(self._told().beacons))  # of an earlier run: told then
            self._say(f"start {state.boots + 1} of the installation")
            told = self._boot(disk, state.boots)
            state = state.with_seconds(f"start {state.boots + 1}", time.monotonic() - began)
            state = self._place.checkpoint(replace(state, facts=told.facts))
            if told.ready:
                state = replace(state, installed=True)
                self._place.save(state)
        return state

    def _told(self) -> Told:
        console = self._place.console
        return parse(console.read_text(errors="replace") if console.exists() else "")

    def _boot(self, disk: Path, boot: int) -> Told:
        nvram = self._place.vars if self._uefi else None
        cdroms = (self._media, self._place.seed)
        boot_spec = hardware.boot_spec(self._release, disk, nvram, cdroms=cdroms, memory_mib=self._memory_mib)
        name = f"install-{self._place.folder.name}"
        spec = DomainSpec(name, boot_spec, None, self._accelerator, self._place.console)
        with Machine(self._connection, spec) as guest:
            guest.start()
            self._follow(guest, boot)
            guest.require_bounded_console()
            told = parse(guest.console())
            ended = guest.ended
        self._check_end(told, ended, boot)
        return told

    def _check_end(self, told: Told, ended: Event | None, boot: int) -> None:
        if ended not in _CLEAN_ENDS:
            raise LabError(f"the machine {ended.value if ended else 'vanished'} during the installation")
        if boot == 0 and phase_of(told, 0, self._written) is Phase.BOOT:
            raise LabError(
                "the machine ended before Setup had started",
                mend="look at its console's log in the folder of the build",
            )

    def _follow(self, guest: Machine, boot: int) -> None:
        """Watch the machine until it ends; raises when a phase takes too long or provisioning fails."""
        begun = time.monotonic()
        phase, since = Phase.BOOT, begun
        firmware_at: float | None = None
        looked = 0.0
        self._written = 0
        seen = len(guest.console())
        with Growth(self._place.console) as growth:
            while guest.ended is None:
                now = time.monotonic()
                console = guest.console()
                told = parse(console)
                self._report(told)
                if told.failed:
                    self._fail(guest, told.failed)
                if firmware_at is None and FIRMWARE_LINE in console[seen:]:
                    firmware_at = now
                if now - looked >= _LOOK_SECONDS:
                    looked = now
                    self._look(guest, phase, now - begun, None if firmware_at is None else now - firmware_at)
                current = phase_of(told, boot, self._written)
                if current is not phase:
                    phase, since = current, now
                if now - since > self._deadlines.of(phase):
                    self._time_out(guest, phase)
                growth.wait(_LOOK_SECONDS / 2)
        self._report(parse(guest.console()))

    def _look(self, guest: Machine, phase: Phase, seconds: float, since_firmware: float | None) -> None:
        with contextlib.suppress(LabError):  # it may end at any moment, which the caller sees next
            if phase is Phase.BOOT:
                self._written = guest.domain.disk_written("sda")
            slowness = 1.0 if self._accelerator == "kvm" else EMULATED_SLOWNESS
            if press_key(phase, seconds, since_firmware, slowness):
                guest.domain.press(ENTER)

    def _report(self, told: Told) -> None:
        for beacon in told.beacons[self._heard :]:
            if beacon.kind is Kind.PHASE:
                self._say(f"Windows: {beacon.text}")
            elif beacon.kind is Kind.STEP:
                self._say(f"first logon: {beacon.text}")
            elif beacon.kind is Kind.READY:
                self._say("first logon: done")
        self._heard = max(self._heard, len(told.beacons))

    def _fail(self, guest: Machine, reason: str) -> None:
        step, _, words = reason.partition(" ")
        raise LabError(
            f"the first logon failed at {step}: {words or 'no reason given'}", detail=self._evidence(guest, step)
        )

    def _time_out(self, guest: Machine, phase: Phase) -> None:
        raise AwaitTimeout(
            phase.value,
            self._deadlines.of(phase),
            mend="look at the picture; --patience 2 doubles every deadline",
            detail=self._evidence(guest, phase.name.lower()),
        )

    def _evidence(self, guest: Machine, name: str) -> str:
        """Take a picture of the screen, and say where it and the console's log are."""
        lines = [f"console: {self._place.console}"]
        try:
            image = guest.domain.screenshot()
            kind = "png" if image[:4] == b"\x89PNG" else "ppm"
            path = self._place.folder / f"screen-{name}.{kind}"
            path.write_bytes(image)
            lines.insert(0, f"screen: {path}")
        except LabError as error:
            lines.append(f"no picture of the screen: {error.what}")
        return "\n".join([*lines, guest.console_tail(8)])
