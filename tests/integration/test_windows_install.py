"""The whole image build driven to its end against a stand-in for Windows Setup: resumed, failing, and out of time.

The stand-in reads the seed, waits for a key, tells its phases on COM1, reboots twice, and answers SSH; see standin_kit.
Nothing here says anything about a real Windows.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from harness import resources
from harness.errors import LabError
from harness.guests import cache
from harness.guests.windows import build, phases
from tests.integration import standin_kit
from tests.unit.test_seed import openssh_zip
from tests.unit.windows_kit import need

DEADLINES = phases.Deadlines(boot=300, copy=300, specialize=300, provision=300, power_off=120)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    need("xorriso", "qemu-img", "qemu-system-x86_64", "osslsigncode")
    if not any(Path("/usr/share/OVMF").glob("OVMF_CODE*.fd")):
        pytest.skip("ovmf is not installed")
    own = tmp_path / "cache" / "wsk-harness"
    own.mkdir(parents=True)
    shared = resources.cache() / "standin"  # it takes long to build
    shared.mkdir(parents=True, exist_ok=True)
    (own / shared.name).symlink_to(shared)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(build, "_require_space", lambda *_: None)  # the stand-in takes less than a Windows
    return tmp_path


def request(folder: Path, behave: str = "", **changes: object) -> build.Request:
    made = build.Request(
        "ws2022",
        standin_kit.media(folder, behave),
        openssh=openssh_zip(folder / "OpenSSH-Win64.zip"),
        edition="2",
        memory_mib=512,
        deadlines=DEADLINES,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def qemus(name: str) -> list[int]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if line.startswith(b"/usr/bin/qemu-system") and f"guest=install-{name}".encode() in line:
            found.append(int(process.name))
    return found


CHILD = """
import sys
from pathlib import Path
from harness.guests.windows import build
folder = Path(sys.argv[1])
build._require_space = lambda *_: None
made = build.Request("ws2022", folder / "media-good.iso", openssh=folder / "OpenSSH-Win64.zip", edition="2",
    memory_mib=512, train=("e1000e",))
build.build(made, lambda text: print(text, flush=True))
"""


def test_a_killed_build_goes_on_where_it_stopped_and_ends_in_a_sealed_image(folder: Path) -> None:
    made = request(folder, train=("e1000e",))
    log = folder / "child.log"
    with log.open("wb") as out:
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(folder)], cwd=Path(__file__).parents[2], stdout=out, stderr=out
        )
        deadline = time.monotonic() + 300
        while "start 2 of the installation" not in log.read_text():
            assert child.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        child.send_signal(signal.SIGKILL)
        child.wait()
    end = time.monotonic() + 5
    while qemus("ws2022") and time.monotonic() < end:
        time.sleep(0.1)
    assert qemus("ws2022") == [], "the machine dies with the build"

    said: list[str] = []
    entry = build.build(made, said.append)
    assert any("the image was started 1 times" in line for line in said)
    assert "start 1 of the installation" not in said, "what was done is not done again"
    assert "start 2 of the installation" in said
    assert [line for line in said if line.startswith("Windows:")] == ["Windows: specialize", "Windows: first-logon"]

    manifest = json.loads((entry.folder / cache.MANIFEST).read_text())
    assert manifest["inventory"]["testsigning"] is True
    assert manifest["inventory"]["trained"]["e1000e"]["status"] == "Up"
    assert manifest["host_public_key"].startswith("ssh-ed25519 ")
    assert manifest["expires"] > manifest["built"][:10], "evaluation media expire"
    assert set(manifest["files"]) == {"base.qcow2", "vars.fd"}
    assert not (resources.cache() / "windows-builds" / "ws2022").exists()
    for name in ("ssh_key", "secrets.json"):
        assert (entry.folder / name).stat().st_mode & 0o777 == 0o600
    info = subprocess.run(["qemu-img", "info", str(entry.folder / "base.qcow2")], capture_output=True, text=True)
    assert "backing file" not in info.stdout
    password = json.loads((entry.folder / "secrets.json").read_text())["Administrator"]
    told = log.read_text() + "".join(said) + json.dumps(manifest) + (entry.folder / "console.log").read_text()
    assert password not in told
    assert "PRIVATE KEY" not in told
    check_acceptance(folder)


def check_acceptance(folder: Path) -> None:
    """The acceptance steps that ask more of the machine than of the guest pass on the stand-in too; others do not."""
    out = folder / "accept"
    wanted = ("image", "boot", "hot-plug", "save", "host-dump")
    words = [word for step in wanted for word in ("--step", step)]
    command = [sys.executable, "-m", "harness", "accept", "--guest", "ws2022", "-o", str(out), *words, "--no-install"]
    run = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    record = json.loads((out / "acceptance.json").read_text())
    statuses = {step["id"]: step["status"] for step in record["steps"]}
    assert {step: statuses[step] for step in ("image", "boot", "hot-plug", "save")} == {
        "image": "passed",
        "boot": "passed",
        "hot-plug": "passed",
        "save": "passed",
    }, run.stdout + run.stderr
    assert statuses["host-dump"] == "failed", "the stand-in writes no Windows dump header"
    assert run.returncode == 1
    assert not (resources.cache() / "images" / "ws2022" / "observations.json").exists(), "only a full run is kept"


def test_a_step_of_the_first_logon_that_fails_is_named(folder: Path) -> None:
    with pytest.raises(LabError, match=r"the first logon failed at ssh: certutil\.exe exited with 5") as caught:
        build.build(request(folder, "fail-ssh"), lambda _: None)
    assert "screen: " in caught.value.detail
    picture = Path(caught.value.detail.split("screen: ")[1].splitlines()[0])
    assert picture.stat().st_size > 1000


def test_a_phase_that_takes_too_long_ends_with_a_picture(folder: Path) -> None:
    short = replace(DEADLINES, copy=5)
    with pytest.raises(LabError, match=r"waited 5.0 s for Setup to copy Windows to the disk") as caught:
        build.build(request(folder, "copy", deadlines=short), lambda _: None)
    assert "--patience" in caught.value.mend
    assert "screen: " in caught.value.detail
    assert "standin: hangs in copy" in caught.value.detail
    assert qemus("ws2022") == []
