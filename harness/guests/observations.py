"""What an acceptance run saw of a Windows: kept beside its image, and read by the model as observations.

An observation never becomes a demand by itself: a status that was seen is expected from then on with the mark
"measured", which is recorded when it differs and never fails a case; a wire habit becomes the profile's default.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.errors import LabError
from harness.model.profile import Mark, Situation, StackProfile, StatusRule

FILE = "observations.json"
SCHEMA = 1
SAVED = "saved"
"""Observed of an image that came back from a saved state; only such an image's guests are saved."""
_NT_ERROR = 0x8000_0000


def write(folder: Path, observed: Mapping[str, Any]) -> Path:
    """Write the observations; gives the file."""
    path = folder / FILE
    path.write_text(json.dumps({"schema": SCHEMA, **observed}, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return path


def read(path: Path) -> dict[str, Any] | None:
    """Observations that were written before; ``None`` without the file.

    Raises:
        LabError: the file is damaged, or of another version.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise LabError(f"{path} cannot be read: {error}", mend="run `harness accept` again") from error
    if not isinstance(value, dict) or value.get("schema") != SCHEMA:
        raise LabError(f"{path} is of another version", mend="run `harness accept` again")
    return value


def apply(profile: StackProfile, observed: Mapping[str, Any]) -> StackProfile:
    """The profile with what was seen in place of what was supposed; documented statuses stay as they are."""
    wire = observed.get("wire", {})
    rules = dict(profile.statuses)
    for name, values in observed.get("statuses", {}).items():
        situation = Situation.__members__.get(name)
        if situation is None or rules[situation].mark is Mark.DOCUMENTED:
            continue
        seen = frozenset(int(value, 16) for value in values)
        success = {value < _NT_ERROR for value in seen}
        rule = StatusRule(
            success.pop() if len(success) == 1 else None, seen, Mark.MEASURED, f"seen on {observed.get('windows', '?')}"
        )
        rules[situation] = rule
    return replace(
        profile,
        ttl=wire.get("ttl", profile.ttl),
        multicast_ttl=wire.get("multicast_ttl", profile.multicast_ttl),
        dont_fragment=wire.get("dont_fragment", profile.dont_fragment),
        statuses=rules,
    )
