"""Machines: they start, speak, are watched, saved and restored; KVM is believed only when it is proven."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from harness import nics
from harness.errors import AwaitTimeout, LabError, UsageError
from harness.lab import namespace
from harness.lab.network import DUT_NIC_MAC, LabNetwork
from harness.vm import accelerator, sparse
from harness.vm.domain import BootSpec, Disk, DomainSpec, domain_xml
from harness.vm.libvirt import Connection, Event
from harness.vm.machine import Machine
from harness.vm.ram import Ram

MACHINES = ("pc-i440fx-7.2", "pc-q35-7.2")
ELSEWHERE = ("igb", "vfio:0000:65:00.1")
"""NICs that no machine without a newer QEMU or an IOMMU can start; their description can be checked all the same."""


def boot_disk(path: Path, code: bytes) -> Path:
    """A disk whose boot sector is ``code``; SeaBIOS reads none that is much smaller."""
    path.write_bytes((code.ljust(510, b"\0") + b"\x55\xaa").ljust(1 << 20, b"\0"))
    return path


def saying(text: bytes) -> bytes:
    """Code that writes a text to the first serial port and halts: mov dx,0x3f8; mov al,c; out dx,al ...; hlt."""
    return b"\xba\xf8\x03" + b"".join(b"\xb0" + bytes([letter]) + b"\xee" for letter in text) + b"\xf4\xeb\xfd"


@pytest.fixture
def network() -> Iterator[LabNetwork]:
    with LabNetwork() as running:
        yield running


@pytest.fixture
def connection(network: LabNetwork) -> Iterator[Connection]:
    with Connection() as opened:
        yield opened


def spec_of(folder: Path, code: bytes, nic: str = "virtio-net", machine: str = MACHINES[0]) -> DomainSpec:
    boot = BootSpec(memory_mib=32, disks=(Disk(boot_disk(folder / "disk", code), readonly=True),), machine=machine)
    return DomainSpec("test--guest", boot, nics.get(nic), "tcg", folder / "console.log")


@pytest.mark.lab
@pytest.mark.parametrize("machine", MACHINES)
def test_a_guest_speaks_on_its_console_and_has_its_nic_on_the_bridge(
    tmp_path: Path, connection: Connection, network: LabNetwork, machine: str
) -> None:
    with Machine(connection, spec_of(tmp_path, saying(b"HELLO\n"), machine=machine)) as guest:
        guest.start()
        guest.await_console("HELLO", 20)
        assert guest.console_tail() == "HELLO"
        assert Event.STARTED in guest.events
        assert guest.ended is None
        assert len(network.ports()) == 2
        assert DUT_NIC_MAC in guest.xml()
        assert 10 << 20 < guest.resident_bytes() < 500 << 20
    assert guest.ended is Event.DESTROYED
    assert len(network.ports()) == 1


@pytest.mark.lab
@pytest.mark.parametrize("machine", MACHINES)
def test_every_nic_of_the_catalogue_starts_in_every_machine(
    tmp_path: Path, connection: Connection, machine: str
) -> None:
    for name in nics.names():
        with Machine(connection, spec_of(tmp_path, saying(b"."), name, machine)) as guest:
            guest.start()
            assert guest.ended is None


@pytest.mark.lab
def test_a_killed_qemu_is_told_by_an_event_with_the_console(tmp_path: Path, connection: Connection) -> None:
    with Machine(connection, spec_of(tmp_path, saying(b"LAST WORDS\n"))) as guest:
        guest.start()
        guest.await_console("LAST WORDS", 20)
        (qemu,) = guests_alive()
        os.kill(int(qemu), 9)
        assert guest.await_end(10) in (Event.CRASHED, Event.FAILED)
        with pytest.raises(LabError, match="test--guest") as caught:
            guest.require_running()
        assert caught.value.detail == "LAST WORDS"


@pytest.mark.lab
def test_waiting_for_a_silent_guest_ends_with_its_console(tmp_path: Path, connection: Connection) -> None:
    with Machine(connection, spec_of(tmp_path, saying(b"STUCK\n"))) as guest:
        guest.start()
        guest.await_console("STUCK", 20)
        with pytest.raises(AwaitTimeout, match="'login' on the guest's console") as caught:
            guest.await_console("login", 0.3)
        assert caught.value.detail == "STUCK"


@pytest.mark.lab
def test_a_saved_guest_goes_on_where_it_was(tmp_path: Path, connection: Connection) -> None:
    # Says A, then counts up in memory for ever and says B on the way: mov dx,0x3f8; say A; loop 2^26 times; say B; hlt
    count = b"\x66\xb9\x00\x00\x00\x10" + b"\x66\x49\x75\xfc"  # mov ecx,0x10000000; 1: dec ecx; jnz 1b
    code = b"\xba\xf8\x03\xb0A\xee" + count + b"\xb0B\xee\xf4\xeb\xfd"
    with Machine(connection, spec_of(tmp_path, code)) as guest:
        guest.start()
        guest.await_console("A", 20)
        guest.save(tmp_path / "state")
        assert guest.await_end(10) is Event.SAVED
        assert guest.console() == "A"
        guest.restore(tmp_path / "state")
        assert guest.ended is None
        guest.await_console("B", 30)
        assert guest.console() == "AB"


SPELLING = (
    b"\xba\xf8\x03\xc6\x06\x00\x05A"  # mov dx,0x3f8; mov byte [0x500],'A'
    b"\xa0\x00\x05\xee\xfe\x06\x00\x05"  # 1: mov al,[0x500]; out dx,al; inc byte [0x500]
    b"\x66\xb9\x00\x00\x00\x02\x66\x49\x75\xfc\xeb\xec"  # mov ecx,0x2000000; 2: dec ecx; jnz 2b; jmp 1b
)
"""Says the letter that it has in memory, then the next of the alphabet, and so on."""


def letters_after(text: str, count: int) -> str:
    return "".join(chr(ord(text[-1]) + 1 + number) for number in range(count))


@pytest.mark.lab
def test_guests_restored_from_one_memory_leave_it_as_it_was(tmp_path: Path, connection: Connection) -> None:
    memory, state = tmp_path / "ram, with a comma", tmp_path / "state"
    with Machine(connection, spec_of(tmp_path, SPELLING)) as guest:
        guest.start(Ram(memory, shared=True))
        guest.await_console("ABC", 20)
        guest.save(state)
        assert state.stat().st_size < memory.stat().st_size / 8  # memory is in its file, and there alone
        said, before = guest.console(), hashlib.sha256(memory.read_bytes()).digest()
        for _ in range(2):
            guest.restore(state, Ram(memory, shared=False))
            assert guest.resident_bytes() > 0
            guest.await_console(letters_after(said, 2), 20)
            guest.destroy()
        assert hashlib.sha256(memory.read_bytes()).digest() == before


@pytest.mark.lab
def test_a_state_is_made_of_a_restored_guest_whose_memory_was_copied(tmp_path: Path, connection: Connection) -> None:
    with Machine(connection, spec_of(tmp_path, SPELLING)) as guest:
        guest.start(Ram(tmp_path / "first", shared=True))
        guest.await_console("AB", 20)
        guest.save(tmp_path / "state")
        sparse.copy(tmp_path / "first", tmp_path / "second")
        guest.restore(tmp_path / "state", Ram(tmp_path / "second", shared=True))
        guest.await_console(letters_after(guest.console(), 2), 20)
        guest.save(tmp_path / "state of the second")
        said = guest.console()
        guest.restore(tmp_path / "state of the second", Ram(tmp_path / "second", shared=False))
        guest.await_console(letters_after(said, 1), 20)
        assert guest.console().startswith(said)


@pytest.mark.lab
def test_a_missing_disk_is_a_lab_error_in_libvirts_words(tmp_path: Path, connection: Connection) -> None:
    spec = spec_of(tmp_path, b"")
    (tmp_path / "disk").unlink()
    with Machine(connection, spec) as guest, pytest.raises(LabError, match=r"libvirt could not start the guest.*disk"):
        guest.start()


@pytest.mark.lab
def test_a_wrong_uri_is_a_lab_error() -> None:
    with pytest.raises(LabError, match="cannot connect to libvirt at nosuch:///system"):
        Connection("nosuch:///system")


def test_the_embedded_driver_needs_a_lab() -> None:
    if namespace.is_inside():
        pytest.skip("inside a lab")
    with pytest.raises(LabError, match="lab of its own"):
        Connection()


@pytest.mark.lab
def test_the_proof_runs_where_guests_run() -> None:
    """The proof's guest must reach 64-bit mode; TCG shows that its code does."""
    sector = namespace.WORK / "sector"
    sector.write_bytes(accelerator.BOOT_SECTOR)
    assert accelerator._run(sector, "tcg", 20) == "RUNS"


