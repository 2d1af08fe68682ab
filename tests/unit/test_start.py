"""How a guest is started: by the shortest way that proves itself, and by a cold boot with the reason otherwise."""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness import nics
from harness.cell import start
from harness.cell.job import Cell, CellJob
from harness.cell.start import Starter
from harness.errors import Failure, LabError
from harness.vm.domain import BootSpec, Disk, DomainSpec
from harness.vm.ram import Ram
from harness.vm.saved import States


class World:
    """Guest, machine, driver and session in one, which write down what is done to them.

    What has happened to the guest is its memory: a text in a file of its own, or read from a state and kept here.
    """

    ready_line, boot_seconds = "ready", 1.0

    def __init__(self, work: Path) -> None:
        self.work = work
        self.done: list[str] = []
        self.proofs: list[str] = []
        self.spec: Any = SimpleNamespace(boot=SimpleNamespace(memory_mib=1))
        self.own_disk: bool | None = None
        self.memory: Path | None = None
        self.damaged = False
        self.refusals: list[str] = []

    def start(self, ram: Ram | None = None) -> None:
        self.done.append("boot")
        self._map(ram)
        self._note("booted")

    def await_console(self, text: str, seconds: float) -> None:
        pass

    def restore(self, path: Path, ram: Ram) -> None:
        self._map(ram)
        if self.refusals:
            raise LabError(self.refusals.pop())
        if self.damaged:  # it is for the states to notice
            self.done.append("restore")
            return
        assert path.read_text() == "devices"
        assert self.own_disk == ram.shared
        self.done.append(f"restore {ram.file.read_text()}{'' if ram.shared else ' copy-on-write'}")

    def save(self, path: Path) -> None:
        assert self.memory is not None
        path.write_text("devices")
        self.done.append("save")

    def keep(self, folder: Path) -> None:
        (folder / "disk").write_text("written")

    def resume(self, folder: Path, *, own: bool) -> None:
        assert self.damaged or (folder / "disk").read_text() == "written"
        self.own_disk = own

    def start_over(self) -> None:
        self.done.append("image's disk")

    def _map(self, ram: Ram | None) -> None:
        self.memory = ram.file if ram is not None and ram.shared else None

    def _note(self, event: str) -> None:
        if self.memory is not None:
            self.memory.write_text(event)

    def destroy(self) -> None:
        self.done.append("destroy")

    def prepare(self, shell: object, connect: object) -> object:
        return shell

    def configure_dut(self, shell: object, site: object) -> None:
        self.done.append("configure")

    def install(self) -> None:
        self.done.append("install")
        self._note("loaded")

    def attach(self) -> None:
        self.done.append("attach")

    def close(self) -> None:
        pass


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> World:
    made = World(tmp_path_factory.mktemp("lab"))
    monkeypatch.setattr(start, "keys", lambda *_: ("k-booted", "k-loaded"))
    monkeypatch.setattr(start, "SampleDriver", lambda *_: made)
    monkeypatch.setattr(start, "prove", lambda _: made.proofs.pop(0) if made.proofs else "")
    return made


def starter(world: World, states: States | None, *, passing: bool = False) -> Starter:
    cell = Cell("wine", "e1000")
    job = CellJob(cell, "r", Path("/f"), "image", Path("/d.sys"), Path("/r.exe"), passing=passing)
    anything = cast(Any, world)
    return Starter(
        job,
        anything,
        anything,
        anything,
        phase=lambda _: nullcontext(),
        connect=lambda: anything,
        session=lambda _: anything,
        states=states,
        versions={},
        work=world.work,
    )


def begun(world: World, states: States | None, *, passing: bool = False) -> tuple[str, list[str], list[str]]:
    world.done.clear()
    one = starter(world, states, passing=passing)
    one.begin()
    how = one.start().how
    one.close()
    assert not list(world.work.iterdir())  # a guest's own memory takes no space once it is in a state
    return how, world.done, one.doubts


def test_the_first_start_boots_once_and_the_next_only_restores(world: World, tmp_path: Path) -> None:
    states = States(tmp_path)
    how, done, _ = begun(world, states)
    assert how.startswith("cold boot")
    loaded = ["restore loaded copy-on-write", "attach"]
    assert done == ["boot", "configure", "save", "restore booted", "install", "save", *loaded]
    assert begun(world, states) == ("restored, driver loaded", loaded, [])


def test_another_driver_is_loaded_without_a_boot(world: World, tmp_path: Path) -> None:
    states = States(tmp_path)
    begun(world, states)
    states.discard("k-loaded")
    how, done, _ = begun(world, states)
    assert done[:3] == ["restore booted", "install", "save"]
    assert how == "restored, driver loaded into it"


def test_a_driver_in_passing_leaves_no_state(world: World, tmp_path: Path) -> None:
    states = States(tmp_path)
    begun(world, states)
    states.discard("k-loaded")
    how, done, _ = begun(world, states, passing=True)
    assert done == ["restore booted copy-on-write", "install"]
    assert how == "restored, driver loaded into it"
    assert [state.folder.name for state in states.entries()] == ["k-booted"]


def test_cold_uses_and_keeps_no_state(world: World, tmp_path: Path) -> None:
    assert begun(world, None) == ("cold boot", ["boot", "configure", "install"], [])
    assert not list(tmp_path.iterdir())


