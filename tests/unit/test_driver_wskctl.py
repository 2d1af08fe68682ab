"""The conversation with ``wskctl serve``, against a relay that runs in this process and speaks its frames."""

from __future__ import annotations

import queue
from collections.abc import Callable
from ipaddress import IPv4Address

import pytest

from harness.control.wskctl import BURST_PIECE, CODE_DETACH, REPLY, REQUEST, WskCtl
from harness.errors import Failure, LabError
from harness.wsk import layouts
from harness.wsk import operations as ops
from harness.wsk.types import AF_INET, Endpoint, WskBuf

REMOTE = Endpoint(IPv4Address("192.0.2.1"), 9000)
DONE = (0x103, 0, 1, 1, 0, 1, 0, 0)
STATUS_INVALID_HANDLE = 0xC0000008

Answer = Callable[[int, bytes], tuple[int, bytes]]


class Relay:
    """A stream whose other end is a driver made of one function; remembers every IOCTL."""

    def __init__(self, answer: Answer, piece: int = 1 << 16) -> None:
        self.seen: list[tuple[int, bytes]] = []
        self._answer = answer
        self._piece = piece
        self._out: queue.Queue[bytes] = queue.Queue()
        self._left = b""
        self.trips = 0

    def _ask(self, code: int, payload: bytes) -> tuple[int, bytes]:
        self.seen.append((code, payload))
        return self._answer(code, payload)

    def _batch(self, batch: bytes) -> tuple[int, bytes]:
        """As batch.c does it: each request alone, with the last opened handle where it is asked for."""
        out, at, opened = b"", layouts.BATCH.size, b""
        for _ in range(layouts.BATCH.numbers(batch)["count"]):
            item = layouts.ITEM.numbers(batch, at)
            at += layouts.ITEM.size
            payload = batch[at : at + item["length"]]
            at += item["length"] + -item["length"] % 8
            if item["flags"] & layouts.ITEM_OPENED:
                payload = payload[:8] + opened + payload[16:]
            status, reply = self._ask(item["code"], payload)
            if item["code"] == layouts.IOCTL_OPEN:
                opened = reply[-8:]
            out += layouts.ITEM_REPLY.pack(status, len(reply)) + reply + bytes(-len(reply) % 8)
        assert at == len(batch)
        return 0, out

    def write(self, data: bytes) -> None:
        while data:
            length, tag, _, code, _ = REQUEST.unpack_from(data)
            payload, data = data[REQUEST.size : length + 4], data[length + 4 :]
            self.trips += 1
            status, reply = self._batch(payload) if code == layouts.IOCTL_BATCH else self._ask(code, payload)
            self._out.put(REPLY.pack(8 + len(reply), tag, status) + reply)

    def read(self, size: int) -> bytes:
        if not self._left:
            self._left = self._out.get()
        data, self._left = self._left[: min(size, self._piece)], self._left[min(size, self._piece) :]
        return data

    def close(self) -> None:
        self._out.put(b"")


def driver(code: int, payload: bytes) -> tuple[int, bytes]:
    """A driver that does all it is asked: sockets get handles from 100 on, sends echo their ticket."""
    if code == layouts.IOCTL_OPEN:
        return 0, layouts.OPEN_REPLY.pack(*DONE, 100)
    if code == layouts.IOCTL_SEND:
        ticket = layouts.SEND.numbers(payload)["ticket"]
        return 0, layouts.SEND_REPLY.pack(*DONE, ticket)
    if code == layouts.IOCTL_COLLECT:
        rest = payload[layouts.COLLECT.size :]
        tickets = [int.from_bytes(rest[at : at + 8], "little") for at in range(0, len(rest), 8)]
        return 0, b"".join(layouts.COLLECTED.pack(ticket, *DONE) for ticket in tickets)
    if code == layouts.IOCTL_ACCOUNTS:
        return 0, layouts.ACCOUNTS.pack(1, 2, 3, 4, 5, 6, 7, 8, 9)
    return (0, b"") if code == CODE_DETACH else (0, layouts.COMPLETION.pack(*DONE))


def send(data: bytes = b"x", *, wait: bool = True) -> ops.SendTo:
    return ops.SendTo(1, WskBuf.of(data), REMOTE, wait=wait)


def test_operations_after_an_open_use_its_handle() -> None:
    relay = Relay(driver)
    outcomes = WskCtl(relay).submit([ops.Open(1, AF_INET), ops.Bind(1, REMOTE), send(), ops.Close(1), send()])
    assert [outcome.ioctl for outcome in outcomes] == [0] * 5
    handles = [layouts.SOCKET.numbers(payload)["handle"] for _, payload in relay.seen[1:]]
    assert handles == [100, 100, 100, 100]


def test_what_belongs_together_is_one_trip() -> None:
    relay = Relay(driver)
    control = WskCtl(relay)
    control.submit([ops.Open(1, AF_INET), ops.Bind(1, REMOTE), send()])
    assert relay.trips == 1
    outcomes, books = control.settle([ops.Close(1)])
    assert (relay.trips, len(outcomes), books.calls) == (2, 1, 8)