@pytest.mark.lab
def test_an_accelerator_that_does_not_run_guests_is_not_chosen(tmp_path: Path) -> None:
    assert accelerator.prove(namespace.WORK, tmp_path / "nosuch").name == "tcg"
    chosen = accelerator.choose(namespace.WORK)
    sector = namespace.WORK / "sector"
    sector.write_bytes(accelerator.BOOT_SECTOR)
    runs = Path("/dev/kvm").exists() and accelerator._run(sector, "kvm", accelerator.PROOF_SECONDS) == "RUNS"
    assert chosen.name == ("kvm" if runs else "tcg")
    assert chosen.evidence


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("name", [*nics.names(), *ELSEWHERE])
def test_the_xml_is_valid(tmp_path: Path, machine: str, name: str) -> None:
    schema = Path("/usr/share/libvirt/schemas/domain.rng")
    if not schema.exists():
        pytest.skip("libvirt's schemas are not installed")
    etree = pytest.importorskip("lxml.etree")
    spec = spec_of(tmp_path, b"", name, machine)
    etree.RelaxNG(etree.parse(schema)).assertValid(etree.fromstring(domain_xml(spec)))


def test_a_path_with_markup_stays_a_path(tmp_path: Path) -> None:
    folder = tmp_path / "a&b <c>\"d'"
    folder.mkdir()
    spec = spec_of(folder, b"")
    source = ElementTree.fromstring(domain_xml(spec)).find("devices/serial/source")
    assert source is not None
    assert source.get("path") == str(folder / "console.log")


