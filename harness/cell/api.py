"""What a test is written with: ``wsk`` makes WSK calls on the driver in the guest, ``wire`` knows the DUT network.

A test reads like the calls it makes; every call becomes one ``Step`` of the plan, which the session holds against the
model when the case ends. Nothing here judges: a send that fails returns its status, and the verdict says whether it
should have.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Protocol

from harness.errors import Failure
from harness.model.site import Site
from harness.wsk import operations as ops
from harness.wsk.options import SocketOption
from harness.wsk.status import name as status_name
from harness.wsk.types import AF_INET, Address, Completion, ControlMessage, Endpoint, Family, WskBuf

ANY: dict[Family, Address] = {Family.INET: IPv4Address("0.0.0.0"), Family.INET6: IPv6Address("::")}


class Recorder(Protocol):
    """Where operations go: executes them on the driver and keeps each as a step of the plan."""

    def execute(self, *operations: ops.Operation) -> list[ops.Step]:
        """Execute in order and return the recorded steps; several are pipelined in one round trip."""

    def trial(self, body: Callable[[Wsk, Wire], None]) -> str:
        """Run a body and judge it by itself; why it failed, empty when it passed."""

    def keep(self, name: str, text: str) -> None:
        """Keep a text with the cell's evidence."""

    def defer(self, operation: ops.Operation) -> None:
        """Execute before whatever comes next, or when the case ends: for what nobody waits to see the outcome of."""


class Sent:
    """A send that was made: its step, and its completion once there is one."""

    def __init__(self, step: ops.Step) -> None:
        self.step = step
        self._collected: Completion | None = None

    @property
    def completion(self) -> Completion:
        """Record of the completion; for a send without wait, of the last ``collect``."""
        completion = self._collected or self.step.outcome.completion
        if completion is None:
            raise AssertionError(f"the driver refused send {self.step.number}: {status_name(self.step.outcome.ioctl)}")
        return completion

    @property
    def status(self) -> int:
        """``Irp->IoStatus.Status`` as an unsigned NTSTATUS."""
        return self.completion.status

    @property
    def information(self) -> int:
        """``Irp->IoStatus.Information``: bytes sent."""
        return self.completion.information


class DatagramSocket:
    """One WSK datagram socket of the driver.

    Args:
        recorder: executes operations.
        number: the socket's number in the plan.
        family: its address family.
    """

    def __init__(self, recorder: Recorder, number: int, family: Family) -> None:
        self._recorder = recorder
        self._in_flight: list[Sent] = []
        self.number = number
        self.family = family
        self.local: Endpoint | None = None
        self.closed = False

    def _do(self, operation: ops.Operation) -> ops.Step:
        return self._recorder.execute(operation)[0]

    def bind(self, address: Address | None = None, port: int = 0) -> ops.Step:
        """WskBind, then WskGetLocalAddress, whose answer becomes ``local``; the step of the bind is returned."""
        local = Endpoint(address if address is not None else ANY[self.family], port)
        bound, answer = self._recorder.execute(ops.Bind(self.number, local), ops.GetLocalAddress(self.number))
        self.local = answer.outcome.endpoint
        return bound

    def send_to(
        self,
        data: bytes | WskBuf,
        remote: Endpoint | None,
        *,
        flags: int = 0,
        control: Sequence[ControlMessage] = (),
        wait: bool = True,
        reuse_irp: bool = False,
        path: ops.SendPath = ops.SendPath.SEND_TO,
    ) -> Sent:
        """WskSendTo; ``remote`` None passes a NULL RemoteAddress. Without ``wait`` the send stays in flight."""
        buffer = data if isinstance(data, WskBuf) else WskBuf.of(data)
        step = self._do(
            ops.SendTo(self.number, buffer, remote, flags, tuple(control), wait=wait, reuse_irp=reuse_irp, path=path)
        )
        sent = Sent(step)
        if not wait:
            self._in_flight.append(sent)
        return sent

    def send_many(self, datagrams: Sequence[bytes], remote: Endpoint | None, *, depth: int) -> list[Sent]:
        """Send all, never more than ``depth`` in flight, and collect every completion."""
        everything: list[Sent] = []
        for start in range(0, len(datagrams), depth):
            batch = [
                ops.SendTo(self.number, WskBuf.of(data), remote, wait=False)
                for data in datagrams[start : start + depth]
            ]
            sent = [Sent(step) for step in self._recorder.execute(*batch)]
            self._in_flight += sent
            everything += sent
            self.collect()
        return everything

    def send_messages(
        self, messages: Sequence[bytes | WskBuf], remote: Endpoint | None, *, control: Sequence[ControlMessage] = ()
    ) -> Sent:
        """WskSendMessages: one call, one IRP, a datagram per message."""
        buffers = tuple(item if isinstance(item, WskBuf) else WskBuf.of(item) for item in messages)
        return Sent(self._do(ops.SendMessages(self.number, buffers, remote, control=tuple(control))))

    def burst(self, remote: Endpoint | None, *, count: int, size: int, depth: int = 32) -> Sent:
        """Let the driver itself send ``count`` numbered datagrams of ``size`` bytes."""
        return Sent(self._do(ops.Burst(self.number, remote, count, size, depth)))

    def collect(self) -> list[Sent]:
        """Wait for every send in flight on this socket and return them with their completions."""
        if not self._in_flight:
            return []
        waiting, self._in_flight = self._in_flight, []
        step = self._do(ops.Collect(self.number, tuple(sent.step.number for sent in waiting)))
        for sent in waiting:
            sent._collected = step.outcome.collected.get(sent.step.number)
        return waiting

    def receive(self, capacity: int = 65536, wait_ms: int = 1000) -> ops.Outcome:
        """WskReceiveFrom with a deadline in milliseconds."""
        return self._do(ops.Receive(self.number, capacity, wait_ms)).outcome

    def set_option(self, option: SocketOption) -> ops.Step:
        """WskControlSocket(WskSetOption), e.g. ``sock.set_option(options.broadcast())``."""
        return self._do(option.on(self.number))

    def get_option(self, level: int, name: int, length: int) -> ops.Outcome:
        """WskControlSocket(WskGetOption)."""
        return self._do(ops.GetOption(self.number, level, name, length)).outcome

    def set_remote_address(self, remote: Endpoint | None) -> ops.Step:
        """SIO_WSK_SET_REMOTE_ADDRESS; None clears it."""
        return self._do(ops.SetRemoteAddress(self.number, remote))

    def set_sendto_address(self, remote: Endpoint | None) -> ops.Step:
        """SIO_WSK_SET_SENDTO_ADDRESS; None clears it."""
        return self._do(ops.SetSendToAddress(self.number, remote))

    def close(self) -> None:
        """WskCloseSocket, once."""
        if not self.closed:
            self.closed = True
            self._recorder.defer(ops.Close(self.number))


