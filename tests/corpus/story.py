"""The good capture that the corpus damages: two cases of sends and a burst, and the frames of a faultless guest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.capture.marker import Edge, Marker
from harness.model.addresses import mac_bytes
from harness.model.predict import predict
from harness.model.site import Site
from harness.trace import trace_lines as plans
from harness.wsk import operations as op
from harness.wsk.types import AF_INET6
from tests.corpus.containers import Record
from tests.unit.verify_kit import HOST_MAC, Plan, at, done, packets, raw, site

RUN = b"corpus run id 16"
SITE = site()
BURST = 300
SINGLE, BIG, EMPTY, SIX, BIG_SIX, FIRST = 2, 6, 5, 0, 1, 3
"""Where frames lie in their case: a single datagram, the first of three fragments, an empty datagram (case "sends");
one datagram over IPv6, the first of two fragments, the first of the burst (case "more")."""


class Cases(Plan):
    """A plan whose steps belong to the case that runs."""

    case = "sends"

    def add(self, operation: op.Operation, outcome: op.Outcome | None = None, status: int = 0) -> op.Step:
        """Append an operation; it succeeds unless told otherwise."""
        step = op.Step(len(self.steps) + 1, self.case, operation, outcome or op.Outcome(completion=done(status=status)))
        self.steps.append(step)
        return step


def pattern(size: int, seed: int) -> bytes:
    """Payload that no other datagram of the story has."""
    return bytes((n * 7 + seed * 31 + (n >> 8)) & 0xFF for n in range(size))


def steps() -> tuple[op.Step, ...]:
    """What was done."""
    plan = Cases()
    plan.socket()
    for number in range(5):
        plan.send(pattern(40, number), "192.0.2.1")
    plan.send(b"", "192.0.2.1")
    plan.send(pattern(3000, 9), "192.0.2.1")
    plan.add(op.Close(1))
    plan.case = "more"
    plan.socket(AF_INET6, number=2)
    plan.send(pattern(31, 7), "2001:db8:0:1::2", 2)
    plan.send(pattern(2000, 8), "2001:db8:0:1::2", 2)
    plan.socket(number=3)
    outcome = op.Outcome(completion=done(64 * BURST, completions=BURST))
    plan.add(op.Burst(3, at("192.0.2.3"), BURST, 64, 1), outcome)
    plan.add(op.Close(2))
    plan.add(op.Close(3))
    return tuple(plan.steps)


STEPS = steps()


def frames(case: str, where: Site = SITE) -> list[bytes]:
    """The frames of a case as a faultless guest sends them."""
    return raw(packets(predict([step for step in STEPS if step.case == case], where), where))


def write_plan(path: Path, where: Site = SITE) -> Path:
    """Write ``operations.jsonl``."""
    header = plans.Header("corpus", "linux", where.to_json())
    path.write_text("".join(f"{line}\n" for line in plans.lines(plans.Plan(header, STEPS))))
    return path


def marker(number: int, edge: Edge, sequence: int, name: str = "", run: bytes = RUN) -> bytes:
    """A marker frame."""
    return Marker(run, number, edge, sequence, name).encode(mac_bytes(HOST_MAC))


def story(first: Sequence[bytes], second: Sequence[bytes], marked: bool = True, run: bytes = RUN) -> list[Record]:
    """The frames of a whole capture, from those of its two cases."""
    if not marked:
        return [Record(data) for data in (*first, *second)]
    out = [marker(0, Edge.LIVE, 1, run=run)]
    for number, (name, frames_of) in enumerate((("sends", first), ("more", second)), 1):
        out += [marker(number, Edge.START, 2 * number, name, run), *frames_of]
        out.append(marker(number, Edge.END, 2 * number + 1, name, run))
    out.append(marker(0, Edge.LIVE, 6, run=run))
    return [Record(data) for data in out]
