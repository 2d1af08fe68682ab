"""``harness driver check``: a good driver, and each way in which a file is none."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pefile
import pytest

from harness.driver_build.build import DriverBuild, build
from harness.driver_build.check import Point, check


@pytest.fixture(scope="module")
def built() -> DriverBuild:
    return build()


def wrong(points: tuple[Point, ...]) -> dict[str, int | None]:
    return {point.name: point.win32_error for point in points if not point.ok}


def altered(source: Path, target: Path, change: Callable[[pefile.PE], None], *, checksum: bool = True) -> Path:
    """A copy with its headers changed, and the checksum set right unless the test is about it."""
    image = pefile.PE(str(source))
    change(image)
    if checksum:
        image.OPTIONAL_HEADER.CheckSum = image.generate_checksum()
    image.write(str(target))
    return target


def test_our_driver_passes_every_point(built: DriverBuild) -> None:
    points = check(built.wsksend_sys)
    assert wrong(points) == {}
    assert len(points) >= 10


def test_the_wine_guests_provider_is_not_for_windows(built: DriverBuild) -> None:
    assert wrong(check(built.netio_sys)) == {"import modules": 2}  # its verifier needs Wine's ntdll


def test_an_unsigned_driver_is_refused_when_a_signature_is_asked_for(built: DriverBuild) -> None:
    assert wrong(check(built.wsksend_sys, signed=True)) == {"signature": 577}


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert wrong(check(tmp_path / "none.sys")) == {"file": 2}


@pytest.mark.parametrize("data", [b"", b"MZ", b"\x7fELF" + bytes(4096), b"MZ" + bytes(4096)])
def test_a_file_that_is_no_image(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.sys"
    path.write_bytes(data)
    assert wrong(check(path)) == {"file": 193}


def test_a_program_is_no_driver(built: DriverBuild) -> None:
    found = wrong(check(built.wskctl_exe))
    assert found["subsystem"] == 193
    assert found["import modules"] == 2


def test_another_machine(built: DriverBuild, tmp_path: Path) -> None:
    def to_i386(image: pefile.PE) -> None:
        image.FILE_HEADER.Machine = 0x14C

    assert wrong(check(altered(built.wsksend_sys, tmp_path / "x.sys", to_i386))) == {"machine": 193}


def test_a_wrong_checksum(built: DriverBuild, tmp_path: Path) -> None:
    path = tmp_path / "x.sys"
    data = bytearray(built.wsksend_sys.read_bytes())
    data[0x600] ^= 0xFF
    path.write_bytes(data)
    assert wrong(check(path)) == {"checksum": 193}


def test_a_section_that_is_writable_and_executable(built: DriverBuild, tmp_path: Path) -> None:
    def open_text(image: pefile.PE) -> None:
        image.sections[0].Characteristics |= 0x80000000

    points = check(altered(built.wsksend_sys, tmp_path / "x.sys", open_text))
    assert list(wrong(points)) == ["no W+X section"]
    assert ".text" in next(point.detail for point in points if not point.ok)


def test_an_import_from_user_mode(built: DriverBuild, tmp_path: Path) -> None:
    path = tmp_path / "x.sys"
    path.write_bytes(built.wsksend_sys.read_bytes().replace(b"NETIO.SYS", b"msvcr.dll"))
    points = check(altered(path, path, lambda _: None))
    assert wrong(points) == {"import modules": 2}
    assert "msvcr.dll" in next(point.detail for point in points if not point.ok)


def test_a_function_that_windows_does_not_export(built: DriverBuild, tmp_path: Path) -> None:
    path = tmp_path / "x.sys"
    path.write_bytes(built.wsksend_sys.read_bytes().replace(b"MmBuildMdlForNonPagedPool", b"wine_BuildForNonPagedPool"))
    assert wrong(check(altered(path, path, lambda _: None))) == {"import functions": 127}


def test_an_entry_point_outside_the_code(built: DriverBuild, tmp_path: Path) -> None:
    def to_nowhere(image: pefile.PE) -> None:
        image.OPTIONAL_HEADER.AddressOfEntryPoint = 0

    assert wrong(check(altered(built.wsksend_sys, tmp_path / "x.sys", to_nowhere))) == {"entry point": 193}


def test_no_relocations(built: DriverBuild, tmp_path: Path) -> None:
    def drop(image: pefile.PE) -> None:
        image.OPTIONAL_HEADER.DATA_DIRECTORY[5].Size = 0

    assert wrong(check(altered(built.wsksend_sys, tmp_path / "x.sys", drop))) == {"relocations": 193}


@pytest.fixture(scope="module")
def signed(built: DriverBuild, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not shutil.which("osslsigncode") or not shutil.which("openssl"):
        pytest.skip("signing needs openssl and osslsigncode")
    folder = tmp_path_factory.mktemp("sign")
    subject = ["-subj", "/CN=Harness unit test", "-addext", "extendedKeyUsage=codeSigning"]
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject]
    subprocess.run(
        [*make, "-keyout", str(folder / "k.pem"), "-out", str(folder / "c.pem")], check=True, capture_output=True
    )
    keys = ["-certs", str(folder / "c.pem"), "-key", str(folder / "k.pem")]
    sign = ["osslsigncode", "sign", "-h", "sha256", *keys]
    subprocess.run(
        [*sign, "-in", str(built.wsksend_sys), "-out", str(folder / "s.sys")], check=True, capture_output=True
    )
    return folder / "s.sys"


def test_a_signed_driver_passes(signed: Path) -> None:
    assert wrong(check(signed, signed=True)) == {}


def test_a_driver_changed_after_signing_is_refused(signed: Path, tmp_path: Path) -> None:
    data = bytearray(signed.read_bytes())
    data[0x600] ^= 0xFF
    path = tmp_path / "x.sys"
    path.write_bytes(data)
    changed = altered(path, tmp_path / "y.sys", lambda _: None)
    assert wrong(check(changed, signed=True)) == {"signature": 577}


def test_a_certificate_table_that_is_cut_off(signed: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.sys"
    path.write_bytes(signed.read_bytes()[:-64])
    assert wrong(check(path, signed=True))["signature"] == 577