def test_a_second_socket_is_opened_in_a_trip_of_its_own() -> None:
    relay = Relay(driver)
    WskCtl(relay).submit([ops.Open(1, AF_INET), ops.Open(2, AF_INET), ops.Bind(2, REMOTE), ops.Bind(1, REMOTE)])
    assert relay.trips == 2


def test_replies_that_come_in_pieces_are_put_together() -> None:
    control = WskCtl(Relay(driver, piece=3))
    assert len(control.submit([ops.Open(1, AF_INET), *[send()] * 50])) == 51
    assert control.accounts() == ops.Accounts(1, 2, 3, 4, 5, 6, 7, 8, 9)
    assert control.ledger()["canaries"] == 9


def test_collected_completions_are_those_of_the_sends_in_order() -> None:
    relay = Relay(driver)
    control = WskCtl(relay)
    control.submit([ops.Open(1, AF_INET), send(wait=False), send(), send(wait=False)])
    collected = control.execute(ops.Collect(1, (12, 14))).collected
    assert list(collected) == [12, 14]
    sent = [layouts.SEND.numbers(payload)["ticket"] for code, payload in relay.seen if code == layouts.IOCTL_SEND]
    asked = relay.seen[-1][1][layouts.COLLECT.size :]
    assert asked == sent[0].to_bytes(8, "little") + sent[2].to_bytes(8, "little")


def test_a_send_that_was_refused_is_not_collected() -> None:
    refused: list[int] = []

    def refuse_the_first(code: int, payload: bytes) -> tuple[int, bytes]:
        if code == layouts.IOCTL_SEND and not refused:
            refused.append(layouts.SEND.numbers(payload)["ticket"])
            return STATUS_INVALID_HANDLE, b""
        return driver(code, payload)

    relay = Relay(refuse_the_first)
    outcomes = WskCtl(relay).submit([send(wait=False), send(wait=False), ops.Collect(1, (2,))])
    assert [outcome.ioctl for outcome in outcomes] == [STATUS_INVALID_HANDLE, 0, 0]
    assert relay.seen[-1][1][layouts.COLLECT.size :] == (refused[0] + 1).to_bytes(8, "little")


def test_a_collect_of_more_than_was_sent_asks_for_what_the_driver_must_refuse() -> None:
    relay = Relay(driver)
    control = WskCtl(relay)
    control.submit([ops.Open(1, AF_INET), send(wait=False), ops.Collect(1, (5, 6, 7))])
    payload = relay.seen[-1][1][layouts.COLLECT.size :]
    tickets = [int.from_bytes(payload[at : at + 8], "little") for at in (0, 8, 16)]
    assert len(set(tickets)) == 3
    assert min(tickets[1:]) > 1 << 63


def test_a_long_burst_goes_in_pieces_and_comes_back_as_one() -> None:
    failed = 0xC0000206

    def bursts(code: int, payload: bytes) -> tuple[int, bytes]:
        if code != layouts.IOCTL_BURST:
            return driver(code, payload)
        asked = layouts.BURST.numbers(payload)
        status = failed if asked["first"] == BURST_PIECE else 0
        done = (0x103, status, asked["count"] * asked["size"], asked["count"], 2, 1, 0, 0)
        return 0, layouts.BURST_REPLY.pack(*done, 0, 0, 0)

    relay = Relay(bursts)
    burst = ops.Burst(1, REMOTE, 2 * BURST_PIECE + 5, 64, 32)
    _, outcome = WskCtl(relay).submit([ops.Open(1, AF_INET), burst])
    asked = [layouts.BURST.numbers(payload) for code, payload in relay.seen if code == layouts.IOCTL_BURST]
    assert [(each["first"], each["count"]) for each in asked] == [
        (0, BURST_PIECE),
        (BURST_PIECE, BURST_PIECE),
        (2 * BURST_PIECE, 5),
    ]
    assert outcome.completion is not None
    assert outcome.completion.status == failed
    assert (outcome.completion.information, outcome.completion.completions) == (burst.count * 64, burst.count)


def test_a_driver_that_does_not_answer_is_a_failure() -> None:
    class Mute(Relay):
        def write(self, data: bytes) -> None:
            pass

    with pytest.raises(Failure, match="did not answer"):
        WskCtl(Mute(driver), deadline=0.05).accounts()


def test_a_relay_that_ends_is_the_labs_error() -> None:
    relay = Relay(driver)
    control = WskCtl(relay)
    relay.close()
    with pytest.raises(LabError, match="relay"):
        control.execute(ops.Open(1, AF_INET))


def test_a_driver_of_another_version_is_refused() -> None:
    control = WskCtl(Relay(lambda *_: (0, layouts.INFO.pack(2, 256, 256, 0, bytes(12)))))
    with pytest.raises(Failure, match="version 2"):
        control.info()


def test_after_a_detach_no_old_handle_is_used() -> None:
    relay = Relay(driver)
    control = WskCtl(relay)
    control.execute(ops.Open(1, AF_INET))
    control.detach()
    control.execute(ops.Close(1))
    assert layouts.SOCKET.numbers(relay.seen[-1][1])["handle"] == 0
