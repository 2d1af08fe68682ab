"""The build's own sense: beacons, phases, keys to press, layers that survive a cut, clear lines for what is wrong."""

from __future__ import annotations

import json
import shutil
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import LabError, UsageError
from harness.guests.windows import beacons, build, phases, prove
from harness.guests.windows.beacons import Kind
from harness.guests.windows.job import Job
from harness.guests.windows.phases import Phase
from harness.guests.windows.state import State, Workplace, unfinished
from tests.unit import windows_kit as kit
from tests.unit.test_seed import openssh_zip

LOG = (
    "BdsDxe: starting Boot0001 \x1b[2J\r\nHARNESS: phase windowspe \r\nHARNESS: step ssh\r\n"
    "HARNESS: fact hostkey ssh-ed25519 AAAA+/=\r\nnoise HARNESS: fact build 20348.1 \r\nHARNESS: phase spec"
)


def test_beacons_are_read_out_of_the_noise() -> None:
    told = beacons.parse(LOG)
    assert [beacon.kind for beacon in told.beacons] == [Kind.PHASE, Kind.STEP, Kind.FACT, Kind.FACT]
    assert told.facts == {"hostkey": "ssh-ed25519 AAAA+/=", "build": "20348.1"}
    assert told.has_phase("windowspe")
    assert not told.has_phase("spec"), "half a line does not count yet"
    assert not told.ready
    assert beacons.parse("HARNESS: failed ssh exit 5\n").failed == "ssh exit 5"
    assert beacons.parse("HARNESS: ready\r\n").ready
    assert not beacons.parse("HARNESS: readyish\r\n").ready


@pytest.mark.parametrize(
    ("log", "boot", "written", "phase"),
    [
        ("", 0, 0, Phase.BOOT),
        ("", 0, 5 << 20, Phase.COPY),
        ("HARNESS: phase windowspe\n", 0, 0, Phase.COPY),
        ("HARNESS: phase windowspe\n", 1, 0, Phase.SPECIALIZE),
        ("", 1, 0, Phase.SPECIALIZE),
        ("HARNESS: phase first-logon\n", 2, 0, Phase.PROVISION),
        ("HARNESS: phase first-logon\nHARNESS: ready\n", 2, 0, Phase.POWER_OFF),
    ],
)
def test_the_phase_follows_from_what_is_known(log: str, boot: int, written: int, phase: Phase) -> None:
    assert phases.phase_of(beacons.parse(log), boot, written) is phase


def test_keys_are_pressed_while_the_firmware_waits_and_never_into_setup() -> None:
    assert phases.press_key(Phase.BOOT, 3, None)
    assert not phases.press_key(Phase.BOOT, 25, None)
    assert phases.press_key(Phase.BOOT, 60, 5), "a slow firmware: counted from its own line"
    assert not phases.press_key(Phase.BOOT, 60, 30)
    assert phases.press_key(Phase.BOOT, 60, 30, phases.EMULATED_SLOWNESS), "an emulated CPU takes longer to ask"
    assert not phases.press_key(Phase.COPY, 3, 1)


def test_every_phase_has_a_deadline_that_patience_stretches() -> None:
    deadlines = phases.Deadlines()
    for phase in Phase:
        assert deadlines.scaled(2).of(phase) == 2 * deadlines.of(phase) > 0


def test_a_job_travels_as_json(tmp_path: Path) -> None:
    job = Job(tmp_path, "server-2022", tmp_path / "w.iso", ("e1000e",), 2.0, phases.Deadlines(boot=1))
    assert Job.from_json(job.to_json()) == job


