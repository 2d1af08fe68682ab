"""From a plan's steps to predictions: plays every operation on the model's sockets and says what it must produce.

Values that only the guest knows (an ephemeral port) come from the steps' outcomes; what an outcome reports of success
decides only where the documents leave it open, and what state the following steps start from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv6Address
from typing import Any

from harness.model import control as controls
from harness.model import socket as sockets
from harness.model.addresses import unmapped
from harness.model.datagram import ExpectedBurst, ExpectedDatagram, Prediction, SocketId, burst_payload
from harness.model.destination import choose
from harness.model.payload import payload
from harness.model.profile import Mark, Situation, StatusRule
from harness.model.provider import Provider
from harness.model.received import Inbox
from harness.model.site import Site
from harness.model.socket import Socket
from harness.model.wire import OFF_WIRE, ON_WIRE, build
from harness.wsk import operations as op
from harness.wsk import status as nt
from harness.wsk.types import Completion, ControlMessage, Endpoint

NEVER = 1 << 62


def predict(steps: Sequence[op.Step], site: Site) -> tuple[Prediction, ...]:
    """Predictions for a whole plan, one per step.

    Raises:
        UsageError: a buffer of the plan has no defined payload.
    """
    return Predictor(site).extend(steps)


class Predictor:
    """The model of one session; sockets live on from one ``extend`` to the next."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self._open: dict[int, Socket] = {}
        self._openings: dict[int, int] = {}
        self._known: dict[SocketId, Endpoint] = {}
        self._completed: dict[int, tuple[int, Completion | None]] = {}
        self._abandoned: set[int] = set()
        self._provider = Provider()
        self._inbox = Inbox()

    def extend(self, steps: Iterable[op.Step]) -> tuple[Prediction, ...]:
        """Predictions for the next steps of the session, one per step (a case's steps at once, for what they teach)."""
        steps = tuple(steps)
        self._learn(steps)
        return tuple(self._step(step) for step in steps)

    def _learn(self, steps: Sequence[op.Step]) -> None:
        """Ports that the guest reported, and when each send that nobody waited for had completed."""
        openings = dict(self._openings)
        waiting: dict[int, list[int]] = {}
        for step in steps:
            operation, outcome = step.operation, step.outcome
            if isinstance(operation, op.Open):
                openings[operation.socket] = openings.get(operation.socket, -1) + 1
            elif isinstance(operation, op.GetLocalAddress):
                if outcome.endpoint is not None and _succeeded(outcome):
                    self._known[operation.socket, openings.get(operation.socket, 0)] = outcome.endpoint
            else:
                self._learn_completions(step, waiting)

    def _learn_completions(self, step: op.Step, waiting: dict[int, list[int]]) -> None:
        operation, outcome = step.operation, step.outcome
        if isinstance(operation, op.SendTo):
            self._completed[step.number] = (step.number if operation.wait else NEVER, outcome.completion)
            if not operation.wait:
                waiting.setdefault(operation.socket, []).append(step.number)
        elif isinstance(operation, op.Collect):
            for number in operation.steps:
                self._completed[number] = (step.number, outcome.collected.get(number))
        elif isinstance(operation, op.Close):
            for number in waiting.pop(operation.socket, []):
                end, completion = self._completed[number]
                self._completed[number] = (min(end, step.number), completion)
                if end > step.number and completion is not None and completion.in_flight:
                    self._abandoned.add(number)

    def _step(self, step: op.Step) -> Prediction:
        beside = _BESIDE_THE_DRIVER.get(type(step.operation))
        if beside is not None:
            return beside(self, step, step.operation)
        prediction = self._provider.bend(step, self._call(step, step.operation))
        if step.number in self._abandoned:
            return _abandoned(prediction)
        return prediction

    def _call(self, step: op.Step, operation: Any) -> Prediction:  # noqa: ANN401 - any operation of the two tables
        """Predict an operation on the driver while nothing is forced on the provider."""
        on_driver = _ON_THE_DRIVER.get(type(operation))
        if on_driver is not None:
            return on_driver(self, step, operation)
        socket = self._open.get(operation.socket)
        if socket is None:
            return self._plain(step, Situation.NOT_OPEN, calls=False)
        return _ON_A_SOCKET[type(operation)](self, step, socket, operation)

    def _forced(self, step: op.Step, operation: op.Force | op.Relent) -> Prediction:
        if step.outcome.ioctl == nt.SUCCESS:
            self._provider.tell(operation)
        return self._plain(step, Situation.ACCEPTED, calls=False)

    def _peer_sent(self, step: op.Step, operation: op.PeerSend) -> Prediction:
        self._inbox.arrive(operation, self._open.values(), self.site)
        return self._plain(step, Situation.ACCEPTED, calls=False)

    def _refused(self, step: op.Step, operation: op.Ioctl) -> Prediction:
        cite = "drivers/include/wsksend_abi.h"
        rule = StatusRule(False, frozenset({operation.refused}), Mark.DOCUMENTED, cite)
        return Prediction(step.number, step.case, calls=False, status=rule, rules=(cite,))

    def _restarted(self, step: op.Step, _operation: op.Load | op.Unload) -> Prediction:
        self._open.clear()
        self._provider = Provider()
        return self._plain(step, Situation.ACCEPTED, calls=False)

    def _collected(self, step: op.Step, operation: op.Collect) -> Prediction:
        return replace(self._plain(step, Situation.ACCEPTED, calls=False), collects=operation.steps)

    def _plain(
        self, step: op.Step, *situations: Situation, calls: bool = True, rules: tuple[str, ...] = ()
    ) -> Prediction:
        rule = self._status(situations)
        return Prediction(step.number, step.case, calls, rule, rules=(*rules, rule.cite))

    def _status(self, situations: Sequence[Situation]) -> StatusRule:
        """The rule of several situations: a certain failure outweighs an open question, which outweighs success."""
        rules = [self.site.profile.status(item) for item in situations if item is not Situation.ACCEPTED]
        if len(rules) < 2:
            return rules[0] if rules else self.site.profile.status(Situation.ACCEPTED)
        success = False if any(rule.success is False for rule in rules) else None
        named = frozenset().union(*(rule.named for rule in rules))
        return StatusRule(success, named, Mark.UNVERIFIED, "; ".join(rule.cite for rule in rules))

    def _opened(self, step: op.Step, operation: op.Open) -> Prediction:
        opening = self._openings[operation.socket] = self._openings.get(operation.socket, -1) + 1
        if _succeeded(step.outcome):
            socket = Socket((operation.socket, opening), operation.family)
            socket.options.v6only = self.site.profile.v6only
            socket.known = self._known.get(socket.id)
            self._open[operation.socket] = socket
        datagram = operation.category == 4
        return self._plain(step, Situation.ACCEPTED if datagram else Situation.CATEGORY)

    def _bound(self, step: op.Step, socket: Socket, operation: op.Bind) -> Prediction:
        prediction = self._plain(step, *self._binding(socket, operation.local))
        if _succeeded(step.outcome):
            socket.bound = operation.local
        return prediction

    def _option_set(self, step: op.Step, socket: Socket, operation: op.SetOption) -> Prediction:
        known = sockets.understood(socket, operation.level, operation.name, operation.value)
        if _succeeded(step.outcome):
            sockets.apply(socket, operation.level, operation.name, operation.value)
        return self._plain(step, Situation.ACCEPTED if known else Situation.OPTION_UNKNOWN)

    def _option_read(self, step: op.Step, socket: Socket, operation: op.GetOption) -> Prediction:
        value = socket.options.values.get((operation.level, operation.name)) if operation.length == 4 else None
        if value is None:
            return self._plain(step, Situation.OPTION_UNKNOWN)
        return replace(self._plain(step, Situation.ACCEPTED), data=value, information=None)

    def _closed(self, step: op.Step, socket: Socket, _operation: op.Close) -> Prediction:
        del self._open[socket.id[0]]
        self._inbox.close(socket.id)
        return self._plain(step, Situation.ACCEPTED)

    def _local_address(self, step: op.Step, socket: Socket, _operation: op.GetLocalAddress) -> Prediction:
        if socket.bound is None:
            return self._plain(step, Situation.LOCAL_UNBOUND)
        return replace(self._plain(step, Situation.ACCEPTED), endpoint=socket.bound)

    def _received(self, step: op.Step, socket: Socket, operation: op.Receive) -> Prediction:
        if socket.bound is None:
            return self._plain(step, Situation.UNBOUND)
        return self._inbox.receive(self._plain(step, Situation.RECEIVE), operation, socket)

    def _binding(self, socket: Socket, local: Endpoint) -> tuple[Situation, ...]:
        if socket.bound is not None:
            return (Situation.BOUND_TWICE,)
        if local.family is not socket.family:
            return (Situation.WRONG_FAMILY,)
        address = unmapped(local).address
        if int(address) and not self.site.owns(address):
            special = (
                address.is_loopback or address.is_multicast or address.is_link_local or self.site.is_broadcast(address)
            )
            return (Situation.SPECIAL_SOURCE if special else Situation.FOREIGN_SOURCE,)
        for other in self._open.values():
            if other is socket or other.bound is None or not local.port or other.source_port != local.port:
                continue
            if other.family is not socket.family and socket.options.v6only and other.options.v6only:
                continue
            if other.bound.address == local.address and not (other.options.reuse or socket.options.reuse):
                return (Situation.ADDRESS_IN_USE,)
            return (Situation.PORT_SHARED,)
        return (Situation.ACCEPTED,)

    def _fixed(self, step: op.Step, socket: Socket, operation: op.SetRemoteAddress | op.SetSendToAddress) -> Prediction:
        name = "remote" if isinstance(operation, op.SetRemoteAddress) else "sendto"
        situation = Situation.ACCEPTED
        if socket.bound is None:
            situation = Situation.UNBOUND
        elif operation.remote is None:
            situation = Situation.ACCEPTED if getattr(socket, name) is not None else Situation.NOTHING_TO_CLEAR
        elif operation.remote.family is not socket.family:
            situation = Situation.WRONG_FAMILY
        elif (
            not operation.remote.port or int(operation.remote.address) == 0 or _mapped_v6only(socket, operation.remote)
        ):
            situation = Situation.ODD_FIXED_ADDRESS
        if _succeeded(step.outcome):
            setattr(socket, name, operation.remote)
        return self._plain(
            step, situation, rules=(f"WDK SIO_WSK_SET_{'REMOTE' if name == 'remote' else 'SENDTO'}_ADDRESS",)
        )

    def _sent(
        self,
        step: op.Step,
        socket: Socket,
        data: tuple[bytes, ...],
        remote: Endpoint | None,
        flags: int,
        messages: tuple[ControlMessage, ...],
    ) -> Prediction:
        completed, completion = self._completed.get(step.number, (step.number, step.outcome.completion))
        where = choose(socket, remote)
        common = [*where.trouble, *([Situation.RESERVED_FLAGS] if flags else [])]
        forms: list[tuple[ExpectedDatagram, ...]] = []
        troubles: list[Situation] = list(common)
        per_message: list[bool] = []
        for endpoint in where.endpoints:
            if Situation.WRONG_FAMILY in where.trouble:
                continue
            control = controls.read(messages, endpoint.family)
            if control.source is not None and not self.site.owns(control.source):
                troubles.append(Situation.FOREIGN_SOURCE)
            self._inbox.confuse(endpoint, self._open.values(), self.site)
            made: list[ExpectedDatagram] = []
            for item in data:
                wire = build(socket, self.site, endpoint, item, control, step.number, len(made), completed)
                bad = any(self.site.profile.status(trouble).success is False for trouble in wire.trouble)
                per_message.append(bad)
                troubles.extend(wire.trouble)
                if not bad and not OFF_WIRE.intersection(wire.trouble):
                    made.extend(wire.datagrams)
            forms.append(tuple(made))
        if any(per_message) and not all(per_message):
            troubles = [*common, Situation.PARTIAL_LIST]
        status = self._status(tuple(dict.fromkeys(troubles)))
        succeeded = completion is not None and nt.is_success(completion.status)
        datagrams: tuple[ExpectedDatagram, ...] = ()
        if status.success or (status.success is None and (succeeded or Situation.PARTIAL_LIST in troubles)):
            datagrams = _merge(forms)
            if status.success is None and not ON_WIRE.issuperset(troubles):
                datagrams = tuple(replace(item, optional=True) for item in datagrams)
        information = sum(map(len, data)) if status.success else 0 if status.success is False else None
        return Prediction(
            step.number,
            step.case,
            calls=True,
            status=status,
            information=information,
            datagrams=datagrams,
            rules=(where.rule, status.cite),
        )

    def _send_to(self, step: op.Step, socket: Socket, operation: op.SendTo) -> Prediction:
        data = (payload(operation.buffer),)
        return self._sent(step, socket, data, operation.remote, operation.flags, operation.control)

    def _send_messages(self, step: op.Step, socket: Socket, operation: op.SendMessages) -> Prediction:
        data = tuple(payload(buffer) for buffer in operation.buffers)
        return self._sent(step, socket, data, operation.remote, operation.flags, operation.control)

    def _burst(self, step: op.Step, socket: Socket, operation: op.Burst) -> Prediction:
        single = self._sent(step, socket, (burst_payload(operation.first, operation.size),), operation.remote, 0, ())
        if not single.datagrams:
            return replace(
                single, completions=operation.count, information=None if single.status.success is None else 0
            )
        burst = ExpectedBurst(
            single.datagrams[0], operation.count, operation.size, operation.first, ordered=operation.depth <= 1
        )
        total = operation.count * operation.size if single.status.success else None
        return replace(single, completions=operation.count, information=total, datagrams=(), burst=burst)


