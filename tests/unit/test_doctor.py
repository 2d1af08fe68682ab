"""The doctor: what it sees of a host, and what it prescribes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from harness.cache import document, manifest
from harness.errors import EXIT_LAB, EXIT_PASSED, EXIT_USAGE, LabError
from harness.setup import doctor
from harness.setup.debian import Package
from harness.setup.doctor import Check, Level

SOUND = (Check("disk", Level.OK, "much"), Check("KVM", Level.NOTE, "slow", "buy one"))
ILL = (*SOUND, Check("tun", Level.MISSING, "closed", "open it"))


@pytest.mark.parametrize(("checks", "code"), [(SOUND, EXIT_PASSED), (ILL, EXIT_LAB)])
def test_only_what_a_run_cannot_do_without_fails(
    checks: tuple[Check, ...], code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "examine", lambda: checks)
    assert doctor.main([]) == code
    assert doctor.main(["--json"]) == code
    out = capsys.readouterr().out
    value = json.loads(out[out.index("{") :])
    assert value["able"] is (code == EXIT_PASSED)
    assert [check["name"] for check in value["checks"]] == [check.name for check in checks]


def test_the_mending_command_stands_under_its_point() -> None:
    told = doctor.lines(ILL)
    assert told[told.index("missing  tun: closed") + 1].split() == ["->", "open", "it"]


def test_an_unknown_option_is_bad_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.main(["--jsn"]) == EXIT_USAGE
    assert capsys.readouterr().err.count("\n") == 1


def test_missing_packages_come_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = Package("tshark", ("lab",), "captures", commands=("no-such-command-here",))
    monkeypatch.setattr("harness.setup.debian.packages", lambda: (absent,))
    check = doctor._packages()
    assert check.level is Level.MISSING
    assert "tshark (captures)" in check.seen
    assert check.mend.endswith("apt-get install --no-install-recommends -y tshark")


def test_a_tun_device_that_is_absent_or_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor._tun(tmp_path / "tun").mend == "modprobe tun"
    device = tmp_path / "device"
    device.touch()
    assert doctor._tun(device).level is Level.OK

    def closed(_path: Path, _flags: int) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.open", closed)
    check = doctor._tun(device)
    assert (check.level, check.seen) == (Level.MISSING, "cannot be opened: Permission denied")


def test_subordinate_ids_go_by_name_or_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "subuid"
    file.write_text("alice:100000:65536\n4242:200000:65536\n")
    monkeypatch.setattr("os.geteuid", lambda: 4242)
    assert doctor._has_range(file, "alice")
    assert doctor._has_range(file, "bob")
    assert not doctor._has_range(tmp_path / "absent", "alice")
    monkeypatch.setattr("os.geteuid", lambda: 1)
    assert not doctor._has_range(file, "bob")


def test_absent_kvm_is_only_a_note(tmp_path: Path) -> None:
    assert doctor._kvm(tmp_path / "kvm").level is Level.NOTE


def test_a_full_disk_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage:
        free = 100 * 2**20

    monkeypatch.setattr("shutil.disk_usage", lambda place: Usage)
    check = doctor._disk()
    assert check.level is Level.NOTE
    assert "100 MiB free" in check.seen


def test_a_real_examination_has_every_point() -> None:
    names = [check.name for check in doctor.examine()]
    assert {"Debian packages", "/dev/net/tun", "namespaces", "KVM", "memory", "disk space"} <= set(names)


def test_a_run_without_tun_says_what_to_do_before_it_builds_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = Check("/dev/net/tun", Level.MISSING, "cannot be opened: Permission denied", "sudo chmod 0666 /dev/net/tun")
    monkeypatch.setattr(doctor, "_tun", lambda: closed)
    with pytest.raises(LabError, match=r"tun: cannot be opened: Permission denied") as caught:
        doctor.require_lab()
    assert caught.value.mend == "run: sudo chmod 0666 /dev/net/tun"


def test_the_cache_is_read_when_that_is_asked_and_nothing_is_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(doctor, "examine", lambda: SOUND)
    root = tmp_path / "wsk-harness"
    for place in ("drivers/abc", "states/def"):
        (root / place).mkdir(parents=True)
        (root / place / "file").write_bytes(b"content")
        manifest.write(root / place, {})
    document.write(root / "libvirt/accelerator.json", {"name": "tcg"})
    assert doctor.main(["--cache"]) == EXIT_PASSED
    damaged = root / "states/def/file"
    before = damaged.stat()
    damaged.write_bytes(b"contend")
    os.utime(damaged, ns=(before.st_atime_ns, before.st_mtime_ns))
    (root / "libvirt/accelerator.json").write_text("{")
    capsys.readouterr()
    assert doctor.main([]) == EXIT_PASSED
    assert doctor.main(["--cache"]) == EXIT_LAB
    told = capsys.readouterr().out
    assert "ok       drivers abc: whole" in told
    assert "missing  saved guest def: damaged: file differs in block 0 of 1 (1 MiB each)" in told
    assert f"rm -r {root}/states/def" in told
    assert "libvirt/accelerator.json: damaged" in told
    assert damaged.read_bytes() == b"contend"
