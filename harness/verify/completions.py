"""Judges what the driver recorded: statuses, bytes, one completion per IRP, nothing in flight, balanced accounts.

A status whose rule is documented is asserted to the letter; of any other only whether the call succeeds, and the value
is recorded as observed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from harness.model.addresses import unmapped
from harness.model.datagram import Prediction
from harness.model.profile import Mark, StackProfile
from harness.verify.verdict import Finding, Observation, Verdict
from harness.wsk import operations as op
from harness.wsk import status as nt
from harness.wsk.types import Address, Completion, Endpoint

_DISPATCH_LEVEL = 2


@dataclass(slots=True)
class Judged:
    """What came of judging completions."""

    findings: list[Finding] = field(default_factory=list)
    observed: list[Observation] = field(default_factory=list)

    def wrong(self, verdict: Verdict, step: int | None, name: str, expected: str, seen: str, detail: str = "") -> None:
        """Add a finding that no frame shows."""
        self.findings.append(Finding(verdict, None, step, name, expected, seen, detail))


def judge_completions(predictions: Iterable[Prediction], steps: Sequence[op.Step], profile: StackProfile) -> Judged:
    """Hold every step's outcome against its prediction."""
    result = Judged()
    by_number = {prediction.step: prediction for prediction in predictions}
    late: dict[int, Completion] = {}
    for step in steps:
        if isinstance(step.operation, op.Collect):
            late.update(step.outcome.collected)
    for step in steps:
        prediction = by_number.get(step.number)
        if prediction is not None:
            _step(result, prediction, step, late, profile)
    return result


def judge_accounts(accounts: op.Accounts) -> Judged:
    """The driver's books between cases: nothing held, and as many completions as sends."""
    result = Judged()
    for name in ("irps", "mdls", "buffers", "sockets", "in_flight", "calls"):
        value = getattr(accounts, name)
        if value:
            result.wrong(Verdict.UNEXPECTED, None, f"accounts.{name}", "0", str(value), "the driver still holds them")
    if accounts.canaries:
        result.wrong(
            Verdict.ALTERED, None, "accounts.canaries", "0", str(accounts.canaries), "buffers written beyond their end"
        )
    if accounts.sends != accounts.completed:
        text = f"{accounts.completed} of {accounts.sends} sends"
        result.wrong(Verdict.MISSING, None, "accounts.completed", f"{accounts.sends} sends", text)
    return result


def _step(
    result: Judged, prediction: Prediction, step: op.Step, late: Mapping[int, Completion], profile: StackProfile
) -> None:
    outcome, number = step.outcome, step.number
    for send in prediction.collects:
        completion = outcome.collected.get(send)
        if completion is None or completion.in_flight:
            result.wrong(Verdict.MISSING, send, "completion", f"by step {number}", "still in flight")
    completion = late.get(number, outcome.completion)
    if completion is None:
        _without_call(result, prediction, outcome.ioctl)
        return
    if completion.in_flight:
        if number not in late and not prediction.abandoned:
            result.wrong(Verdict.MISSING, number, "completion", "collected", "left in flight")
        return
    if not prediction.calls and prediction.status.success is not False:
        return
    _count(result, prediction, completion)
    _status(result, prediction, completion.status)
    _information(result, prediction, completion)
    _endpoints(result, prediction, outcome, completion, profile)
    _answer(result, prediction, outcome, completion)


def _without_call(result: Judged, prediction: Prediction, ioctl: int) -> None:
    """A step without a recorded WSK call: the driver refused the request, or none was due."""
    refused = not nt.is_success(ioctl)
    rule = prediction.status
    if rule.success is True and refused:
        result.wrong(
            Verdict.ALTERED, prediction.step, "ioctl", nt.name(nt.SUCCESS), nt.name(ioctl), "refused by the driver"
        )
    elif rule.asserted and refused and ioctl not in rule.named:
        wanted = " or ".join(sorted(nt.name(value) for value in rule.named))
        result.wrong(Verdict.ALTERED, prediction.step, "ioctl", wanted, nt.name(ioctl), rule.cite)
    elif rule.success is not True and refused and not rule.asserted:
        named = " or ".join(sorted(nt.name(value) for value in rule.named))
        result.observed.append(Observation(prediction.step, "ioctl", named, nt.name(ioctl), rule.cite))
    elif refused:
        return
    elif prediction.calls:
        result.wrong(Verdict.MISSING, prediction.step, "completion", "a record of the call", "none")
    elif rule.success is False:
        result.wrong(Verdict.ALTERED, prediction.step, "ioctl", "an error", nt.name(ioctl), rule.cite)


