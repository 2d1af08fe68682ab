"""Starts a new image once more, has it prove itself (SSH, test signing, no Secure Boot), and shows it each NIC once.

A NIC model that Windows meets for the first time costs minutes and may raise questions on the screen. So each model is
shown to the image once, in the slot and with the MAC that it will always have.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from harness import nics
from harness.control.ssh import Shell
from harness.errors import LabError
from harness.guests.base import DUT_INTERFACE
from harness.guests.windows import machine as hardware
from harness.guests.windows import powershell
from harness.guests.windows.releases import Release
from harness.guests.windows.state import State, Workplace, qemu_img
from harness.lab.network import CONTROL_GUEST, DUT_NIC_MAC
from harness.vm.domain import DomainSpec
from harness.vm.libvirt import Connection
from harness.vm.machine import Machine

USER = "Administrator"
SHUT_DOWN = "shutdown.exe /s /t 0 /f"
NO_SUCH_NIC = 40
_COMMAND_SECONDS = 300.0
_LOGIN_SECONDS = 600.0
_END_SECONDS = 300.0

Say = Callable[[str], None]


class Prover:
    """The proof of one build.

    Args:
        connection: where the machine runs.
        place: the build's folder.
        release: what was installed.
        accelerator: "kvm" or "tcg".
        say: told of progress.
        patience: factor for every deadline.
        memory_mib: in place of the release's.
        uefi: firmware.
    """

    def __init__(
        self,
        connection: Connection,
        place: Workplace,
        release: Release,
        accelerator: str,
        say: Say,
        *,
        patience: float = 1.0,
        memory_mib: int | None = None,
        uefi: bool = True,
    ) -> None:
        self._connection = connection
        self._place = place
        self._release = release
        self._accelerator = accelerator
        self._say = say
        self._patience = patience
        self._memory_mib = memory_mib
        self._uefi = uefi

    def run(self, state: State, models: Sequence[str]) -> State:
        """Start the image without a NIC under test, then once with each model.

        Raises:
            LabError: it does not answer, or is not what the installation should have made of it.
        """
        if state.proven:
            return state
        began = time.monotonic()
        self._place.prepare_boot(state, self._release.disk_gib)
        inventory = self._visit(state, None)
        check(inventory)
        trained: dict[str, Any] = {}
        for model in models:
            self._say(f"showing it the NIC {model}")
            trained[model] = self._visit(state, model)
        inventory["trained"] = trained
        state = state.with_seconds("proof", time.monotonic() - began)
        state = self._place.checkpoint(replace(state, inventory=inventory))
        state = replace(state, proven=True)
        self._place.save(state)
        return state

    def _visit(self, state: State, model: str | None) -> dict[str, Any]:
        nvram = self._place.vars if self._uefi else None
        disk = self._place.layer(state.boots)
        boot = hardware.boot_spec(self._release, disk, nvram, memory_mib=self._memory_mib)
        nic = nics.get(model) if model else None
        # The same name, hence the same UUID, as while it was installed: Windows takes part of its identity from it.
        name = f"install-{self._place.folder.name}"
        spec = DomainSpec(name, boot, nic, self._accelerator, self._place.console)
        with ExitStack() as stack:
            guest = stack.enter_context(Machine(self._connection, spec))
            began = time.monotonic()
            guest.start()
            shell = stack.enter_context(self._login(state, guest))
            if model is None:
                self._say(f"SSH answers {time.monotonic() - began:.0f} s after power-on")
            found = _inventory(shell) if model is None else _meet(shell)
            shell.run(SHUT_DOWN, _COMMAND_SECONDS * self._patience)
            guest.await_end(_END_SECONDS * self._patience)
        if model is None:
            found["login_seconds"] = round(time.monotonic() - began, 1)
        return found

    def _login(self, state: State, guest: Machine) -> Shell:
        host_key = state.facts.get("hostkey", "")
        if not host_key:
            raise LabError("the guest did not tell its SSH host key during the installation")
        return Shell.connect(
            str(CONTROL_GUEST),
            self._place.login_key,
            host_key,
            _LOGIN_SECONDS * self._patience,
            guest.console_tail,
            user=USER,
            alive=guest.require_running,
        )


def check(inventory: dict[str, Any]) -> None:
    """Raise LabError when the image would not load a test-signed driver."""
    if inventory.get("secureboot"):
        raise LabError("the guest was booted with Secure Boot, under which Windows refuses test signing")
    if not inventory.get("testsigning"):
        raise LabError("the guest was booted without test signing", detail=str(inventory.get("boot", "")))


def _inventory(shell: Shell) -> dict[str, Any]:
    result = powershell.run(shell, "inventory", _COMMAND_SECONDS)
    if result.exit_code:
        raise LabError("the guest did not say what it is", detail=f"{result.stdout}\n{result.stderr}".strip())
    rows = powershell.objects(result.stdout)
    if len(rows) != 1:
        raise LabError("the guest did not say what it is", detail=result.stdout)
    return rows[0]


def _meet(shell: Shell) -> dict[str, Any]:
    """Have Windows set up the NIC under test; what became of it, or why nothing did."""
    variables: dict[str, str | int] = {"Mac": DUT_NIC_MAC, "Name": DUT_INTERFACE, "Offloads": "keep", "Mtu": 1500}
    result = powershell.run(shell, "dut", _COMMAND_SECONDS, **variables)
    if result.exit_code == NO_SUCH_NIC:
        return {"status": "absent", "reason": "Windows has no driver for it, or did not find it"}
    if result.exit_code:
        return {"status": "failed", "reason": " ".join(f"{result.stdout} {result.stderr}".split())[:500]}
    rows = powershell.objects(result.stdout)
    return rows[0] if rows else {"status": "failed", "reason": "no answer"}


def flatten(place: Workplace, state: State, out: str) -> None:
    """Write the chain of layers as one disk that needs no other file."""
    qemu_img("convert", "-q", "-O", "qcow2", str(place.layer(state.boots - 1)), out)
