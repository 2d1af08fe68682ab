"""Writes the seed: a small CD with the answer file in its root and, under ``harness``, all that the first logon needs.

A CD and not a disk, for a second disk could become disk 0. It holds the Administrator's password, so its file is the
owner's alone, and is deleted when the image is sealed. No private key is ever on it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness import children
from harness.errors import LabError
from harness.files import removal
from harness.guests.windows import answer as answers
from harness.guests.windows.packages import Ssh
from harness.guests.windows.releases import recipe

LABEL = "HARNESS"
SCRIPTS = ("provision.ps1", "quiet.ps1")


@dataclass(frozen=True, slots=True)
class Seed:
    """What goes onto the seed.

    Args:
        answer: what the answer file says.
        login_key: public key that may log in, "ssh-ed25519 BASE64".
        certificate: the lab's signing certificate (DER).
        ssh: OpenSSH package, when the release needs one.
        drivers: driver files by path below ``drivers``.
    """

    answer: answers.Answer
    login_key: str
    certificate: bytes
    ssh: Ssh | None = None
    drivers: Mapping[str, bytes] = field(default_factory=dict)

    def write_tree(self, folder: Path) -> None:
        """Write the files as they will be on the CD."""
        kit = folder / "harness"
        kit.mkdir(parents=True)
        (folder / answers.FILE).write_text(answers.render(self.answer), encoding="utf-8", newline="\r\n")
        for script in SCRIPTS:
            text = (recipe() / script).read_text(encoding="ascii")
            (kit / script).write_text(text, encoding="ascii", newline="\r\n")
        (kit / "authorized_keys").write_text(self.login_key + "\n", encoding="ascii", newline="\n")
        (kit / "lab.cer").write_bytes(self.certificate)
        if self.ssh is not None:
            shutil.copyfile(self.ssh.path, kit / self.ssh.name)
        for name, content in self.drivers.items():
            path = kit / "drivers" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def write(seed: Seed, out: Path) -> Path:
    """Write the seed as an ISO image (Joliet, so that Windows sees the names) that only its owner may read.

    Raises:
        LabError: xorriso is missing or failed.
    """
    if children.find("xorriso") is None:
        raise LabError("xorriso is missing", mend="apt-get install xorriso")
    removal.remove(out)
    with removal.scratch(".seed-", beside=out.parent) as folder:
        tree = folder / "tree"
        seed.write_tree(tree)
        os.close(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        command = [
            "xorriso",
            "-as",
            "mkisofs",
            "-quiet",
            "-V",
            LABEL,
            "-J",
            "-joliet-long",
            "-r",
            "-o",
            str(out.absolute()),
            str(tree),
        ]
        run = children.run(command)
    if run.returncode:
        removal.remove(out)
        reason = (run.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise LabError(f"xorriso could not write the seed: {reason}", detail=run.stderr)
    return out