class ProviderUnreachable(Exception):
    """The guest's WSK provider has no device to tell it how to behave; the text is the status of opening it."""


@dataclass(slots=True)
class Forced:
    """How often a forced behaviour acted; known once its block has ended."""

    acted: int = 0


class Wsk:
    """The driver under test, as a WSK client: what a test calls ``wsk``."""

    def __init__(self, recorder: Recorder, numbers: Iterator[int] | None = None) -> None:
        self._recorder = recorder
        self._numbers = itertools.count() if numbers is None else numbers  # next() of it is safe from any thread

    def open(self, family: Family = AF_INET, category: int = 4) -> tuple[DatagramSocket, ops.Step]:
        """WskSocket alone, whatever comes of it: no bind, no close at the end."""
        number = next(self._numbers)
        step = self._recorder.execute(ops.Open(number, family, category))[0]
        return DatagramSocket(self._recorder, number, family), step

    @contextmanager
    def datagram_socket(
        self, family: Family = AF_INET, *, address: Address | None = None, port: int = 0, bind: bool = True
    ) -> Iterator[DatagramSocket]:
        """A datagram socket, bound (to the wildcard address and port 0 unless told), closed at the end.

        Raises:
            Failure: the driver could not open it.
        """
        sock = DatagramSocket(self._recorder, next(self._numbers), family)
        local = Endpoint(address if address is not None else ANY[family], port)
        first = (ops.Bind(sock.number, local), ops.GetLocalAddress(sock.number)) if bind else ()
        step, *steps = self._recorder.execute(ops.Open(sock.number, family), *first)
        completion = step.outcome.completion
        if completion is None or completion.status:
            status = step.outcome.ioctl or (completion.status if completion else 0)
            raise Failure(f"WskSocket({family.name}) failed: {status_name(status)}")
        try:
            if bind:
                sock.local = steps[1].outcome.endpoint
            yield sock
        finally:
            sock.close()

    @contextmanager
    def forced(
        self,
        calls: ops.Calls,
        effects: ops.Effects,
        *,
        status: int = 0,
        delay_ms: int = 0,
        skip: int = 0,
        count: int = 0,
        on: DatagramSocket | None = None,
    ) -> Iterator[Forced]:
        """Have the guest's WSK provider behave in a way that a provider may, until the block ends.

        The arguments are those of ``harness.wsk.operations.Force``; ``on`` must be bound.

        Raises:
            Failure: the provider refused the rule.
        """
        rule = ops.Force(calls, effects, status, delay_ms, skip, count, on.number if on is not None else None)
        step = self._recorder.execute(rule)[0]
        if step.outcome.ioctl:
            raise Failure(f"the guest's provider refused {rule}: {status_name(step.outcome.ioctl)}")
        forced = Forced()
        try:
            yield forced
        finally:
            forced.acted = self.relent()

    def ioctl(
        self, code: int, payload: bytes, capacity: int, *, refused: int, on: DatagramSocket | None = None
    ) -> ops.Outcome:
        """One IOCTL as it is, which the driver must refuse with that status; ``on`` puts a socket's handle into it."""
        number = on.number if on is not None else None
        return self._recorder.execute(ops.Ioctl(code, payload, capacity, refused, number))[0].outcome

    def trial(self, body: Callable[[Wsk, Wire], None]) -> str:
        """Run a body and judge it by itself, within a test that makes calls in no other way.

        Returns:
            why it failed, in one line; empty when it passed.
        """
        return self._recorder.trial(body)

    def keep(self, name: str, text: str) -> None:
        """Keep a text with the cell's evidence, under that file name.

        Raises:
            UsageError: it is no plain file name, or another file of the cell's folder has it.
        """
        self._recorder.keep(name, text)

    def relent(self) -> int:
        """End all forced behaviour; how many calls were acted on, by all rules together.

        Raises:
            ProviderUnreachable: the guest's provider cannot be told anything (a real Windows).
        """
        outcome = self._recorder.execute(ops.Relent())[0].outcome
        if outcome.ioctl:
            raise ProviderUnreachable(status_name(outcome.ioctl))
        return sum(int.from_bytes(outcome.data[at : at + 4], "little") for at in range(0, len(outcome.data), 4))

    def unload(self) -> ops.Step:
        """Stop the driver's service."""
        return self._recorder.execute(ops.Unload())[0]

    def load(self) -> ops.Step:
        """Start the driver's service again."""
        return self._recorder.execute(ops.Load())[0]


