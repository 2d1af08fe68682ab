"""How long libvirt alone takes to restore a guest, and how long the way to its driver is then, without any harness.

python -m tests.bench.restores [--nic virtio-net] [--rounds 3]

Three figures: `virsh restore` of the state that the harness keeps (its memory is a file beside it), `virsh restore` of
the same guest saved as `virsh save` does (memory inside), and login and start of the relay in the guest that was
restored. The last is what every way to a first datagram by SSH takes besides the restore.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from harness import nics, resources
from harness.lab import namespace

INSIDE = "--inside"


@dataclass(frozen=True, slots=True)
class Anonymous:
    """Memory under the name that the harness's has, but not in a file: ``virsh save`` writes it into the state."""

    def arguments(self, memory_mib: int) -> tuple[str, ...]:
        """QEMU's arguments."""
        return "-object", f"memory-backend-ram,id=ram,size={memory_mib}M", "-machine", "memory-backend=ram"


def measure(nic: str, rounds: int) -> dict[str, float]:
    """Medians in seconds: "kept", "whole", "way"; a run must have saved the guest on this NIC before.

    Raises:
        SystemExit: virsh or a saved guest is missing.
    """
    if shutil.which("virsh") is None:
        raise SystemExit("virsh is not installed: apt-get install libvirt-clients")
    argv = [sys.executable, "-m", "tests.bench.restores", INSIDE, "--nic", nic, "--rounds", str(rounds)]
    done = subprocess.run(namespace.command(argv), stdout=subprocess.PIPE, text=True, check=True, timeout=300)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def told(found: dict[str, float]) -> str:
    """The figures of ``measure`` as a line."""
    kept, whole, way = (found[name] for name in ("kept", "whole", "way"))
    return f"virsh restore {kept:.2f} s, with the memory in the state {whole:.2f} s; login and relay {way:.2f} s"


def inside(nic: str, rounds: int) -> dict[str, float]:
    """The same, in namespaces of its own."""
    work = namespace.enter(keep=(resources.PACKAGE.parent, Path(sys.prefix), resources.cache()))
    from harness.cell.driver import WSKCTL
    from harness.control.ssh import Shell
    from harness.control.wskctl import WskCtl
    from harness.guests import catalogue
    from harness.lab.network import CONTROL_GUEST, LabNetwork
    from harness.vm.domain import DomainSpec, domain_xml
    from harness.vm.libvirt import Connection
    from harness.vm.machine import Machine
    from harness.vm.ram import Ram, write_orders
    from harness.vm.saved import RAM, STATE, States

    kept = [state for state in States().entries() if (state.manifest["guest"], state.manifest["nic"]) == ("wine", nic)]
    if not kept:
        raise SystemExit(f"no guest is saved on {nic}: harness run --nic {nic}")
    state = kept[0]
    guest = catalogue.guest("wine", state.manifest["image"])
    memory = Ram(state.folder / RAM, shared=False)
    seconds: dict[str, list[float]] = {}

    with LabNetwork() as network:
        spec = DomainSpec(f"wine--{nic}", guest.boot_spec(), nics.get(nic), "tcg", work / "console", network.facts.mtu)
        with Connection() as connection, Machine(connection, spec) as machine:
            machine.restore(state.folder / STATE, memory)
            begun = time.monotonic()
            with Shell.connect(str(CONTROL_GUEST), guest.ssh_private_key, guest.host_public_key, 30) as shell:
                relay = WskCtl(shell.open_stream(WSKCTL))
                relay.info()
                seconds["way"] = [time.monotonic() - begun]
                relay.close()
            import libvirt_qemu

            order = {"capability": "x-ignore-shared", "state": False}
            told = {"execute": "migrate-set-capabilities", "arguments": {"capabilities": [order]}}
            libvirt_qemu.qemuMonitorCommand(machine.domain._handle, json.dumps(told), 0)
            machine.save(work / "whole")
        write_orders()
        for name, path, ram in (("kept", state.folder / STATE, memory), ("whole", work / "whole", Anonymous())):
            xml = work / f"{name}.xml"
            xml.write_text(domain_xml(spec, ram))  # type: ignore[arg-type]
            seconds[name] = _virsh(f"restore {path} --xml {xml}", f"destroy {spec.name}", rounds)
    return {name: statistics.median(values) for name, values in seconds.items()}


def _virsh(restore: str, destroy: str, rounds: int) -> list[float]:
    """Seconds of each restore as virsh itself tells them: without its own start, and with libvirt running already.

    The embedded driver of this process holds its root folder to its end; virsh's has one of its own.
    """
    from harness.vm.libvirt import QEMU_CONF, cache_folder

    root = namespace.WORK / "virsh"
    (root / "etc").mkdir(parents=True, exist_ok=True)
    (root / "etc" / "qemu.conf").write_text(QEMU_CONF)
    if not (root / "cache").is_symlink():
        (root / "cache").symlink_to(cache_folder(), target_is_directory=True)
    argv = ["virsh", "-t", "-c", f"qemu:///embed?root={root}", "; ".join([restore, destroy] * rounds)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"virsh: {done.stderr.strip()}")
    times = [float(found) / 1000 for found in re.findall(r"\(Time: ([0-9.]+) ms\)", done.stdout)]
    return times[::2]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--nic", default="virtio-net")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(INSIDE, action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        print(json.dumps(inside(arguments.nic, arguments.rounds)))
        return
    print(told(measure(arguments.nic, arguments.rounds)))


if __name__ == "__main__":
    main()
