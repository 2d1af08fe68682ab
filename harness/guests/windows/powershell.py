"""PowerShell scripts as one command line that cmd.exe cannot misread, and their answers as JSON: pure text.

Longer ones lie as files in ``images/windows/guest``; ``load`` takes one with its variables set.
sshd on Windows hands a command line to cmd.exe, where quotes and ``&|%^`` act; the encoded form has none of them.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from harness import resources
from harness.errors import LabError
from harness.guests.base import Result, Shell

LINE_LIMIT = 8191
"""What cmd.exe takes (Microsoft KB 830473)."""
FAILED = 97
"""Exit code of a script that ended in an error of PowerShell's own."""

_HEAD = (
    "$ErrorActionPreference='Stop';$ProgressPreference='SilentlyContinue';"
    "try{[Console]::OutputEncoding=[Text.UTF8Encoding]::new($false)}catch{};"
)
_TAIL = "\n};if($LASTEXITCODE){exit $LASTEXITCODE};exit 0}catch{[Console]::Error.WriteLine($_);exit 97}"


def command(script: str) -> str:
    """The command line that runs a script of Windows PowerShell 5.1.

    Its exit code is the script's own, that of the last program it ran, or 97 for an error of PowerShell.

    Raises:
        ValueError: too long for a command line; put it into a file instead.
    """
    body = f"{_HEAD}try{{&{{{script}{_TAIL}"
    encoded = base64.b64encode(body.encode("utf-16-le")).decode("ascii")
    line = f"powershell.exe -NoProfile -NonInteractive -ExecutionPolicy Bypass -EncodedCommand {encoded}"
    if len(line) > LINE_LIMIT:
        raise ValueError(f"a PowerShell script of {len(script)} characters is too long for a command line")
    return line


def file(script: str) -> bytes:
    """A script as the bytes of a .ps1 file, with the same manners as ``command`` (UTF-8 with a byte order mark)."""
    return f"{_HEAD}\ntry{{&{{\n{script}{_TAIL}\n".replace("\n", "\r\n").encode("utf-8-sig")


def run_file(path: str) -> str:
    """The command line that runs a .ps1 file of the guest ("C:/harness/x.ps1", without blanks)."""
    native = path.replace("/", "\\")
    return f"powershell.exe -NoProfile -NonInteractive -ExecutionPolicy Bypass -File {native}"


def load(name: str, **variables: str | int) -> str:
    """A script of ``images/windows/guest`` with variables set before its first line, comments left out."""
    text = (resources.root() / "images" / "windows" / "guest" / f"{name}.ps1").read_text(encoding="ascii")
    lines = [line.strip() for line in text.splitlines()]
    kept = [line for line in lines if line and not line.startswith("#")]
    return "".join(f"${key}={quote(str(value))}\n" for key, value in variables.items()) + "\n".join(kept)


def run(shell: Shell, name: str, timeout: float, **variables: str | int) -> Result:
    """Run a script of ``images/windows/guest``: on the command line when it fits, otherwise as a file."""
    script = load(name, **variables)
    try:
        line = command(script)
    except ValueError:
        path = f"C:/harness/{name}.ps1"
        shell.put(file(script), path)
        line = run_file(path)
    return shell.run(line, timeout)


def decode(line: str) -> str:
    """The script that ``command`` made a line of; for tests and for people who read logs."""
    body = base64.b64decode(line.rpartition(" ")[2]).decode("utf-16-le")
    return body.removeprefix(_HEAD + "try{&{").removesuffix(_TAIL)


def quote(text: str) -> str:
    """A literal string of PowerShell."""
    return "'" + text.replace("'", "''") + "'"


def objects(text: str) -> list[dict[str, Any]]:
    """What ``ConvertTo-Json`` printed as a list: it gives one object alone without a list, and nothing for none.

    Raises:
        LabError: it is no JSON of objects.
    """
    if not text.strip():
        return []
    try:
        value = json.loads(text)
    except ValueError as error:
        raise LabError("the guest's PowerShell did not answer in JSON", detail=text[:2000]) from error
    found = value if isinstance(value, list) else [value]
    if not all(isinstance(item, dict) for item in found):
        raise LabError("the guest's PowerShell answered something else than objects", detail=text[:2000])
    return found
