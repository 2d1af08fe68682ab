"""Acceptance steps about driver and wire, on the Wine guest: the same code, and a stack that is known."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import cast

import pytest

from harness.accept import steps
from harness.accept.rig import Bench
from harness.guests import catalogue, observations
from harness.guests.windows.windows_guest import WindowsGuest
from harness.guests.wine import wine_image
from harness.lab import dhcp
from harness.lab.network import CONTROL_BRIDGE, CONTROL_GUEST, CONTROL_NIC_MAC, LabNetwork
from harness.model.profile import LINUX, WINDOWS, Situation
from harness.vm import accelerator
from harness.vm.libvirt import Connection
from tests.unit.windows_kit import need


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    need("osslsigncode", "x86_64-w64-mingw32-gcc", "dnsmasq", "tshark")
    image = wine_image.find()
    if image is None:
        pytest.skip("the Wine guest's image is not built")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    guest = cast(WindowsGuest, catalogue.guest("wine", image.key))  # answers the same commands
    with LabNetwork() as network, Connection() as connection, ExitStack() as stack:
        server = dhcp.serve(CONTROL_BRIDGE, CONTROL_NIC_MAC, CONTROL_GUEST, tmp_path / "dhcp.log")
        stack.callback(server.end)
        running = Bench(guest, connection, network, tmp_path, accelerator.choose(tmp_path).name, print)
        stack.callback(running.stop)
        yield running


@pytest.mark.lab
def test_the_wire_step_sees_what_is_known_of_linux(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "LOADS", 3)
    assert "3 loads" in steps.loop(bench).detail
    seen = steps.wire(bench).observed
    wire = seen["wire"]
    assert (wire["ttl"], wire["multicast_ttl"], wire["dont_fragment"]) == (LINUX.ttl, LINUX.multicast_ttl, True)
    assert wire["hop_limit"] == 64
    assert seen["layouts"]["fragments"] == [[0, 1480, 1, 0], [1480, 1480, 1, 0], [2960, 1048, 0, 0]]
    assert len(seen["layouts"]["largest"]) == 45
    assert seen["statuses"]["ACCEPTED"] == ["0x00000000"]
    for refused in ("OVERSIZE", "BROADCAST_DENIED", "LOCAL_UNBOUND"):
        assert all(int(value, 16) >= 0x80000000 for value in seen["statuses"][refused]), refused
    observations.write(tmp_path, seen)
    profile = observations.apply(WINDOWS, observations.read(tmp_path / observations.FILE) or {})
    assert profile.ttl == LINUX.ttl
    assert profile.status(Situation.OVERSIZE).success is False
