"""``harness accept``: checks the request, runs the worker, shows the report, keeps what was seen with the image."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from harness import children
from harness.accept import report
from harness.cli import before_setup
from harness.errors import EXIT_PASSED
from harness.files import ownership
from harness.guests import observations
from harness.guests.windows import windows_guest


def run(name: str, folder: Path, steps: tuple[str, ...], *, as_json: bool = False) -> int:
    """Run the acceptance list on a guest.

    Raises:
        UsageError: no such guest or step.
    """
    from harness.accept.run import choose
    from harness.lab import namespace

    choose(steps)
    before_setup.require_windows(name)
    image = windows_guest.find(name)
    assert image is not None
    folder = ownership.claim(folder, ours=lambda place: (place / report.JSON_FILE).is_file())
    argv = children.python("harness.accept.worker", name, str(folder.absolute()), *steps)
    code = children.run_worker(namespace.command(argv))
    text = folder / report.TEXT_FILE
    if text.is_file():
        print((folder / report.JSON_FILE).read_text() if as_json else text.read_text(), end="")
        if not steps and code == EXIT_PASSED:
            keep(folder, image.folder)
        print(f"report to send: {text} (it has no secrets in it)", file=sys.stderr)
    return code


def show_list(*, as_json: bool = False) -> None:
    """Print the steps in their order, each with what it does and which statements about Windows it settles."""
    from harness.accept.steps import STEPS

    if as_json:
        rows = [{"id": step.id, "title": step.title, "settles": step.settles} for step in STEPS]
        print(json.dumps({"schema": 1, "steps": rows}, indent=1))
        return
    for number, step in enumerate(STEPS, 1):
        print(f"{number:2} {step.id:12} {step.title}\n{'':15} settles: {step.settles}")


def keep(folder: Path, image: Path) -> Path:
    """Put the observations beside the image, where the guest's profile finds them."""
    return Path(shutil.copyfile(folder / observations.FILE, image / observations.FILE))
