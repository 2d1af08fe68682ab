"""The sample driver against a provider that misbehaves as a provider legally may, in this host's own Wine.

What is held here is the pair of driver and provider; that the report says so is the regression suite's business.
"""

from __future__ import annotations

import pytest

from harness.control.wskctl import DEVICE_PROVIDER, WskCtl
from harness.wsk import layouts
from harness.wsk import operations as ops
from harness.wsk import status as nt
from harness.wsk.operations import Calls, Effects
from harness.wsk.types import AF_INET, Completion, Endpoint, WskBuf

from .test_driver_wine import LOOPBACK, WINE, driver, pair, received, wine  # noqa: F401 - fixtures

pytestmark = pytest.mark.skipif(not (WINE / "wine64").exists(), reason="wine64 is not installed on this host")


def force(driver: WskCtl, *rules: ops.Force) -> None:  # noqa: F811
    for rule in rules:
        assert driver.execute(rule).ioctl == 0


def acted(driver: WskCtl) -> tuple[int, ...]:  # noqa: F811
    """Ends all rules; how often each acted."""
    data = driver.execute(ops.Relent()).data
    return tuple(int.from_bytes(data[at : at + 4], "little") for at in range(0, len(data), 4))


def send(driver: WskCtl, to: Endpoint, data: bytes = b"forced") -> Completion:  # noqa: F811
    completion = driver.execute(ops.SendTo(1, WskBuf.of(data), to)).completion
    assert completion is not None
    return completion


@pytest.mark.parametrize(
    ("effects", "returned"),
    [
        (Effects.FAIL, nt.PENDING),
        (Effects.FAIL | Effects.INLINE, nt.HOST_UNREACHABLE),
        (Effects.FAIL | Effects.REFUSE, nt.HOST_UNREACHABLE),
        (Effects.FAIL | Effects.REFUSE | Effects.RAISED, nt.HOST_UNREACHABLE),
    ],
)
def test_an_error_is_reported_once_and_loses_nothing(driver: WskCtl, effects: Effects, returned: int) -> None:  # noqa: F811
    to = pair(driver)
    force(driver, ops.Force(Calls.SEND, effects, nt.HOST_UNREACHABLE, count=2))
    for _ in range(2):
        failed = send(driver, to)
        assert (failed.returned, failed.status, failed.completions) == (returned, nt.HOST_UNREACHABLE, 1)
    assert send(driver, to).status == 0
    assert received(driver) == b"forced"
    assert acted(driver) == (2,)


def test_an_inline_completion_returns_its_status(driver: WskCtl) -> None:  # noqa: F811
    to = pair(driver)
    force(driver, ops.Force(Calls.SEND, Effects.INLINE, count=1))
    first, second = send(driver, to), send(driver, to)
    assert (first.returned, first.status, first.pending_returned, first.completions) == (0, 0, False, 1)
    assert (second.returned, second.pending_returned) == (nt.PENDING, True)
    assert acted(driver) == (1,)


def test_completions_come_in_reverse_and_late(driver: WskCtl) -> None:  # noqa: F811
    to = pair(driver)
    force(driver, ops.Force(Calls.SEND, Effects.REVERSE, count=3))
    sends = [ops.SendTo(1, WskBuf.of(bytes([n])), to, wait=False) for n in range(2)]
    assert all(outcome.completion and outcome.completion.in_flight for outcome in driver.submit(sends))
    assert driver.accounts().in_flight == 2
    assert send(driver, to).status == 0
    collected = driver.execute(ops.Collect(1, (1, 2))).collected
    assert {item.status for item in collected.values()} == {0}
    acted(driver)
    force(driver, ops.Force(Calls.SEND, Effects.LATE, delay_ms=200))
    assert send(driver, to).status == 0
    assert acted(driver) == (1,)


def test_a_pending_send_is_cancelled_by_close(driver: WskCtl) -> None:  # noqa: F811
    to = pair(driver)
    driver.execute(ops.GetLocalAddress(1))
    force(driver, ops.Force(Calls.SEND, Effects.PEND, socket=1))
    assert driver.execute(ops.SendTo(1, WskBuf.of(b"never"), to, wait=False)).ioctl == 0
    assert driver.accounts().in_flight == 1
    driver.execute(ops.Close(1))
    after = driver.accounts()
    assert (after.in_flight, after.irps, after.sends - after.completed) == (0, 0, 0)


def test_a_forced_close_ends_receives_and_all_later_calls(driver: WskCtl) -> None:  # noqa: F811
    to = pair(driver)
    force(driver, ops.Force(Calls.SEND, Effects.DEAD, count=1))
    assert [send(driver, to).status for _ in range(2)] == [nt.FILE_FORCED_CLOSED] * 2
    closed = driver.execute(ops.Close(1)).completion
    assert closed is not None
    assert closed.status == 0


@pytest.mark.parametrize("call", [ops.Open(5, AF_INET), ops.Bind(1, Endpoint(LOOPBACK, 0)), ops.GetLocalAddress(1)])
def test_other_calls_fail_as_told(driver: WskCtl, call: ops.Operation) -> None:  # noqa: F811
    if not isinstance(call, ops.Open):
        driver.execute(ops.Open(1, AF_INET))
    everything = Calls.SOCKET | Calls.BIND | Calls.GET_LOCAL_ADDRESS
    force(driver, ops.Force(everything, Effects.FAIL, nt.INSUFFICIENT_RESOURCES))
    completion = driver.execute(call).completion
    assert completion is not None
    assert completion.status == nt.INSUFFICIENT_RESOURCES
    assert acted(driver) == (1,)


@pytest.mark.parametrize("what", [Calls.POOL, Calls.IRP, Calls.MDL])
def test_every_allocation_of_a_send_may_fail(driver: WskCtl, what: Calls) -> None:  # noqa: F811
    to = pair(driver)
    for skip in range(8):
        force(driver, ops.Force(what, Effects.FAIL, nt.NO_MEMORY, skip=skip, count=1))
        outcome = driver.execute(ops.SendTo(1, WskBuf.of(b"memory"), to))
        (hits,) = acted(driver)
        assert (outcome.ioctl == nt.INSUFFICIENT_RESOURCES) == bool(hits)
        if not hits:
            break
    assert skip, "the first allocation of that kind never failed"
    assert send(driver, to).status == 0


def test_rules_that_make_no_sense_are_refused(driver: WskCtl) -> None:  # noqa: F811
    for rule in (
        ops.Force(0, Effects.INLINE),
        ops.Force(Calls.SEND, 0),
        ops.Force(Calls.SEND, 0x100),
        ops.Force(Calls.CLOSE, Effects.FAIL, nt.NO_MEMORY),
        ops.Force(Calls.SEND, Effects.FAIL, 0),
        ops.Force(Calls.SEND, Effects.REVERSE),
        ops.Force(Calls.SEND, Effects.LATE, delay_ms=100_000),
    ):
        assert driver.execute(rule).ioctl == nt.INVALID_PARAMETER
    short = driver.ioctl(layouts.PROVIDER_IOCTL_FORCE, b"\1\0\0\0\x28\0\0\0", 0, DEVICE_PROVIDER)
    assert short == (nt.BUFFER_TOO_SMALL, b"")
