"""Builds plans with faultless outcomes, and the frames that a faultless guest would put on the wire for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from ipaddress import ip_address

from harness.capture.frames import CapturedFrame, Checksum, Dissection, Integrity
from harness.model.datagram import ChecksumRule, ExpectedDatagram, Prediction
from harness.model.frames import ChecksumField, Packet, encode
from harness.model.predict import predict
from harness.model.profile import LINUX, StackProfile
from harness.model.site import Site
from harness.verify.closing import Closing, closed
from harness.verify.judge import judge
from harness.verify.parse import dissect
from harness.verify.seen import ChecksumState, address_text
from harness.verify.verdict import CaseVerdict
from harness.wsk import operations as op
from harness.wsk.options import SocketOption
from harness.wsk.types import AF_INET, Completion, ControlMessage, Endpoint, Family, WskBuf

GUEST_MAC = "52:54:00:d0:00:01"
HOST_MAC = "02:00:00:00:d0:01"
EPHEMERAL = 50123


def site(profile: StackProfile = LINUX, *, pads: bool = False, partial: bool = False, mtu: int = 1500) -> Site:
    """The lab of the tests."""
    peers = [f"192.0.2.{n}" for n in (1, 2, 3)] + [f"2001:db8:0:1::{n}" for n in (1, 2, 3)]
    return Site.of(
        GUEST_MAC,
        ["192.0.2.10/24", "192.0.2.11/24", "2001:db8:0:1::10/64", "2001:db8:0:1::11/64"],
        dict.fromkeys(peers, HOST_MAC),
        profile,
        pads=pads,
        partial_checksum=partial,
        mtu=mtu,
        interface_index=7,
    )


def at(text: str, port: int = 9000) -> Endpoint:
    """An endpoint from text."""
    return Endpoint(ip_address(text), port)


def done(information: int = 0, status: int = 0, completions: int = 1) -> Completion:
    """A completion as a good driver records it."""
    return Completion(0x103, status, information, completions, 2, True)


class Plan:
    """Steps of one case, made call by call with the outcome that a good guest would give."""

    def __init__(self) -> None:
        self.steps: list[op.Step] = []

    def add(self, operation: op.Operation, outcome: op.Outcome | None = None, status: int = 0) -> op.Step:
        """Append an operation; it succeeds unless told otherwise."""
        step = op.Step(len(self.steps) + 1, "case", operation, outcome or op.Outcome(completion=done(status=status)))
        self.steps.append(step)
        return step

    def socket(
        self, family: Family = AF_INET, local: Endpoint | None = None, number: int = 1, tell: bool = True
    ) -> int:
        """Open and bind a socket (wildcard and ephemeral by default) and ask for its address."""
        wild = at("0.0.0.0" if family is AF_INET else "::", 0)
        local = local or wild
        self.add(op.Open(number, family))
        self.add(op.Bind(number, local))
        if tell:
            known = Endpoint(local.address, local.port or EPHEMERAL + number)
            self.add(op.GetLocalAddress(number), op.Outcome(completion=done(), endpoint=known))
        return number

    def option(self, option: SocketOption, number: int = 1, status: int = 0) -> None:
        """Set an option."""
        self.add(option.on(number), status=status)

    def send(
        self,
        payload: bytes | WskBuf,
        to: str | Endpoint | None,
        number: int = 1,
        *,
        control: tuple[ControlMessage, ...] = (),
        status: int = 0,
        wait: bool = True,
        port: int = 9000,
    ) -> op.Step:
        """WskSendTo."""
        buffer = WskBuf.of(payload) if isinstance(payload, bytes) else payload
        remote = at(to, port) if isinstance(to, str) else to
        completion = done(0 if status else buffer.size, status)
        if not wait:
            completion = replace(completion, in_flight=True, completions=0)
        operation = op.SendTo(number, buffer, remote, control=control, wait=wait)
        return self.add(operation, op.Outcome(completion=completion))

    def predict(self, where: Site) -> tuple[Prediction, ...]:
        """The model's predictions."""
        return predict(self.steps, where)


