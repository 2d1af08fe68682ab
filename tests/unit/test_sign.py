"""Signing: the certificate made once, signed drivers that check green, and the right point red on what is wrong."""

from __future__ import annotations

import struct
import time
from pathlib import Path

import pefile
import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from harness.driver_build import build, check, sign
from harness.errors import UsageError
from tests.unit.windows_kit import need


@pytest.fixture(autouse=True)
def own_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need("osslsigncode", "x86_64-w64-mingw32-gcc")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture(scope="module")
def unsigned() -> Path:
    need("x86_64-w64-mingw32-gcc")
    return build.build().wsksend_sys


def report(path: Path) -> dict[str, check.Point]:
    return {point.name: point for point in sign.check_signed(path)}


def red(path: Path) -> dict[str, int | None]:
    return {name: point.win32_error for name, point in report(path).items() if not point.ok}


def with_checksum(path: Path) -> Path:
    """The file with a header checksum that is right again, so that only the damage done counts."""
    image = pefile.PE(str(path))
    image.OPTIONAL_HEADER.CheckSum = image.generate_checksum()
    image.write(str(path))
    return path


def test_certificate_is_made_once_and_only_for_signing_code() -> None:
    first = sign.certificate()
    assert sign.certificate().der == first.der
    certificate = x509.load_der_x509_certificate(first.der)
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CODE_SIGNING]
    assert first.key.stat().st_mode & 0o777 == 0o600
    assert b"PRIVATE" not in first.pem.read_bytes() + first.der


def test_a_signed_driver_is_green_on_every_point(unsigned: Path, tmp_path: Path) -> None:
    before = unsigned.read_bytes()
    signed = sign.sign(unsigned, tmp_path / "out" / "wsksend.sys")
    assert red(signed) == {}
    assert {"signature", "signature value", "signer", "signer's dates"} <= set(report(signed))
    assert unsigned.read_bytes() == before, "the original stays as it was"
    table = pefile.PE(str(signed)).OPTIONAL_HEADER.DATA_DIRECTORY[4]
    assert table.VirtualAddress % 8 == 0
    assert sign.sign(unsigned, signed) == signed, "a second signing replaces the first"


def test_the_same_driver_gives_the_same_bytes_each_time(unsigned: Path, tmp_path: Path) -> None:
    first = sign.sign(unsigned, tmp_path / "first.sys").read_bytes()
    second = int(time.time())  # the resolution of a signing time
    while int(time.time()) == second:
        time.sleep(0.01)
    assert sign.sign(unsigned, tmp_path / "second.sys").read_bytes() == first


def test_the_embedded_signer_is_the_lab_s(unsigned: Path, tmp_path: Path) -> None:
    signed = sign.sign(unsigned, tmp_path / "a.sys")
    leaf = sign.embedded_certificates(signed)[0]
    assert leaf == x509.load_der_x509_certificate(sign.certificate().der)


def test_unsigned(unsigned: Path) -> None:
    assert red(unsigned) == {"signature": 577}


def test_tampered_after_signing(unsigned: Path, tmp_path: Path) -> None:
    signed = sign.sign(unsigned, tmp_path / "tampered.sys")
    data = bytearray(signed.read_bytes())
    at = pefile.PE(data=bytes(data)).sections[0].PointerToRawData + 16
    data[at] ^= 1
    signed.write_bytes(data)
    assert red(with_checksum(signed)) == {"signature": 577, "signature value": 577}


def test_tampered_signature(unsigned: Path, tmp_path: Path) -> None:
    """The digest in the signature still fits, but who signed it is a lie."""
    signed = sign.sign(unsigned, tmp_path / "forged.sys")
    data = bytearray(signed.read_bytes())
    data[-40] ^= 1  # inside the RSA value at the end of the table
    signed.write_bytes(data)
    assert "signature value" in red(with_checksum(signed))


def test_32_bit_driver(unsigned: Path, tmp_path: Path) -> None:
    narrow = tmp_path / "narrow.sys"
    data = bytearray(unsigned.read_bytes())
    header = struct.unpack_from("<I", data, 0x3C)[0]
    data[header + 4 : header + 6] = b"\x4c\x01"
    narrow.write_bytes(data)
    assert red(sign.sign(with_checksum(narrow), tmp_path / "narrow-signed.sys"))["machine"] == 193


def test_badly_linked_driver(unsigned: Path, tmp_path: Path) -> None:
    """A console program instead of a native image."""
    bad = tmp_path / "console.sys"
    data = bytearray(unsigned.read_bytes())
    header = struct.unpack_from("<I", data, 0x3C)[0]
    data[header + 24 + 68 : header + 24 + 70] = b"\x03\x00"
    bad.write_bytes(data)
    assert red(sign.sign(with_checksum(bad), tmp_path / "console-signed.sys")) == {"subsystem": 193}


def test_what_cannot_be_signed_is_told(tmp_path: Path) -> None:
    text = tmp_path / "notes.sys"
    text.write_text("not a driver")
    with pytest.raises(UsageError, match=r"notes\.sys cannot be signed"):
        sign.sign(text, tmp_path / "out.sys")
    assert not (tmp_path / "out.sys").exists()
    with pytest.raises(UsageError, match="no such driver file"):
        sign.sign(tmp_path / "none.sys", tmp_path / "out.sys")
