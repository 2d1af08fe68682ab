"""The Windows releases that can be installed, read from ``images/windows/releases.toml``; chosen by build number."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from harness import resources
from harness.errors import UsageError


def recipe() -> Path:
    """The folder with the answer file template, the scripts and the table of releases."""
    return resources.root() / "images" / "windows"


@dataclass(frozen=True, slots=True)
class Release:
    """One release.

    Args:
        name: "server-2022".
        title: as people say it.
        first_build, last_build: build numbers that belong to it.
        server: server or client.
        checks: Setup's hardware checks must be answered.
        skip_oobe: the first-logon questions need more than the documented switches.
        inbox_sshd: OpenSSH's server is on the media.
        virtio: its folder on the virtio-win ISO.
        evaluation_days: life of evaluation media after installation.
        memory_mib, vcpus, disk_gib: the machine; the disk is thin.
        peak_gib: what a build takes on the host's disk at its peak.
    """

    name: str
    title: str
    first_build: int
    last_build: int
    server: bool
    checks: bool
    skip_oobe: bool
    inbox_sshd: bool
    virtio: str
    evaluation_days: int
    memory_mib: int
    vcpus: int
    disk_gib: int
    peak_gib: int


@cache
def releases() -> tuple[Release, ...]:
    """All known releases."""
    table = tomllib.loads((recipe() / "releases.toml").read_text(encoding="utf-8"))
    return tuple(
        Release(
            name=name,
            title=row["title"],
            first_build=row["builds"][0],
            last_build=row["builds"][1],
            server=row["server"],
            checks=row["checks"],
            skip_oobe=row["skip_oobe"],
            inbox_sshd=row["inbox_sshd"],
            virtio=row["virtio"],
            evaluation_days=row["evaluation"],
            memory_mib=row["minimum"]["memory"],
            vcpus=row["minimum"]["vcpus"],
            disk_gib=row["minimum"]["disk"],
            peak_gib=row["minimum"]["peak"],
        )
        for name, row in table.items()
    )


def by_build(build: int, *, server: bool) -> Release:
    """The release that a build number belongs to.

    Raises:
        UsageError: none that is known here.
    """
    for release in releases():
        if release.first_build <= build <= release.last_build and release.server == server:
            return release
    kind = "server" if server else "client"
    known = ", ".join(release.title for release in releases())
    raise UsageError(
        f"the media hold a Windows {kind} of build {build}, which is not known here", mend=f"known: {known}"
    )
