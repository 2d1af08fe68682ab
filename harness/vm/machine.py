"""One virtual machine: started, watched, saved, restored, ended; its console kept and quoted."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from harness.errors import AwaitTimeout, HarnessError, LabError
from harness.lab.file_limit import FileLimit
from harness.lab.growth import Growth
from harness.vm.domain import DomainSpec, domain_xml
from harness.vm.libvirt import Connection, Domain, Event
from harness.vm.ram import Ram, write_orders

ENDED = frozenset({Event.SHUT_DOWN, Event.DESTROYED, Event.CRASHED, Event.SAVED, Event.FAILED})
CONSOLE_TAIL_LINES = 20
MOST_CONSOLE = 32 << 20
"""Bytes of console, of all starts together, at which a guest is ended: one that prints for ever fills the disk."""
_TAIL_BYTES = 1 << 16
_END_SECONDS = 5.0


class Machine:
    """A machine on a libvirt connection; ended when the context is left.

    Args:
        connection: where it runs.
        spec: what it is.
    """

    def __init__(self, connection: Connection, spec: DomainSpec) -> None:
        self.spec = spec
        self._connection = connection
        self._domain: Domain | None = None
        self._events: list[Event] = []
        self._news = threading.Condition()
        self._console_start = 0
        self._when_ended: Callable[[], object] = lambda: None
        self._limit: FileLimit | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.destroy()

    @property
    def events(self) -> tuple[Event, ...]:
        """What libvirt said of it so far."""
        return tuple(self._events)

    @property
    def ended(self) -> Event | None:
        """How it ended; ``None`` while it runs."""
        return next((event for event in self._events if event in ENDED), None)

    def start(self, ram: Ram | None = None) -> None:
        """Boot it.

        Args:
            ram: the file that shall be its memory.

        Raises:
            LabError: libvirt or QEMU refused.
        """
        self._prepare(ram)
        self._domain = self._connection.create(domain_xml(self.spec, ram), self.spec.uuid, self._listen)

    def restore(self, path: Path, ram: Ram | None = None) -> None:
        """Start it from what ``save`` wrote, in place of booting.

        Args:
            path: the state.
            ram: its memory, when that was in a shared file as the state was saved: the file, or a copy of it.

        Raises:
            LabError: libvirt or QEMU refused.
        """
        self._prepare(ram)
        firmware = self._connection.firmware_of(path) if self.spec.boot.uefi else None
        xml = domain_xml(self.spec, ram, firmware)
        self._domain = self._connection.restore(path, xml, self.spec.uuid, self._listen)

    def save(self, path: Path) -> None:
        """Save devices, and memory that is not in a shared file, to ``path``; the machine ends.

        Raises:
            LabError: libvirt or QEMU refused.
            AwaitTimeout: it did not end.
        """
        self._running().save(path)
        self.await_end(_END_SECONDS)  # libvirt tells it later; a restore must not take it for its own end

    def destroy(self) -> None:
        """End it at once; nothing to do when it has ended."""
        if self._limit is not None:
            self._limit.end()
        if self._domain is None:
            return
        if self.spec.boot.windows and self.ended is Event.CRASHED:
            self._events.clear()  # it was kept for its dump: the end is still to come, and must not be the next start's
        self._domain.destroy()
        with contextlib.suppress(AwaitTimeout):  # it may have ended before anybody listened
            self.await_end(_END_SECONDS)
        self._connection.forget(self.spec.uuid)
        self._domain = None

    def require_running(self) -> None:
        """Raise LabError, with the end of the console, when the machine has ended or has printed too much."""
        self.require_bounded_console()
        if self.ended is not None:
            raise LabError(f"the guest {self.spec.name} {self.ended.value}", detail=self.console_tail())

    def require_bounded_console(self) -> None:
        """Raise LabError when the console reached its limit."""
        size = self.spec.console.stat().st_size if self.spec.console.exists() else 0
        if size >= MOST_CONSOLE:
            limit = f"its limit of {MOST_CONSOLE >> 20} MiB"
            raise LabError(
                f"the console of the guest {self.spec.name} reached {limit}, where the guest was ended",
                mend=f"find what prints there without end, in {self.spec.console}",
                detail=self.console_tail(),
            )

    def when_ended(self, then: Callable[[], object]) -> None:
        """Call ``then`` on a thread of its own when the machine ends: who waits for the guest need not wait longer."""
        self._when_ended = then

    def await_end(self, seconds: float) -> Event:
        """Wait until the machine has ended.

        Raises:
            AwaitTimeout: it did not in time.
        """
        deadline = time.monotonic() + seconds
        with self._news:
            while self.ended is None:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise AwaitTimeout(f"the guest {self.spec.name} to end", seconds, detail=self.console_tail())
                self._news.wait(left)
            return self.ended

    def await_console(self, text: str, seconds: float) -> None:
        """Wait until the console has shown ``text`` since the machine was started.

        Raises:
            AwaitTimeout: it did not in time.
            LabError: the machine ended first.
        """

        def probe() -> bool | None:
            if text in self.console()[self._console_start :]:
                return True
            self.require_running()
            return None

        with Growth(self.spec.console) as growth:
            growth.until(probe, f"{text!r} on the guest's console", seconds, detail=self.console_tail)

    def console(self) -> str:
        """Everything on the console so far, control characters kept."""
        return self.spec.console.read_text(errors="replace") if self.spec.console.exists() else ""

    def console_tail(self, lines: int = CONSOLE_TAIL_LINES) -> str:
        """The last lines of the console, as text."""
        kept = [line.rstrip() for line in self._console_end().splitlines() if line.strip()]
        return "\n".join("".join(c for c in line if c.isprintable() or c == "\t") for line in kept[-lines:])

    @property
    def domain(self) -> Domain:
        """The running domain, for keys, screenshots, dumps and plugging; LabError when it does not run."""
        return self._running()

    @property
    def crash_notices(self) -> tuple[str, ...]:
        """What the guest's crash device said since the start: "crashloaded" (it writes a dump) or "panicked"."""
        words = {Event.CRASH_LOADED: "crashloaded", Event.CRASHED: "panicked"}
        return tuple(words[event] for event in self._events if event in words)

    def dump_windows(self, path: Path) -> None:
        """Write the guest's memory as a Windows dump, also of one that has crashed and is kept for it.

        Raises:
            LabError: it has ended, or QEMU finds no Windows in its memory.
        """
        if self.ended is not Event.CRASHED:
            self.require_running()
        if self._domain is None:
            raise LabError(f"the guest {self.spec.name} was not started")
        self._domain.dump_windows(path)

    def resident_bytes(self) -> int:
        """Resident memory of QEMU in bytes."""
        return self._running().resident_bytes()

    def xml(self) -> str:
        """The domain as libvirt runs it, for the evidence folder."""
        return self._running().xml()

    def _console_end(self) -> str:
        """The last part of the console, enough for ``console_tail``."""
        if not self.spec.console.exists():
            return ""
        with self.spec.console.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            return file.read(_TAIL_BYTES).decode(errors="replace")

    def _silence(self) -> None:
        """End the guest whose console reached its limit; who waits for it is told by ``require_running``."""
        domain = self._domain
        if domain is not None:
            with contextlib.suppress(HarnessError):  # it may be ending at this very moment
                domain.destroy()

    def _prepare(self, memory: Ram | None) -> None:
        self.require_bounded_console()
        if self._limit is not None:
            self._limit.end()
        if memory is not None:
            write_orders()
            if memory.shared and not memory.file.exists():
                memory.file.touch(0o600)  # QEMU may write the file, and may make none in its folder
        if self.spec.boot.screen is not None:
            self.spec.boot.screen.parent.mkdir(exist_ok=True)
        self._events.clear()
        self.spec.console.touch()  # an empty console is evidence too, and can be watched
        self._console_start = len(self.console())
        self._limit = FileLimit(self.spec.console, MOST_CONSOLE, self._silence)

    def _running(self) -> Domain:
        self.require_running()
        if self._domain is None:
            raise LabError(f"the guest {self.spec.name} was not started")
        return self._domain

    def _listen(self, event: Event) -> None:
        with self._news:
            self._events.append(event)
            self._news.notify_all()
        if event in ENDED:
            threading.Thread(target=self._when_ended, name="the guest's end", daemon=True).start()