@pytest.mark.parametrize(
    ("wrong", "right"), [("virtio", "virtio-net"), ("e100", "e1000"), ("virtio-net+csm=off", "virtio-net+csum=off")]
)
def test_a_wrong_nic_name_is_answered_with_the_nearest_right_one(wrong: str, right: str) -> None:
    with pytest.raises(UsageError) as caught:
        nics.get(wrong)
    assert caught.value.mend == f"did you mean {right}?"


def test_csum_off_ends_partial_checksums() -> None:
    assert nics.get("virtio-net").partial_checksum
    assert not nics.get("virtio-net+csum=off").partial_checksum
    assert nics.get("virtio-net+csum=off+mrg_rxbuf=off").host["csum"] == "off"


@pytest.mark.parametrize("moment", ["when up", *random.Random(3).sample(range(300, 1500), 3)])
def test_qemu_goes_with_a_killed_worker(tmp_path: Path, moment: str | int) -> None:
    """A worker with a running guest is killed: within half a second no QEMU of it is left."""
    worker = f"""
import signal
from pathlib import Path
from harness.lab import namespace
namespace.enter()
from harness import nics
from harness.lab.network import LabNetwork
from harness.vm.libvirt import Connection
from harness.vm.machine import Machine
from tests.integration.test_vm import saying, spec_of
spec = spec_of(Path({str(tmp_path)!r}), saying(b"UP"))
with LabNetwork(), Connection() as connection, Machine(connection, spec) as guest:
    guest.start()
    guest.await_console("UP", 20)
    print("up", flush=True)
    signal.pause()
"""
    process = subprocess.Popen(
        namespace.command([sys.executable, "-c", worker]), stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    assert process.stdout is not None
    with process.stdout:
        if isinstance(moment, int):
            time.sleep(moment / 1000)  # the moment is the subject of the test
        else:
            assert process.stdout.readline() == b"up\n"
            assert guests_alive()
        process.kill()
        process.wait()
    assert_gone(0.5)


def guests_alive() -> list[str]:
    alive = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if b"guest=test--guest" in (process / "cmdline").read_bytes():
                alive.append(process.name)
    return alive


def assert_gone(seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while guests_alive() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert guests_alive() == []
