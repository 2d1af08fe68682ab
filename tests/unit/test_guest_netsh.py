"""netsh: the commands for every guest, and the Wine guest's script that carries them out with ``ip``."""

from __future__ import annotations

import shutil
import subprocess
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from pathlib import Path

import pytest

from harness import resources
from harness.guests import netsh

MAC = bytes.fromhex("02000000d001")
SCRIPT = resources.root() / "images" / "wine" / "netsh"


@pytest.fixture
def run(tmp_path: Path) -> Runner:
    if shutil.which("bash") is None:
        pytest.skip("bash stands in for busybox's shell and is not installed")
    return Runner(tmp_path)


class Runner:
    """Runs the script with an ``ip`` that writes its arguments down, and a /sys of its own."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "log"
        (folder / "net/DUT").mkdir(parents=True)
        (folder / "net/DUT/carrier").write_text("1\n")
        ip = folder / "ip"
        ip.write_text(f'#!/bin/sh\necho "$*" >>{self._log}\n')
        ip.chmod(0o755)
        text = SCRIPT.read_text().replace("/usr/bin/ip", str(ip)).replace("/sys/class/net", str(folder / "net"))
        self._script = folder / "netsh"
        self._script.write_text(text.replace("/tmp/error", str(folder / "error")))

    def __call__(self, command: str) -> tuple[int, str, list[str]]:
        self._log.write_text("")
        words = [word.strip('"') for word in command.split()[1:]]
        done = subprocess.run(["bash", self._script, *words], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, self._log.read_text().splitlines()


def test_the_whole_configuration_is_understood(run: Runner) -> None:
    commands = netsh.configuration(
        "DUT",
        [IPv4Interface("192.0.2.10/24"), IPv4Interface("192.0.2.11/24")],
        [IPv6Interface("2001:db8:0:1::10/64"), IPv6Interface("2001:db8:0:1::11/64")],
        {IPv4Address("192.0.2.1"): MAC, IPv6Address("2001:db8:0:1::1"): MAC},
        1400,
    )
    did = []
    for command in commands:
        code, said, calls = run(command)
        assert (code, said) == (0, ""), command
        did += calls
    assert did == [
        "link set dev DUT mtu 1400",
        "route replace 255.255.255.255/32 dev DUT scope link metric 1",
        "route replace 224.0.0.0/4 dev DUT scope link metric 1",
        "link set dev DUT mtu 1400",
        "-6 route replace multicast ff00::/8 dev DUT table local metric 1",
        "-4 address add 192.0.2.10/255.255.255.0 dev DUT",
        "-4 address add 192.0.2.11/255.255.255.0 dev DUT",
        "-6 address add 2001:db8:0:1::10/64 dev DUT nodad",
        "-6 address add 2001:db8:0:1::11/64 dev DUT nodad preferred_lft 0",
        "-4 neighbour replace 192.0.2.1 lladdr 02:00:00:00:d0:01 dev DUT nud permanent",
        "-6 neighbour replace 2001:db8:0:1::1 lladdr 02:00:00:00:d0:01 dev DUT nud permanent",
    ]


def test_removal_names_what_configuration_adds(run: Runner) -> None:
    commands = netsh.removal("DUT", [IPv4Interface("192.0.2.10/24")], [IPv6Interface("2001:db8::10/64")], {})
    assert [run(command)[2] for command in commands] == [
        ["-4 address del 192.0.2.10 dev DUT"],
        ["-6 address del 2001:db8::10/64 dev DUT"],
    ]


@pytest.mark.parametrize(
    "command",
    [
        "netsh firewall show state",
        "netsh interface ipv5 add address DUT 192.0.2.10",
        "netsh interface ipv4 show address",
        "netsh interface ipv4 add address DUT colour=blue",
        'netsh interface ipv4 add address "none" 192.0.2.10 255.255.255.0',
    ],
)
def test_what_is_not_known_is_one_line_and_1(run: Runner, command: str) -> None:
    code, said, calls = run(command)
    assert code == 1
    assert said.startswith("netsh: ")
    assert said.count("\n") == 1
    assert calls == []


def test_the_link_is_shown_as_windows_shows_it(run: Runner) -> None:
    code, said, _ = run(netsh.show_link("DUT"))
    assert code == 0
    assert netsh.is_connected(said.replace("\r\n", "\n"))
    assert not netsh.is_connected(said.replace("Connected", "Disconnected"))
