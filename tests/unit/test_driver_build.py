"""Building the drivers: same sources, same bytes; a warning is an error; an edited source is another driver."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from harness import resources
from harness.cache import manifest
from harness.driver_build import build as building
from harness.driver_build import edited
from harness.driver_build.build import DriverBuild, build
from harness.errors import LabError
from harness.files import removal

SOURCES = resources.root() / "drivers"


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    copy = tmp_path / "somewhere" / "else" / "drivers"
    shutil.copytree(SOURCES, copy)
    return copy


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> DriverBuild:
    """A build from another folder into another cache."""
    folder = tmp_path_factory.mktemp("build")
    shutil.copytree(SOURCES, folder / "copy" / "drivers")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.setenv("SOURCE_DATE_EPOCH", "1234567890")
        patch.setenv("TZ", "Asia/Tokyo")
        return build(sources=folder / "copy" / "drivers")


def test_two_builds_in_different_folders_are_the_same_bytes(elsewhere: DriverBuild, tmp_path: Path) -> None:
    here = build(tmp_path / "out")
    assert here.key == elsewhere.key
    for name in ("wsksend_sys", "wsksend_debug", "wskctl_exe", "netio_sys"):
        assert getattr(here, name).read_bytes() == getattr(elsewhere, name).read_bytes(), name
    assert here.wsksend_sys.parent == tmp_path / "out"


def test_the_second_build_comes_from_the_cache(elsewhere: DriverBuild, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = elsewhere.wsksend_sys.parents[3]
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.setattr(building, "_build_into", lambda *_: pytest.fail("compiled again"))
    assert build() == elsewhere


def test_damaged_files_are_built_again_and_that_is_said(
    elsewhere: DriverBuild, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(elsewhere.wsksend_sys.parents[3]))
    good = {path.name: path.read_bytes() for path in elsewhere.wsksend_sys.parent.iterdir()}
    elsewhere.verifier_sys.write_bytes(b"")
    removal.remove(elsewhere.netio_sys)
    before = elsewhere.wskctl_exe.stat()
    elsewhere.wskctl_exe.write_bytes(bytes([good["wskctl.exe"][0] ^ 1]) + good["wskctl.exe"][1:])
    os.utime(elsewhere.wskctl_exe, ns=(before.st_atime_ns, before.st_mtime_ns))
    running = elsewhere.wsksend_sys.stat().st_ino
    said: list[str] = []
    assert build(say=said.append) == elsewhere
    assert said == ["the cached build of the drivers was damaged (netio.sys: No such file or directory): rebuilt"]
    made = {path.name: path.read_bytes() for path in elsewhere.wsksend_sys.parent.iterdir()}
    assert {name for name in good if name != manifest.NAME and made[name] != good[name]} == set()
    assert elsewhere.wsksend_sys.stat().st_ino != running  # replaced in one step: who has it open keeps it
    assert build(say=said.append) == elsewhere
    assert len(said) == 1


@pytest.mark.parametrize("name", ["verifier.sys", "wsksend.sys", "wskctl.exe", "netio.sys", "wsksend.debug.sys"])
def test_one_flipped_byte_in_any_driver_s_file_is_noticed(
    elsewhere: DriverBuild, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(elsewhere.wsksend_sys.parents[3]))
    path = elsewhere.wsksend_sys.with_name(name)
    before, good = path.stat(), path.read_bytes()
    built: list[str] = []
    monkeypatch.setattr(building, "_build_into", lambda folder, *_: built.append(folder.name))
    for content in (b"", good[:-1], bytes([good[0] ^ 1]) + good[1:]):
        path.write_bytes(content)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        build()
    path.write_bytes(good)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert built == [elsewhere.key] * 3
    build()
    assert len(built) == 3


def test_the_key_covers_every_source(elsewhere: DriverBuild, sources: Path) -> None:
    keys = {elsewhere.key}
    for path in ("include/wsksend_abi.h", "wsksend/send.c", "netio/linux.c", "wskctl/serve.c"):
        with (sources / path).open("a") as file:
            file.write("\n")
        keys.add(building._key(sources))
    assert len(keys) == 5


def test_a_warning_stops_the_build(sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with (sources / "wsksend" / "accounts.c").open("a") as file:
        file.write("static int NeverUsed(void) { return 1; }\n")
    with pytest.raises(LabError, match=r"wsksend/accounts\.c does not compile.*NeverUsed") as caught:
        build(sources=sources)
    assert "unused-function" in caught.value.detail
    assert not list((tmp_path / "cache").rglob("*.sys"))


def test_an_edit_of_a_header_reaches_every_file_that_includes_it(tmp_path: Path) -> None:
    """Files that see another size of CALL than the others would corrupt memory."""
    clean = edited.Objects.make(tmp_path)
    plain = edited.build((), clean, tmp_path / "plain").read_bytes()
    larger = edited.Edit("call.h", "    ULONG ControlFlags;\n", "    ULONG ControlFlags;\n    UCHAR Room[64];\n")
    in_header = edited.build((larger,), clean, tmp_path / "larger").read_bytes()
    again = edited.Edit("call.c", "PoolAllocate(sizeof(*Call))", "PoolAllocate((sizeof(*Call)))")
    assert edited.build((again,), clean, tmp_path / "again").read_bytes() == plain
    assert in_header != plain


def test_an_edit_that_calls_what_its_file_does_not_declare_is_refused(tmp_path: Path) -> None:
    """The compiler would take the pointer that it returns for an int, and the driver would fail in another way."""
    undeclared = edited.Edit("options.c", "Get.reserved != 0", "PoolAllocate(4) == NULL")
    with pytest.raises(LabError, match=r"options\.c does not compile"):
        edited.build((undeclared,), edited.Objects.make(tmp_path), tmp_path / "out")


def test_a_missing_compiler_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "COMPILER", "no-such-gcc")
    building._compiler_version.cache_clear()
    with pytest.raises(LabError, match="no-such-gcc") as caught:
        build()
    building._compiler_version.cache_clear()
    assert "apt-get install" in caught.value.mend
