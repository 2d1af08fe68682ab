"""Makes the certificates by which the hosts of one lab know each other: a folder of files for Dask's TLS.

One authority signs a certificate for the scheduler, one for the workers and one for runs. Its private key is never
written: nobody can add a host later, and new certificates mean a new folder. The folder goes to each host by a way that
the user trusts.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from harness.errors import UsageError
from harness.files import ownership, removal

AUTHORITY = "ca.pem"
ROLES = ("scheduler", "worker", "run")
VALID = timedelta(days=825)


def make(folder: Path) -> None:
    """Write ``ca.pem`` and, for each role, ``ROLE.pem`` and ``ROLE.key``; only the owner may read folder and keys.

    When one of them cannot be written, none is left, so that the same command can be given again.

    Raises:
        UsageError: the folder exists and is not empty, or cannot be made.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise UsageError(f"{folder} is not empty", mend="name a new folder for new certificates")
        with _all_or_none(folder.resolve()):
            _write_all(folder)
    except OSError as error:
        raise UsageError(f"cannot make certificates in {folder}: {error.strerror}") from error


@contextmanager
def _all_or_none(folder: Path) -> Iterator[None]:
    """Remove what was written into a folder that was empty, when it is not all that was to be written."""
    ownership.adopt_new(folder)  # nobody else has anything in it
    try:
        yield
    except BaseException:
        for name in (AUTHORITY, *(f"{role}.{kind}" for role in ROLES for kind in ("pem", "key"))):
            removal.remove(folder / name, quiet=True)
        raise
    finally:
        ownership.forget(folder)


def _write_all(folder: Path) -> None:
    authority = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "wsk-harness lab")])
    _write(folder / AUTHORITY, _certificate(name, authority, name, authority, None), 0o644)
    for role in ROLES:
        key = ec.generate_private_key(ec.SECP256R1())
        own = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"wsk-harness {role}")])
        _write(folder / f"{role}.pem", _certificate(own, key, name, authority, role), 0o644)
        form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        _write(folder / f"{role}.key", key.private_bytes(serialization.Encoding.PEM, form, plain), 0o600)


def files(folder: Path, role: str) -> tuple[Path, Path, Path]:
    """The authority's certificate, the role's, and its private key, as absolute paths.

    Raises:
        UsageError: one is missing, or others than the owner may read the key.
    """
    found = tuple(folder.absolute() / name for name in (AUTHORITY, f"{role}.pem", f"{role}.key"))
    for path in found:
        if not path.is_file():
            raise UsageError(f"{path} is missing", mend=f"harness worker --certificates {folder}")
    if found[2].stat().st_mode & 0o077:
        raise UsageError(f"others than its owner may read {found[2]}", mend=f"chmod 600 {found[2]}")
    return found[0], found[1], found[2]


def _certificate(
    name: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    signer: ec.EllipticCurvePrivateKey,
    role: str | None,
) -> bytes:
    """A certificate in PEM; that of the authority has no role."""
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))  # clocks of hosts differ
        .not_valid_after(now + VALID)
        .add_extension(x509.BasicConstraints(ca=role is None, path_length=0 if role is None else None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if role is not None:  # Dask's hosts are both: who connects and who is connected to
        uses = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        made = made.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
    return made.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _write(path: Path, content: bytes, mode: int) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
