"""Test-signs drivers with ``osslsigncode`` and the lab's certificate (made once per user), and verifies signatures.

Windows in test mode loads a kernel image signed by any certificate; the chain does not matter. The certificate is for
code signing only and no CA, since Windows was reported to refuse a self-signed CA as a signer. It lies with the user's
data, not in the cache, because images contain it and must trust drivers that are signed later. No test has shown yet
that a current Windows accepts the result; ``harness accept`` loads such a driver and reports it.
"""

from __future__ import annotations

import datetime
import fcntl
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pefile
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs7
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from harness import children
from harness.driver_build.check import ERROR_INVALID_IMAGE_HASH, Point, check
from harness.errors import LabError, UsageError
from harness.files import ownership, removal

TOOL = "osslsigncode"
MEND = "apt-get install osslsigncode"
SUBJECT = "WSK harness test signing"
YEARS = 10
_HEADER = 8  # WIN_CERTIFICATE: length, revision, type


@dataclass(frozen=True, slots=True)
class Certificate:
    """The lab's certificate.

    Args:
        pem: certificate, PEM.
        cer: certificate, DER, as Windows' certutil accepts it.
        key: private key, PEM, readable by its owner only.
    """

    pem: Path
    cer: Path
    key: Path

    @property
    def der(self) -> bytes:
        """The certificate's bytes, DER."""
        return self.cer.read_bytes()

    @property
    def made(self) -> int:
        """The beginning of its validity, in seconds since 1970."""
        return int(x509.load_der_x509_certificate(self.der).not_valid_before_utc.timestamp())

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate, in hex."""
        return x509.load_der_x509_certificate(self.der).fingerprint(hashes.SHA256()).hex()


def folder() -> Path:
    """Return the folder of the certificate, below ``XDG_DATA_HOME``."""
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "wsk-harness" / "signing"


def certificate() -> Certificate:
    """Return the lab's certificate; makes it if there is none.

    Raises:
        UsageError: its folder cannot be written.
    """
    place = folder()
    found = Certificate(place / "lab.pem", place / "lab.cer", place / "lab.key")
    try:
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        ownership.mark(place)
        with (place / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (found.pem.is_file() and found.cer.is_file() and found.key.is_file()):
                _make(found)
    except OSError as error:
        raise UsageError(f"cannot make the lab's certificate in {place}: {error.strerror}") from error
    return found


def sign(path: Path, out: Path, *, signer: Certificate | None = None) -> Path:
    """Write a signed copy of a driver; the original stays as it is.

    The signature's time is the beginning of the certificate's validity, so that a driver always gives the same bytes.

    Args:
        path: the ``.sys``, stripped (stripping later would break the signature).
        out: file to write; an existing file is replaced, but only if the same signer signed it.
        signer: certificate; the lab's by default.

    Raises:
        UsageError: ``path`` does not exist or cannot be signed, or ``out`` exists and another signer or none signed it.
        LabError: osslsigncode is missing.
    """
    if not path.is_file():
        raise UsageError(f"no such driver file: {path}")
    signer = signer or certificate()
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(out) and signer.der not in map(_der, embedded_certificates(out)):
            what = f"{out} is there already, and this lab did not sign it"
            raise UsageError(what, mend="name another folder with -o")
        with removal.scratch("harness-sign-") as folder:
            made = folder / out.name
            words = ["sign", "-h", "sha256", "-ph", "-certs", str(signer.pem.absolute())]
            words += ["-key", str(signer.key.absolute())]
            words += ["-time", str(signer.made), "-n", path.stem]
            run = _run([*words, "-in", str(path.absolute()), "-out", str(made.absolute())])
            if run.returncode or not made.is_file():
                raise UsageError(f"{path} cannot be signed: {_reason(run)}", detail=run.stdout + run.stderr)
            removal.write_whole(out, made.read_bytes())
    except OSError as error:
        raise UsageError(f"cannot write {out}: {error.strerror}") from error
    return out


def check_signed(path: Path) -> tuple[Point, ...]:
    """Check a signed driver: every point of ``harness.driver_build.check``, and those of its signature."""
    return (*check(path, signed=True), *points(path))


def points(path: Path) -> tuple[Point, ...]:
    """Check a file's signature: its value, and that the certificate is for code signing and valid now.

    Returns no points for a file without a signature.
    """
    signers = embedded_certificates(path)
    if not signers:
        return ()
    leaf = signers[0]
    return (_value(path, signers), _purpose(leaf), _validity(leaf))


def embedded_certificates(path: Path) -> list[x509.Certificate]:
    """Return the certificates in a PE file's signature; none if the file has no readable signature."""
    try:
        image = pefile.PE(str(path), fast_load=True)
    except (OSError, pefile.PEFormatError):
        return []
    directories = image.OPTIONAL_HEADER.DATA_DIRECTORY
    if len(directories) < 5 or not directories[4].Size:
        return []
    table = path.read_bytes()[directories[4].VirtualAddress :]
    length = int.from_bytes(table[:4], "little")
    try:
        return list(pkcs7.load_der_pkcs7_certificates(_without_padding(table[_HEADER:length])))
    except ValueError:
        return []


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


