"""The sample driver in a guest as a session drives it: service by ``sc.exe``, calls through ``wskctl.exe serve``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.control.ssh import Shell
from harness.control.wskctl import WskCtl
from harness.errors import UsageError
from harness.guests.base import Guest
from harness.wsk.operations import Accounts, Load, Operation, Outcome, Unload

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
    """

    def __init__(self, guest: Guest, shell: Shell, sys_file: Path, wskctl: Path) -> None:
        self._guest = guest
        self._shell = shell
        self._files = (sys_file, wskctl)
        self._sys = f"{FOLDER}/{SERVICE}.sys"
        self._control: WskCtl | None = None
        self._loaded = False

    def install(self) -> None:
        """Put both files into the guest and load the driver."""
        sys_file, wskctl = self._files
        self._shell.put(sys_file, self._sys)
        self._shell.put(wskctl, f"{FOLDER}/wskctl.exe")
        self._load()

    def attach(self) -> None:
        """Talk to a driver that is loaded already, in a guest that was restored with it.

        Raises:
            Failure: it does not answer.
            LabError: the relay does not start.
        """
        self._control = WskCtl(self._shell.open_stream(WSKCTL))
        self._loaded = True
        self._control.info()

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
        return self._control.accounts() if self._control is not None and self._loaded else None

    def unload(self) -> None:
        """Let go of the device and stop the service; raises Failure when it does not end."""
        if self._control is not None:
            self._control.detach()
        self._loaded = False
        self._guest.unload_driver(self._shell, SERVICE)

    def close(self) -> None:
        """End the relay."""
        if self._control is not None:
            self._control.close()

    def _load(self) -> None:
        self._guest.load_driver(self._shell, self._sys, SERVICE)
        if self._control is None:
            self._control = WskCtl(self._shell.open_stream(WSKCTL))
        self._loaded = True

    def _submit(self, operations: Sequence[Operation]) -> list[Outcome]:
        if not operations:
            return []
        if self._control is None or not self._loaded:
            raise UsageError("the test uses the driver while it is unloaded", mend="call wsk.load() first")
        return self._control.submit(operations)
