"""Puts a program in QEMU's place that confines it (``harness.vm.confine``), where libvirt looks for an emulator.

libvirt remembers for years what an emulator can do, by its path and the time of its last change, and asking takes
seconds. So the program lies in the cache, under a name made of all that decides what libvirt will find.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import sys
from pathlib import Path

from harness import children, resources
from harness.errors import LabError
from harness.files import ownership, removal

QEMU = "qemu-system-x86_64"
_SCRIPT = Path(__file__).with_name("confine.py")


def confined(cache: Path) -> Path:
    """The folder to search for emulators first; made when it is not there.

    Raises:
        LabError: QEMU is not installed.
    """
    real = children.find(QEMU)
    if real is None:
        raise LabError(f"{QEMU} is not installed", mend="apt-get install qemu-system-x86")
    python = str(getattr(sys, "_base_executable", sys.executable))
    status, script = os.stat(real), _SCRIPT.read_bytes()
    parts = (real, str(status.st_size), str(status.st_mtime_ns), python, hashlib.sha256(script).hexdigest())
    folder = cache / f"emulator-{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:16]}"
    own = folder / _SCRIPT.name
    text = f'#!/bin/sh\nexec {shlex.join([python, "-IS", str(own), real])} "$@"\n'
    if not os.access(folder / QEMU, os.X_OK) or (folder / QEMU).read_text() != text or own.read_bytes() != script:
        ownership.claim_cache(cache, resources.cache())
        folder.mkdir(exist_ok=True)
        with removal.scratch(".emulator-", beside=cache) as made:
            (made / own.name).write_bytes(script)
            (made / QEMU).write_text(text)
            (made / QEMU).chmod(0o700)
            for name in (own.name, QEMU):
                removal.replace(made / name, folder / name)
    return folder