def _count(result: Judged, prediction: Prediction, completion: Completion) -> None:
    refused = completion.completions == 0 and completion.returned == completion.status != nt.SUCCESS
    if refused and prediction.status.success is not True:
        return  # the driver refused the call itself, before WSK saw an IRP
    if completion.completions != prediction.completions:
        more = completion.completions > prediction.completions
        result.wrong(
            Verdict.DUPLICATED if more else Verdict.MISSING,
            prediction.step,
            "completion.completions",
            str(prediction.completions),
            str(completion.completions),
            "exactly one completion per IRP",
        )
    if completion.irql > _DISPATCH_LEVEL:
        result.wrong(Verdict.ALTERED, prediction.step, "completion.irql", "at most 2", str(completion.irql))
    if completion.returned != nt.PENDING and nt.is_success(completion.returned) != nt.is_success(completion.status):
        result.wrong(
            Verdict.ALTERED,
            prediction.step,
            "completion.returned",
            f"{nt.name(nt.PENDING)}, or as IoStatus: {nt.name(completion.status)}",
            nt.name(completion.returned),
        )


def _status(result: Judged, prediction: Prediction, status: int) -> None:
    rule, step = prediction.status, prediction.step
    named = " or ".join(sorted(nt.name(value) for value in rule.named)) or "any"
    if rule.asserted:
        if status not in rule.named:
            result.wrong(Verdict.ALTERED, step, "completion.status", named, nt.name(status), rule.cite)
        return
    if rule.success is not None and nt.is_success(status) != rule.success:
        wanted = "success" if rule.success else f"an error, such as {named}"
        result.wrong(Verdict.ALTERED, step, "completion.status", wanted, nt.name(status), rule.cite)
        return
    if rule.mark is not Mark.DOCUMENTED or status not in rule.named:
        text = f"{rule.mark.value}: {rule.cite}"
        result.observed.append(Observation(step, "completion.status", named, nt.name(status), text))


def _information(result: Judged, prediction: Prediction, completion: Completion) -> None:
    wanted = prediction.information
    if wanted is None or completion.information == wanted:
        return
    if nt.is_success(completion.status) != (prediction.status.success is True):
        return  # the status is wrong already, and the bytes follow from it
    detail = "a failed send sent nothing" if prediction.status.success is False else ""
    result.wrong(
        Verdict.ALTERED,
        prediction.step,
        "completion.information",
        f"{wanted} bytes",
        f"{completion.information} bytes",
        detail,
    )


def _answer(result: Judged, prediction: Prediction, outcome: op.Outcome, completion: Completion) -> None:
    """What the function returned, and the bytes that it brought (an option's value, a received payload)."""
    if prediction.returned is not None and completion.completions and completion.returned != prediction.returned:
        wanted, seen = nt.name(prediction.returned), nt.name(completion.returned)
        result.wrong(Verdict.ALTERED, prediction.step, "completion.returned", wanted, seen, "; ".join(prediction.rules))
    if prediction.data is not None and nt.is_success(completion.status) and outcome.data != prediction.data:
        expected, got = _bytes(prediction.data), _bytes(outcome.data)
        result.wrong(Verdict.ALTERED, prediction.step, "data", expected, got, "; ".join(prediction.rules))


def _bytes(data: bytes) -> str:
    return f"{len(data)} bytes {data[:24].hex()}{'...' if len(data) > 24 else ''}"


def _address(endpoint: Endpoint) -> tuple[Address, int]:
    wire = unmapped(endpoint)
    return wire.address, wire.port


def _endpoints(
    result: Judged, prediction: Prediction, outcome: op.Outcome, completion: Completion, profile: StackProfile
) -> None:
    """WskGetLocalAddress's answer, and where a received datagram came from."""
    if not nt.is_success(completion.status):
        return
    bound, got = prediction.endpoint, outcome.endpoint
    if bound is not None:
        if got is None:
            result.wrong(Verdict.MISSING, prediction.step, "local_address", str(bound), "no address")
        elif (
            (int(bound.address) and got.address != bound.address)
            or (bound.port and got.port != bound.port)
            or not got.port
        ):
            result.wrong(Verdict.ALTERED, prediction.step, "local_address", str(bound), str(got))
        elif not bound.port and got.port not in profile.ephemeral_ports:
            ports = f"{profile.ephemeral_ports.start} to {profile.ephemeral_ports.stop - 1}"
            text = "the range can be configured"
            result.observed.append(Observation(prediction.step, "udp.ephemeral_port", ports, str(got.port), text))
    sender = prediction.sender
    if sender is not None and got is not None and _address(got) != _address(sender):
        detail = "a socket with a fixed remote address receives from there only"
        result.wrong(Verdict.UNEXPECTED, prediction.step, "receive.sender", str(sender), str(got), detail)
