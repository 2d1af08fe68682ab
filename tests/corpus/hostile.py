"""Feeds hostile files to the verifier: an error in one line or a verdict, in time, in columns as one by one."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from harness.errors import HarnessError
from harness.model.predict import predict
from harness.offline.segments import Choice
from harness.offline.verify import FileVerdict, Reader, verify_plan
from harness.trace import trace_lines as plans
from harness.wsk import operations as op
from tests.corpus import containers as made
from tests.corpus.containers import Record
from tests.corpus.mutate import mutated
from tests.corpus.story import SITE, Cases, pattern, story
from tests.unit.verify_kit import at, done, packets, raw

_LONGEST = 5.0  # seconds of CPU
_BURST = 40


def _small() -> tuple[plans.Plan, list[bytes], list[bytes]]:
    """A short story: a few sends, one in fragments, and a burst."""
    plan = Cases()
    plan.socket()
    for number in range(3):
        plan.send(pattern(20, number), "192.0.2.1")
    plan.send(pattern(1600, 9), "192.0.2.1")
    plan.case = "more"
    plan.socket(number=2)
    outcome = op.Outcome(completion=done(16 * _BURST, completions=_BURST))
    plan.add(op.Burst(2, at("192.0.2.3"), _BURST, 16, 1), outcome)
    first, second = (
        raw(packets(predict([step for step in plan.steps if step.case == case], SITE), SITE))
        for case in ("sends", "more")
    )
    header = plans.Header("hostile", "linux", SITE.to_json())
    return plans.Plan(header, tuple(plan.steps)), first, second


PLAN, _FIRST, _SECOND = _small()


def sound() -> list[bytes]:
    """The files that hostile ones are made from."""
    marked, bare = story(_FIRST, _SECOND), story(_FIRST, _SECOND, marked=False)
    other = [Record(item.data, interface=number % 2) for number, item in enumerate(bare)]
    return [
        made.pcapng(marked),
        made.pcapng(bare),
        made.pcapng(marked, ">"),
        made.pcapng(bare, spb=True),
        made.pcapng(other, interfaces=[made.interface(), made.interface(name="eth1", link=made.COOKED)]),
        made.pcap(marked),
        made.pcap(bare, ">", nano=True),
        made.pcap([made.cooked(item, made.COOKED2) for item in bare], link=made.COOKED2),
    ]


def judge(path: Path, bulk: bool) -> FileVerdict | HarnessError:
    """The verdict on a file, or the error that it gives."""
    try:
        return verify_plan(path, PLAN, SITE, Reader.FAST, Choice(bulk=bulk))
    except HarnessError as error:
        return error


def run(seeds: Iterable[int], folder: Path) -> Counter[str]:
    """Judge a file for each seed; what came of them, counted.

    Raises:
        AssertionError: one of them took too long, or the two ways disagree; the message names the seed.
    """
    results: Counter[str] = Counter()
    files = sound()
    path = folder / "hostile"
    for seed in seeds:
        path.write_bytes(mutated(seed, files))
        start = time.process_time()
        try:
            columns, one_by_one = judge(path, True), judge(path, False)
        except Exception as error:
            raise AssertionError(f"seed {seed}: {type(error).__name__}: {error}") from error
        assert time.process_time() - start < _LONGEST, f"seed {seed} took too long"
        one, other = _told(columns), _told(one_by_one)
        differ = {*one} ^ {*other}
        assert one == other, f"seed {seed}: in columns or one by one, not both: {sorted(differ)}"
        assert all("\n" not in text for text in one), f"seed {seed}: {one}"
        results[_told(columns)[0]] += 1
    return results


def _told(result: FileVerdict | HarnessError) -> tuple[str, ...]:
    if isinstance(result, HarnessError):
        return type(result).__name__, result.line()
    return result.status.value, result.reason, str(result.counts), *sorted(str(item) for item in result.findings)
