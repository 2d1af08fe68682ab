"""Files of Debian packages, unpacked without root from the host's own apt sources for the host's own release."""

from __future__ import annotations

import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import children
from harness.errors import LabError, UsageError
from harness.files import removal

_MERGED = ("bin", "sbin", "lib", "lib64")  # folders that a merged /usr has as links


@dataclass(frozen=True, slots=True)
class Sources:
    """The host's apt sources, as far as they serve its own release.

    Args:
        suite: code name of the host's release ("bookworm").
        lines: one-line apt entries, in the order of the host's files.
    """

    suite: str
    lines: tuple[str, ...]


def host_sources(etc: Path = Path("/etc")) -> Sources:
    """Read the host's release and the apt sources that serve it, leaving third parties' archives out.

    Raises:
        UsageError: the host has no such release or no such source.
    """
    release = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', (etc / "os-release").read_text(), re.MULTILINE))
    suite = release.get("VERSION_CODENAME", "")
    files = [etc / "apt/sources.list", *sorted((etc / "apt/sources.list.d").glob("*"))]
    lines: list[str] = []
    for file in files:
        if file.suffix == ".sources":
            lines += _from_deb822(file.read_text())
        elif file.suffix == ".list" and file.is_file():
            lines += [line.strip() for line in file.read_text().splitlines() if line.lstrip().startswith("deb ")]
    kept = tuple(dict.fromkeys(line for line in lines if suite and _serves(line, suite)))
    if not kept:
        raise UsageError(
            f"no apt source for this host's release ({suite or 'unknown'}) in {etc}/apt",
            mend="the guest is built from Debian packages: add the release's main archive to /etc/apt/sources.list",
        )
    return Sources(suite, kept)


def unpack(
    sources: Sources, packages: Sequence[str], into: Path, wanted: Callable[[str], bool], scratch: Path
) -> tuple[str, ...]:
    """Unpack packages with all they depend on, as files only: no maintainer script runs, nothing needs root.

    Args:
        sources: where from.
        packages: names to include.
        into: folder to fill; /bin, /sbin, /lib and /lib64 end up under usr, with links.
        wanted: tells of a path inside the tree ("usr/lib/...") whether it is needed.
        scratch: folder for the time of the call.

    Returns:
        The packages' file names (name_version_architecture.deb), sorted.

    Raises:
        LabError: apt or the unpacking failed; its last lines are the detail.
    """
    tool = children.find("mmdebstrap")
    if tool is None:
        raise LabError("mmdebstrap is missing, which unpacks the guest's packages", mend="apt-get install mmdebstrap")
    listing, log = scratch / "packages", scratch / "mmdebstrap.log"
    argv = [
        tool,
        "--mode=chrootless",
        "--skip=check/chrootless",
        "--variant=extract",
        "--format=tar",
        f"--include={','.join(packages)}",
        f'--extract-hook=ls "$1/var/cache/apt/archives" > {listing}',
        sources.suite,
        "-",
        *sources.lines,
    ]
    environment = children.tool_environment({"TMPDIR": str(scratch), "LC_ALL": "C"})
    with (
        log.open("wb") as errors,
        children.start(argv, environment=environment, stdout=subprocess.PIPE, stderr=errors) as run,
    ):
        assert run.stdout is not None
        try:
            with tarfile.open(fileobj=run.stdout, mode="r|", bufsize=1 << 20) as archive:
                _fill(archive, into, wanted)
            broken = ""
        except (tarfile.TarError, OSError) as error:
            run.kill()
            broken = str(error)
    if run.returncode or broken:
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
        telling = next((line for line in lines if line.startswith("E:")), broken)
        raise LabError(
            f"cannot unpack the guest's packages from this host's apt sources: {telling}",
            mend="see that `apt-get update` works on this host",
            detail="\n".join(lines[-20:]),
        )
    return tuple(sorted(name for name in listing.read_text().split() if name.endswith(".deb")))


def _fill(archive: tarfile.TarFile, into: Path, wanted: Callable[[str], bool]) -> None:
    for name in _MERGED:
        (into / "usr" / name).mkdir(parents=True, exist_ok=True)
        (into / name).symlink_to(f"usr/{name}")
    for member in archive:
        name = member.name.removeprefix("./")
        if name.split("/")[0] in _MERGED:
            name = f"usr/{name}"
        if not (member.isreg() or member.issym() or member.islnk()) or not wanted(name):
            continue
        target = into / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if member.issym():
            removal.remove(target)
            target.symlink_to(member.linkname)
        elif member.islnk():
            origin = member.linkname.removeprefix("./")
            origin = f"usr/{origin}" if origin.split("/")[0] in _MERGED else origin
            if (into / origin).is_file():
                shutil.copy2(into / origin, target)
        else:
            source = archive.extractfile(member)
            assert source is not None
            with target.open("wb") as file:
                shutil.copyfileobj(source, file, 1 << 20)
            target.chmod(member.mode & 0o755 | 0o600)


def _from_deb822(text: str) -> list[str]:
    lines: list[str] = []
    for stanza in re.split(r"\n\s*\n", text):
        unfolded = re.sub(r"\n[ \t]+", " ", "\n".join(row for row in stanza.splitlines() if not row.startswith("#")))
        fields = {key.lower(): value.strip() for key, value in re.findall(r"^([\w-]+):[ \t]*(.*)$", unfolded, re.M)}
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() == "no":
            continue
        key = fields.get("signed-by", "")
        option = f"[signed-by={key}] " if key.startswith("/") else ""
        lines += [
            f"deb {option}{uri} {suite} {fields.get('components', '')}".rstrip()
            for uri in fields.get("uris", "").split()
            for suite in fields.get("suites", "").split()
        ]
    return lines


def _serves(line: str, suite: str) -> bool:
    """Whether an apt line is the release's own archive, or its updates or security updates."""
    words = re.sub(r"\[[^]]*\]", "", line).split()
    return len(words) > 3 and words[2] in (suite, f"{suite}-updates", f"{suite}-security") and "main" in words[3:]
