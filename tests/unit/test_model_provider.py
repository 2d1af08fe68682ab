"""What the model makes of a provider that was told to misbehave, and of datagrams that peers send."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address

import pytest

from harness.errors import UsageError
from harness.model.datagram import Prediction
from harness.model.predict import predict
from harness.model.profile import LINUX
from harness.model.provider import describe
from harness.model.site import Site
from harness.wsk import operations as op
from harness.wsk import options as opt
from harness.wsk import status as nt
from harness.wsk.operations import Calls, Effects
from harness.wsk.types import AF_INET, Completion, Endpoint, WskBuf

SITE = Site.of(
    "52:54:00:d0:00:01",
    ["192.0.2.10/24", "192.0.2.11/24"],
    {f"192.0.2.{host}": "02:00:00:00:d0:01" for host in (1, 2, 3)},
    LINUX,
)
PEER, OTHER = Endpoint(IPv4Address("192.0.2.1"), 9000), Endpoint(IPv4Address("192.0.2.2"), 9000)
LOCAL = Endpoint(IPv4Address("192.0.2.10"), 5000)
OPEN = (op.Open(1, AF_INET), op.Bind(1, LOCAL))
SEND = op.SendTo(1, WskBuf.of(b"data"), PEER)


def outcome(status: int = 0, information: int = 0, *, in_flight: bool = False) -> op.Outcome:
    return op.Outcome(completion=Completion(nt.PENDING, status, information, 1, 0, True, in_flight))


def played(*operations: op.Operation, outcomes: dict[int, op.Outcome] | None = None) -> list[Prediction]:
    """Predictions for operations after OPEN; outcomes by place among them, success where none is given."""
    plain = (op.Force, op.Relent, op.PeerSend)
    steps = [
        op.Step(number, "case", operation, op.Outcome() if isinstance(operation, plain) else outcome())
        for number, operation in enumerate((*OPEN, *operations))
    ]
    for place, what in (outcomes or {}).items():
        old = steps[place + 2]
        steps[place + 2] = op.Step(old.number, old.case, old.operation, what)
    return list(predict(steps, SITE))[2:]


def statuses(predictions: Sequence[Prediction]) -> list[frozenset[int]]:
    return [prediction.status.named for prediction in predictions]


def test_a_forced_error_is_asserted_and_nothing_leaves() -> None:
    rule = op.Force(Calls.SEND, Effects.FAIL, nt.HOST_UNREACHABLE, skip=1, count=1)
    _, first, second, third = played(rule, SEND, SEND, SEND, outcomes={2: outcome(nt.HOST_UNREACHABLE)})
    assert second.status.asserted
    assert (second.status.named, second.datagrams, second.information) == (frozenset({nt.HOST_UNREACHABLE}), (), 0)
    assert len(first.datagrams) == len(third.datagrams) == 1
    assert any("send fail" in text for text in second.rules)


@pytest.mark.parametrize(
    ("effects", "returned"),
    [
        (Effects.FAIL, nt.PENDING),
        (Effects.FAIL | Effects.INLINE, nt.ACCESS_DENIED),
        (Effects.FAIL | Effects.REFUSE, nt.ACCESS_DENIED),
    ],
)
def test_what_the_function_must_return(effects: Effects, returned: int) -> None:
    _, send = played(op.Force(Calls.SEND, effects, nt.ACCESS_DENIED), SEND, outcomes={1: outcome(nt.ACCESS_DENIED)})
    assert send.returned == returned


def test_timing_changes_no_frame() -> None:
    for effects in (Effects.INLINE, Effects.LATE, Effects.RAISED, Effects.REVERSE):
        _, send = played(op.Force(Calls.SEND, effects, delay_ms=5, count=1), SEND)
        assert (send.status.success, len(send.datagrams)) == (True, 1)


def test_a_rule_may_be_about_one_socket_and_ends_with_relent() -> None:
    rule = op.Force(Calls.SEND, Effects.FAIL, nt.ACCESS_DENIED, socket=2)
    _, untouched, _, after = played(rule, SEND, op.Relent(), SEND)
    assert untouched.status.success is after.status.success is True


def test_a_socket_that_was_forced_closed_stays_so_until_it_is_closed() -> None:
    dead = outcome(nt.FILE_FORCED_CLOSED)
    _, first, second, closed = played(
        op.Force(Calls.SEND, Effects.DEAD, count=1),
        SEND,
        opt.broadcast().on(1),
        op.Close(1),
        outcomes={1: dead, 2: dead},
    )
    assert statuses([first, second]) == [frozenset({nt.FILE_FORCED_CLOSED})] * 2
    assert closed.status.success is True


def test_without_memory_the_driver_may_refuse_and_nothing_else() -> None:
    rule = op.Force(Calls.POOL, Effects.FAIL, nt.NO_MEMORY)
    refused = op.Outcome(ioctl=nt.INSUFFICIENT_RESOURCES)
    _, send, _, after = played(rule, SEND, op.Relent(), SEND, outcomes={1: refused, 3: refused})
    assert (send.calls, send.status.named, send.datagrams) == (False, frozenset({nt.INSUFFICIENT_RESOURCES}), ())
    assert after.status.success is True


def test_part_of_a_burst_cannot_be_forced() -> None:
    rule = op.Force(Calls.SEND, Effects.FAIL, nt.ACCESS_DENIED, count=3)
    with pytest.raises(UsageError, match="all sends of a burst"):
        played(rule, op.Burst(1, PEER, 10, 8, 1))


def test_a_send_in_flight_at_close_may_be_cancelled() -> None:
    late = op.SendTo(1, WskBuf.of(b"late"), PEER, wait=False)
    send, _ = played(late, op.Close(1), outcomes={0: outcome(in_flight=True)})
    assert send.abandoned
    assert nt.CANCELLED in send.status.named
    assert all(item.optional for item in send.datagrams)


def test_a_receive_brings_what_a_peer_sent_in_order() -> None:
    sent = [op.PeerSend(PEER, LOCAL, b"one"), op.PeerSend(OTHER, LOCAL, b"two")]
    *_, one, two = played(*sent, op.Receive(1, 100, 10), op.Receive(1, 100, 10))
    assert [(item.data, item.sender) for item in (one, two)] == [(b"one", PEER), (b"two", OTHER)]


def test_a_fixed_remote_address_keeps_strangers_out_and_a_fixed_destination_does_not() -> None:
    sent = [op.PeerSend(OTHER, LOCAL, b"stranger"), op.PeerSend(PEER, LOCAL, b"friend")]
    *_, remote = played(op.SetRemoteAddress(1, PEER), *sent, op.Receive(1, 100, 10))
    *_, sendto = played(op.SetSendToAddress(1, PEER), *sent, op.Receive(1, 100, 10))
    assert (remote.data, sendto.data) == (b"friend", b"stranger")


def test_nothing_is_said_of_a_datagram_for_another_port_or_longer_than_the_buffer() -> None:
    elsewhere = Endpoint(LOCAL.address, 5001)
    *_, other = played(op.PeerSend(PEER, elsewhere, b"other"), op.Receive(1, 100, 10))
    *_, cut = played(op.PeerSend(PEER, LOCAL, b"too long"), op.Receive(1, 3, 10))
    assert other.data is None
    assert cut.data is None
    assert cut.status.success is None


def test_an_option_is_told_as_it_was_set() -> None:
    ttl = opt.ttl(AF_INET, 9)
    *_, asked = played(ttl.on(1), op.GetOption(1, ttl.level, ttl.name, 4))
    assert asked.data == ttl.value


def test_a_rule_in_words() -> None:
    rule = op.Force(Calls.SEND | Calls.BIND, Effects.FAIL | Effects.INLINE, nt.ACCESS_DENIED, skip=2, count=1, socket=3)
    assert describe(rule) == ("bind/send inline+fail, STATUS_ACCESS_DENIED (0xC0000022), after 2, 1 times, socket 3")
