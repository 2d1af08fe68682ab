"""How fast a cell starts: warm against `virsh restore`, cold against a bare QEMU boot. Run it alone on the host.

python -m tests.bench.start [--nic virtio-net] [--rounds 3] [--peers VENV --kernel VMLINUZ]
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

from harness.files import removal
from harness.guests.wine import wine_image
from tests.bench import boots, restores

READY = "harness-guest: ready"
CASE = "test_port_bytes_are_in_network_order"


def harness_run(nic: str, *options: str) -> tuple[float, dict[str, float], str]:
    """Seconds from the command to the first verified datagram, seconds by phase, and how the guest was started."""
    with removal.scratch("harness-bench-") as folder:
        argv = [
            sys.executable,
            "-m",
            "harness",
            "run",
            "--no-install",
            "--nic",
            nic,
            "-k",
            CASE,
            "-o",
            str(folder),
            *options,
        ]
        begun = time.monotonic()
        first = 0.0
        with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            for line in process.stderr:
                if "proof done" in line or (not first and "load done" in line and "--cold" in options):
                    first = time.monotonic() - begun
        (cell,) = json.loads((folder / "results.json").read_text())["cells"]
    return first, cell["timings"], cell["facts"].get("start", cell["reason"])


def image() -> wine_image.WineImage:
    """The guest's image."""
    found = wine_image.find()
    if found is None:
        raise SystemExit("build the image first: harness image build wine")
    return found


def bare_boot(seconds: float = 120.0) -> float:
    """Seconds from QEMU's start to the guest's services, with the same kernel, disk and memory and without libvirt."""
    made = image()
    with removal.scratch("harness-bench-") as folder:
        console = folder / "console"
        console.touch()
        argv = [
            *("qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-m", "256"),
            *("-machine", "pc-i440fx-7.2", "-accel", "tcg,tb-size=64", "-cpu", "qemu64,-svm"),
            *("-kernel", str(made.kernel), "-initrd", str(made.initrd), "-append", made.cmdline),
            *("-drive", f"file={made.disk},format=raw,if=virtio,readonly=on", "-serial", f"file:{console}"),
            *("-netdev", "user,id=n,restrict=on", "-device", "virtio-net-pci,netdev=n,mac=52:54:00:c0:00:01"),
        ]
        begun = time.monotonic()
        with subprocess.Popen(argv) as qemu:
            while READY not in console.read_text(errors="replace"):
                if time.monotonic() - begun > seconds or qemu.poll() is not None:
                    qemu.kill()
                    raise SystemExit("the bare guest did not come up")
                time.sleep(0.01)
            taken = time.monotonic() - begun
            qemu.kill()
    return taken


def main() -> None:
    """Measure and print, all in one run, so that the figures share the host's mood."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--nic", default="virtio-net")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", type=Path, help="environment with labgrid and virtme-ng")
    parser.add_argument("--kernel", type=Path, help="vmlinuz for virtme-ng, of the guest's release")
    arguments = parser.parse_args()
    print("first:", harness_run(arguments.nic)[2])
    rows = []
    for _ in range(arguments.rounds):
        warm, phases, how = harness_run(arguments.nic)
        cold, cold_phases, _ = harness_run(arguments.nic, "--cold")
        bare = bare_boot()
        load = float(re.split(r"\s", Path("/proc/loadavg").read_text())[0])
        cold_load = cold_phases.get("configure", 0.0) + cold_phases.get("load", 0.0)
        rows.append((warm, phases.get("restore", 0.0), cold, bare + cold_load))
        print(f"{how}: warm {warm:.2f} s (restore alone {phases.get('restore', 0.0):.2f}); cold {cold:.2f} s,", end=" ")
        print(f"bare QEMU {bare:.2f} + configure and load {cold_load:.2f} s; load of the host {load:.1f}")
        if arguments.peers:
            print(f"  labgrid {boots.labgrid(arguments.peers / 'bin' / 'python', image()):.2f} s", end="")
            print(f", virtme-ng {boots.virtme(arguments.peers / 'bin' / 'vng', arguments.kernel):.2f} s")
    warm, restore, cold, bare = (statistics.median(column) for column in zip(*rows, strict=True))
    print(f"median: warm {warm:.2f} s, restore alone {restore:.2f} s; cold {cold:.2f} s is {cold / bare:.2f} of bare")
    found = restores.measure(arguments.nic, arguments.rounds)
    print(f"{restores.told(found)}; warm is {warm / found['kept']:.1f} times the restore")


if __name__ == "__main__":
    main()
