"""The seed CD: written by xorriso, read back, complete, its owner's alone; its scripts parse as PowerShell."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.guests.windows import packages, seed
from harness.guests.windows.answer import Answer, render
from harness.guests.windows.iso import Iso
from harness.guests.windows.releases import recipe, releases
from tests.unit import windows_kit as kit

SERVER = next(release for release in releases() if release.name == "server-2022")
PE = b"MZ".ljust(0x3C, b"\0") + (0x40).to_bytes(4, "little") + b"PE\0\0\x64\x86"


def openssh_zip(path: Path, program: bytes = PE) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("OpenSSH-Win64/sshd.exe", program)
        archive.writestr("OpenSSH-Win64/install-sshd.ps1", "exit 0")
    return path


def test_the_seed_read_back(tmp_path: Path) -> None:
    kit.need("xorriso")
    answer = Answer(SERVER, 2, "en-US", "ws2022", "secret-7")
    ssh = packages.openssh(openssh_zip(tmp_path / "OpenSSH-Win64.zip"), SERVER)
    drivers = {"NetKVM/netkvm.inf": b"[Version]", "NetKVM/netkvm.sys": b"MZ" * 2000}
    out = seed.write(seed.Seed(answer, "ssh-ed25519 AAAA", b"\x30\x82", ssh, drivers), tmp_path / "seed.iso")
    assert out.stat().st_mode & 0o777 == 0o600
    with Iso(out) as iso:
        root = iso.find("")
        assert root is not None
        files = {path: iso.read(node) for path, node in iso.walk(root)}
    assert set(files) == {
        "autounattend.xml",
        "harness/provision.ps1",
        "harness/quiet.ps1",
        "harness/authorized_keys",
        "harness/lab.cer",
        "harness/OpenSSH.zip",
        "harness/drivers/NetKVM/netkvm.inf",
        "harness/drivers/NetKVM/netkvm.sys",
    }
    assert files["autounattend.xml"].decode().replace("\r\n", "\n") == render(answer)
    assert files["harness/authorized_keys"] == b"ssh-ed25519 AAAA\n", "no byte order mark, or sshd refuses every key"
    assert files["harness/drivers/NetKVM/netkvm.sys"] == b"MZ" * 2000
    assert not any(b"PRIVATE KEY" in content for content in files.values())
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".seed-")] == [], "no copy stays behind"


def test_openssh_is_asked_for_only_where_windows_has_none(tmp_path: Path) -> None:
    inbox = next(release for release in releases() if release.inbox_sshd)
    assert packages.openssh(None, inbox) is None
    with pytest.raises(UsageError, match="no OpenSSH server on its media") as caught:
        packages.openssh(None, SERVER)
    assert "--openssh" in caught.value.mend


def test_openssh_files_that_are_none(tmp_path: Path) -> None:
    text = tmp_path / "notes.zip"
    text.write_text("hello")
    with pytest.raises(UsageError, match="neither"):
        packages.openssh(text, SERVER)
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("a.txt", "a")
    with pytest.raises(UsageError, match=r"no install-sshd.ps1, sshd.exe"):
        packages.openssh(tmp_path / "other.zip", SERVER)
    narrow = openssh_zip(tmp_path / "OpenSSH-Win32.zip", PE.replace(b"\x64\x86", b"\x4c\x01"))
    with pytest.raises(UsageError, match="not for 64-bit"):
        packages.openssh(narrow, SERVER)


def test_drivers_come_from_the_release_s_own_folder(tmp_path: Path) -> None:
    tree = tmp_path / "virtio"
    for system in ("2k22", "w11"):
        folder = tree / "NetKVM" / system / "amd64"
        folder.mkdir(parents=True)
        (folder / "netkvm.inf").write_text(system)
        (folder / "netkvm.pdb").write_text("symbols")
    iso = kit.iso(tree, tmp_path / "virtio-win.iso")
    assert packages.virtio_drivers(iso, SERVER) == {"NetKVM/netkvm.inf": b"2k22"}
    old = next(release for release in releases() if release.name == "server-2019")
    with pytest.raises(UsageError, match="no NetKVM/2k19/amd64"):
        packages.virtio_drivers(iso, old)


@pytest.mark.parametrize("script", seed.SCRIPTS)
def test_scripts_parse_as_powershell(script: str) -> None:
    """By the tree-sitter grammar: Microsoft's own parser cannot be installed here."""
    tree_sitter = pytest.importorskip("tree_sitter")
    grammar = pytest.importorskip("tree_sitter_powershell")
    parser = tree_sitter.Parser(tree_sitter.Language(grammar.language()))
    source = (recipe() / script).read_bytes()
    assert source.isascii()
    assert not parser.parse(source).root_node.has_error
    assert parser.parse(source.replace(b"{", b"(", 1)).root_node.has_error, "the parser would notice"


def test_scripts_use_nothing_that_windows_powershell_5_lacks() -> None:
    for script in seed.SCRIPTS:
        text = (recipe() / script).read_text()
        for newer in ("??", "?.", " && ", " || ", "-Parallel", "ternary", "wmic"):
            assert newer not in text, f"{script} uses {newer}"
