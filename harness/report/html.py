"""Renders ``index.html``: a run as one self-contained page, from ``results.json`` and, if there is one, the history.

The page holds its data as JSON, and its script draws it; without scripts the page still lists the bad cases.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from harness.errors import UsageError
from harness.files import inside
from harness.files.removal import write_whole
from harness.history.store import History
from harness.report import page_data
from harness.report.table import closing_line
from harness.results.record import CaseResult, CellResult, Results, RunInfo
from harness.results.status import Status, worst

FILE_NAME = "index.html"
CONSOLE_LINES = 60
_CONSOLE_BYTES = 200_000
_POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'"
_PLAIN_CASES = 300  # in the list for readers without scripts; the page's data holds all cases


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("harness.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(anchor=anchor, worst=worst, Status=Status)
    return environment


def render(results: Results, history: History | None = None, consoles: dict[str, str] | None = None) -> str:
    """Return the page as text, with all text from the run escaped: a driver's output must not become markup."""
    environment = _environment()
    data = json.dumps(
        page_data.build(results, history, consoles), ensure_ascii=False, separators=(",", ":"), allow_nan=False
    )
    for letter in "<>&\u2028\u2029":  # so that no text can end the script element
        data = data.replace(letter, f"\\u{ord(letter):04x}")
    loader = environment.loader
    assert loader is not None
    style, script = (loader.get_source(environment, name)[0] for name in ("report.css.j2", "report.js.j2"))
    bad = [
        (cell, case)
        for cell in results.cells
        for case in cell.cases
        if case.status in (Status.FAILED, Status.INCONCLUSIVE)
    ]
    return environment.get_template("index.html.j2").render(
        results=results,
        closing=closing_line(results),
        when=when(results.run),
        data=data,
        style=style,
        script=script,
        policy=f"{_POLICY}; style-src {_source(style)}; script-src {_source(script)}",
        bad=bad[:_PLAIN_CASES],
    )


def _source(text: str) -> str:
    """Hash an inline element's content into a source for the page's policy (CSP Level 3, section 2.3.1)."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def when(run: RunInfo) -> str:
    """Say when a run began and how long it took: "2026-11-26 02:53:54 UTC, 4 min 25 s"."""
    try:
        began = datetime.fromisoformat(run.started).astimezone(UTC)
    except ValueError:
        return run.started or "nobody knows when"
    text = f"{began:%Y-%m-%d %H:%M:%S} UTC"
    try:
        seconds = int((datetime.fromisoformat(run.ended) - began).total_seconds())
    except ValueError:
        return f"{text}, nobody knows how long"
    hours, minutes = seconds // 3600, seconds // 60 % 60
    parts = [f"{hours} h"] * bool(hours) + [f"{minutes} min"] * bool(seconds >= 60) + [f"{seconds % 60} s"]
    return f"{text}, {' '.join(parts)}"


def write(results: Results, folder: Path, history: History | None = None) -> Path:
    """Write ``index.html`` into the run's folder."""
    return write_whole(folder / FILE_NAME, render(results, history, _consoles(results, folder)))


def _consoles(results: Results, folder: Path) -> dict[str, str]:
    """Read the end of the guest's console for every cell whose status is not passed, by cell folder."""
    found = {}
    for cell in results.cells:
        name = cell.evidence.get("console")
        if cell.status is Status.PASSED or not name:
            continue
        try:
            with inside.opened(folder, inside.evidence(cell.folder, name)) as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - _CONSOLE_BYTES))
                raw = file.read(_CONSOLE_BYTES)
        except (OSError, UsageError):  # the console's file is missing or is a link: the page shows none
            continue
        lines = raw.decode("utf-8", "replace").splitlines()[-CONSOLE_LINES:]
        found[cell.folder] = "\n".join("".join(c for c in line if c.isprintable() or c == "\t") for line in lines)
    return found


def anchor(cell: CellResult, case: CaseResult | None = None) -> str:
    """Return the fragment identifier (URL anchor) of a cell or of a case in it."""
    parts = (cell.guest, cell.nic) if case is None else (cell.guest, cell.nic, case.id)
    return "--".join("".join(letter if letter.isalnum() else "-" for letter in part) for part in parts)
