"""Acceptance: every statement has its step, steps are judged, probes are read, and what was seen reaches the model."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from harness.accept import probes, report, run, steps
from harness.accept.report import Acceptance, StepResult
from harness.accept.rig import Bench
from harness.accept.steps import Found, Step
from harness.capture.frames import CapturedFrame
from harness.cli import accept
from harness.errors import AwaitTimeout, Failure, LabError, UsageError
from harness.guests import observations
from harness.model.predict import predict
from harness.model.profile import WINDOWS, Mark, Situation
from harness.results.status import Status
from harness.wsk import operations as op
from harness.wsk.operations import Bind, Close, Open, Outcome
from harness.wsk.types import Completion
from tests.unit.verify_kit import done, site

MAC = bytes.fromhex("525400d00001")


def frame4(payload: bytes, *, ttl: int = 128, flags: int = 0, number: int = 1, pad: int = 0) -> CapturedFrame:
    header = struct.pack(
        ">BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), number, flags, ttl, 17, 0, b"\xc0\0\2\n", b"\xc0\0\2\1"
    )
    data = bytes.fromhex("02000000d001") + MAC + b"\x08\x00" + header + payload + bytes(pad)
    return CapturedFrame(1, 0, data, len(data))


def frame6(payload: bytes, *, hops: int = 128, fragment: int | None = None) -> CapturedFrame:
    if fragment is not None:
        payload = struct.pack(">BBHI", 17, 0, fragment, 7) + payload
    header = struct.pack(">IHBB", 6 << 28, len(payload), 44 if fragment is not None else 17, hops) + bytes(32)
    data = bytes.fromhex("02000000d001") + MAC + b"\x86\xdd" + header + payload
    return CapturedFrame(1, 0, data, len(data))


def answered(probe: probes.Probe, status: int) -> list[Outcome]:
    done = Outcome(completion=Completion(0x103, status, 0, 1, 0, True))
    return [Outcome()] * (len(probe.operations) - 1) + [done, Outcome()]


def test_every_step_settles_something_and_has_a_name_of_its_own() -> None:
    names = [step.id for step in steps.STEPS]
    assert len(set(names)) == len(names)
    assert all(step.settles and step.title for step in steps.STEPS)


def test_the_list_says_what_each_step_settles(capsys: pytest.CaptureFixture[str]) -> None:
    accept.show_list()
    said = capsys.readouterr().out
    assert all(step.id in said and step.settles in said for step in steps.STEPS)
    accept.show_list(as_json=True)
    assert [row["id"] for row in json.loads(capsys.readouterr().out)["steps"]] == [step.id for step in steps.STEPS]


def test_steps_are_chosen_by_name_in_the_list_s_order() -> None:
    assert [step.id for step in run.choose(["wire", "boot"])] == ["boot", "wire"]
    assert run.choose([]) == steps.STEPS
    with pytest.raises(UsageError, match="no acceptance step 'wier'"):
        run.choose(["wier"])


def raising(error: Exception) -> Callable[[Bench], Found]:
    def act(_: Bench) -> Found:
        raise error

    return act


@pytest.mark.parametrize(
    ("act", "status"),
    [
        (lambda _: Found("fine", {"a": 1}), Status.PASSED),
        (raising(Failure("577")), Status.FAILED),
        (raising(LabError("no bridge")), Status.INCONCLUSIVE),
        (raising(AwaitTimeout("SSH", 3)), Status.INCONCLUSIVE),
        (raising(KeyError("x")), Status.INCONCLUSIVE),
    ],
)
def test_steps_are_judged_by_who_was_wrong(act: Callable[[Bench], Found], status: Status) -> None:
    result = run.judge(cast(Bench, None), Step("x", "X", "whether", act))
    assert result.status is status
    assert result.detail


def test_one_bad_step_keeps_no_other_from_running() -> None:
    said: list[str] = []
    bad, good = Step("bad", "B", "b", raising(Failure("no"))), Step("good", "G", "g", lambda _: Found("yes"))
    results = run.run(cast(Bench, None), [bad, good], said.append)
    assert [result.status for result in results] == [Status.FAILED, Status.PASSED]
    assert any("1/2 bad" in line for line in said)


def test_probes_close_what_they_open() -> None:
    for probe in probes.PROBES:
        plan = probes.plan(probe)
        assert isinstance(plan[0], Open)
        assert isinstance(plan[-1], Close) or len(plan) == 1


def test_every_status_that_only_windows_can_settle_has_a_probe() -> None:
    probed = {probe.situation for probe in probes.PROBES}
    ours = {Situation.NOT_OPEN}  # the driver answers it
    still_open = {situation for situation, rule in WINDOWS.statuses.items() if rule.mark is not Mark.DOCUMENTED}
    assert still_open - probed == ours


@pytest.mark.parametrize("probe", [probe for probe in probes.PROBES if probe.situation], ids=lambda probe: probe.name)
def test_a_probe_asks_about_the_situation_that_it_names(probe: probes.Probe) -> None:
    """By the model itself: only the last call is anything but plain."""
    steps = tuple(
        op.Step(number, probe.name, operation, Outcome(completion=done()))
        for number, operation in enumerate(probe.operations)
    )
    *before, asked = predict(steps, site(WINDOWS))
    assert probe.situation is not None
    rule = WINDOWS.status(probe.situation)
    assert rule.named <= asked.status.named  # some are two situations at once
    assert rule.cite in asked.status.cite
    assert all(other.status == WINDOWS.status(Situation.ACCEPTED) for other in before)


def test_habits_are_read_from_the_frames() -> None:
    by_name = {probe.name: probe for probe in probes.PROBES}
    frames = {
        "plain": [frame4(bytes(26), number=9)],
        "empty": [frame4(bytes(8), number=10, pad=18)],
        "full": [frame4(bytes(1480), number=11)],
        "fragments": [
            frame4(bytes(1480), flags=0x2000),
            frame4(bytes(1480), flags=0x20B9),
            frame4(bytes(1048), flags=0x172),
        ],
        "group": [frame4(bytes(26), ttl=1)],
        "plain6": [frame6(bytes(26), hops=128)],
        "fragments6": [frame6(bytes(1448), fragment=1), frame6(bytes(1448), fragment=1449)],
        "unbound": [],
    }
    results = {name: (answered(by_name[name], 0), found) for name, found in frames.items()}
    results["unbound"] = (answered(by_name["unbound"], 0xC0000184), [])
    seen = probes.observe(results)
    assert seen["wire"] == {
        "ttl": 128,
        "tos": 0,
        "dont_fragment": False,
        "hop_limit": 128,
        "multicast_ttl": 1,
        "pads_to_60": True,
        "padding_is_zero": True,
        "identification": "counter",
    }
    assert seen["layouts"]["fragments"] == [[0, 1480, 1, 0], [1480, 1480, 1, 0], [2960, 1048, 0, 0]]
    assert seen["layouts"]["fragments6"] == [[0, 1448, 1], [1448, 1448, 1]]
    assert seen["statuses"]["UNBOUND"] == ["0xc0000184"]
    assert seen["calls"]["plain"] == "0x00000000"


def test_a_refused_request_answers_by_its_own_status() -> None:
    probe = next(probe for probe in probes.PROBES if probe.name == "unbound")
    assert probes.status(probe, [Outcome(), Outcome(ioctl=0xC000000D)]) == 0xC000000D


def test_what_was_seen_reaches_the_model_and_demands_nothing(tmp_path: Path) -> None:
    seen = {
        "windows": "Windows Server 2022 20348.1",
        "wire": {"ttl": 64, "dont_fragment": True},
        "statuses": {"UNBOUND": ["0xc0000184"], "ACCEPTED": ["0xc0000001"], "GONE": ["0x0"], "PARTIAL_LIST": ["0x0"]},
    }
    observations.write(tmp_path, seen)
    read = observations.read(tmp_path / observations.FILE)
    assert read is not None
    profile = observations.apply(WINDOWS, read)
    assert (profile.ttl, profile.dont_fragment, profile.multicast_ttl) == (64, True, 1)
    rule = profile.status(Situation.UNBOUND)
    assert (rule.named, rule.mark, rule.success) == (frozenset({0xC0000184}), Mark.MEASURED, False)
    assert not rule.asserted
    assert profile.status(Situation.ACCEPTED) == WINDOWS.status(Situation.ACCEPTED), "documents are not overruled"
    assert profile.asserted == WINDOWS.asserted
    assert observations.read(tmp_path / "none.json") is None
    (tmp_path / "bad.json").write_text('{"schema": 99}')
    with pytest.raises(LabError, match="another version"):
        observations.read(tmp_path / "bad.json")


def test_the_report_is_complete_and_holds_no_secret(tmp_path: Path) -> None:
    results = (
        StepResult("boot", "SSH", "boot time", Status.PASSED, 61.5, "fine", observed={"boot": {"ssh": 60}}),
        StepResult("save", "saved", "clocks", Status.FAILED, 5.0, "no", "line 1\nline 2", {"boot": {"save": 2}}),
    )
    acceptance = Acceptance("ws2022", "Windows Server 2022 20348.1", "2026-01-01", {"qemu": "7.2"}, results)
    acceptance.write(tmp_path)
    text = (tmp_path / report.TEXT_FILE).read_text()
    assert "settles: boot time" in text
    assert "line 2" in text
    assert "1 passed" in text
    assert "1 failed" in text
    assert json.loads((tmp_path / report.JSON_FILE).read_text())["steps"][1]["status"] == "failed"
    assert acceptance.observed["boot"] == {"ssh": 60, "save": 2}


def test_bind_is_probed_for_an_address_that_is_not_the_guest_s() -> None:
    probe = next(probe for probe in probes.PROBES if probe.name == "foreign bind")
    bind = probe.operations[-1]
    assert isinstance(bind, Bind)
    assert bind.local.address == probes.PEER4
