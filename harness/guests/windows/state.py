"""What a build has done so far, in a file that survives any end, so that the next one goes on where this one stopped.

The disk is a chain of layers, one per start of the machine: a start that was cut off is thrown away with its layer, and
the layers before it are as the guest left them when it rebooted.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from harness import children, resources
from harness.errors import LabError
from harness.files import removal

FILE = "state.json"
CONSOLE = "console.log"
RUNNING_VARS = "vars.fd"


@dataclass(frozen=True, slots=True)
class State:
    """The progress of a build.

    Args:
        inputs: digest of all that goes in; another one is another build.
        boots: starts that ended in a reboot, and so count.
        installed: the guest said that it is ready, and powered off.
        proven: it was started once more and answered over SSH as it should.
        console_bytes: length of the console's log that belongs to the starts that count.
        facts: what the guest told of itself.
        seconds: time spent by stage.
        notes: what a person should know (reruns, warnings).
    """

    inputs: str
    boots: int = 0
    installed: bool = False
    proven: bool = False
    console_bytes: int = 0
    facts: dict[str, str] = field(default_factory=dict)
    inventory: dict[str, Any] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def with_seconds(self, stage: str, seconds: float) -> State:
        """With time added to a stage."""
        return replace(self, seconds={**self.seconds, stage: round(self.seconds.get(stage, 0.0) + seconds, 1)})


@dataclass(frozen=True, slots=True)
class Workplace:
    """The folder of a build and the names of the files in it."""

    folder: Path

    @property
    def console(self) -> Path:
        """The serial log of all starts."""
        return self.folder / CONSOLE

    @property
    def seed(self) -> Path:
        """The seed CD."""
        return self.folder / "seed.iso"

    @property
    def login_key(self) -> Path:
        """The private key that the image will let in."""
        return self.folder / "ssh_key"

    @property
    def vars(self) -> Path:
        """UEFI variables of the running start."""
        return self.folder / RUNNING_VARS

    def layer(self, boot: int) -> Path:
        """The disk's layer of a start."""
        return self.folder / f"disk-{boot}.qcow2"

    def saved_vars(self, boot: int) -> Path:
        """UEFI variables as they were before a start."""
        return self.folder / f"vars-{boot}.fd"

    def load(self) -> State | None:
        """The state as it was written last; ``None`` when there is none that can be read."""
        try:
            value = json.loads((self.folder / FILE).read_text(encoding="utf-8"))
            return State(**{**value, "notes": tuple(value["notes"])})
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def save(self, state: State) -> None:
        """Write the state so that a reader sees the old one or the new one, never half of one."""
        removal.write_whole(self.folder / FILE, json.dumps(asdict(state), indent=1))

    def prepare_boot(self, state: State, disk_gib: int) -> Path:
        """Throw away what a cut-off start left and lay the layer of the next one; gives the disk to start from."""
        for leftover in self.folder.glob("disk-*.qcow2"):
            if int(leftover.stem.partition("-")[2]) >= state.boots:
                removal.remove(leftover)
        removal.remove(self.vars)
        if self.saved_vars(state.boots).is_file():
            self.vars.write_bytes(self.saved_vars(state.boots).read_bytes())
        if self.console.exists():
            removal.truncate(self.console, state.console_bytes)
        disk = self.layer(state.boots)
        if state.boots == 0:
            qemu_img("create", "-q", "-f", "qcow2", str(disk), f"{disk_gib}G")
        else:
            below = self.layer(state.boots - 1)
            qemu_img("create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", below.name, str(disk))
        return disk

    def checkpoint(self, state: State) -> State:
        """Count the start that just ended: its layer and its UEFI variables stay."""
        counted = replace(state, boots=state.boots + 1, console_bytes=self.console.stat().st_size)
        if self.vars.is_file():
            self.saved_vars(counted.boots).write_bytes(self.vars.read_bytes())
        self.save(counted)
        return counted


def builds() -> Path:
    """The folder of all builds that are not sealed yet."""
    return resources.cache() / "windows-builds"


def unfinished() -> tuple[str, ...]:
    """Names of the guests whose build was interrupted, or is running."""
    return tuple(path.parent.name for path in sorted(builds().glob(f"*/{FILE}")))


def qemu_img(*words: str) -> str:
    """Run qemu-img.

    Raises:
        LabError: it is missing or failed; its words are quoted.
    """
    try:
        run = children.run(["qemu-img", *words])
    except FileNotFoundError as error:
        raise LabError("qemu-img is missing", mend="apt-get install qemu-utils") from error
    if run.returncode:
        raise LabError(f"qemu-img {words[0]} failed: {run.stderr.strip()}")
    return run.stdout
