"""What a case may wait for, and what a test asked for beyond the verdict: pure helpers of ``case``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, replace

from harness.api import Wire
from harness.model.datagram import Prediction
from harness.verify.verdict import CaseVerdict, Finding, Status, Verdict
from harness.wsk.operations import Accounts

_IP_TYPES = (b"\x08\x00", b"\x86\xdd")


def frames_of(prediction: Prediction) -> int:
    """How many frames of the guest a prediction puts on the wire at least."""
    certain = sum(len(item.layout) for item in prediction.datagrams if not item.optional)
    burst = prediction.burst
    return certain + (burst.count * len(burst.template.layout) if burst else 0)


def is_guest_ip(frame: bytes, mac: bytes) -> bool:
    """Whether a raw frame is IPv4 or IPv6 sent by the guest; fragments count, ARP does not."""
    return frame[6:12] == mac and frame[12:14] in _IP_TYPES


def since(now: Accounts | None, before: Accounts | None) -> Accounts | None:
    """What a driver holds more than before, so that a leak is told once, by the case that made it.

    A driver that was loaded again in between starts from nothing; its sums then are smaller than before.
    """
    if now is None or before is None or now.sends < before.sends:
        return now
    return Accounts(*(new - old for new, old in zip(astuple(now), astuple(before), strict=True)))


def unmet(verdict: CaseVerdict, predictions: Sequence[Prediction], wire: Wire) -> CaseVerdict:
    """The verdict with what the test expected of single sends, where the model says otherwise.

    ``wire.expect`` needs a datagram to be predicted, ``wire.expect_nothing`` none: so a test that names a send cannot
    pass because the model was content with an error.
    """
    at = {prediction.step: prediction for prediction in predictions}
    findings = []
    for step, wanted in wire.expectations:
        prediction = at.get(step.number)
        predicted = prediction is not None and bool(prediction.datagrams or prediction.burst)
        if predicted == wanted:
            continue
        words = ("a datagram", "none") if wanted else ("no datagram", "one")
        rules = "; ".join(prediction.rules) if prediction else "the driver was never asked"
        findings.append(
            Finding(Verdict.MISSING if wanted else Verdict.UNEXPECTED, None, step.number, "wire", *words, rules)
        )
    if not findings:
        return verdict
    status = verdict.status if verdict.status is Status.INCONCLUSIVE else Status.FAILED
    reason = verdict.reason or findings[0].line()
    return replace(verdict, status=status, reason=reason, findings=(*verdict.findings, *findings))
