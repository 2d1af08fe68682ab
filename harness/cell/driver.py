"""The sample driver in a guest as a session drives it: service by ``sc.exe``, calls through ``wskctl.exe serve``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from harness.control.ssh import Shell
from harness.control.wskctl import WskCtl
from harness.driver_build.check import check
from harness.driver_verifier import findings as verifier
from harness.driver_verifier import watching
from harness.errors import Failure, LabError, UsageError
from harness.guests.base import Guest
from harness.verify.verdict import Finding
from harness.wsk.operations import Accounts, Load, Operation, Outcome, Unload

_T = TypeVar("_T")

SERVICE = "wsksend"
FOLDER = "C:/harness"
WSKCTL = r"C:\harness\wskctl.exe serve"


class SampleDriver:
    """A ``.sys`` that speaks the ABI of ``drivers/include/wsksend_abi.h``, loaded in a guest.

    Args:
        guest: the guest's profile: knows the commands.
        shell: the way into the guest.
        sys_file: the driver under test on the host.
        wskctl: the relay on the host.
        verifier_sys: the verifier on the host; ``None`` leaves the driver unwatched.
    """

    def __init__(
        self, guest: Guest, shell: Shell, sys_file: Path, wskctl: Path, verifier_sys: Path | None = None
    ) -> None:
        self._guest = guest
        self._shell = shell
        self._files = (sys_file, wskctl)
        self._verifier = verifier_sys
        self._symbols = verifier.Symbols(sys_file.with_suffix(".debug.sys"))
        self._log: Callable[[], bytes] | None = None
        self._rest = ""
        self._kept: list[verifier.Line] = []  # read, and not yet given as findings
        self._muted = False
        self.watching = ""  # what the verifier last said of itself
        self.broken = False
        self._sys = f"{FOLDER}/{SERVICE}.sys"
        self._control: WskCtl | None = None
        self._loaded = False

    def install(self) -> None:
        """Put both files into the guest and load the driver."""
        sys_file, wskctl = self._files
        self._shell.put(sys_file, self._sys)
        self._shell.put(wskctl, f"{FOLDER}/wskctl.exe")
        if self._verifier is not None:
            self._shell.put(b"", verifier.LOG)
            self._shell.put(self._verifier, f"{FOLDER}/verifier.sys")
        try:
            self._load()
        except Failure as failure:  # the guest's error code has few words; the file itself may tell more
            wrong = next((point for point in check(sys_file) if not point.ok and point.win32_error), None)
            if wrong is None:
                raise
            what = f"{failure.what}; {sys_file.name}: {wrong.name}: {wrong.detail}"
            raise Failure(what, mend="see `harness driver check`", detail=failure.detail) from None

    def attach(self) -> None:
        """Talk to a driver that is loaded already, in a guest that was restored with it.

        Raises:
            Failure: it does not answer.
            LabError: the relay does not start.
        """
        self._control = WskCtl(self._shell.open_stream(WSKCTL))
        self._loaded = True
        self._control.info()
        self._require_watched()
        self._kept.clear()  # what was found before the state was saved is no news

    def execute(self, operations: Sequence[Operation]) -> list[Outcome]:
        """Carry out operations in order; what lies between loads and unloads is pipelined over the open channel."""
        outcomes: list[Outcome] = []
        pending: list[Operation] = []
        for operation in operations:
            if isinstance(operation, Load | Unload):
                outcomes += self._submit(pending)
                pending = []
                if isinstance(operation, Load):
                    self._load()
                else:
                    self.unload()
                outcomes.append(Outcome())
            else:
                pending.append(operation)
        return outcomes + self._submit(pending)

    def accounts(self) -> Accounts | None:
        """The driver's books; None while it is not loaded."""
        if self._control is None or not self._loaded:
            return None
        return self._guarded(self._control.accounts)

    def settle(self, operations: Sequence[Operation]) -> tuple[list[Outcome], Accounts | None]:
        """Carry out a case's last operations and give the books, in one trip to the driver where that is possible."""
        control = self._control
        if control is None or not self._loaded or any(isinstance(item, Load | Unload) for item in operations):
            return self.execute(operations), self.accounts()
        return self._guarded(lambda: control.settle(operations))

    def findings(self) -> Sequence[Finding]:
        """What the verifier found since the last call, resolved to functions and lines.

        Raises:
            LabError: the verifier said at an earlier call that it writes no more lines.
        """
        if self._muted:
            raise LabError("the verifier has found so much that it writes no more lines")
        lines, self._kept = [*self._kept, *self._lines()], []
        self._muted = any(line.code == "muted" for line in lines)
        return verifier.findings(lines, self._symbols)

    def announcement(self) -> dict[str, str]:
        """What watches the driver, as facts of the cell: its verifier and its own accounts.

        Raises:
            Failure: the driver does not tell its accounts.
        """
        if self._control is None:
            raise LabError("the driver is not loaded")
        control = self._control
        info, accounts = self._guarded(lambda: (control.info(), control.ledger()))
        return {
            "verifier": self.watching or "not watched",
            "counters": f"{SERVICE}.sys answers with {len(accounts)} accounts, version {info.abi_version}",
        }

    def renew(self) -> None:
        """End what the broken driver left in the guest, and load it again.

        Raises:
            LabError: the guest cannot.
            Failure: the driver does not load any more.
        """
        if self._control is not None:
            self._control.abandon()
        self._control = None
        self._loaded = False
        self._guest.renew(self._shell)
        self._load()
        self.broken = False

    def install_in(self, shell: Shell) -> None:
        """Go on in a guest that was restarted: nothing of before counts, files that were just written may be empty.

        Raises:
            Failure: the driver does not load any more.
            LabError: the guest takes no files.
        """
        if self._control is not None:
            self._control.abandon()
        self._control, self._log, self._rest, self._kept = None, None, "", []
        self._loaded = self.broken = False
        self._shell = shell
        self.install()

    def unload(self) -> None:
        """Let go of the device and stop the service, once the verifier has said that it still watches.

        Raises:
            Failure: the driver does not end.
            LabError: the verifier is silent.
        """
        if self._loaded and not self.broken:
            self._require_watched()
        if self._control is not None:
            self._control.detach()
        self._loaded = False
        try:
            self._guest.unload_driver(self._shell, SERVICE)
        except LabError as error:  # the guest answers everything but this
            self.broken = True
            raise Failure(f"driver {SERVICE} did not unload: {error.what}", detail=error.detail) from error
        except Failure:
            self.broken = True
            raise

    def close(self) -> None:
        """End the relay."""
        if self._control is not None:
            self._control.close()

    def _load(self) -> None:
        self._guest.load_driver(self._shell, self._sys, SERVICE)
        if self._control is None:
            self._control = WskCtl(self._shell.open_stream(WSKCTL))
        self._loaded = True
        self._require_watched()

    def _require_watched(self) -> None:
        """See that the verifier, where there shall be one, watches this driver now.

        Raises:
            LabError: it does not say so.
        """
        if self._verifier is None or self._control is None:
            return
        number = watching.ask(self._control)
        self._kept += self._lines()
        self._muted = False
        self.watching = str(watching.answered(self._kept, number, f"{SERVICE}.sys"))

    def _submit(self, operations: Sequence[Operation]) -> list[Outcome]:
        if not operations:
            return []
        if self._control is None or not self._loaded:
            raise UsageError("the test uses the driver while it is unloaded", mend="call wsk.load() first")
        control = self._control
        return self._guarded(lambda: control.submit(operations))

    def _guarded(self, ask: Callable[[], _T]) -> _T:
        """A driver that fails to answer once is not asked again until it is renewed."""
        if self.broken:
            raise Failure("the driver does not answer any more")
        try:
            return ask()
        except Failure:
            self.broken = True
            raise

    def _lines(self) -> list[verifier.Line]:
        """New lines of the verifier's log; half a line waits for its other half."""
        if self._verifier is None:
            return []
        if self._log is None:
            self._log = self._shell.follow(verifier.LOG)
        whole, _, self._rest = (self._rest + self._log().decode(errors="replace")).rpartition("\n")
        return verifier.parse(whole)
