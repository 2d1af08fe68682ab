"""The address of a Dask scheduler, and what protects the way to it: TLS, the loopback interface, or the user's word.

Whoever reaches a Dask worker can run code there. So plain TCP is used on the loopback interface alone, unless the user
says ``--insecure``, and a worker listens only on the address from which this host reaches the scheduler.
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import LabError, UsageError

if TYPE_CHECKING:
    from distributed.security import Security

_FORM = "write tls://HOST:PORT, or tcp://127.0.0.1:PORT for a scheduler of this host"


@dataclass(frozen=True, slots=True)
class Scheduler:
    """A scheduler; made by ``parse``.

    Args:
        protocol: "tcp" or "tls".
        host, port: where it listens.
        certificates: folder of ``certificates.make``; only with TLS.
    """

    protocol: str
    host: str
    port: int
    certificates: Path | None = None

    @property
    def address(self) -> str:
        """The address as Dask writes it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.protocol}://{host}:{self.port}"

    def security(self, role: str) -> Security | None:
        """Dask's settings for TLS in one of the roles of ``certificates``; ``None`` for plain TCP.

        Raises:
            UsageError: a certificate is missing, or others may read its key.
        """
        if self.certificates is None:
            return None
        from distributed.security import Security  # Dask is an extra

        from harness.matrix import certificates

        authority, certificate, key = map(str, certificates.files(self.certificates, role))
        words: dict[str, Any] = {"tls_ca_file": authority, "require_encryption": True}
        for part in ("client", "worker", "scheduler"):
            words |= {f"tls_{part}_cert": certificate, f"tls_{part}_key": key}
        return Security(**words)  # type: ignore[no-untyped-call]

    def own_address(self) -> str:
        """The address of this host from which it reaches the scheduler.

        Raises:
            LabError: there is no route, or the name has no address.
        """
        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_DGRAM)
            family, kind, number, _, there = found[0]
            with socket.socket(family, kind, number) as probe:
                probe.connect(there)  # a datagram socket sends nothing here: the kernel looks up the route
                return str(probe.getsockname()[0])
        except OSError as error:
            raise LabError(f"this host has no way to the scheduler at {self.address}: {error}") from error


def parse(text: str, certificates: Path | None = None, *, insecure: bool = False) -> Scheduler:
    """Read an address as the user wrote it.

    Raises:
        UsageError: it is no address, or the way there is neither TLS nor this host's loopback nor said to be insecure.
    """
    protocol, separator, rest = text.rpartition("://")
    protocol = protocol if separator else "tcp"
    host, colon, port = rest.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if protocol not in ("tcp", "tls") or not colon or not host or not (port.isascii() and port.isdigit()):
        raise UsageError(f"{text!r} is no address of a Dask scheduler", mend=_FORM)
    if int(port) > 65535 or (":" in host and "[" not in rest):
        raise UsageError(f"{text!r} is no address of a Dask scheduler", mend=_FORM)
    if protocol == "tls":
        if certificates is None:
            raise UsageError(f"{text} needs certificates", mend="--certificates DIR, as made by `harness worker`")
        return Scheduler(protocol, host, int(port), certificates)
    if certificates is not None:
        raise UsageError(f"{text} is plain TCP, which uses no certificates", mend=f"write tls://{rest}")
    if not insecure and not is_loopback(host):
        raise UsageError(
            f"{text} is not protected: whoever reaches a Dask worker or scheduler can run code there",
            mend="use tls:// with --certificates DIR, or say --insecure on a network of your own",
        )
    return Scheduler(protocol, host, int(port))


def is_loopback(host: str) -> bool:
    """Whether all addresses of a host are those of this host's loopback interface; a name without one is not."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_DGRAM)
    except OSError:
        return False
    return bool(found) and all(ipaddress.ip_address(str(each[4][0]).split("%")[0]).is_loopback for each in found)