def test_a_cut_start_is_thrown_away_and_the_ones_before_stay(tmp_path: Path) -> None:
    kit.need("qemu-img")
    place = Workplace(tmp_path)
    state = State("inputs")
    place.save(state)
    place.prepare_boot(state, 1)
    place.console.write_text("first start\n")
    place.vars.write_text("vars after the first start")
    state = place.checkpoint(state)
    assert place.load() == state
    assert state.boots == 1

    place.prepare_boot(state, 1)  # the second start, cut off
    place.console.write_text("first start\nsecond st")
    place.vars.write_text("half written")
    place.layer(1).write_text("half written")

    loaded = place.load()
    assert loaded is not None
    disk = place.prepare_boot(loaded, 1)
    assert disk == place.layer(1)
    assert disk.read_bytes()[:4] == b"QFI\xfb"
    assert place.console.read_text() == "first start\n"
    assert place.vars.read_text() == "vars after the first start"
    assert place.layer(0).is_file()


def test_a_damaged_state_counts_as_none(tmp_path: Path) -> None:
    place = Workplace(tmp_path)
    assert place.load() is None
    (tmp_path / "state.json").write_text("{half")
    assert place.load() is None


@pytest.fixture(scope="module")
def iso(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kit.media(tmp_path_factory.mktemp("media"))


@pytest.fixture
def request_(iso: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> build.Request:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return build.Request("ws2022", iso, openssh=openssh_zip(tmp_path / "ssh.zip"), edition="2")


@pytest.mark.parametrize("name", ["", "wine", "WS2022", "a/b", "..", "x" * 40])
def test_names_that_no_guest_can_have(request_: build.Request, name: str) -> None:
    with pytest.raises(UsageError, match="cannot name a guest"):
        build.look(replace(request_, name=name))


def test_evaluation_media_take_no_key(request_: build.Request) -> None:
    with pytest.raises(UsageError, match="no product key"):
        build.look(replace(request_, product_key="AAAAA-BBBBB-CCCCC-DDDDD-EEEEE"))


def test_too_little_disk_is_one_line_with_both_numbers(
    request_: build.Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1 << 40, 0, 5 << 30))
    with pytest.raises(LabError, match=r"too little disk: Windows Server 2022 takes 40 GiB .* 5 GiB are free"):
        build.prepare(build.look(request_), lambda _: None)


def test_prepare_makes_secrets_of_its_own_and_tells_none(
    request_: build.Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    kit.need("xorriso", "osslsigncode")
    monkeypatch.setattr(build, "_require_space", lambda *_: None)
    plan = build.look(request_)
    said: list[str] = []
    state = build.prepare(plan, said.append)
    place = plan.place
    password = json.loads((place.folder / "secrets.json").read_text())["Administrator"]
    for secret in (place.login_key, place.seed, place.folder / "secrets.json"):
        assert secret.stat().st_mode & 0o777 == 0o600
    assert password not in " ".join(said) + (place.folder / "state.json").read_text()

    assert build.prepare(plan, said.append) == state, "the same build goes on"
    assert json.loads((place.folder / "secrets.json").read_text())["Administrator"] == password
    assert any("going on" in line for line in said)

    assert unfinished() == ("ws2022",)

    other = build.look(replace(request_, edition="1"))
    again = build.prepare(other, said.append)
    assert again.inputs != state.inputs
    assert "starting anew" in said[-2]
    assert json.loads((place.folder / "secrets.json").read_text())["Administrator"] != password


def test_passwords_satisfy_windows_rules() -> None:
    seen = {build.new_password() for _ in range(20)}
    assert len(seen) == 20
    for password in seen:
        assert len(password) >= 20
        assert any(c.islower() for c in password)
        assert any(c.isupper() for c in password)
        assert any(c.isdigit() for c in password)
        assert not set(password) & set("&<>\"'%")


def test_an_image_without_test_signing_is_refused() -> None:
    prove.check({"testsigning": True, "secureboot": False})
    with pytest.raises(LabError, match="without test signing"):
        prove.check({"testsigning": False, "secureboot": False})
    with pytest.raises(LabError, match="Secure Boot"):
        prove.check({"testsigning": True, "secureboot": True})
