"""What a worker tells while it runs: one JSON object per line, read as one of seven values.

``phase`` (a part of the cell begins, or is done and took so long), ``collected`` (number of cases to come), ``begun``
(a case begins), ``clock`` (its clock starts or stops), ``note`` (a line for the person who waits), ``case`` (a
verdict), ``cell`` (the last word).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from harness.results.record import CaseResult, CellResult, case_from_dict, cell_from_dict, to_dict


@dataclass(frozen=True, slots=True)
class Phase:
    """A phase of the cell: it begins (``seconds`` is ``None``) or is done after ``seconds``."""

    name: str
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Collected:
    """The suite is known: ``count`` cases will run, of these ids."""

    count: int
    ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Begun:
    """The case ``id`` begins, and must end within ``seconds``."""

    id: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Clock:
    """The clock of the running case starts, and stops within ``seconds``; it stopped when they are ``None``."""

    seconds: float | None


@dataclass(frozen=True, slots=True)
class Note:
    """Something that the person who waits should read: a cached file was damaged, a cell is run again."""

    text: str


Event = Phase | Collected | Begun | Clock | Note | CaseResult | CellResult


def encode(event: Event) -> dict[str, Any]:
    """The event as the JSON object that goes over the pipe."""
    match event:
        case Phase():
            return {"event": "phase", "name": event.name, "seconds": event.seconds}
        case Collected():
            return {"event": "collected", "count": event.count, "ids": event.ids}
        case Begun():
            return {"event": "begun", "id": event.id, "seconds": event.seconds}
        case Clock():
            return {"event": "clock", "seconds": event.seconds}
        case Note():
            return {"event": "note", "text": event.text}
        case CaseResult():
            return {"event": "case", **to_dict(event)}
        case CellResult():
            return {"event": "cell", **to_dict(event)}


def decode(line: str | bytes) -> Event:
    """The event on one line.

    Raises:
        ValueError: the line is not an event.
    """
    value = json.loads(line)
    kind = value.pop("event", None) if isinstance(value, dict) else None
    if kind == "phase":
        return Phase(str(value["name"]), value.get("seconds"))
    if kind == "collected":
        return Collected(int(value["count"]), tuple(map(str, value.get("ids", ()))))
    if kind == "begun":
        return Begun(str(value["id"]), float(value["seconds"]))
    if kind == "clock":
        return Clock(None if value["seconds"] is None else float(value["seconds"]))
    if kind == "note":
        return Note(str(value["text"]))
    if kind == "case":
        return case_from_dict(value)
    if kind == "cell":
        return cell_from_dict(value)
    raise ValueError(f"not an event: {line!r}")
