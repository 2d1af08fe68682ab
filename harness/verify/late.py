"""Names what comes too late: a datagram that one case missed and a later one saw, which did not expect it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from harness.capture.frames import CapturedFrame
from harness.capture.origin import is_host
from harness.model.datagram import Prediction
from harness.model.site import Site
from harness.verify.match import Matcher
from harness.verify.parse import dissect
from harness.verify.verdict import CaseVerdict, Finding, Verdict


class Late:
    """What the cases so far have missed.

    Args:
        site: the lab.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._missed: list[Prediction] = []
        self._cases: dict[int, str] = {}

    def named(
        self, case: str, verdict: CaseVerdict, predictions: Iterable[Prediction], frames: Sequence[CapturedFrame]
    ) -> CaseVerdict:
        """The verdict of a case with what is late in it named so; what the case itself misses is kept for later."""
        strays = {item.frame for item in verdict.findings if _is_stray(item)}
        if strays and self._missed:
            found = self._recognised(strays, frames)
            verdict = replace(verdict, findings=tuple(_late(item, found) for item in verdict.findings))
        missing = {item.operation for item in verdict.findings if item.verdict is Verdict.MISSING}
        matched = {(step, index) for step, index, _ in verdict.matches}
        for prediction in predictions if missing else ():
            left = tuple(item for item in prediction.datagrams if (item.operation, item.index) not in matched)
            if prediction.step in missing and left:
                self._missed.append(replace(prediction, datagrams=left, burst=None))
                self._cases[prediction.step] = case
        return verdict

    def _recognised(self, strays: set[int | None], frames: Sequence[CapturedFrame]) -> dict[int, str]:
        """By frame, which case's step a stray datagram belonged to; each is taken once."""
        peers = self._site.peer_macs - {self._site.guest_mac}
        read = dissect([frame for frame in frames if not is_host(frame.direction, frame.data, peers)])
        seen = [item for item in read.datagrams if item.frame in strays]
        pairs = Matcher(self._missed, self._site.partial_checksum).run(seen, []).pairs
        taken = {(expected.operation, expected.index) for expected, _ in pairs}
        left = (
            replace(old, datagrams=tuple(item for item in old.datagrams if (item.operation, item.index) not in taken))
            for old in self._missed
        )
        self._missed = [old for old in left if old.datagrams]
        return {item.frame: f"{self._cases[expected.operation]}, step {expected.operation}" for expected, item in pairs}


def _is_stray(finding: Finding) -> bool:
    return finding.verdict is Verdict.UNEXPECTED and finding.field == "datagram"


def _late(finding: Finding, found: dict[int, str]) -> Finding:
    where = found.get(finding.frame or 0) if _is_stray(finding) else None
    if where is None:
        return finding
    return replace(finding, field="datagram.late", expected=f"in {where}", detail="it came after its case had ended")