# Which method predicts an operation, by the operation's type. A new operation is one row in one of the three tables.
_BESIDE_THE_DRIVER: Mapping[type[op.Operation], Callable[[Predictor, op.Step, Any], Prediction]] = {
    op.Force: Predictor._forced,
    op.Relent: Predictor._forced,
    op.PeerSend: Predictor._peer_sent,
    op.Ioctl: Predictor._refused,
}
_ON_THE_DRIVER: Mapping[type[op.Operation], Callable[[Predictor, op.Step, Any], Prediction]] = {
    op.Load: Predictor._restarted,
    op.Unload: Predictor._restarted,
    op.Open: Predictor._opened,
    op.Collect: Predictor._collected,
}
_ON_A_SOCKET: Mapping[type[op.Operation], Callable[[Predictor, op.Step, Socket, Any], Prediction]] = {
    op.Bind: Predictor._bound,
    op.GetLocalAddress: Predictor._local_address,
    op.SetOption: Predictor._option_set,
    op.GetOption: Predictor._option_read,
    op.SetRemoteAddress: Predictor._fixed,
    op.SetSendToAddress: Predictor._fixed,
    op.SendTo: Predictor._send_to,
    op.SendMessages: Predictor._send_messages,
    op.Burst: Predictor._burst,
    op.Receive: Predictor._received,
    op.Close: Predictor._closed,
}


