"""Decides whether guests run under KVM or TCG, by evidence: a tiny guest must speak under KVM within seconds.

An open /dev/kvm proves nothing: there are hosts where it creates a machine whose guest never runs an instruction.
"""

from __future__ import annotations

import os
import select
import subprocess
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from harness import children
from harness.cache import document
from harness.errors import LabError
from harness.vm.emulator import QEMU
from harness.vm.libvirt import cache_folder

PROOF_SECONDS = 3.0

# A boot sector that pages, enters 64-bit mode, counts to a hundred million and says "RUNS" on the debug port:
#   cli; ds, es, ss = 0; sp = 0x7c00; clear 0x1000..0x3fff; [0x1000] = 0x2003; [0x2000] = 0x3003; [0x3000] = 0x83;
#   cr3 = 0x1000; cr4 |= PAE; EFER |= LME; lgdt; cr0 |= PG | PE; ljmp 8, next;
#   next: mov ecx, 100000000; loop: dec ecx; jnz loop; mov esi, text; mov dx, 0xe9; mov ecx, 4; rep outsb;
#   halt: hlt; jmp halt
# Hosts were seen where real mode works under KVM, slowly, and 64-bit mode never does.
_CODE = bytes.fromhex(
    "fa31c08ed88ec08ed0bc007cbf00106631c066b9000c0000fc66f3abc70600100320c70600200330c7060030830066b8"
    "001000000f22d80f20e00c200f22e066b9800000c00f320d00010f300f0116907c0f20c0660d010000800f22c0ea627c"
    "0800b900e1f505ffc975fcbe967c000066bae900b904000000f36ef4ebfd6690000000000000000000000000009a2000"
    "0f00807c000052554e53"
)
_WORD = b"RUNS"
BOOT_SECTOR = _CODE.ljust(510, b"\0") + b"\x55\xaa"


@dataclass(frozen=True, slots=True)
class Accelerator:
    """The choice and why.

    Args:
        name: "kvm" or "tcg".
        evidence: what it rests on, in words.
    """

    name: str
    evidence: str


def choose(scratch: Path) -> Accelerator:
    """The accelerator of this host; the proof is made once per boot of the host and version of QEMU.

    Args:
        scratch: folder for the proof's boot sector.

    Raises:
        LabError: QEMU is not installed.
    """
    key = {"boot": Path("/proc/sys/kernel/random/boot_id").read_text().strip(), "qemu": _version(), "uid": os.geteuid()}
    remembered = cache_folder() / "accelerator.json"
    damaged = ""
    try:
        found = document.read(remembered)
        if found is not None and found.pop("key", None) == key:
            return Accelerator(**found)
    except (ValueError, TypeError) as damage:
        damaged = f"; cached {remembered.name} was damaged ({damage}): rebuilt"
    chosen = prove(scratch)
    document.write(remembered, {"key": key, **asdict(chosen)})
    return replace(chosen, evidence=chosen.evidence + damaged)


def prove(scratch: Path, device: Path = Path("/dev/kvm")) -> Accelerator:
    """Run the tiny guest under KVM and report what it did."""
    if not device.exists():
        return Accelerator("tcg", f"there is no {device}")
    if not os.access(device, os.R_OK | os.W_OK):
        return Accelerator("tcg", f"{device} may not be opened by this user")
    sector = scratch / "kvm-proof.img"
    sector.write_bytes(BOOT_SECTOR)
    said = _run(sector, "kvm", PROOF_SECONDS)
    if said == _WORD.decode():
        return Accelerator("kvm", "a 64-bit guest ran under KVM")
    return Accelerator("tcg", f"{device} opens, but a guest under KVM {said or f'said nothing in {PROOF_SECONDS:g} s'}")


def _run(sector: Path, accelerator: str, seconds: float) -> str:
    """What a boot sector writes to the debug port; QEMU's complaint in words when it ends early."""
    argv = [
        *("setpriv", "--pdeathsig", "KILL", QEMU, "-nodefaults", "-no-user-config", "-display", "none", "-m", "16"),
        *("-machine", f"pc,accel={accelerator}", "-drive", f"file={sector},format=raw,if=ide"),
        *("-chardev", "stdio,id=debug", "-device", "isa-debugcon,iobase=0xe9,chardev=debug"),
    ]
    deadline = time.monotonic() + seconds
    said = b""
    with children.start(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as qemu:
        assert qemu.stdout is not None
        assert qemu.stderr is not None
        while _WORD not in said and (left := deadline - time.monotonic()) > 0:
            if select.select([qemu.stdout], [], [], left)[0]:
                chunk = os.read(qemu.stdout.fileno(), 4096)
                if not chunk:
                    break
                said += chunk
        qemu.kill()
        complaint = qemu.stderr.read().decode(errors="replace").strip().splitlines()
    if _WORD in said:
        return _WORD.decode()
    return f"made QEMU say: {complaint[-1]}" if complaint and time.monotonic() < deadline else ""


def _version() -> str:
    try:
        answer = children.run([QEMU, "--version"], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise LabError(f"{QEMU} does not run: {error}", mend="apt-get install qemu-system-x86") from error
    return answer.stdout.splitlines()[0]
