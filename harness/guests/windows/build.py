"""The order of a Windows image build: look at the media, write the seed, install, prove, seal; resumable.

``prepare`` and ``seal`` run in the caller's process, the machine in a worker with namespaces of its own. A build's
folder stays until it is sealed; what it is made of is digested, and a build of something else under the same name
starts anew.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import shutil
import string
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from harness import __version__, children, errors, resources
from harness.driver_build import sign
from harness.errors import HarnessError, LabError, UsageError
from harness.files import ownership, removal
from harness.guests import cache, keys
from harness.guests.windows import answer as answers
from harness.guests.windows import machine as hardware
from harness.guests.windows import media, packages, prove
from harness.guests.windows import seed as seeds
from harness.guests.windows.job import Job
from harness.guests.windows.media import Edition
from harness.guests.windows.phases import Deadlines
from harness.guests.windows.releases import Release, recipe
from harness.guests.windows.state import State, Workplace, builds

BASE, VARS, KEY, SECRETS = "base.qcow2", "vars.fd", "ssh_key", "secrets.json"
KIND = "windows"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,30}")
_RESERVED = ("wine",)

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Request:
    """What a user asked for.

    Args:
        name: of the guest, "ws2022".
        iso: Windows media.
        virtio_iso: virtio-win ISO, for NetKVM.
        openssh: Win32-OpenSSH package, where Windows has none.
        edition: name, title, edition id or index; empty when the media have one edition only.
        product_key: for media that are not for evaluation.
        train: NIC models to show to the image once.
        patience: factor for every deadline.
        memory_mib: in place of the release's.
        uefi: UEFI without Secure Boot; otherwise BIOS.
        restart: forget an interrupted build and start anew.
        deadlines: of the phases.
    """

    name: str
    iso: Path
    virtio_iso: Path | None = None
    openssh: Path | None = None
    edition: str = ""
    product_key: str = ""
    train: tuple[str, ...] = ()
    patience: float = 1.0
    memory_mib: int | None = None
    uefi: bool = True
    restart: bool = False
    deadlines: Deadlines = field(default_factory=Deadlines)


@dataclass(frozen=True, slots=True)
class Plan:
    """A request whose media were looked at and found right."""

    request: Request
    edition: Edition
    release: Release
    ssh: packages.Ssh | None

    @property
    def place(self) -> Workplace:
        """The build's folder."""
        return Workplace(builds() / self.request.name)


def build(request: Request, say: Say) -> cache.Entry:
    """Build an image, or go on with one that was interrupted.

    Raises:
        UsageError: wrong media, edition, package or name.
        LabError: no space, a missing tool, a phase that took too long or failed.
    """
    plan = look(request)
    edition = plan.edition
    say(f"{edition.title}, build {edition.build}.{edition.revision}, {edition.language}")
    if edition.language != "en-US":
        say("the media are not en-US: QEMU 6.2 to 8.1 lose NICs then (kvm-guest-drivers-windows issue 750)")
    state = prepare(plan, say)
    if not state.proven:
        _run_worker(_job(plan), say)
    return seal(plan, say)


def look(request: Request) -> Plan:
    """Check everything that can be checked before anything is written; see ``build`` for the errors."""
    if not _NAME.fullmatch(request.name) or request.name in _RESERVED:
        raise UsageError(f"{request.name!r} cannot name a guest", mend="small letters, digits, . _ -; not `wine`")
    found = media.inspect(request.iso)
    edition = found.choose(request.edition)
    release = media.release_of(edition)
    if edition.evaluation and request.product_key:
        raise UsageError("evaluation media take no product key: Setup would find no edition for it")
    ssh = packages.openssh(request.openssh, release)
    if request.virtio_iso is not None:
        packages.virtio_drivers(request.virtio_iso, release)
    return Plan(request, edition, release, ssh)


def prepare(plan: Plan, say: Say) -> State:
    """Make the build's folder with seed and secrets, unless an interrupted build of the same is there."""
    place = plan.place
    inputs, hashes = _inputs(plan, say)
    state = place.load()
    if state is not None and state.inputs == inputs and not plan.request.restart and place.seed.is_file():
        done = (
            "is proven" if state.proven else "is installed" if state.installed else f"was started {state.boots} times"
        )
        say(f"going on with the build in {place.folder}: the image {done}")
        return state
    if state is not None:
        say("starting anew" if plan.request.restart else "the interrupted build was of something else: starting anew")
    ownership.claim_cache(place.folder.parent, resources.cache())
    removal.remove(place.folder, quiet=True)
    _require_space(place.folder.parent, plan.release)
    place.folder.mkdir(parents=True, mode=0o700)
    pair = keys.KeyPair.generate()
    keys.write_private(place.login_key, pair.openssh_private)
    password = new_password()
    keys.write_private(place.folder / SECRETS, json.dumps({"Administrator": password}).encode())
    request = plan.request
    answer = answers.for_edition(
        plan.edition,
        plan.release,
        name=request.name,
        password=password,
        product_key=request.product_key,
        uefi=request.uefi,
    )
    drivers = packages.virtio_drivers(request.virtio_iso, plan.release) if request.virtio_iso else {}
    say("writing the seed")
    seeds.write(seeds.Seed(answer, pair.public_line, sign.certificate().der, plan.ssh, drivers), place.seed)
    hashes["packages"] = ",".join(sorted({path.partition("/")[0] for path in drivers}))
    (place.folder / "inputs.json").write_text(json.dumps(hashes, indent=1))
    state = State(inputs)
    place.save(state)
    return state


