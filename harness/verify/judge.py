"""The verdict of a case by its frames: integrity first, then completions, datagrams and tshark's agreement.

A capture that cannot be trusted makes a case inconclusive, whatever else was found: never passed, never failed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from harness.capture.frames import CapturedFrame, Integrity
from harness.capture.origin import is_host
from harness.model.addresses import mac_text
from harness.model.datagram import Prediction
from harness.model.site import Site
from harness.verify import neighbours
from harness.verify.agree import agree
from harness.verify.background import Background
from harness.verify.completions import judge_completions
from harness.verify.forms import Scene
from harness.verify.match import Begun, Matched, Matcher
from harness.verify.order import limited, ordered
from harness.verify.parse import dissect
from harness.verify.seen import Other
from harness.verify.verdict import CaseVerdict, DatagramCounts, Finding, Observation, Verdict
from harness.wsk.operations import Step, named_addresses
from harness.wsk.types import Address


def judge(
    predictions: Iterable[Prediction],
    steps: Sequence[Step],
    frames: Sequence[CapturedFrame],
    integrity: Integrity,
    site: Site,
    *,
    tshark: bool = True,
    begun: Begun | None = None,
    set_aside: Mapping[str, int] | None = None,
    asked: Collection[Address] = (),
) -> CaseVerdict:
    """The verdict of one case.

    Args:
        predictions: the model's, at least those of ``steps``; others are left aside.
        steps: the case's steps with their outcomes.
        frames: all frames captured between the case's markers, in capture order.
        integrity: whether the capture can be trusted there.
        site: the lab.
        tshark: frames must carry tshark's dissection; false only where no tshark is in the game.
        begun: what ``bulk`` has matched before; its frames are not among ``frames``.
        set_aside: frames per name of protocol that are not among ``frames``, for they are not the guest's.
        asked: addresses that earlier cases have named: the guest may still ask for their MACs.
    """
    numbers = {step.number for step in steps}
    relevant = [prediction for prediction in predictions if prediction.step in numbers]
    doubts = doubts_of(integrity)
    begun = begun or Begun()
    tally: Counter[str] = Counter(set_aside or {})
    guests: list[CapturedFrame] = []
    peers = site.peer_macs - {site.guest_mac}
    for frame in frames:
        if is_host(frame.direction, frame.data, peers):
            tally["host"] += 1
        else:
            guests.append(frame)
    read = dissect(guests)
    if read.cut:
        doubts.append(f"frame {read.cut[0]} was cut by the snap length")
    scene = Scene(site, frozenset(asked) | named_addresses(steps))
    matched = Matcher(relevant, site.partial_checksum, begun).run(read.datagrams, read.others)
    if matched.missing:
        doubts.extend(neighbours.silent(frames, scene))
    times = {frame.number: frame.time_ns for frame in guests}
    unexpected, count = _unexpected(matched, tally, Background(scene), times, site)
    findings = [*matched.findings, *unexpected]
    if tshark:
        agreement = agree(read.datagrams, {frame.number: frame for frame in guests})
        doubts.extend(agreement.doubts)
        findings.extend(agreement.findings)
    completed = judge_completions(relevant, steps, site.profile)
    findings = [*completed.findings, *ordered(findings)]
    counts = DatagramCounts(
        expected=matched.expected,
        matched=matched.matched,
        missing=matched.missing,
        duplicated=matched.duplicated,
        reordered=matched.reordered,
        altered=matched.altered,
        unexpected=len(unexpected),
        offload=matched.offload,
        background=count,
    )
    findings = limited(findings, begun.untold)
    observed: tuple[Observation, ...] = (*completed.observed, *matched.observed.values())
    matches = tuple((expected.operation, expected.index, seen.frame) for expected, seen in matched.pairs)
    seen_beside = tuple(sorted(tally.items()))
    return CaseVerdict(counts, tuple(findings), observed, seen_beside, matches, tuple(doubts))


def doubts_of(integrity: Integrity) -> list[str]:
    """Why a capture cannot be trusted, one line each; empty when it can."""
    doubts: list[str] = []
    if not integrity.started:
        doubts.append("the case's start marker is not in the capture")
    if not integrity.ended:
        doubts.append("the case's end marker is not in the capture")
    if integrity.dropped:
        doubts.append(f"the capture lost {integrity.dropped} frames")
    doubts.extend(integrity.problems)
    if integrity.dropped is None:  # last: what is known of the problem says more
        doubts.append("nobody could say how many frames the capture lost")
    return doubts


def _unexpected(
    matched: Matched, tally: Counter[str], background: Background, times: Mapping[int, int], site: Site
) -> tuple[list[Finding], int]:
    """Findings for what nobody predicted, and how many frames are named background."""
    findings: list[Finding] = []
    before = tally.total()
    for seen in matched.left:
        name = background.of_datagram(seen, times.get(seen.frame, 0))
        if name is not None:
            tally[name] += len(seen.frames)
            continue
        who = "" if seen.source_mac == site.guest_mac else f"from the unknown MAC {mac_text(seen.source_mac)}"
        trouble = "; ".join(f"{item.field}: {item.seen}" for item in seen.problems[:3])
        text = "; ".join(part for part in (who, trouble, background.excess) if part)
        findings.append(Finding(Verdict.UNEXPECTED, seen.frame, None, "datagram", "nothing", str(seen), text))
    for other in matched.left_others:
        name = background.of_frame(other, times.get(other.frame, 0))
        if name is not None:
            tally[name] += 1
        else:
            findings.append(_unknown_frame(other, background.excess))
    return findings, tally.total() - before


def _unknown_frame(other: Other, excess: str) -> Finding:
    detail = "; ".join(f"{item.field} {item.seen}, not {item.expected}" for item in other.problems) or excess
    what = f"{other.protocol}, {len(other.data)} bytes"
    return Finding(Verdict.UNEXPECTED, other.frame, None, "frame", "nothing", what, detail)