def _abandoned(prediction: Prediction) -> Prediction:
    """A send that was in flight when its socket closed: cancelled or done, the driver's accounts tell the rest."""
    cite = "WDK Closing a Socket: pending IRPs are cancelled and completed"
    datagrams = tuple(replace(item, optional=True) for item in prediction.datagrams)
    rule = StatusRule(None, frozenset({nt.SUCCESS, nt.CANCELLED}), Mark.DOCUMENTED, cite)
    rules = (*prediction.rules, cite)
    return replace(prediction, status=rule, information=None, datagrams=datagrams, abandoned=True, rules=rules)


def _merge(forms: list[tuple[ExpectedDatagram, ...]]) -> tuple[ExpectedDatagram, ...]:
    """One list of datagrams; other forms of the same send become alternatives of each."""
    if len(forms) < 2:
        return forms[0] if forms else ()
    longest = max(forms, key=len)
    return tuple(
        replace(item, alternatives=tuple(form[at] for form in forms if form is not longest and at < len(form)))
        for at, item in enumerate(longest)
    )


def _mapped_v6only(socket: Socket, remote: Endpoint) -> bool:
    return socket.options.v6only and isinstance(remote.address, IPv6Address) and remote.address.ipv4_mapped is not None


def _succeeded(outcome: op.Outcome) -> bool:
    """Whether an operation took effect; a step without a recorded call counts when its IOCTL was accepted."""
    if outcome.completion is None:
        return outcome.ioctl == nt.SUCCESS
    return nt.is_success(outcome.ioctl) and nt.is_success(outcome.completion.status)
