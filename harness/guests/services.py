"""Kernel services by ``sc.exe``: load, unload, state; its exit codes in words.

On Windows the exit code of ``sc.exe`` is the Win32 error. A guest whose SSH server carries only the low eight bits
of an exit code prints the whole number, as Windows does, too: "[SC] StartService FAILED 1060:".
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from harness.errors import Failure

if TYPE_CHECKING:
    from harness.guests.base import Result, Shell

SERVICE_MARKED_FOR_DELETE = 1072
SERVICE_EXISTS = 1073
SERVICE_ALREADY_RUNNING = 1056
SERVICE_DOES_NOT_EXIST = 1060
SERVICE_NOT_ACTIVE = 1062

REASONS = {
    2: "the file is not there, or a module that it imports is missing",
    3: "the path of the file is not there",
    5: "access denied: not elevated, or the file is locked",
    31: "its DriverEntry returned an error (a device attached to the system is not functioning)",
    126: "a module that it imports is missing",
    127: "it imports a function that this Windows does not have",
    182: "it imports an ordinal that this Windows does not have",
    193: "it is not a valid driver image: wrong machine, damaged PE file or wrong checksum",
    216: "it is built for another machine type",
    577: "its signature is missing or does not fit the file, or test signing is off",
    1051: "other services that depend on it are running",
    1052: "it does not accept the request (a driver without DriverUnload cannot be stopped)",
    1053: "it did not answer the start request in time",
    1056: "it is running already",
    1058: "its service is disabled",
    1060: "no such service is installed",
    1062: "it is not started",
    1072: "its service is marked for deletion: a handle to it is still open",
    1073: "a service of this name exists already",
    1114: "the guest's loader refuses it: an import is missing, or its initialisation failed",
    1275: "it is blocked by policy from loading",
    1450: "the guest has not enough resources",
    1455: "the guest has not enough memory",
    2001: "its DriverEntry reported that it cannot load",
}
"""Win32 errors as they occur for drivers (names in winerror.h) -> what they mean here."""

_NOT_STARTED = "Application could not be started"  # Wine's start.exe
_NUMBER = re.compile(r"^\[SC\] .*?(\d+):", re.MULTILINE)  # the words between differ by Windows' language
_STATE = re.compile(r":\s*[1-7]\s+(\w*(?:STOPPED|PENDING|RUNNING|PAUSED))\b")
_BETWEEN_QUERIES_SECONDS = 0.2


def win32_error(result: Result) -> int:
    """The Win32 error of a call of ``sc.exe``; 0 when it succeeded."""
    if result.exit_code == 0:
        return 0
    printed = _NUMBER.search(result.stdout)
    return int(printed[1]) if printed else result.exit_code


def reason(error: int) -> str:
    """A Win32 error in words, with its number."""
    return f"{REASONS.get(error, 'the guest gave no known reason')} (Win32 error {error})"


def _why(result: Result) -> str:
    """Why a call of ``sc.exe`` failed, in words; of an error that nobody knows with what was said of it."""
    error = win32_error(result)
    said = " ".join(_said(result).split())[:200]
    return f"{reason(error)}{f': {said}' if said and error not in REASONS else ''}"


def _asked(shell: Shell, words: str, timeout: float) -> Result:
    """``sc.exe`` with a request that may be made twice: it is, where it never reached the service manager.

    A service manager that refuses says so; a program that fails and says nothing never asked it, nor did one that Wine
    could not start. (Each seen once in some thousand calls under Wine, exit code 1.)
    """
    result = shell.run(f"sc.exe {words}", timeout)
    if result.exit_code and (not result.stdout.strip() or _NOT_STARTED in _said(result)):
        result = shell.run(f"sc.exe {words}", timeout)
    return result


def load(shell: Shell, sys_path: str, name: str, timeout: float) -> None:
    """Create the service and start it; see ``Guest.load_driver``."""
    path = sys_path.removeprefix("/").replace("/", "\\")
    create = f"sc.exe create {name} type= kernel start= demand error= normal binPath= {path}"
    result = shell.run(create, timeout)
    if win32_error(result) == SERVICE_EXISTS:
        unload(shell, name, timeout)
        result = shell.run(create, timeout)
    if win32_error(result):
        raise Failure(
            f"driver {name} did not load: its service cannot be created: {_why(result)}", detail=_said(result)
        )
    result = shell.run(f"sc.exe start {name}", timeout)
    if win32_error(result):
        shell.run(f"sc.exe delete {name}", timeout)
        raise Failure(f"driver {name} did not load: {_why(result)}", detail=_said(result))


def unload(shell: Shell, name: str, timeout: float) -> None:
    """Stop the service, wait for its end, delete it; see ``Guest.unload_driver``."""
    deadline = time.monotonic() + timeout
    result = _asked(shell, f"stop {name}", timeout)
    error = win32_error(result)
    if error == SERVICE_DOES_NOT_EXIST:
        return
    if error not in (0, SERVICE_NOT_ACTIVE):
        raise Failure(f"driver {name} did not unload: {_why(result)}", detail=_said(result))
    now: str | None = _state_in(result) if error == 0 else "STOPPED"
    while now not in ("STOPPED", None):
        if time.monotonic() > deadline:
            raise Failure(f"driver {name} did not unload: it is still {now} {timeout:.0f} s after the stop request")
        time.sleep(_BETWEEN_QUERIES_SECONDS)  # Windows offers no event for it on a command line
        now = state(shell, name, timeout)
    if win32_error(result := _asked(shell, f"delete {name}", timeout)) not in (0, SERVICE_DOES_NOT_EXIST):
        raise Failure(
            f"driver {name} did not unload: its service cannot be deleted: {_why(result)}", detail=_said(result)
        )


def state(shell: Shell, name: str, timeout: float) -> str | None:
    """State of a service, ``None`` when there is none; see ``Guest.driver_state``."""
    result = _asked(shell, f"query {name}", timeout)
    error = win32_error(result)
    if error == SERVICE_DOES_NOT_EXIST:
        return None
    if error:
        raise Failure(f"the state of driver {name} is unknown: {_why(result)}", detail=_said(result))
    return _state_in(result)


def _state_in(result: Result) -> str:
    found = _STATE.search(result.stdout)
    return found[1] if found else "UNKNOWN"


def _said(result: Result) -> str:
    return f"{result.stdout}\n{result.stderr}".strip()
