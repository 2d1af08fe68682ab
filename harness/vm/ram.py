"""A guest's memory as a file: its own while a state is made of it, copy-on-write for every guest that runs from one.

QEMU maps the file as the guest's memory. While a guest is prepared the mapping is shared with the file, and saving the
guest leaves memory out of libvirt's state (migration capability "x-ignore-shared"). A guest that is restored maps the
file privately: it reads pages as it needs them, from the host's page cache that all guests of the state share, and what
it writes stays its own. The file is never written again once a state is complete.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from harness.lab import namespace

_ORDERS = (
    {"execute": "qmp_capabilities"},
    {
        "execute": "migrate-set-capabilities",
        "arguments": {"capabilities": [{"capability": "x-ignore-shared", "state": True}]},
    },
)
"""Libvirt does not know the capability, and a restored QEMU must have it before libvirt lets the state in. A second
monitor reads these orders from a file as soon as QEMU's main loop runs, before libvirt's first questions are asked."""
_PIPE = namespace.WORK / "orders"


@dataclass(frozen=True, slots=True)
class Ram:
    """A guest's memory in a file.

    Args:
        file: as large as the guest's memory once QEMU has mapped it; made by QEMU when it is not there.
        shared: what the guest writes goes to the file; otherwise it stays with the guest.
    """

    file: Path
    shared: bool

    def arguments(self, memory_mib: int) -> tuple[str, ...]:
        """QEMU's arguments after libvirt's own; the memory that libvirt gave is never touched then, and costs none."""
        share, path = "on" if self.shared else "off", str(self.file).replace(",", ",,")
        return (
            *("-object", f"memory-backend-file,id=ram,size={memory_mib}M,share={share},mem-path={path}"),
            *("-machine", "memory-backend=ram"),
            *("-chardev", f"pipe,id=orders,path={_PIPE}"),
            *("-mon", "chardev=orders,mode=control"),
        )


def write_orders() -> None:
    """Write what the second monitor shall do: QEMU reads ``NAME.in``, which stays, and answers into ``NAME.out``."""
    _PIPE.with_suffix(".in").write_text("".join(f"{json.dumps(order)}\n" for order in _ORDERS))
    _PIPE.with_suffix(".out").touch()
