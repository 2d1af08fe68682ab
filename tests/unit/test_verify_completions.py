"""Statuses, bytes, completions and addresses that the driver recorded, against the model."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.model.predict import predict
from harness.verify.completions import Judged, judge_accounts, judge_completions
from harness.verify.verdict import Verdict
from harness.wsk import operations as op
from harness.wsk import status as nt
from harness.wsk.types import AF_INET, Completion, WskBuf
from tests.unit.verify_kit import Plan, at, done, site

SITE = site()


def judged(plan: Plan, step: int | None = None, completion: Completion | None = None) -> Judged:
    """Judge a plan, with one step's completion replaced."""
    steps = list(plan.steps)
    if step is not None:
        steps[step] = replace(steps[step], outcome=replace(steps[step].outcome, completion=completion))
    return judge_completions(predict(steps, SITE), steps, SITE.profile)


def sending() -> Plan:
    plan = Plan()
    plan.socket()
    plan.send(b"hello", "192.0.2.1")
    plan.add(op.Close(1))
    return plan


def test_a_faultless_driver_gives_no_finding() -> None:
    assert judged(sending()) == Judged()


@pytest.mark.parametrize(
    ("completion", "verdict", "field"),
    [
        (done(5, status=nt.ACCESS_DENIED), Verdict.ALTERED, "completion.status"),
        (done(4), Verdict.ALTERED, "completion.information"),
        (done(5, completions=2), Verdict.DUPLICATED, "completion.completions"),
        (done(5, completions=0), Verdict.MISSING, "completion.completions"),
        (replace(done(5), irql=3), Verdict.ALTERED, "completion.irql"),
        (replace(done(5), returned=nt.ACCESS_DENIED), Verdict.ALTERED, "completion.returned"),
        (replace(done(5), in_flight=True), Verdict.MISSING, "completion"),
        (None, Verdict.MISSING, "completion"),
    ],
)
def test_each_wrong_completion_of_a_send_is_named(completion: Completion | None, verdict: Verdict, field: str) -> None:
    findings = judged(sending(), 3, completion).findings
    assert [(item.verdict, item.field, item.operation) for item in findings] == [(verdict, field, 4)]


def test_a_request_that_the_driver_refuses_is_named() -> None:
    plan = sending()
    step = plan.steps[3]
    plan.steps[3] = replace(step, outcome=op.Outcome(ioctl=nt.INVALID_PARAMETER))
    (finding,) = judged(plan).findings
    assert (finding.field, "STATUS_INVALID_PARAMETER" in finding.seen) == ("ioctl", True)


def test_the_status_of_an_inferred_error_is_observed_but_success_is_wrong() -> None:
    plan = Plan()
    plan.socket()
    plan.send(b"x", "192.0.2.255", status=nt.NOT_SUPPORTED)
    result = judged(plan)
    assert result.findings == []
    assert [(item.field, "STATUS_NOT_SUPPORTED" in item.seen) for item in result.observed] == [
        ("completion.status", True)
    ]
    (finding,) = judged(plan, 3, done(1)).findings
    assert (finding.field, finding.expected) == (
        "completion.status",
        "an error, such as STATUS_ACCESS_DENIED (0xC0000022)",
    )


def test_a_failed_send_reports_no_bytes() -> None:
    plan = Plan()
    plan.socket()
    plan.send(b"xyz", "192.0.2.255", status=nt.ACCESS_DENIED)
    (finding,) = judged(plan, 3, done(3, nt.ACCESS_DENIED)).findings
    assert (finding.field, finding.expected, finding.seen) == ("completion.information", "0 bytes", "3 bytes")


def test_a_call_that_the_driver_refuses_before_wsk_sees_it_needs_no_completion() -> None:
    plan = Plan()
    plan.socket()
    plan.send(b"x", at("2001:db8:0:1::1"), status=nt.INVALID_PARAMETER)
    refused = Completion(nt.INVALID_PARAMETER, nt.INVALID_PARAMETER, 0, 0, 0, False)
    assert judged(plan, 3, refused).findings == []
    assert [item.field for item in judged(sending(), 3, refused).findings] == [
        "completion.completions",
        "completion.status",
    ]


def test_a_documented_error_is_asserted_to_the_letter() -> None:
    plan = Plan()
    plan.add(op.Open(1, AF_INET))
    plan.add(op.GetLocalAddress(1), status=nt.INVALID_DEVICE_STATE)
    assert judged(plan).findings == []
    (finding,) = judged(plan, 1, done(status=nt.ACCESS_DENIED)).findings
    assert finding.field == "completion.status"


