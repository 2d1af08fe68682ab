"""Tests of the nearest match: the pairs that a comparison of all bytes gives, found in a limited number of steps."""

from __future__ import annotations

import random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.capture.frames import Integrity
from harness.verify import likeness, nearest
from harness.verify.compare import Slot
from harness.verify.judge import judge
from harness.verify.parse import dissect
from harness.verify.seen import SeenDatagram
from harness.verify.shifted import contained
from harness.verify.verdict import Status, Verdict
from tests.unit.verify_kit import Plan, altered, captured, packets, raw, site

SITE = site()


def expected(payloads: list[bytes], to: list[str] | None = None) -> tuple[Plan, list[Slot], list[bytes]]:
    """A plan that sends the payloads, its expected datagrams, and the frames of a good guest."""
    plan = Plan()
    plan.socket()
    for number, payload in enumerate(payloads):
        plan.send(payload, to[number] if to else "192.0.2.1")
    predictions = plan.predict(SITE)
    slots = [Slot(item) for prediction in predictions for item in prediction.datagrams]
    return plan, slots, raw(packets(predictions, SITE))


def by_bytes(slot: Slot, seen: SeenDatagram, port: int) -> int:
    """The score of a pair as the words of ``nearest`` and ``likeness`` define it, all bytes compared."""
    one, other = slot.payload, seen.payload
    shared = min(len(one), len(other))
    wrong = sum(1 for a, b in zip(one, other, strict=False) if a != b)
    if one == other:
        payload = likeness.EQUAL if one else likeness.EMPTY
    elif not shared:
        payload = likeness.NOTHING_SHARED
    elif not wrong or (len(one) == len(other) and wrong <= max(1, shared // 8)):
        payload = likeness.CUT_OR_FEW_WRONG
    elif len(one) == len(other):
        payload = likeness.HALF_WRONG if wrong <= shared // 2 else 0
    else:
        within = one[:16] in other or other[:16] in one or one[-16:] in other
        payload = likeness.SHIFTED if shared >= 8 and within else 0
    best = 0
    for form in slot.forms:
        score = 3 * (seen.destination == form.destination)
        score += 3 * (seen.destination_port == form.expected.destination.port) + (seen.source in form.sources)
        score += 2 * (seen.source_port == port) if port else 1
        best = max(best, score + (seen.destination_mac == form.expected.destination_mac))
    return best + payload


def pairs_by_bytes(slots: list[Slot], seen: list[SeenDatagram], port: int) -> list[tuple[int, int]]:
    scored = [(-by_bytes(a, b, port), abs(i - j), i, j) for i, a in enumerate(slots) for j, b in enumerate(seen)]
    out: list[tuple[int, int]] = []
    for score, _, i, j in sorted(scored):
        if -score >= 5 and all(i != a and j != b for a, b in out):
            out.append((i, j))
    return out


PAYLOADS = st.lists(
    st.one_of(st.binary(max_size=40), st.builds(bytes, st.integers(0, 40)), st.just(bytes(range(64)))), min_size=1,
    max_size=6,
)  # fmt: skip
DAMAGES = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 110), st.integers(1, 255)), max_size=12)


@settings(deadline=None, max_examples=200)
@given(PAYLOADS, DAMAGES, st.integers(0, 2**32), st.sampled_from([0, 50124]))
def test_pairs_are_those_of_all_pairs_compared_byte_by_byte(
    payloads: list[bytes], damages: list[tuple[int, int, int]], seed: int, port: int
) -> None:
    targets = [f"192.0.2.{1 + (seed >> number) % 3}" for number in range(len(payloads))]
    _, slots, frames = expected(payloads, targets)
    broken = [bytearray(frame) for frame in frames]
    for which, at, change in damages:
        frame = broken[which % len(broken)]
        if 26 <= at < len(frame):
            frame[at] ^= change
        elif at >= 60 and len(frame) > 50:
            del frame[-4:]  # cut short: payloads of other lengths
            frame[16:18] = (len(frame) - 14).to_bytes(2, "big")
            frame[38:40] = (len(frame) - 34).to_bytes(2, "big")
    random.Random(seed).shuffle(broken)
    seen = dissect(captured(map(bytes, broken))).datagrams
    found = list(nearest.nearest_pairs(slots, seen, lambda _: port))
    wanted = [(slots[i], seen[j]) for i, j in pairs_by_bytes(slots, seen, port)]
    assert [(id(a), id(b)) for a, b in found] == [(id(a), id(b)) for a, b in wanted]


@settings(deadline=None)
@given(st.lists(st.binary(max_size=60), min_size=1, max_size=8), st.data())
def test_contained_says_what_in_says(texts: list[bytes], data: st.DataObject) -> None:
    needles = []
    for text in texts:
        start = data.draw(st.integers(0, len(text)))
        needles.append(data.draw(st.sampled_from([text[start : start + 16], b"\x00" * 8])) or b"\x01")
    places = [(a, b) for a in range(len(texts)) for b in range(len(needles))]
    result = contained(texts, needles, np.array([a for a, _ in places]), np.array([b for _, b in places]))
    assert result.tolist() == [needles[b] in texts[a] for a, b in places]


def flip(frame: bytearray) -> None:
    frame[42 + 700] ^= 1


def test_datagrams_far_from_their_place_go_to_their_own_sends() -> None:
    rng = random.Random(5)
    plan, _, frames = expected([rng.randbytes(1000) for _ in range(800)])
    for at in range(len(frames)):
        frames = altered(frames, at, flip)
    result = judge(plan.predict(SITE), plan.steps, captured(frames[::-1]), Integrity(), SITE, tshark=False)
    assert result.status is Status.FAILED
    assert (result.counts.altered, result.counts.missing, result.counts.unexpected) == (800, 0, 0)
    findings = [item for item in result.findings if item.verdict is Verdict.ALTERED and item.field == "udp.payload"]
    assert findings
    assert all("1 of 1000 differ" in item.detail for item in findings)


def test_the_pairs_that_are_looked_at_are_limited_whatever_the_payloads() -> None:
    for payloads in ([bytes(64)] * 1500, [number.to_bytes(64, "big") for number in range(1500)]):
        _, slots, frames = expected(payloads)
        seen = dissect(captured(frames)).datagrams
        rows, _ = nearest._candidates(slots, seen)
        assert len(rows) < 2 * nearest._PAIRS
