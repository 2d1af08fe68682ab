"""Bursts in columns: the books agree with the exact path's, whatever was lost, doubled, moved or changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.capture.files import CaptureFile
from harness.capture.frames import Integrity
from harness.model.frames import ChecksumField, encode
from harness.model.profile import WINDOWS
from harness.model.site import Site
from harness.verify import order
from harness.verify.bulk import Bulk
from harness.verify.judge import judge
from harness.verify.verdict import CaseVerdict
from harness.wsk import operations as op
from harness.wsk.types import AF_INET, AF_INET6
from tests.corpus import containers as made
from tests.corpus.containers import Record
from tests.unit.verify_kit import Plan, at, captured, done, packet, site

COUNT = 60
SITE = site()


def burst(where: Site = SITE, size: int = 64, six: bool = False, tell: bool = True, first: int = 0) -> Plan:
    plan = Plan()
    plan.socket(AF_INET6 if six else AF_INET, tell=tell)
    to = at("2001:db8:0:1::3" if six else "192.0.2.3")
    outcome = op.Outcome(completion=done(COUNT * size, completions=COUNT))
    plan.add(op.Burst(1, to, COUNT, size, 1, first), outcome)
    return plan


def frames(plan: Plan, where: Site = SITE, **changes: object) -> list[bytes]:
    expected = plan.predict(where)[-1].burst
    assert expected is not None
    numbers = range(expected.first, expected.first + expected.count)
    good = [packet(expected.template, where, expected.payload(n), n + 1) for n in numbers]
    return [encode(replace(item, **changes))[0] for item in good]  # type: ignore[arg-type]


def both(plan: Plan, data: Sequence[bytes], folder: Path, where: Site = SITE) -> tuple[CaseVerdict, int]:
    """The verdict by columns, which must be the one of the exact path, and how many frames columns left over."""
    exact = judge(plan.predict(where), plan.steps, captured(data), Integrity(), where, tshark=False)
    verdict, left = in_columns(plan, data, folder, where)
    assert verdict == exact
    return verdict, left


def in_columns(plan: Plan, data: Sequence[bytes], folder: Path, where: Site = SITE) -> tuple[CaseVerdict, int]:
    """The verdict by columns, and how many frames they left over."""
    predictions = plan.predict(where)
    path = folder / "file"
    path.write_bytes(made.pcapng([Record(item) for item in data]))
    bulk, left = Bulk(predictions, where.partial_checksum), []
    with CaptureFile(path) as file:
        for batch in file.batches():
            taken = bulk.take(batch)
            left += [batch.frame(index) for index in range(len(batch)) if not taken[index]]
    return judge(predictions, plan.steps, left, Integrity(), where, tshark=False, begun=bulk.begun), len(left)


@pytest.mark.parametrize("six", [False, True])
@pytest.mark.parametrize("size", [8, 9, 10, 12, 15, 64, 65, 71, 103, 104, 105, 500, 1452])
def test_a_faultless_burst_is_taken_whole(size: int, six: bool, tmp_path: Path) -> None:
    plan = burst(size=size, six=six)
    verdict, left = both(plan, frames(plan), tmp_path)
    assert (verdict.status, verdict.counts.matched, left) == ("passed", COUNT, 0)


@pytest.mark.parametrize("first", [0, 200, 250, 0xFFFF - 20, 0xFFFFFFFF - 20, 1 << 40])
def test_sequence_numbers_may_begin_anywhere(first: int, tmp_path: Path) -> None:
    plan = burst(first=first)
    verdict, left = both(plan, frames(plan), tmp_path)
    assert (verdict.counts.matched, left) == (COUNT, 0)


@pytest.mark.parametrize(
    "where", [site(pads=True), site(WINDOWS), site(WINDOWS, pads=True), site(partial=True), site(mtu=9000)]
)
@pytest.mark.parametrize("size", [8, 17, 64])
def test_every_site_is_taken_whole(where: Site, size: int, tmp_path: Path) -> None:
    plan = burst(where, size)
    verdict, left = both(plan, frames(plan, where), tmp_path, where)
    assert (verdict.status, verdict.counts.matched, left) == ("passed", COUNT, 0)


@pytest.mark.parametrize("six", [False, True])
def test_an_unknown_source_port_is_learned(six: bool, tmp_path: Path) -> None:
    plan = burst(six=six, tell=False)
    verdict, left = both(plan, frames(plan), tmp_path)
    assert (verdict.counts.matched, left) == (COUNT, 0)
    moved = frames(plan)
    other = bytearray(moved[20])
    other[54 if six else 34] ^= 1
    verdict, left = both(plan, [*moved[:20], bytes(other), *moved[21:]], tmp_path)
    assert (verdict.counts.matched, verdict.counts.altered, left) == (COUNT - 1, 1, 1)


def test_partial_checksums_are_counted_and_told_up_to_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order, "MOST", 10)
    monkeypatch.setattr("harness.verify.bulk.MOST", 10)
    plan = burst()
    verdict, left = both(plan, frames(plan, checksum=ChecksumField.PARTIAL), tmp_path)
    assert (verdict.status, verdict.counts.offload, left) == ("inconclusive", COUNT, 0)
    assert [item.seen for item in verdict.findings][-1] == "50 more like the 10 before"


def test_two_bursts_with_the_same_numbers_share_what_came(tmp_path: Path) -> None:
    plan = burst()
    plan.add(plan.steps[-1].operation, plan.steps[-1].outcome)
    once = frames(plan)
    verdict, left = both(plan, [*once, *once], tmp_path)
    assert (verdict.status, verdict.counts.matched, left) == ("passed", 2 * COUNT, 0)
    verdict, _ = both(plan, [*once, *once, once[3]], tmp_path)
    assert (verdict.counts.matched, verdict.counts.duplicated) == (2 * COUNT, 1)


def test_a_send_that_looks_like_the_bursts_gets_its_own(tmp_path: Path) -> None:
    plan = burst()
    expected = plan.predict(SITE)[-1].burst
    assert expected is not None
    plan.send(expected.payload(5), "192.0.2.3")
    verdict, left = in_columns(plan, [*frames(burst()), frames(burst())[5]], tmp_path)
    assert (verdict.status, verdict.counts.matched, left) == ("passed", COUNT + 1, 2)


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_whatever_happens_to_the_frames_both_ways_agree(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    six = data.draw(st.booleans())
    plan = burst(six=six, size=data.draw(st.sampled_from([8, 11, 64])))
    seen = frames(plan)
    for _ in range(data.draw(st.integers(1, 4))):
        index = data.draw(st.integers(0, len(seen) - 1))
        action = data.draw(st.sampled_from(["drop", "again", "move", "flip", "cut", "extend"]))
        item = seen[index]
        if action == "drop":
            del seen[index : index + data.draw(st.integers(1, 5))]
        elif action == "again":
            seen.insert(data.draw(st.integers(0, len(seen))), item)
        elif action == "move":
            seen.insert(data.draw(st.integers(0, len(seen) - 1)), seen.pop(index))
        elif action == "flip":
            byte = data.draw(st.integers(0, len(item) - 1))
            seen[index] = item[:byte] + bytes([item[byte] ^ 1 << data.draw(st.integers(0, 7))]) + item[byte + 1 :]
        elif action == "cut":
            seen[index] = item[: data.draw(st.integers(0, len(item)))]
        else:
            seen[index] = item + bytes(data.draw(st.integers(1, 3)))
        if not seen:
            break
    both(plan, seen, tmp_path_factory.mktemp("bulk"))