class Wire:
    """The DUT network as a test sees it: who is there, and what a send must or must not put on it."""

    def __init__(self, site: Site, recorder: Recorder) -> None:
        self._site = site
        self._recorder = recorder
        self.expectations: list[tuple[ops.Step, bool]] = []

    def peer(self, port: int, *, index: int = 0, family: Family = AF_INET) -> Endpoint:
        """A UDP endpoint on the ``index``-th host peer."""
        peers = [
            peer for peer in (Endpoint(address, port) for address in self._site.neighbours) if peer.family is family
        ]
        return peers[index]

    def most_in_one_frame(self, family: Family = AF_INET) -> int:
        """Bytes of the largest payload that the link's MTU lets into one frame."""
        return self._site.mtu - (28 if family is Family.INET else 48)

    def guest_address(self, which: int = 0, family: Family = AF_INET) -> Address:
        """The guest's primary (0) or secondary (1) address on the DUT NIC."""
        return self._site.interfaces4[which].ip if family is Family.INET else self._site.interfaces6[which].ip

    def reply(self, source: Endpoint, sock: DatagramSocket, data: bytes) -> ops.Step:
        """A host peer sends ``data`` from ``source`` (see ``peer``) to the local address of a bound socket."""
        assert sock.local is not None, "the socket is not bound"
        address = sock.local.address if int(sock.local.address) else self.guest_address(0, source.family)
        return self._recorder.execute(ops.PeerSend(source, Endpoint(address, sock.local.port), data))[0]

    def expect(self, *sent: Sent) -> None:
        """Each of these sends must reach the wire.

        The verdict at the end of the case checks every field of every datagram whether asked or not; this adds
        that the model must predict at least one datagram for the send, so a test cannot pass on an error status.
        """
        self.expectations += [(item.step, True) for item in sent]

    def expect_nothing(self, *sent: Sent) -> None:
        """None of these sends may put a frame on the wire; the model must say so too."""
        self.expectations += [(item.step, False) for item in sent]


def pattern(size: int, seed: int = 0) -> bytes:
    """``size`` payload bytes that differ from seed to seed and from offset to offset, so that a shift shows."""
    return bytes((seed * 131 + index * 7 + (index >> 8) * 13 + 1) & 0xFF for index in range(size))