def seal(plan: Plan, say: Say) -> cache.Entry:
    """Make the finished image of a proven build, and forget the build's folder."""
    place, request = plan.place, plan.request
    state = place.load()
    if state is None or not state.proven:
        raise LabError("the build is not finished, so it cannot be sealed")
    say("sealing")
    began = time.monotonic()
    with cache.lock(say), cache.building() as folder:
        out = folder / "out"
        out.mkdir(mode=0o700)
        prove.flatten(place, state, str(out / BASE))
        if request.uefi:
            shutil.copyfile(place.saved_vars(state.boots), out / VARS)
        for name in (KEY, SECRETS):
            keys.write_private(out / name, (place.folder / name).read_bytes())
        shutil.copyfile(place.console, out / "console.log")
        for file in (out / BASE, out / VARS):
            if file.exists():
                file.chmod(0o400)  # guests run on overlays; nothing may write below them
        state = state.with_seconds("seal", time.monotonic() - began)
        entry = cache.publish(out, request.name, _manifest(plan, state, out))
    removal.remove(place.folder)
    say(f"image {request.name}: {entry.size / 1e9:.1f} GB in {entry.folder}")
    return entry


def _manifest(plan: Plan, state: State, out: Path) -> dict[str, Any]:
    edition, request = plan.edition, plan.request
    hashes = json.loads((plan.place.folder / "inputs.json").read_text())
    now = datetime.now(UTC)
    expires = (now + timedelta(days=plan.release.evaluation_days)) if edition.evaluation else None
    return {
        "guest": request.name,
        "kind": KIND,
        "key": state.inputs[:16],
        "inputs": state.inputs,
        "release": plan.release.name,
        "title": edition.title,
        "edition": edition.edition_id,
        "build": state.facts.get("build", f"{edition.build}.{edition.revision}"),
        "language": edition.language,
        "evaluation": edition.evaluation,
        "expires": expires.strftime("%Y-%m-%d") if expires else None,
        "host_public_key": state.facts["hostkey"],
        "user": prove.USER,
        "uefi": request.uefi,
        "machine": hardware.MACHINE,
        "domain": f"install-{plan.place.folder.name}",
        "memory_mib": request.memory_mib or plan.release.memory_mib,
        "certificate": sign.certificate().fingerprint,
        "media": hashes,
        "files": {name: _sha256(out / name) for name in (BASE, VARS) if (out / name).exists()},
        "facts": state.facts,
        "inventory": state.inventory,
        "seconds": state.seconds,
        "notes": list(state.notes),
        "harness": __version__,
        "built": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def _inputs(plan: Plan, say: Say) -> tuple[str, dict[str, str]]:
    """Digest of all that goes into the image, and the digests of the files that the user gave."""
    request = plan.request
    given = {"iso": request.iso, "virtio_iso": request.virtio_iso, "openssh": request.openssh}
    say("hashing the media")
    hashes = {name: _sha256(path) for name, path in given.items() if path is not None}
    own = {path.name: _sha256(path) for path in sorted(recipe().iterdir()) if path.is_file()}
    parts = {
        "files": hashes,
        "names": {name: path.name for name, path in given.items() if path is not None},
        "recipe": own,
        "edition": plan.edition.index,
        "certificate": sign.certificate().fingerprint,
        "uefi": request.uefi,
        "machine": hardware.MACHINE,
        "product_key": hashlib.sha256(request.product_key.encode()).hexdigest(),
    }
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    names = {f"{name}_name": path.name for name, path in given.items() if path is not None}
    return digest, {**{f"{name}_sha256": value for name, value in hashes.items()}, **names}


def _require_space(folder: Path, release: Release) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise LabError(
            f"cannot make {folder}: {error.strerror}", mend="set XDG_CACHE_HOME to a folder of yours"
        ) from error
    needed = release.peak_gib << 30
    if free < needed:
        raise LabError(
            f"too little disk: {release.title} takes {release.peak_gib} GiB while it is built, "
            f"{free / (1 << 30):.0f} GiB are free in {folder}",
            mend="free some, or set XDG_CACHE_HOME to a folder on a larger file system",
        )


def _job(plan: Plan) -> Job:
    request = plan.request
    return Job(
        folder=plan.place.folder.absolute(),
        release=plan.release.name,
        media=request.iso.absolute(),
        train=request.train,
        patience=request.patience,
        deadlines=request.deadlines,
        memory_mib=request.memory_mib,
        uefi=request.uefi,
    )


def _run_worker(job: Job, say: Say) -> None:
    """Run the machine's part; what the worker raised is raised again here."""
    from harness.lab import namespace

    path = job.folder / "job.json"
    path.write_text(job.to_json(), encoding="utf-8")
    argv = namespace.command(children.python("harness.guests.windows.worker", str(path)))
    error: dict[str, str] = {}
    with (job.folder / "worker.log").open("wb") as log:
        worker = children.start_worker(argv, stderr=log)
        try:
            assert worker.stdout is not None
            for line in worker.stdout:
                event = json.loads(line)
                error = event.get("error", error)
                if "say" in event:
                    say(event["say"])
            code = worker.wait()
        except BaseException:
            worker.kill()
            worker.wait()
            say("interrupted; the same command goes on where it stopped")
            raise
    if error:
        raise _raised(error)
    if code:
        tail = (job.folder / "worker.log").read_text(errors="replace").splitlines()[-5:]
        raise LabError(f"the process that runs the machine ended ({code})", detail="\n".join(tail))


def _raised(error: dict[str, str]) -> HarnessError:
    kind: type[HarnessError] = {"UsageError": UsageError, "Failure": errors.Failure}.get(error["kind"], LabError)
    return kind(error["what"], mend=error["mend"], detail=error["detail"])


def new_password() -> str:
    """A password that Windows' rules accept and that needs no care in XML or on a keyboard."""
    letters = string.ascii_letters + string.digits
    return "Aa1-" + "".join(secrets.choice(letters) for _ in range(20))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
