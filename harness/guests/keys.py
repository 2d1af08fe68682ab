"""SSH keys of an image: one pair to log in with, one that the guest proves itself with. Never shared between images."""

from __future__ import annotations

import base64
import os
import struct
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_TYPE = b"ssh-ed25519"


@dataclass(frozen=True, slots=True)
class KeyPair:
    """An Ed25519 key pair in the forms that SSH software reads."""

    private: Ed25519PrivateKey

    @classmethod
    def generate(cls) -> KeyPair:
        """A new pair from the host's random source."""
        return cls(Ed25519PrivateKey.generate())

    @property
    def public_line(self) -> str:
        """The public key as authorized_keys and known_hosts have it: type and base64."""
        return f"{_TYPE.decode()} {base64.b64encode(_string(_TYPE) + _string(self._public_bytes)).decode()}"

    @property
    def openssh_private(self) -> bytes:
        """The private key as an OpenSSH file."""
        encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH
        return self.private.private_bytes(encoding, form, serialization.NoEncryption())

    @property
    def dropbear_private(self) -> bytes:
        """The private key as dropbear keeps its host keys: the type, then seed and public key as one string."""
        raw = serialization.Encoding.Raw
        seed = self.private.private_bytes(raw, serialization.PrivateFormat.Raw, serialization.NoEncryption())
        return _string(_TYPE) + _string(seed + self._public_bytes)

    @property
    def _public_bytes(self) -> bytes:
        return self.private.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, from its first moment on."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)


def _string(content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + content
