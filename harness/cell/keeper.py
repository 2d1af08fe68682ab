"""Keeps a guest that comes back by itself: notices its crash, has it examined, brings guest and driver up again."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from harness.cell.cell_files import DUMPS
from harness.control.ssh import Shell
from harness.errors import HarnessError
from harness.guests.base import Guest, Link
from harness.guests.windows.crash import collect
from harness.guests.windows.crash.detect import Kind
from harness.guests.windows.crash.examine import SETTLE_SECONDS, Crash, examine
from harness.verify.verdict import Finding
from harness.vm.libvirt import Event

_ANSWER_SECONDS = 60.0  # PowerShell takes seconds to start, an emulated one tens


class Machine(Protocol):
    """What is asked of the machine (``harness.vm.machine``)."""

    @property
    def ended(self) -> Event | None:
        """How it ended."""

    @property
    def crash_notices(self) -> tuple[str, ...]:
        """What its crash device said."""

    def dump_windows(self, path: Path) -> None:
        """Dump it from the host."""

    def destroy(self) -> None:
        """End it."""

    def start(self) -> None:
        """Boot it."""


class Renewable(Protocol):
    """What is asked of the driver under test."""

    @property
    def broken(self) -> bool:
        """It is past answering."""

    def findings(self) -> Sequence[Finding]:
        """What a verifier in the guest found."""

    def install_in(self, shell: Shell) -> None:
        """Load it in a guest that was restarted."""


class GuestKeeper:
    """Keeper and watch of one cell's guest.

    Args:
        guest: its profile.
        machine: what it runs in.
        connect: logs in within so many seconds.
        folder: takes dumps.
        settle: seconds that the guest may take to log a crash once it is back.
    """

    def __init__(
        self,
        guest: Guest,
        machine: Machine,
        connect: Callable[[float], Shell],
        folder: Path,
        settle: float = SETTLE_SECONDS,
    ) -> None:
        self._guest, self._machine, self._connect = guest, machine, connect
        self._folder, self._settle = folder, settle
        self._shell: Shell | None = None
        self._boot = ""
        self._counted = 0  # notices of crashes that were examined
        self._known: set[str] = set()
        self._back = True
        self._driver: Renewable | None = None
        self._link: Link | None = None
        self._quiet: Callable[[], None] = lambda: None

    def login(self) -> Shell:
        """Log in as a cell does when it starts, and remember which boot that is."""
        self._shell = self._connect(self._guest.login_seconds)
        self._boot = collect.boot_identity(self._shell, _ANSWER_SECONDS)
        return self._shell

    def keep(self, driver: Renewable, link: Link, quiet: Callable[[], None]) -> None:
        """From now on this driver runs in the guest.

        Args:
            driver: the one that is loaded.
            link: what the NIC under test is configured for.
            quiet: waits until the guest is silent on it; raises LabError when it is not.
        """
        self._driver, self._link, self._quiet = driver, link, quiet

    @property
    def met(self) -> bool:
        """Somebody was logged in once, so that the boot is known."""
        return bool(self._boot)

    @property
    def noticed(self) -> bool:
        """The machine told of a crash that was not examined yet."""
        return len(self._machine.crash_notices) > self._counted

    @property
    def broken(self) -> bool:
        """The driver is past answering."""
        return self._driver is not None and self._driver.broken

    def findings(self) -> Sequence[Finding]:
        """The driver's."""
        return self._driver.findings() if self._driver is not None else ()

    def crash(self) -> Crash | None:
        """Find out how the guest went away; ``None`` when it is the boot that it was, or was ended from outside."""
        if self._machine.ended not in (None, Event.CRASHED):
            return None
        if not self.noticed and self._answers():
            return None
        notices = self._machine.crash_notices[self._counted :]
        found = examine(
            self._boot,
            notices,
            self._come_back,
            self._folder / DUMPS,
            dump_from_host=self._machine.dump_windows,
            known=self._known,
            settle=self._settle,
        )
        self._counted += len(notices)
        if found.kind is Kind.NONE:
            return None
        if found.fingerprint is not None and found.dump is not None:
            self._known.add(found.fingerprint.key)
        self._back = found.back
        return found

    def renew(self) -> None:
        """Bring the guest up with the driver loaded: after a crash the boot that followed, otherwise another boot.

        Raises:
            HarnessError: it does not come up, is not silent, or the driver does not load any more.
        """
        assert self._driver is not None, "keep() comes first"
        assert self._link is not None
        shell = self._another_boot()
        self._boot = collect.boot_identity(shell, _ANSWER_SECONDS)
        self._guest.configure_dut(shell, self._link)
        self._quiet()
        self._driver.install_in(shell)

    def close(self) -> None:
        """Let go of the connection."""
        if self._shell is not None:
            self._shell.close()

    def _answers(self) -> bool:
        if self._shell is None or not self._shell.is_active():
            return False
        try:
            return collect.boot_identity(self._shell, _ANSWER_SECONDS) == self._boot
        except HarnessError:
            return False

    def _come_back(self) -> Shell:
        """A login of its own for the examination, waiting for dump and boot."""
        return self._connect(self._guest.crash_seconds)

    def _another_boot(self) -> Shell:
        """A login on a boot that is not the one that the driver broke."""
        old, self._shell = self._shell, None
        with contextlib.suppress(HarnessError):
            if self._back:
                shell = self._connect(self._guest.crash_seconds)
                if collect.boot_identity(shell, _ANSWER_SECONDS) == self._boot:
                    shell = self._guest.restart(shell, self._come_back)
                self._shell = shell
        if old is not None:
            old.close()
        if self._shell is None:  # it does not go down, or is not there: the power switch is left
            self._machine.destroy()
            self._counted = 0
            self._machine.start()
            self._shell = self._connect(self._guest.crash_seconds)
        self._back = True
        return self._shell
