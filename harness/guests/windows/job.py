"""What a build is to do, as a value that travels as JSON to the process that runs the machine."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from harness.guests.windows.phases import Deadlines


@dataclass(frozen=True, slots=True)
class Job:
    """The part of a build that needs a lab.

    Args:
        folder: the build's folder, seed and state in it.
        release: name of the release.
        media: the Windows ISO.
        train: NIC models to show to the image.
        patience: factor for every deadline.
        deadlines: of the phases, before the factor.
        memory_mib: in place of the release's.
        uefi: firmware.
    """

    folder: Path
    release: str
    media: Path
    train: tuple[str, ...] = ()
    patience: float = 1.0
    deadlines: Deadlines = field(default_factory=Deadlines)
    memory_mib: int | None = None
    uefi: bool = True

    def to_json(self) -> str:
        """The job as JSON."""
        return json.dumps(asdict(self), default=str)

    @classmethod
    def from_json(cls, text: str) -> Job:
        """The job back from ``to_json``."""
        value = json.loads(text)
        value |= {"folder": Path(value["folder"]), "media": Path(value["media"]), "train": tuple(value["train"])}
        return cls(**{**value, "deadlines": Deadlines(**value["deadlines"])})
