"""What a provider was told to do otherwise: plays ``Force`` and ``Relent`` as netio.sys does, call by call.

A forced error is not a guess about Windows: the provider was told to give it, so the driver must report exactly it. The
rules are those of ``drivers/include/wskprovider_abi.h``: the first rule that acts is the only one that does.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from harness.errors import UsageError
from harness.model.datagram import Prediction
from harness.model.profile import Mark, StatusRule
from harness.wsk import operations as op
from harness.wsk import status as nt
from harness.wsk.operations import Calls, Effects

MEMORY = Calls.POOL | Calls.IRP | Calls.MDL
_CALLS: dict[type[object], Calls] = {
    op.Open: Calls.SOCKET,
    op.Close: Calls.CLOSE,
    op.Bind: Calls.BIND,
    op.GetLocalAddress: Calls.GET_LOCAL_ADDRESS,
    op.SetOption: Calls.CONTROL,
    op.GetOption: Calls.CONTROL,
    op.SetRemoteAddress: Calls.CONTROL,
    op.SetSendToAddress: Calls.CONTROL,
    op.SendTo: Calls.SEND,
    op.SendMessages: Calls.SEND,
    op.Burst: Calls.SEND,
    op.Receive: Calls.RECEIVE,
}


@dataclass(slots=True)
class _Rule:
    asked: op.Force
    passed: int = 0
    acted: int = 0

    def acts(self, call: int, socket: int | None) -> bool:
        """Count a call, and say whether the rule acts on it."""
        asked = self.asked
        if not asked.calls & call or (asked.count and self.acted == asked.count):
            return False
        if asked.socket is not None and asked.socket != socket:
            return False
        if self.passed < asked.skip:
            self.passed += 1
            return False
        self.acted += 1
        return True


@dataclass(slots=True)
class Provider:
    """The rules in force, and the sockets that were forced closed."""

    rules: list[_Rule] = field(default_factory=list)
    dead: set[int] = field(default_factory=set)

    def tell(self, operation: op.Force | op.Relent) -> None:
        """One more rule, or none any more."""
        if isinstance(operation, op.Relent):
            self.rules.clear()
        else:
            self.rules.append(_Rule(operation))

    @property
    def starves(self) -> bool:
        """Whether an allocation of the driver may be made to fail."""
        return any(rule.asked.calls & MEMORY for rule in self.rules)

    def bend(self, step: op.Step, prediction: Prediction) -> Prediction:
        """The prediction as the rules in force change it."""
        operation, completion = step.operation, step.outcome.completion
        if self.starves and step.outcome.ioctl == nt.INSUFFICIENT_RESOURCES:
            return replace(
                _failed(prediction, nt.INSUFFICIENT_RESOURCES, "the driver was given no memory"), calls=False
            )
        call = _CALLS.get(type(operation))
        if call is None or completion is None:
            return prediction
        if isinstance(operation, op.Open | op.Close):
            self.dead.discard(operation.socket)
        socket: int | None = getattr(operation, "socket", None)
        count = operation.count if isinstance(operation, op.Burst) else 1
        if not self.rules and socket not in self.dead:
            return prediction
        met = [rule for rule in (self._meet(call, socket) for _ in range(count)) if rule is not None]
        if met and len(met) != count and any(rule.effects & ~_TIMING for rule in met):
            raise UsageError("a rule of the provider must act on all sends of a burst or on none")
        if call is not Calls.CLOSE and socket in self.dead:
            return _failed(prediction, nt.FILE_FORCED_CLOSED, "WDK WskSendTo: STATUS_FILE_FORCED_CLOSED")
        return self._apply(met[0], prediction, socket) if met else prediction

    def _meet(self, call: Calls, socket: int | None) -> op.Force | None:
        return next((rule.asked for rule in self.rules if rule.acts(call, socket)), None)

    def _apply(self, force: op.Force, prediction: Prediction, socket: int | None) -> Prediction:
        effects = Effects(force.effects)
        if effects & Effects.DEAD and socket is not None:
            self.dead.add(socket)
            prediction = _failed(prediction, nt.FILE_FORCED_CLOSED, "the provider was told to close the socket")
        elif effects & Effects.PEND:
            prediction = _failed(prediction, nt.CANCELLED, "WDK Closing a Socket: pending IRPs are cancelled")
        elif effects & Effects.FAIL:
            prediction = _failed(prediction, force.status, "the provider was told to fail")
            if effects & (Effects.REFUSE | Effects.INLINE):
                prediction = replace(prediction, returned=force.status)
        if not effects & (Effects.INLINE | Effects.REFUSE):
            prediction = replace(prediction, returned=nt.PENDING)
        return replace(prediction, rules=(*prediction.rules, f"provider told: {describe(force)}"))


_TIMING = Effects.INLINE | Effects.LATE | Effects.RAISED | Effects.REVERSE


def _failed(prediction: Prediction, status: int, cite: str) -> Prediction:
    """A prediction of exactly that error: nothing sent, nothing answered."""
    rule = StatusRule(False, frozenset({status}), Mark.DOCUMENTED, cite)
    return replace(
        prediction,
        status=rule,
        information=0 if prediction.information is not None else None,
        datagrams=(),
        burst=None,
        endpoint=None,
        data=None,
        sender=None,
        rules=(*prediction.rules, cite),
    )


def describe(force: op.Force) -> str:
    """A rule in words, as the report shows it."""
    calls = "/".join(item.name or "" for item in Calls if item & force.calls).lower()
    effects = "+".join(item.name or "" for item in Effects if item & force.effects).lower()
    details = [
        nt.name(force.status) if force.status else "",
        f"{force.delay_ms} ms" if force.delay_ms else "",
        f"after {force.skip}" if force.skip else "",
        f"{force.count} times" if force.count else "",
        f"socket {force.socket}" if force.socket is not None else "",
    ]
    return ", ".join((f"{calls} {effects}", *(text for text in details if text)))
