"""How long other tools of the field take to boot the guest's kernel: labgrid's QEMUDriver and virtme-ng.

Neither is a dependency: they are run from an environment of their own, named by the caller. Both boot without KVM and
with 256 MiB, as the harness's guest does here. labgrid gets the guest's own disk and arguments; virtme-ng brings a
user land of its own (the host's files), so its figure is that of kernel and init alone.
"""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import time
from pathlib import Path

from harness.files import removal
from harness.guests.wine.wine_image import WineImage

READY = "harness-guest: ready"
_LABGRID = """
import sys, time
from labgrid import Environment
target = Environment(sys.argv[1]).get_target("main")
driver = target.get_driver("QEMUDriver")
begun = time.monotonic()
driver.on()
driver.expect(sys.argv[2], timeout=120)
print(time.monotonic() - begun)
driver.off()
"""


def labgrid(python: Path, image: WineImage) -> float:
    """Seconds from ``QEMUDriver.on()`` until the guest's services are up.

    Args:
        python: of an environment with labgrid in it.
        image: the guest.
    """
    driver = {
        "qemu_bin": "qemu",
        "machine": "pc",
        "cpu": "qemu64,-svm",
        "memory": "256M",
        "kernel": "kernel",
        "disk": "disk",
        "disk_opts": "readonly=on",
        "extra_args": f"-nodefaults -no-user-config -accel tcg,tb-size=64 -initrd {image.initrd}",
        "nic": "user,id=n,restrict=on,model=virtio-net-pci,mac=52:54:00:c0:00:01",
        "boot_args": image.cmdline,
    }
    with removal.scratch("harness-bench-") as folder:
        path = folder / "environment.yaml"
        path.write_text(
            json.dumps(  # which is YAML, too
                {
                    "targets": {"main": {"drivers": {"QEMUDriver": driver}}},
                    "tools": {"qemu": "/usr/bin/qemu-system-x86_64"},
                    "images": {"kernel": str(image.kernel), "disk": str(image.disk)},
                }
            )
        )
        argv = [str(python), "-c", _LABGRID, str(path), READY]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=180, check=False)
    if done.returncode:
        raise SystemExit(f"labgrid: {done.stderr.strip()[-400:]}")
    return float(done.stdout.split()[-1])


def virtme(vng: Path, kernel: Path, seconds: float = 180.0) -> float:
    """Seconds from ``vng`` until a command in its guest has spoken.

    Args:
        vng: the program.
        kernel: a ``vmlinuz`` of the same release as the guest's, with its modules in /lib/modules.
        seconds: deadline.
    """
    options = ["--disable-kvm", "--disable-microvm", "--memory", "256M", "--cpus", "1", "--user", "root"]
    busybox = vng.with_name("busybox")  # static, for its initramfs, where the host has none
    options += ["--busybox", str(busybox)] if busybox.exists() else []
    words = READY.split(" ", 1)  # apart, so that no echo of the command line is taken for its output
    argv = [str(vng), "--run", str(kernel), *options, "--verbose", "--exec", f"printf '%s %s\\n' {words[0]} {words[1]}"]
    master, slave = pty.openpty()  # it wants a terminal
    begun = time.monotonic()
    with subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, cwd="/tmp", start_new_session=True) as child:
        os.close(slave)
        seen = b""
        try:
            while READY.encode() not in seen:
                left = begun + seconds - time.monotonic()
                if left <= 0 or not select.select([master], [], [], left)[0]:
                    raise SystemExit("virtme-ng did not come up")
                seen += os.read(master, 65536)
            return time.monotonic() - begun
        except OSError:
            raise SystemExit(f"virtme-ng: {seen.decode(errors='replace')[-400:]}") from None
        finally:
            os.killpg(child.pid, signal.SIGKILL)
            os.close(master)
