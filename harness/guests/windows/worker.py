"""The process that runs a build's machine: enters namespaces of its own, installs, proves, and tells its parent.

Started as ``python -m harness.guests.windows.worker JOB.json``, wrapped by ``harness.lab.namespace.command``. Standard
output has one JSON object per line: {"say": TEXT} or, at the end, {"error": {...}}. Exit code 0: the image is proven.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from harness import resources
from harness.errors import HarnessError
from harness.guests.windows.job import Job


def main(arguments: list[str]) -> int:
    """Carry out the job in the file named by the first argument."""
    from harness.lab import namespace

    job = Job.from_json(Path(arguments[0]).read_text(encoding="utf-8"))
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def tell(event: dict[str, Any]) -> None:
        channel.write(json.dumps(event) + "\n")
        channel.flush()

    try:
        keep = (job.folder, job.media, resources.PACKAGE, resources.root(), Path(sys.prefix), resources.cache())
        namespace.enter(keep=keep)
        carry_out(job, lambda text: tell({"say": text}))
    except HarnessError as error:
        name = type(error).__name__
        tell({"error": {"kind": name, "what": error.what, "mend": error.mend, "detail": error.detail}})
        return error.exit_code
    return 0


def carry_out(job: Job, say: Any) -> None:  # noqa: ANN401
    """Install and prove; the imports come late, for they must find the namespaces."""
    from harness.guests.windows.install import Installer
    from harness.guests.windows.prove import Prover
    from harness.guests.windows.releases import releases
    from harness.guests.windows.state import Workplace
    from harness.lab import dhcp
    from harness.lab.network import CONTROL_BRIDGE, CONTROL_GUEST, CONTROL_NIC_MAC, LabNetwork
    from harness.vm import accelerator
    from harness.vm.libvirt import Connection

    release = next(one for one in releases() if one.name == job.release)
    place = Workplace(job.folder)
    state = place.load()
    assert state is not None, "the parent writes the state before it starts the worker"
    chosen = accelerator.choose(job.folder)
    if chosen.name != "kvm":
        say(f"without KVM ({chosen.evidence}): this takes many times longer, see --patience")
    with LabNetwork(), Connection() as connection:
        installer = Installer(
            connection,
            place,
            release,
            job.media,
            chosen.name,
            job.deadlines.scaled(job.patience),
            say,
            uefi=job.uefi,
            memory_mib=job.memory_mib,
        )
        state = installer.run(state)
        log = job.folder / "dhcp.log"
        with dhcp.serve(CONTROL_BRIDGE, CONTROL_NIC_MAC, CONTROL_GUEST, log):
            prover = Prover(
                connection,
                place,
                release,
                chosen.name,
                say,
                patience=job.patience,
                memory_mib=job.memory_mib,
                uefi=job.uefi,
            )
            prover.run(state, job.train)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
