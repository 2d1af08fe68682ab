"""Plain TCP stays on the loopback interface unless the user says otherwise; TLS needs certificates."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cryptography import x509

from harness.errors import UsageError
from harness.matrix import certificates
from harness.matrix.scheduler import parse


@pytest.mark.parametrize("text", ["tcp://192.0.2.1:8786", "192.0.2.1:8786", "tcp://[2001:db8::1]:1", "tcp://0.0.0.0:1"])
def test_plain_tcp_to_another_host_needs_a_word(text: str) -> None:
    with pytest.raises(UsageError, match="not protected") as caught:
        parse(text)
    assert "--insecure" in str(caught.value.mend)
    assert parse(text, insecure=True).protocol == "tcp"


@pytest.mark.parametrize("text", ["tcp://127.0.0.1:8786", "127.0.0.2:1", "tcp://[::1]:8786", "tcp://localhost:8786"])
def test_plain_tcp_within_this_host_needs_none(text: str) -> None:
    assert parse(text).address.startswith("tcp://")


@pytest.mark.parametrize(
    "text", ["tcp://h", "ws://127.0.0.1:1", "inproc://1", ":1", "tcp://::1:5", "127.0.0.1:65536", "127.0.0.1:²", "x y"]
)
def test_what_is_no_address_is_said(text: str) -> None:
    with pytest.raises(UsageError, match="no address of a Dask scheduler"):
        parse(text, insecure=True)


def test_tls_and_certificates_go_together(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs certificates"):
        parse("tls://192.0.2.1:1")
    with pytest.raises(UsageError, match="uses no certificates"):
        parse("tcp://127.0.0.1:1", tmp_path)
    with pytest.raises(UsageError, match=r"ca\.pem is missing"):
        parse("tls://192.0.2.1:1", tmp_path).security("run")


def test_a_worker_listens_where_it_reaches_the_scheduler() -> None:
    assert parse("tcp://127.0.0.1:8786").own_address() == "127.0.0.1"
    assert parse("tcp://[::1]:8786").own_address() == "::1"


def test_certificates_that_cannot_all_be_written_leave_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Path] = []
    write = certificates._write

    def full(path: Path, content: bytes, mode: int) -> None:
        written.append(path)
        write(path, content[:10] if len(written) == 4 else content, mode)
        if len(written) == 4:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(certificates, "_write", full)
    folder = tmp_path / "certificates"
    with pytest.raises(UsageError, match="No space left on device"):
        certificates.make(folder)
    assert list(folder.iterdir()) == []
    certificates.make(folder)
    assert len(list(folder.iterdir())) == 7
    with pytest.raises(UsageError, match="is not empty"):
        certificates.make(folder)
    assert len(list(folder.iterdir())) == 7


def test_only_the_owner_reads_keys_and_no_authority_is_left(tmp_path: Path) -> None:
    folder = tmp_path / "certificates"
    umask = os.umask(0)
    try:
        certificates.make(folder)
    finally:
        os.umask(umask)
    assert folder.stat().st_mode & 0o777 == 0o700
    keys = sorted(path.name for path in folder.glob("*.key"))
    assert keys == ["run.key", "scheduler.key", "worker.key"], "the authority's key is written nowhere"
    assert {path.stat().st_mode & 0o777 for path in folder.glob("*.key")} == {0o600}
    authority = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
    for role in certificates.ROLES:
        own = x509.load_pem_x509_certificate((folder / f"{role}.pem").read_bytes())
        own.verify_directly_issued_by(authority)
        assert not own.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        assert len(certificates.files(folder, role)) == 3
    with pytest.raises(UsageError, match="not empty"):
        certificates.make(folder)
    (folder / "run.key").chmod(0o640)
    with pytest.raises(UsageError, match="others than its owner may read"):
        certificates.files(folder, "run")
