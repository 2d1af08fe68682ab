"""Says for people what failed cases mean: the packets side by side, in words and in bytes, once the cell has ended.

tshark takes half a second to start, so it is asked once, when no case runs any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.capture.frames import CapturedFrame
from harness.capture.tshark import one_pass
from harness.model.datagram import Prediction
from harness.verify.explain import explain, text, worth_explaining
from harness.verify.verdict import Finding

OF_A_CASE = 3
OF_A_CELL = 300
"""Explanations of the cell beyond which each case has one, and three times that beyond which none has."""


@dataclass(frozen=True, slots=True)
class _Noted:
    case: str
    finding: Finding
    predictions: tuple[Prediction, ...]
    frame: CapturedFrame | None


class Plainly:
    """Keeps what the explanations need: a finding, its step's prediction and its frame, within a limit for the cell."""

    def __init__(self) -> None:
        self._noted: list[_Noted] = []

    def note(
        self,
        case: str,
        findings: Sequence[Finding],
        predictions: Sequence[Prediction],
        frames: Sequence[CapturedFrame],
    ) -> None:
        """Note a case's first findings that an explanation adds to."""
        at = {frame.number: frame for frame in frames}
        there = len(self._noted)
        most = OF_A_CASE if there < OF_A_CELL else int(there < 3 * OF_A_CELL)
        for finding in worth_explaining(findings)[:most]:
            mine = tuple(item for item in predictions if item.step == finding.operation)
            frame = at.get(finding.frame) if finding.frame is not None else None
            if mine or frame is not None:
                self._noted.append(_Noted(case, finding, mine, frame))

    def told(self, capture: Path) -> dict[str, tuple[str, ...]]:
        """By case the explanations, each as text.

        Args:
            capture: the record, for the words on how to open it.
        """
        frames = {noted.frame.number: noted.frame for noted in self._noted if noted.frame is not None}
        shown = dict(zip(frames, one_pass.show(list(frames.values())), strict=True))
        told: dict[str, tuple[str, ...]] = {}
        for noted in self._noted:
            words = shown[noted.frame.number] if noted.frame is not None else ""
            explained = text(explain(noted.finding, noted.predictions, noted.frame, capture, words))
            told[noted.case] = (*told.get(noted.case, ()), explained)
        return told
