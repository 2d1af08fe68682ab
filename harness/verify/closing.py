"""What a run adds to the verdict that a case's frames and completions give: the same live and from files alone.

A ``Closing`` is the case's last line in the plan. It holds what no capture shows: the driver's accounts, what the test
expected of single sends, the verifier's findings, and what the run itself had to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.model.datagram import Prediction
from harness.verify.completions import judge_accounts
from harness.verify.verdict import CaseVerdict, Finding, Verdict
from harness.wsk.operations import Accounts


@dataclass(frozen=True, slots=True)
class Closing:
    """How a case ended.

    Args:
        case: its name; empty for what concerns every case of the run.
        accounts: what the driver holds more than before the case; ``None`` for a driver that keeps no books.
        reaching: steps whose sends must reach the wire, by the test's word.
        quiet: steps whose sends must not.
        findings: of the verifier and of a crash.
        doubts: why the run could not trust what it saw: a disturbed lab, a capture that lost frames, a lost guest.
        failure: what the test or the driver's control channel said.
        skipped: why the test skipped itself.
    """

    case: str
    accounts: Accounts | None = None
    reaching: tuple[int, ...] = ()
    quiet: tuple[int, ...] = ()
    findings: tuple[Finding, ...] = ()
    doubts: tuple[str, ...] = ()
    failure: str = ""
    skipped: str = ""


def closed(verdict: CaseVerdict, closing: Closing, predictions: Sequence[Prediction]) -> CaseVerdict:
    """The verdict on a case's frames with all that its closing adds.

    Args:
        verdict: of ``judge``.
        closing: the case's.
        predictions: the model's for the case's steps.
    """
    books = judge_accounts(closing.accounts).findings if closing.accounts is not None else []
    return replace(
        verdict,
        findings=(*verdict.findings, *books, *_unmet(closing, predictions), *closing.findings),
        doubts=tuple(dict.fromkeys((*closing.doubts, *verdict.doubts))),
        failure=closing.failure,
        skipped=closing.skipped,
    )


def _unmet(closing: Closing, predictions: Sequence[Prediction]) -> list[Finding]:
    """What the test expected of single sends, where the model says otherwise.

    ``wire.expect`` needs a datagram to be predicted, ``wire.expect_nothing`` none: so a test that names a send cannot
    pass because the model was content with an error.
    """
    at = {prediction.step: prediction for prediction in predictions}
    findings = []
    for step, wanted in [*((step, True) for step in closing.reaching), *((step, False) for step in closing.quiet)]:
        prediction = at.get(step)
        predicted = prediction is not None and bool(prediction.datagrams or prediction.burst)
        if predicted != wanted:
            words = ("a datagram", "none") if wanted else ("no datagram", "one")
            rules = "; ".join(prediction.rules) if prediction else "the driver was never asked"
            verdict = Verdict.MISSING if wanted else Verdict.UNEXPECTED
            findings.append(Finding(verdict, None, step, "wire", *words, rules))
    return findings