def test_sends_in_flight_are_judged_by_what_collect_brings() -> None:
    plan = Plan()
    plan.socket()
    sent = plan.send(b"hello", "192.0.2.1", wait=False)
    good = plan.add(op.Collect(1, (sent.number,)), op.Outcome(collected={sent.number: done(5)}))
    assert judged(plan).findings == []
    plan.steps[-1] = replace(good, outcome=op.Outcome(collected={sent.number: done(4)}))
    assert [item.field for item in judged(plan).findings] == ["completion.information"]
    plan.steps[-1] = replace(good, outcome=op.Outcome())
    assert {item.field for item in judged(plan).findings} == {"completion"}


@pytest.mark.parametrize(
    ("bound", "answer", "wrong"),
    [
        (at("0.0.0.0", 0), at("0.0.0.0", 50000), False),
        (at("0.0.0.0", 0), at("0.0.0.0", 0), True),
        (at("192.0.2.11", 0), at("192.0.2.10", 50000), True),
        (at("192.0.2.11", 5005), at("192.0.2.11", 5005), False),
        (at("192.0.2.11", 5005), at("192.0.2.11", 5006), True),
    ],
)
def test_local_addresses_are_held_against_the_bind(bound: object, answer: object, wrong: bool) -> None:
    assert isinstance(bound, type(at("::")))
    assert isinstance(answer, type(at("::")))
    plan = Plan()
    plan.add(op.Open(1, AF_INET))
    plan.add(op.Bind(1, bound))
    plan.add(op.GetLocalAddress(1), op.Outcome(completion=done(), endpoint=answer))
    assert [item.field for item in judged(plan).findings] == (["local_address"] if wrong else [])


def test_an_ephemeral_port_outside_the_usual_range_is_observed() -> None:
    plan = Plan()
    plan.add(op.Open(1, AF_INET))
    plan.add(op.Bind(1, at("0.0.0.0", 0)))
    plan.add(op.GetLocalAddress(1), op.Outcome(completion=done(), endpoint=at("0.0.0.0", 1500)))
    result = judged(plan)
    assert (result.findings, [item.field for item in result.observed]) == ([], ["udp.ephemeral_port"])


def test_a_fixed_remote_address_receives_from_nobody_else() -> None:
    plan = Plan()
    plan.socket()
    plan.add(op.SetRemoteAddress(1, at("192.0.2.1")))
    plan.add(op.Receive(1, 100, 10), op.Outcome(completion=done(1), endpoint=at("192.0.2.2"), data=b"x"))
    assert [item.field for item in judged(plan).findings] == ["receive.sender"]
    plan.steps[-2] = replace(plan.steps[-2], operation=op.SetSendToAddress(1, at("192.0.2.1")))
    assert judged(plan).findings == []


def test_send_messages_and_bursts_count_their_completions() -> None:
    plan = Plan()
    plan.socket()
    buffers = (WskBuf.of(b"one"), WskBuf.of(b"two"))
    plan.add(op.SendMessages(1, buffers, at("192.0.2.1")), op.Outcome(completion=done(6)))
    plan.add(op.Burst(1, at("192.0.2.1"), 10, 20, 2), op.Outcome(completion=done(200, completions=10)))
    assert judged(plan).findings == []
    assert [item.field for item in judged(plan, 4, done(200, completions=9)).findings] == ["completion.completions"]
    assert [item.field for item in judged(plan, 3, done(3)).findings] == ["completion.information"]


def test_accounts_balance_or_say_what_does_not() -> None:
    assert judge_accounts(op.Accounts(sends=3, completed=3)).findings == []
    held = judge_accounts(op.Accounts(irps=1, mdls=2, buffers=3, sockets=4, in_flight=5, sends=2, completed=1))
    assert [item.field for item in held.findings] == [
        "accounts.irps",
        "accounts.mdls",
        "accounts.buffers",
        "accounts.sockets",
        "accounts.in_flight",
        "accounts.completed",
    ]


def test_statuses_have_names() -> None:
    assert nt.name(0xC0000022) == "STATUS_ACCESS_DENIED (0xC0000022)"
    assert nt.name(0xC0FFEE00) == "0xC0FFEE00"
    assert nt.is_success(nt.PENDING)
    assert not nt.is_success(nt.BUFFER_OVERFLOW)
