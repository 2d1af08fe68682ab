"""Ready files for those who run nights: systemd service and timer, a CI pipeline; made from templates."""

from __future__ import annotations

import sys
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from harness.errors import UsageError
from harness.files import ownership, removal

NAMES = ("harness-nightly.service", "harness-nightly.timer", "github-workflow.yml")


def write(folder: Path, work: Path) -> list[Path]:
    """Write all files into ``folder``; the service runs in ``work`` with this Python.

    Raises:
        UsageError: the folder holds something else, or cannot be written.
    """
    environment = Environment(
        loader=PackageLoader("harness.matrix.nightly"),
        autoescape=False,  # no markup
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    written = []
    try:
        with ownership.claimed(folder, ours=_holds_examples):
            for name in NAMES:
                text = environment.get_template(f"{name}.j2").render(python=sys.executable, work=work)
                written.append(removal.write_whole(folder / name, text))
    except OSError as error:
        raise UsageError(f"cannot write {error.filename}: {error.strerror}") from error
    return written


def _holds_examples(folder: Path) -> bool:
    """Whether a folder holds the examples that an older version wrote, and nothing else."""
    return {path.name for path in folder.iterdir()} == set(NAMES)
