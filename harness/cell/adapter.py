"""Your own driver: what the harness must be told of a ``.sys`` that does not speak the sample driver's interface.

An adapter is a class derived from ``DriverAdapter``, named ``module:Class`` or ``path/to/file.py:Class``. It puts the
driver into the guest and carries out operations with the driver's own means; what it answers is held against the
model and the capture like anything else. An operation that the driver has not is answered by ``not_offered``, and a
test that needs it skips itself.
"""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from harness.control.ssh import Shell
from harness.errors import HarnessError, LabError
from harness.guests.base import Guest
from harness.verify.verdict import Finding
from harness.wsk import status as nt
from harness.wsk.operations import Accounts, Operation, Outcome
from harness.wsk.types import Completion

FOLDER = "C:/harness"


class DriverAdapter:
    """A driver under test in a guest, as a session drives it. Derive from it, name the service, write ``execute``.

    Args:
        guest: the guest's profile: its commands.
        shell: the way into the guest: ``run`` a command, ``put`` a file, ``open_stream`` to a program that stays.
        sys_file: the driver under test on the host.
    """

    service = "mydriver"
    broken = False

    def __init_subclass__(cls, **arguments: object) -> None:
        """What goes wrong in an adapter is neither the driver's fault nor the harness's, and must not look so."""
        super().__init_subclass__(**arguments)
        for name, method in list(vars(cls).items()):
            if not name.startswith("_") and name in vars(DriverAdapter) and callable(method):
                setattr(cls, name, _blamed(cls.__name__, name, method))

    def __init__(self, guest: Guest, shell: Shell, sys_file: Path) -> None:
        self.guest, self.shell, self.sys_file = guest, shell, sys_file

    def files(self) -> dict[str, Path]:
        """More files for the guest, by name: the program that speaks to the driver."""
        return {}

    def execute(self, operations: Sequence[Operation]) -> list[Outcome]:
        """Carry operations out, in order, one outcome each.

        Raises:
            Failure: the driver is at fault. LabError: the way to it is.
        """
        raise NotImplementedError

    def accounts(self) -> Accounts | None:
        """The driver's books, or ``None`` for a driver that keeps none."""
        return None

    def install(self) -> None:
        """Put driver and files into the guest and load the driver."""
        self.shell.put(self.sys_file, f"{FOLDER}/{self.service}.sys")
        for name, path in self.files().items():
            self.shell.put(path, f"{FOLDER}/{name}")
        self.load()

    def install_in(self, shell: Shell) -> None:
        """Go on in a guest that was restarted after a crash: streams are gone, files must be put again."""
        self.shell = shell
        self.install()
        self.broken = False

    def load(self) -> None:
        """Start the driver's service; raises Failure when it does not start."""
        self.guest.load_driver(self.shell, f"{FOLDER}/{self.service}.sys", self.service)

    def attach(self) -> None:
        """The guest was restored with the driver loaded: open again what the restore closed."""

    def unload(self) -> None:
        """Stop the driver's service; raises Failure when it does not end."""
        self.guest.unload_driver(self.shell, self.service)

    def close(self) -> None:
        """The cell ends: let go of whatever is open."""

    def findings(self) -> Sequence[Finding]:
        """What somebody in the guest found wrong with the driver since the last call."""
        return ()

    def renew(self) -> None:
        """Give the guest a working driver again, after a Failure or a test that hung; as for a guest that restarted.

        Raises:
            LabError: the guest cannot get rid of a broken driver.
            Failure: the driver does not load any more.
        """
        self.close()
        self.guest.renew(self.shell)
        self.load()
        self.attach()
        self.broken = False


def _blamed(adapter: str, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    """The method, whose mistakes are LabErrors that name it: the way to the driver is broken, not the driver."""

    @functools.wraps(method)
    def called(self: DriverAdapter, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401 (any method's)
        try:
            answer = method(self, *arguments, **named)
        except HarnessError:
            raise
        except Exception as error:
            own = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.name != "called"]
            where = f"{Path(own[-1].filename).name}:{own[-1].lineno}" if own else name
            what = f"the adapter's {adapter}.{name} raised {type(error).__name__}: {error} ({where})"
            raise LabError(what, detail=traceback.format_exc()) from error
        if wrong := _wrong(name, answer, arguments):
            raise LabError(f"the adapter's {adapter}.{name} gave {wrong}")
        return answer

    return called


def _wrong(name: str, answer: object, arguments: Sequence[Any]) -> str:
    """What is wrong with what an adapter's method gave; empty when nothing is."""
    if name == "execute":
        if not isinstance(answer, list | tuple) or not all(isinstance(item, Outcome) for item in answer):
            return f"{_kind(answer)} where a list of Outcome is due"
        if len(answer) != len(arguments[0]):
            return f"{len(answer)} outcomes for {len(arguments[0])}"
    if name == "accounts" and not isinstance(answer, Accounts | None):
        return f"{_kind(answer)} where Accounts or None is due"
    if name == "findings" and not (
        isinstance(answer, list | tuple) and all(isinstance(item, Finding) for item in answer)
    ):
        return f"{_kind(answer)} where a list of Finding is due"
    return ""


def _kind(answer: object) -> str:
    inner = ", ".join(sorted({type(item).__name__ for item in answer})) if isinstance(answer, list | tuple) else ""
    return f"{type(answer).__name__} of {inner}" if inner else type(answer).__name__


def completed(status: int, information: int = 0) -> Outcome:
    """The outcome of a call that completed once with that NTSTATUS, of a driver that tells no more of it."""
    returned = nt.PENDING if nt.is_success(status) else status
    return Outcome(completion=Completion(returned, status, information, 1, 0, pending_returned=False))


def not_offered(operation: Operation) -> Outcome:
    """Ends the test as skipped: the driver has no such operation."""
    import pytest  # late: a restored guest need not wait for it

    pytest.skip(f"the driver under test offers no {type(operation).__name__}")