def _without_padding(der: bytes) -> bytes:
    """Cut the padding (to a multiple of eight bytes) behind a DER object."""
    if len(der) < 2 or der[1] < 0x80:
        return der
    count = der[1] & 0x7F
    return der[: 2 + count + int.from_bytes(der[2 : 2 + count], "big")]


def _value(path: Path, signers: list[x509.Certificate]) -> Point:
    name = "signature value"
    if children.find(TOOL) is None:
        return Point(name, False, f"{TOOL} is missing, so it cannot be proven ({MEND})")
    with removal.scratch("harness-verify-") as scratch:
        trusted = scratch / "signers.pem"  # in test mode the chain does not matter: trust every signer
        trusted.write_bytes(b"".join(one.public_bytes(serialization.Encoding.PEM) for one in signers))
        run = _run(["verify", "-CAfile", str(trusted), "-in", str(path.absolute())])
    mismatch = "MISMATCH" in run.stdout
    ok = run.returncode == 0 and not mismatch
    detail = "verified by osslsigncode" if ok else f"not verified: {'digest differs' if mismatch else _reason(run)}"
    return Point(name, ok, detail, None if ok else ERROR_INVALID_IMAGE_HASH)


def _purpose(leaf: x509.Certificate) -> Point:
    try:
        usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        ok = ExtendedKeyUsageOID.CODE_SIGNING in usage
    except x509.ExtensionNotFound:
        ok = False
    who = leaf.subject.rfc4514_string()
    detail = f"{who}, for code signing" if ok else f"{who} is not a certificate for code signing"
    return Point("signer", ok, detail, None if ok else ERROR_INVALID_IMAGE_HASH)


def _validity(leaf: x509.Certificate) -> Point:
    now = datetime.datetime.now(datetime.UTC)
    begin, end = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    return Point("signer's dates", begin <= now <= end, f"valid from {begin:%Y-%m-%d} to {end:%Y-%m-%d}")


def _make(target: Certificate) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, SUBJECT)])
    now = datetime.datetime.now(datetime.UTC)
    # The certificate must be valid in a guest whose clock is behind, such as a restored one.
    begin = (now - datetime.timedelta(days=30)).replace(microsecond=0)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(days=365 * YEARS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_signature_only(), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    form = serialization.PrivateFormat.PKCS8
    private = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    removal.remove(target.key)
    with open(os.open(target.key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(private)
    target.pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    target.cer.write_bytes(certificate.public_bytes(serialization.Encoding.DER))


def _signature_only() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _run(words: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return children.run([TOOL, *words])
    except FileNotFoundError as error:
        raise LabError(f"{TOOL} is missing", mend=MEND) from error


def _reason(run: subprocess.CompletedProcess[str]) -> str:
    lines = [line.strip() for line in (run.stderr + "\n" + run.stdout).splitlines() if line.strip()]
    wrong = [
        line for line in lines if "fail" in line.lower() or "error" in line.lower() or "unrecognized" in line.lower()
    ]
    return (wrong or lines or ["no reason given"])[0]