def test_a_guest_that_does_not_prove_itself_is_booted_and_forgotten(world: World, tmp_path: Path) -> None:
    states = States(tmp_path)
    begun(world, states)
    world.proofs = ["missing: a datagram"]
    how, done, doubts = begun(world, states)
    assert how == "cold boot"
    assert done[-5:] == ["destroy", "image's disk", "boot", "configure", "install"]
    assert "did not prove itself: missing: a datagram" in doubts[0]
    assert states.entries() == []


def flip(path: Path) -> None:
    """Change a byte as a disk does: the time of the file stays."""
    before = path.stat()
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("file", ["state", "ram", "disk"])
def test_a_damaged_state_is_made_again_and_that_is_said(world: World, tmp_path: Path, file: str) -> None:
    states = States(tmp_path)
    begun(world, states)
    flip(tmp_path / "k-loaded" / file)
    world.damaged = True
    how, done, doubts = begun(world, States(tmp_path))
    assert how == "restored, driver loaded into it"
    assert done[-4:] == ["install", "save", "restore", "attach"]
    assert doubts == [f"cached state k-loaded was damaged ({file} differs in block 0 of 1 (1 MiB each)): rebuilt"]
    assert begun(world, States(tmp_path)) == ("restored, driver loaded", ["restore", "attach"], [])


def test_nothing_is_asked_of_a_guest_whose_state_is_damaged(world: World, tmp_path: Path) -> None:
    begun(world, States(tmp_path))
    for name in ("k-loaded", "k-booted"):
        flip(tmp_path / name / "ram")
    world.damaged = True
    how, done, doubts = begun(world, States(tmp_path))
    assert how == "cold boot, saved and restored"
    assert done[:6] == ["restore", "destroy", "image's disk", "restore", "destroy", "image's disk"]
    assert done[6:8] == ["boot", "configure"]
    assert len(doubts) == 2


def test_a_damaged_state_that_libvirt_refuses_is_called_damaged(world: World, tmp_path: Path) -> None:
    begun(world, States(tmp_path))
    flip(tmp_path / "k-loaded" / "ram")
    world.damaged, world.refusals = True, ["libvirt could not restore the guest"]
    how, _, doubts = begun(world, States(tmp_path))
    assert how == "restored, driver loaded into it"
    assert len(doubts) == 1
    assert "was damaged (ram differs" in doubts[0]


def test_a_driver_that_fails_the_proof_cold_too_costs_no_state(world: World, tmp_path: Path) -> None:
    states = States(tmp_path)
    begun(world, states)
    world.proofs = ["missing", "missing"]
    assert begun(world, states)[0] == "cold boot"
    assert len(states.entries()) == 2


def test_a_state_that_libvirt_refuses_falls_back(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    states = States(tmp_path)
    begun(world, states)

    def refuse(path: Path, ram: Ram) -> None:
        raise LabError("libvirt could not restore the guest")

    monkeypatch.setattr(world, "restore", refuse)
    how, _, doubts = begun(world, states)
    assert how == "cold boot"
    assert "could not restore" in doubts[0]


def test_a_full_disk_saves_nothing_and_runs(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.vm.saved._RESERVE_BYTES", 1 << 62)
    how, _, doubts = begun(world, States(tmp_path))
    assert how == "cold boot"
    assert "no space" in doubts[0]


def test_a_guest_too_large_for_the_lab_s_memory_is_booted_and_not_saved(world: World, tmp_path: Path) -> None:
    world.spec.boot.memory_mib = 1 << 30
    states = States(tmp_path)
    how, done, doubts = begun(world, states)
    assert (how, done) == ("cold boot", ["boot", "configure", "install"])
    assert "do not fit into" in doubts[0]
    assert states.entries() == []


def test_keys_know_what_is_asked_and_not_where_a_run_keeps_things(tmp_path: Path) -> None:
    driver = tmp_path / "d.sys"
    driver.write_bytes(b"driver")
    job = CellJob(Cell("ws2022", "e1000e"), "r", tmp_path, "image", driver, driver)

    def found(run: str, demands: dict[str, str], vcpus: int = 1, host_key: str = "k") -> tuple[str, str]:
        place = tmp_path / run
        disks = (Disk(place / "overlay.qcow2", format="qcow2", bus="sata"),)
        boot = BootSpec(4096, disks=disks, uefi=True, nvram=place / "vars.fd", screen=place / "vnc.sock", vcpus=vcpus)
        spec = DomainSpec("ws2022--e1000e", boot, nics.get("e1000e"), "kvm", place / "console.log")
        guest = cast(Any, SimpleNamespace(demands=lambda: demands, host_public_key=host_key))
        return start.keys(job, guest, spec, cast(Any, SimpleNamespace(to_json=dict)), {"qemu": "7.2"})

    usual = found("one", {"offloads": "keep"})
    assert usual == found("two", {"offloads": "keep"})
    assert not set(usual) & set(found("one", {"offloads": "off"}))
    assert not set(usual) & set(found("one", {"offloads": "keep"}, vcpus=2))
    assert not set(usual) & set(found("one", {"offloads": "keep"}, host_key="of the image built again"))


def test_a_driver_that_does_not_load_is_the_drivers_failure(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise Failure("driver wsksend did not load")

    monkeypatch.setattr(world, "install", fail)
    with pytest.raises(Failure, match="did not load"):
        starter(world, States(tmp_path)).start()
