"""The process of an acceptance run: enters namespaces of its own, brings the bench up, runs the steps.

Started as ``python -m harness.accept.worker GUEST FOLDER [STEP...]``, wrapped by ``harness.lab.namespace.command``;
says what it does on standard error and writes the report into the folder. Exit codes as everywhere.
"""

from __future__ import annotations

import platform
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from harness import __version__, resources
from harness.errors import EXIT_LAB, HarnessError
from harness.files import ownership, removal


def main(arguments: list[str]) -> int:
    """Run the steps named after guest and folder, or all."""
    from harness.lab import namespace

    name, folder, steps = arguments[0], Path(arguments[1]), arguments[2:]
    try:
        namespace.enter(keep=(folder, resources.PACKAGE, resources.root(), Path(sys.prefix), resources.cache()))
        return _carry_out(name, folder, steps)
    except HarnessError as error:
        _say(f"harness: {error.line()}")
        if error.detail:
            _say(error.detail)
        return error.exit_code


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _carry_out(name: str, folder: Path, wanted: list[str]) -> int:
    """The imports come late, for they must find the namespaces."""
    from harness.accept import run
    from harness.accept.report import Acceptance
    from harness.accept.rig import Bench
    from harness.guests import observations
    from harness.guests.windows import windows_guest
    from harness.lab import dhcp
    from harness.lab.network import CONTROL_BRIDGE, CONTROL_GUEST, CONTROL_NIC_MAC, LabNetwork
    from harness.results.status import exit_code
    from harness.vm import accelerator
    from harness.vm.libvirt import Connection

    image = windows_guest.find(name)
    if image is None:
        _say(f"harness: no image of a Windows guest {name!r}")
        return EXIT_LAB
    steps = run.choose(wanted)
    scratch = Path(tempfile.mkdtemp(dir=windows_guest.scratch_folder(name)))
    ownership.adopt_new(scratch)
    started = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        chosen = accelerator.choose(scratch)
        with LabNetwork() as network, Connection() as connection:
            with dhcp.serve(CONTROL_BRIDGE, CONTROL_NIC_MAC, CONTROL_GUEST, folder / "dhcp.log"):
                guest = windows_guest.WindowsGuest(image, scratch)
                bench = Bench(guest, connection, network, folder, chosen.name, _say)
                try:
                    results = run.run(bench, steps, _say)
                finally:
                    bench.stop()
            host = {
                **connection.versions(),
                "accelerator": f"{chosen.name}: {chosen.evidence}",
                "kernel": platform.release(),
                "harness": __version__,
            }
    finally:
        removal.discard(scratch)
    title = f"{image.manifest['title']} {image.manifest['build']}"
    acceptance = Acceptance(name, title, started, host, results)
    acceptance.write(folder)
    observations.write(folder, acceptance.observed)
    return exit_code(result.status for result in results)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
