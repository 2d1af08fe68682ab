"""The report of an acceptance run: one value, written as JSON for machines and as text to read and to send."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from harness.results.status import Status

JSON_FILE, TEXT_FILE = "acceptance.json", "acceptance.txt"
SCHEMA = 1


@dataclass(frozen=True, slots=True)
class StepResult:
    """What became of one step.

    Args:
        id: name of the step.
        title: what it shows.
        settles: the statement that only a real Windows can settle.
        status: passed, failed, inconclusive (the lab was at fault) or skipped.
        seconds: how long it took.
        detail: one line.
        evidence: more, for a person.
        observed: values for the observations.
    """

    id: str
    title: str
    settles: str
    status: Status
    seconds: float
    detail: str = ""
    evidence: str = ""
    observed: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Acceptance:
    """A whole run."""

    guest: str
    windows: str
    started: str
    host: dict[str, str]
    steps: tuple[StepResult, ...]

    @property
    def observed(self) -> dict[str, Any]:
        """The observations of all steps, joined."""
        joined: dict[str, Any] = {"windows": self.windows, "guest": self.guest, "seen": self.started}
        for step in self.steps:
            for key, value in step.observed.items():
                known = joined.get(key)
                joined[key] = {**known, **value} if isinstance(known, dict) and isinstance(value, dict) else value
        return joined

    def write(self, folder: Path) -> None:
        """Write both forms."""
        value = {"schema": SCHEMA, **asdict(self)}
        (folder / JSON_FILE).write_text(json.dumps(value, indent=1, default=str) + "\n", encoding="utf-8")
        (folder / TEXT_FILE).write_text(self.text(), encoding="utf-8")

    def text(self) -> str:
        """For people; holds no secret, so that it can be sent."""
        lines = [f"Acceptance of {self.guest}: {self.windows}", f"started {self.started}", ""]
        lines += [f"{key}: {value}" for key, value in sorted(self.host.items())]
        lines.append("")
        for step in self.steps:
            lines.append(f"{step.status:13} {step.id:12} {step.seconds:7.1f} s  {step.title}")
            lines += [f"{'':27}settles: {step.settles}"]
            lines += [f"{'':27}{line}" for line in (step.detail, *step.evidence.splitlines()) if line]
        counts = {status: sum(step.status == status for step in self.steps) for status in Status}
        lines += ["", ", ".join(f"{number} {status}" for status, number in counts.items() if number)]
        return "\n".join(lines) + "\n"


def missing(steps: Sequence[StepResult]) -> bool:
    """Whether a verdict is missing: a step could not be judged."""
    return any(step.status in (Status.INCONCLUSIVE, Status.SKIPPED) for step in steps)
