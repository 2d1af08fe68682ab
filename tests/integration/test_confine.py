"""QEMU has no capability, is not the superuser, and sees the files of its command line and no others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness import nics, resources
from harness.files import ownership, removal
from harness.lab import namespace
from harness.lab.network import LabNetwork
from harness.vm.confine import USER
from harness.vm.domain import BootSpec, Disk, DomainSpec
from harness.vm.libvirt import Connection
from harness.vm.machine import Machine
from harness.vm.ram import Ram

SAYING = b"\xba\xf8\x03\xb0A\xee\xf4\xeb\xfd"  # mov dx,0x3f8; mov al,'A'; out dx,al; 1: hlt; jmp 1b


@pytest.fixture
def connection() -> Iterator[Connection]:
    with LabNetwork(), Connection() as opened:
        yield opened


@pytest.fixture
def kept() -> Iterator[Path]:
    """A folder on the host's disk, as the cache is: the lab's own temporary files go another way."""
    ownership.claim_cache(resources.cache(), resources.cache())
    with removal.scratch(".test-", beside=resources.cache()) as folder:
        yield folder


@pytest.fixture
def spec(tmp_path: Path, kept: Path) -> DomainSpec:
    disk = kept / "disk"
    disk.write_bytes((SAYING.ljust(510, b"\0") + b"\x55\xaa").ljust(1 << 20, b"\0"))
    disk.chmod(0o600)
    boot = BootSpec(memory_mib=32, disks=(Disk(disk, readonly=True),))
    return DomainSpec("test--confined", boot, nics.get("e1000"), "tcg", tmp_path / "console.log")


def qemu() -> Path:
    """Folder of the running QEMU in /proc."""
    folders = [path.parent for path in Path("/proc").glob("[0-9]*/cmdline") if b"guest=test--confined" in reading(path)]
    assert len(folders) == 1
    return folders[0]


def reading(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def status(process: Path) -> dict[str, str]:
    return dict(line.split(":\t", 1) for line in (process / "status").read_text().splitlines() if ":\t" in line)


def own_ids(process: Path) -> set[int]:
    """The users and groups of a process in its own user namespace; status shows those of the reader's."""
    found = set()
    for name, table in (("Uid", "uid_map"), ("Gid", "gid_map")):
        inner, outer, _ = map(int, (process / table).read_text().split())
        found |= {inner + int(seen) - outer for seen in status(process)[name].split()}
    return found


def mounts(process: Path) -> dict[str, str]:
    """Options of each mount point."""
    return {line.split()[4]: line.split()[5] for line in (process / "mountinfo").read_text().splitlines()}


@pytest.mark.lab
def test_a_guest_that_escapes_into_qemu_is_nobody_and_sees_nothing(connection: Connection, spec: DomainSpec) -> None:
    with Machine(connection, spec) as guest:
        guest.start(Ram(namespace.WORK / "ram", shared=True))
        guest.await_console("A", 20)
        seen = status(qemu())
        assert {seen[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
        assert seen["NoNewPrivs"] == "1"
        assert seen["Seccomp"] == "2"
        assert own_ids(qemu()) == {USER}
        places = mounts(qemu())
        assert "ro" in places["/"].split(",")
        assert "ro" in places["/usr"].split(",")
        assert "ro" in places[str(spec.boot.disks[0].path)].split(",")
        assert places[str(namespace.WORK / "ram")].startswith("rw")
        allowed = (
            "/usr",
            "/lib",
            "/bin",
            "/sbin",
            "/etc/ld.so.cache",
            "/etc/alternatives",
            "/dev/",
            str(spec.boot.disks[0].path),
        )
        own = tuple(str(namespace.WORK / name) for name in ("ram", "orders.", "libvirt/lib/qemu/domain-"))
        strange = [place for place in places if place != "/" and not place.startswith((*allowed, *own))]
        assert not strange, "QEMU needs no other file system"
        root = qemu() / "root"
        beside = root / spec.boot.disks[0].path.parent.relative_to("/")
        assert [path.name for path in beside.iterdir()] == ["disk"]
        assert not (root / "home").exists()
        assert not (root / "proc").exists()
        assert sorted(path.name for path in (root / "etc").iterdir()) == ["alternatives", "ld.so.cache"]


@pytest.mark.lab
def test_a_confined_guest_is_saved_and_restored_and_leaves_its_files_as_they_were(
    kept: Path, connection: Connection, spec: DomainSpec
) -> None:
    ram, state, disk = kept / "ram", kept / "state", spec.boot.disks[0].path
    with Machine(connection, spec) as guest:
        guest.start(Ram(ram, shared=True))
        guest.await_console("A", 20)
        guest.save(state)
        ram.chmod(0o600)
        before = [path.stat() for path in (disk, ram)]
        guest.restore(state, Ram(ram, shared=False))
        assert own_ids(qemu()) == {USER}
        assert guest.ended is None
    after = [path.stat() for path in (disk, ram)]
    assert [(each.st_mode, each.st_uid, each.st_gid, each.st_ctime_ns) for each in after] == [
        (each.st_mode, each.st_uid, each.st_gid, each.st_ctime_ns) for each in before
    ]


@pytest.mark.lab
def test_firmware_of_the_system_is_there_with_its_folder(connection: Connection, spec: DomainSpec) -> None:
    system = Path("/usr/share/seabios/bios-256k.bin")
    if not system.is_file():
        pytest.skip(f"there is no {system}")
    boot = replace(spec.boot, disks=(*spec.boot.disks, Disk(system, readonly=True)))
    with Machine(connection, replace(spec, boot=boot)) as guest:
        guest.start()
        guest.await_console("A", 20)
        assert str(system) not in mounts(qemu())


@pytest.mark.lab
def test_a_screen_can_still_be_looked_at(connection: Connection, spec: DomainSpec) -> None:
    with Machine(connection, replace(spec, boot=replace(spec.boot, windows=True, machine="pc-q35-7.2"))) as guest:
        guest.start()
        guest.await_console("A", 20)
        assert guest.domain.screenshot().startswith((b"P6", b"\x89PNG"))
        assert own_ids(qemu()) == {USER}