def packet(expected: ExpectedDatagram, where: Site, payload: bytes | None = None, ident: int = 1) -> Packet:
    """The packet of a faultless guest."""
    checksum = ChecksumField.ZERO if expected.checksum is ChecksumRule.NONE else ChecksumField.FULL
    if where.partial_checksum and len(expected.layout) == 1 and checksum is ChecksumField.FULL:
        checksum = ChecksumField.PARTIAL
    port = expected.source.port or EPHEMERAL + expected.socket[0]
    return Packet(
        expected.source_mac,
        expected.destination_mac,
        Endpoint(expected.source.address, port),
        expected.destination,
        expected.payload if payload is None else payload,
        expected.ttl,
        expected.tos,
        expected.dont_fragment,
        identification=ident,
        flow_label=0x12345,
        checksum=checksum,
        mtu=where.mtu,
        pad_to=60 if where.pads else 0,
    )


def packets(predictions: Iterable[Prediction], where: Site) -> list[Packet]:
    """Packets of all predicted datagrams, in order, bursts included."""
    out: list[Packet] = []
    for prediction in predictions:
        out.extend(packet(item, where, ident=len(out) + n + 1) for n, item in enumerate(prediction.datagrams))
        if prediction.burst is not None:
            burst = prediction.burst
            for sequence in range(burst.first, burst.first + burst.count):
                out.append(packet(burst.template, where, burst.payload(sequence), len(out) + 1))
    return out


def raw(made: Iterable[Packet]) -> list[bytes]:
    """Frames of packets."""
    return [frame for item in made for frame in encode(item)]


def captured(frames: Iterable[bytes]) -> list[CapturedFrame]:
    """Captured frames, numbered from 1, without a dissection."""
    return [CapturedFrame(n, n * 1000, data, len(data)) for n, data in enumerate(frames, 1)]


def dissected(frames: Sequence[CapturedFrame]) -> list[CapturedFrame]:
    """The same frames with what an agreeing tshark would say."""
    told: dict[int, Dissection] = {}
    words = {
        ChecksumState.GOOD: Checksum.GOOD,
        ChecksumState.ZERO: Checksum.ABSENT,
        ChecksumState.PARTIAL: Checksum.BAD,
        ChecksumState.BAD: Checksum.BAD,
    }
    for seen in dissect(frames).datagrams:
        told[seen.frame] = Dissection(
            "eth:ethertype:ip:udp:data",
            address_text(seen.source),
            address_text(seen.destination),
            seen.source_port,
            seen.destination_port,
            seen.payload or None,
            Checksum.GOOD if len(seen.source) == 4 else Checksum.ABSENT,
            words.get(seen.checksum_state, Checksum.UNVERIFIED),
            seen.frames if len(seen.frames) > 1 else (),
        )
    return [replace(frame, dissection=told.get(frame.number, Dissection("eth"))) for frame in frames]


def verdict(
    plan: Plan,
    where: Site,
    frames: Sequence[bytes] | None = None,
    integrity: Integrity | None = None,
    accounts: op.Accounts | None = None,
) -> CaseVerdict:
    """The verdict of a plan: of what a faultless guest sends, or of the frames given."""
    predictions = plan.predict(where)
    seen = dissected(captured(raw(packets(predictions, where)) if frames is None else frames))
    judged = judge(predictions, plan.steps, seen, integrity or Integrity(), where)
    return closed(judged, Closing("case", accounts), predictions)


def altered(frames: Sequence[bytes], index: int, change: Callable[[bytearray], object]) -> list[bytes]:
    """The frames with one of them changed in place."""
    data = bytearray(frames[index])
    change(data)
    return [*frames[:index], bytes(data), *frames[index + 1 :]]
