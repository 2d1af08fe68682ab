"""The cache of saved guests: whole or absent, bounded, and keyed by everything."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import LabError
from harness.files import ownership
from harness.vm import saved
from harness.vm.saved import RAM, STATE, DamagedStateError, States


def writing(size: int) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / STATE).write_bytes(os.urandom(size))
        (folder / RAM).write_bytes(b"")

    return write


def test_every_input_is_part_of_the_key(tmp_path: Path) -> None:
    sys_file = tmp_path / "a.sys"
    sys_file.write_bytes(b"1")
    first = saved.key({"xml": "<a/>", "qemu": "7.2"}, [sys_file])
    assert first == saved.key({"qemu": "7.2", "xml": "<a/>"}, [sys_file])
    others = {saved.key({"xml": "<b/>", "qemu": "7.2"}, [sys_file]), saved.key({"xml": "<a/>", "qemu": "7.2"})}
    sys_file.write_bytes(b"2")
    others.add(saved.key({"xml": "<a/>", "qemu": "7.2"}, [sys_file]))
    assert len(others | {first}) == 4


def test_a_state_is_found_again_with_what_is_known_of_it(tmp_path: Path) -> None:
    states = States(tmp_path / "states")
    assert states.find("k") is None
    states.save("k", writing(100), {"guest": "wine"})
    found = states.find("k")
    assert found is not None
    assert (found.manifest["guest"], (found.folder / STATE).stat().st_size) == ("wine", 100)
    states.discard("k")
    assert states.find("k") is None


def test_a_save_that_fails_leaves_nothing(tmp_path: Path) -> None:
    states = States(tmp_path / "states")

    def broken(folder: Path) -> None:
        (folder / STATE).write_bytes(b"half")
        raise LabError("QEMU died")

    with pytest.raises(LabError, match="QEMU died"):
        states.save("k", broken, {})
    assert states.find("k") is None
    assert [path.name for path in states.folder.iterdir()] == [".lock"]


@pytest.mark.parametrize("file", [STATE, RAM])
def test_a_state_cut_short_is_none(tmp_path: Path, file: str) -> None:
    states = States(tmp_path / "states")
    (states.save("k", writing(100), {}).folder / file).write_bytes(b"short")
    assert states.find("k") is None
    (states.save("k", writing(100), {}).folder / file).unlink()
    assert states.find("k") is None


def flip(path: Path, *, quietly: bool) -> None:
    before = path.stat()
    content = path.read_bytes()
    path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    if quietly:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_damaged_state_is_not_found_and_goes_and_is_said(tmp_path: Path) -> None:
    states = States(tmp_path / "states")
    flip(states.save("k", writing(100), {}).folder / STATE, quietly=False)
    assert states.find("k") is None
    assert states.damaged == ["cached state k was damaged (state differs in block 0 of 1 (1 MiB each)): rebuilt"]
    assert [path.name for path in states.folder.iterdir()] == [".lock"]


def test_a_fault_of_the_disk_is_found_when_the_blocks_are_read(tmp_path: Path) -> None:
    states = States(tmp_path / "states")
    states.require_whole(states.save("k", writing(100), {}))
    flip(states.folder / "k" / STATE, quietly=True)
    state = states.find("k")
    assert state is not None
    with pytest.raises(DamagedStateError, match="cached state k was damaged"):
        states.require_whole(state)
    assert states.find("k") is None


def test_a_state_that_made_room_while_it_was_read_is_not_called_damaged(tmp_path: Path) -> None:
    states = States(tmp_path / "states")
    state = states.save("k", writing(100), {})
    states.discard("k")
    states.require_whole(state)
    assert states.damaged == []


def test_a_worker_killed_before_the_rename_leaves_no_state(tmp_path: Path) -> None:
    program = (
        "import os, pathlib, signal\n"
        "from harness.vm.saved import States\n"
        "os.rename = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "write = lambda folder: (folder / 'state').write_bytes(b'x')\n"
        f"States(pathlib.Path({str(tmp_path)!r})).save('k', write, {{}})\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -signal.SIGKILL
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".saving-")] != []
    states = States(tmp_path)
    assert states.find("k") is None
    assert {path.name for path in tmp_path.iterdir()} <= {".lock", ownership.MARKER}


def test_the_least_recently_used_go_first(tmp_path: Path) -> None:
    states = States(tmp_path / "states", limit=3 * 80_000)
    for number, name in enumerate("abc"):
        states.save(name, writing(65536), {})
        os.utime(states.folder / name, (number, number))
    assert states.find("a") is not None
    states.save("d", writing(65536), {})
    assert [name for name in "abcd" if states.find(name)] == ["a", "c", "d"]


def test_no_space_is_said_and_gives_up_states_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    states = States(tmp_path / "states")
    states.save("old", writing(10), {})
    monkeypatch.setattr(saved, "_RESERVE_BYTES", 1 << 62)
    with pytest.raises(LabError, match="no space"):
        states.save("new", writing(10), {})
    assert states.entries() == []


def test_what_a_killed_worker_left_goes_and_what_a_living_one_makes_stays(tmp_path: Path) -> None:
    states = States(tmp_path)
    left = tmp_path / ".saving-of-the-dead"
    left.mkdir()
    (left / STATE).write_bytes(b"half")

    def write(folder: Path) -> None:
        assert not left.exists()
        assert States(tmp_path).find("another") is None  # a second worker looks, and sweeps
        writing(100)(folder)

    assert (states.save("name", write, {}).folder / STATE).stat().st_size == 100
    left.mkdir()
    assert states.find("name") is not None
    assert not left.exists()
