"""The acceptance steps: each settles one statement that only a real Windows can, and says what it saw.

A step returns what it found, or raises: Failure means that Windows did otherwise than was supposed, any other error
that the lab was in the way.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pefile

from harness import nics
from harness.accept import probes
from harness.accept.rig import DEFAULT_NIC, Bench, quietly
from harness.cell.driver import SampleDriver
from harness.cell.keeper import GuestKeeper
from harness.driver_build import build as drivers
from harness.driver_build import edited, sign
from harness.errors import Failure, HarnessError, LabError
from harness.files import removal
from harness.guests import observations, services
from harness.guests.silence import noise
from harness.guests.windows import powershell, prove
from harness.guests.windows.crash import bugcheck
from harness.lab.network import DUT_NIC_MAC
from harness.wsk.operations import Outcome

SYS = "C:/harness/accept.sys"
SERVICE = "accept"
LOADS = 100
STAYS = 1052  # ERROR_INVALID_SERVICE_CONTROL
NO_UNLOAD = edited.Edit(
    "entry.c",
    "    DriverObject->DriverUnload = DriverUnload;\n",
    "    DriverObject->DriverUnload = NULL;\n",
)
SILENCE_SECONDS = 60.0
SSH_LIMIT_SECONDS = 180.0
NMI_CODE = 0x80
_BUGCHECK_SECONDS = 300.0
_FRAMES_SECONDS = 2.0
_NO_FRAMES_SECONDS = 0.7  # long enough to see one that should not come
_PLUG_SECONDS = 90.0
_EVENTS = (
    "Get-WinEvent -LogName Microsoft-Windows-CodeIntegrity/Operational -MaxEvents 5 | ForEach-Object { $_.Message }"
)


@dataclass(frozen=True, slots=True)
class Found:
    """What a step found: one line, and values for the observations."""

    detail: str
    observed: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the list."""

    id: str
    title: str
    settles: str
    run: Callable[[Bench], Found]


def image(bench: Bench) -> Found:
    """What the build recorded, of files that are still what it sealed."""
    manifest = bench.guest.image.manifest
    for name, digest in manifest["files"].items():
        with (bench.guest.image.folder / name).open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                raise LabError(f"{name} is not what was sealed", mend="build the image again")
    minutes = sum(manifest.get("seconds", {}).values()) / 60
    seen = {"minutes": round(minutes, 1), "build": manifest["build"], "facts": manifest["facts"]}
    return Found(f"{manifest['title']} {manifest['build']}, built in {minutes:.0f} minutes", {"image": seen})


def boot(bench: Bench) -> Found:
    """Cold boot to SSH."""
    bench.stop()
    bench.shell()
    seconds = bench.boot_seconds
    if seconds > SSH_LIMIT_SECONDS:
        raise Failure(f"SSH answered {seconds:.0f} s after power-on, {SSH_LIMIT_SECONDS:.0f} s were supposed")
    up = bench.guest.ready_line in bench.machine.console()
    beacon = "" if up else "; the start-up beacon did not come on COM1"
    return Found(f"SSH {seconds:.0f} s after power-on{beacon}", {"boot": {"ssh_seconds": round(seconds), "beacon": up}})


def test_mode(bench: Bench) -> Found:
    """Test signing on, Secure Boot off."""
    result = powershell.run(bench.shell(), "inventory", 300.0)
    rows = powershell.objects(result.stdout)
    if result.exit_code or not rows:
        raise Failure("the inventory script does not run", detail=result.stdout + result.stderr)
    try:
        prove.check(rows[0])
    except HarnessError as error:
        raise Failure(error.what, detail=error.detail) from error
    seen = {key: rows[0].get(key) for key in ("build", "edition", "product", "nics", "broken")}
    return Found(f"{rows[0].get('product')} {rows[0].get('build')}: test signing, no Secure Boot", {"inventory": seen})


def shell(bench: Bench) -> Found:
    """Exit codes, text, and what becomes of a session's children."""
    ssh = bench.shell()
    wrong = []
    for command, expected in (
        ("exit 7", 7),
        ("exit 1060", 1060),
        (powershell.command("exit 3"), 3),
        (powershell.command("throw 'x'"), powershell.FAILED),
        (powershell.command("cmd.exe /c exit 577"), 577),
    ):
        code = ssh.run(command).exit_code
        if code != expected:
            wrong.append(f"{command[:30]!r} gives {code}, not {expected}")
    text = "Prüfung - 検査"
    said = ssh.run(powershell.command(f"Write-Output {powershell.quote(text)}")).stdout.strip()
    if said != text:
        wrong.append(f"text comes back as {said!r}")
    bench.guest.boot_identity(ssh)
    if wrong:
        raise Failure("; ".join(wrong))
    return Found("exit codes of 32 bits and UTF-8 text arrive")


def certificate(bench: Bench) -> Found:
    """The lab's certificate in Windows' stores."""
    thumbprint = bench.guest.image.manifest["certificate"]
    script = (
        "foreach ($s in 'Root','TrustedPublisher') { Get-ChildItem Cert:\\LocalMachine\\$s | ForEach-Object { "
        "$h=[Security.Cryptography.SHA256]::Create().ComputeHash($_.RawData);"
        "$s+' '+[BitConverter]::ToString($h).Replace('-','').ToLower() } }"
    )
    said = bench.shell().run(powershell.command(script), 120.0).stdout
    absent = [store for store in ("Root", "TrustedPublisher") if f"{store} {thumbprint}" not in said]
    if absent:
        raise Failure(f"the lab's certificate is not in {' and '.join(absent)}")
    return Found("in Root and TrustedPublisher")


def signed(bench: Bench) -> Found:
    """Our driver, built with mingw-w64 and signed with osslsigncode, loads."""
    ssh = bench.shell()
    ssh.put(bench.signed_driver(), SYS)
    code = _try_load(bench)
    quietly(lambda: bench.guest.unload_driver(ssh, SERVICE))
    if code:
        events = ssh.run(powershell.command(_EVENTS), 60.0).stdout.strip()
        raise Failure(f"the signed driver does not load: {services.reason(code)}", detail=events)
    return Found("a driver of mingw-w64 and osslsigncode loads", {"signing": {"osslsigncode_sha256": True}})


def refused(bench: Bench) -> Found:
    """What Windows must refuse, it refuses with the code that `driver check` foretells."""
    ssh = bench.shell()
    good = bench.signed_driver().read_bytes()
    unsigned = drivers.build().wsksend_sys.read_bytes()
    wrong, codes = [], {}
    for name, content, expected in (
        ("tampered", _tampered(good), 577),
        ("unsigned", unsigned, 577),
        ("32-bit", _narrow(good), 193),
    ):
        ssh.put(content, SYS)
        code = _try_load(bench)
        codes[name] = code
        if code != expected:
            wrong.append(f"the {name} copy gives {code}, not {expected}")
        quietly(lambda: bench.guest.unload_driver(ssh, SERVICE))
    if wrong:
        raise Failure("; ".join(wrong))
    return Found(", ".join(f"{name}: {code}" for name, code in codes.items()), {"load_errors": codes})


def stays(bench: Bench) -> Found:
    """A driver without DriverUnload cannot be stopped; the restart that gets rid of it follows at once."""
    ssh = bench.shell()
    with removal.scratch("objects-") as temporary:
        without = edited.build((NO_UNLOAD,), edited.Objects.make(temporary), bench.folder / "without-unload")
    ssh.put(sign.sign(without, bench.folder / "stays.sys"), SYS)
    if code := _try_load(bench):
        raise Failure(f"the driver without DriverUnload does not load: {services.reason(code)}")
    stopped = services.win32_error(ssh.run(f"sc.exe stop {SERVICE}"))
    bench.restart()
    if stopped != STAYS:
        raise Failure(f"stopping a driver without DriverUnload gives {stopped}, not {STAYS}")
    return Found(f"sc.exe stop: {stopped}", {"load_errors": {"without DriverUnload": stopped}})


def loop(bench: Bench) -> Found:
    """Many loads and unloads; the driver's own books stay empty."""
    driver = bench.driver()
    driver.install()
    first = time.monotonic()
    try:
        for _ in range(LOADS):
            driver.unload()
            driver.install()
        accounts = driver.accounts()
    finally:
        quietly(driver.unload)
    seconds = (time.monotonic() - first) / LOADS
    held = accounts and any((accounts.irps, accounts.mdls, accounts.buffers, accounts.sockets))
    if held:
        raise Failure(f"the driver holds something after {LOADS} loads: {accounts}")
    return Found(f"{LOADS} loads, {seconds:.2f} s each", {"boot": {"load_seconds": round(seconds, 2)}})


def wire(bench: Bench) -> Found:
    """Statuses and frames of the probes."""
    bench.guest.configure_dut(bench.shell(), bench.site())
    driver = bench.driver()
    driver.install()
    results: dict[str, Any] = {}
    try:
        with bench.capture("wire") as capture:
            for probe in probes.PROBES:
                outcomes, act = _asking(driver, probe)
                wait = _FRAMES_SECONDS if probe.frames else _NO_FRAMES_SECONDS
                frames = capture.during(probe.name, act, max(1, probe.frames), wait)
                results[probe.name] = (outcomes, frames)
    finally:
        quietly(driver.unload)
    seen = probes.observe(results)
    if seen["calls"].get("plain") != "0x00000000" or not seen["layouts"].get("plain"):
        raise Failure("a plain datagram did not go out", detail=str(seen["calls"]))
    return Found(f"{len(results)} probes: {seen['wire']}", seen)


def _asking(driver: SampleDriver, probe: probes.Probe) -> tuple[list[Outcome], Callable[[], None]]:
    """A list, and the act that fills it with the probe's outcomes."""
    outcomes: list[Outcome] = []
    return outcomes, lambda: outcomes.extend(driver.execute(probes.plan(probe)))


def models(bench: Bench) -> Found:
    """Each NIC model: found, configured, up, and silent for a minute."""
    seen: dict[str, Any] = {}
    noisy: list[str] = []
    for name in [one for one in nics.names() if "+" not in one]:
        bench.say(f"  {name}")
        try:
            ssh = bench.shell(name)
            bench.guest.configure_dut(ssh, bench.site())
        except HarnessError as error:
            seen[name] = {"status": "absent", "reason": error.line()[:300]}
            continue
        facts = bench.guest.nic_facts
        with bench.capture(name) as capture:
            frames = capture.everything("silence", SILENCE_SECONDS)
        seen[name] = {**facts, "frames_in_silence": [frame.data[:64].hex() for frame in frames[:10]]}
        if heard := noise(frames, bytes.fromhex(DUT_NIC_MAC.replace(":", ""))):
            noisy.append(f"{name} sent {heard} in {SILENCE_SECONDS:.0f} s")
    working = [name for name, facts in seen.items() if facts.get("status") == "Up"]
    if not working:
        raise Failure("no NIC model works", detail=str(seen))
    detail = f"work: {', '.join(working)}; do not: {', '.join(sorted(set(seen) - set(working))) or 'none'}"
    if noisy:
        raise Failure(f"not silent: {'; '.join(noisy)}", detail=detail)
    return Found(detail, {"nics": seen})


def hot_plug(bench: Bench) -> Found:
    """Unplug the NIC under test and plug it in again while Windows runs."""
    ssh = bench.shell(DEFAULT_NIC)
    dut = _dut_interface(bench)
    if dut is None:
        raise LabError("the machine has no NIC under test")
    bench.machine.domain.detach(dut)
    deadline = time.monotonic() + _PLUG_SECONDS
    while _dut_interface(bench) is not None:
        if time.monotonic() > deadline:
            raise Failure(f"Windows does not let go of the NIC within {_PLUG_SECONDS:.0f} s")
        time.sleep(0.5)  # looked at again: the connection follows lifecycle events only
    bench.machine.domain.attach(dut)
    began = time.monotonic()
    bench.guest.configure_dut(ssh, bench.site())
    seconds = round(time.monotonic() - began, 1)
    return Found(f"usable {seconds} s after it was plugged in", {"boot": {"hot_plug_seconds": seconds}})


def _dut_interface(bench: Bench) -> str | None:
    """The NIC under test in the machine's XML."""
    interfaces = ET.fromstring(bench.machine.xml()).findall("devices/interface")
    texts = [ET.tostring(one, encoding="unicode") for one in interfaces]
    return next((text for text in texts if DUT_NIC_MAC in text), None)


def save(bench: Bench) -> Found:
    """Saved and restored as runs do it, memory and disk copy-on-write: it answers, as the same boot."""
    before = bench.guest.boot_identity(bench.start_saveable())
    saved, restored = bench.save_and_restore()
    if bench.guest.boot_identity(bench.shell()) != before:
        raise Failure("Windows booted anew after it was restored")
    seen = {"save_seconds": round(saved, 1), "restore_seconds": round(restored, 1)}
    return Found(f"saved in {saved:.1f} s, answers {restored:.1f} s after the restore", {observations.SAVED: seen})


def verifier(bench: Bench) -> Found:
    """Driver Verifier watches the driver through loads, and finds nothing."""
    ssh = bench.shell()
    bench.guest.set_verifier(ssh, [f"{Path(SYS).name}"])
    ssh = bench.restart()
    if not bench.guest.verified(ssh):
        raise Failure("Driver Verifier does not watch the driver after the restart")
    ssh.put(bench.signed_driver(), SYS)
    before = bench.guest.boot_identity(ssh)
    try:
        for _ in range(10):
            bench.guest.load_driver(ssh, SYS, SERVICE)
            bench.guest.unload_driver(ssh, SERVICE)
    finally:
        quietly(lambda: bench.guest.set_verifier(ssh, []))
    if bench.guest.boot_identity(ssh) != before:
        raise Failure("Windows crashed under Driver Verifier")
    bench.stop()  # the overlay with Verifier's settings goes
    return Found("10 loads under the standard checks")


def nmi(bench: Bench) -> Found:
    """An injected NMI becomes a bugcheck, a dump and an entry in the log; noticed as a session notices a crash."""
    bench.shell()
    keeper = GuestKeeper(bench.guest, bench.machine, lambda _: bench.connect(), bench.folder)
    try:
        ssh = keeper.login()
        bench.machine.domain.inject_nmi()
        if not ssh.await_end(_BUGCHECK_SECONDS):
            raise Failure("Windows goes on after an NMI", detail="NMICrashDump is not in effect")
        noticed = bench.machine.crash_notices
        crash = keeper.crash()
    finally:
        keeper.close()
    if crash is None:
        raise Failure("Windows did not restart after an NMI")
    if not crash.back:
        raise Failure(crash.line())
    bench.reconnect()
    if crash.bugcheck is None or crash.bugcheck.code != NMI_CODE:
        raise Failure(f"no bugcheck 0x80 in the log: {crash.line()}")
    if crash.dump is None:
        raise Failure(crash.line())
    size = crash.dump.stat().st_size
    seen = {"pvpanic_event": list(noticed), "bugcheck": str(crash.bugcheck), "packed_dump_bytes": size}
    return Found(f"{crash.line()}; crash device: {', '.join(noticed) or 'silent'}", {"crash": seen})


def host_dump(bench: Bench) -> Found:
    """A Windows dump taken from the host."""
    bench.shell()
    path = bench.folder / "host.dmp"
    try:
        bench.machine.dump_windows(path)
    except LabError as error:  # QEMU finds no dump header of Windows in the guest's memory
        raise Failure("no dump from the host: is the fwcfg driver in the image?", detail=error.what) from error
    with path.open("rb") as file:
        head = file.read(bugcheck.DUMP_HEADER_BYTES)
    size = path.stat().st_size
    removal.remove(path)
    if head[:8] != b"PAGEDU64":
        raise Failure("QEMU wrote a dump without a Windows header: is the fwcfg driver installed?")
    return Found(f"{size >> 20} MiB with a Windows header", {"crash": {"host_dump": True}})


STEPS: tuple[Step, ...] = (
    Step("image", "the image was built unattended", "answer file, seed, provision.ps1 and quiet.ps1; duration", image),
    Step("boot", "SSH by key within 180 s of power-on", "boot time; start-up beacon on COM1; DHCP on e1000e", boot),
    Step("test-mode", "test signing on, Secure Boot off", "bcdedit in provision.ps1; the inventory script", test_mode),
    Step("shell", "exit codes and text over SSH", "OpenSSH's exit codes and text; the encoded PowerShell", shell),
    Step("certificate", "the lab's certificate is trusted", "certutil in provision.ps1", certificate),
    Step("signed", "the signed driver loads", "osslsigncode's signature and mingw-w64's image on Windows", signed),
    Step(
        "refused", "altered and unsigned copies are refused", "the error codes that `driver check` foretells", refused
    ),
    Step("stays", "a driver without DriverUnload stays", "1052 for stopping a driver that cannot be stopped", stays),
    Step("loop", "100 loads and unloads", "WSK registration and release on Windows; leaks", loop),
    Step("wire", "statuses and frames of the probes", "statuses, TTL, DF, fragments, padding, identification", wire),
    Step("nics", "each NIC model works and is silent", "inbox drivers; dut.ps1; quiet.ps1; gratuitous ARP", models),
    Step("hot-plug", "the NIC is plugged in while it runs", "ACPI hot-plug of e1000e on q35", hot_plug),
    Step("save", "saved and restored", "Windows on virDomainSave with Hyper-V's clocks", save),
    Step(
        "verifier",
        "Driver Verifier finds nothing",
        "verifier.exe's exit codes; restarts; the driver's manners",
        verifier,
    ),
    Step("nmi", "an NMI leaves bugcheck and dump", "CrashControl; pvpanic; event 1001; fetching a dump", nmi),
    Step("host-dump", "a dump from the host", "vmcoreinfo and fwcfg with win-dmp", host_dump),
)


def _tampered(driver: bytes) -> bytes:
    """One byte of code changed, and the checksum right again, so that only the signature can tell."""
    image = pefile.PE(data=driver)
    at = image.sections[0].PointerToRawData + 64
    return _with_checksum(driver[:at] + bytes([driver[at] ^ 1]) + driver[at + 1 :])


def _narrow(driver: bytes) -> bytes:
    """The machine of the header changed to i386."""
    at = int.from_bytes(driver[0x3C:0x40], "little") + 4
    return _with_checksum(driver[:at] + b"\x4c\x01" + driver[at + 2 :])


def _with_checksum(driver: bytes) -> bytes:
    image = pefile.PE(data=driver)
    image.OPTIONAL_HEADER.CheckSum = image.generate_checksum()
    return bytes(image.write())


def _try_load(bench: Bench) -> int:
    """Create and start the service; gives the Win32 error, 0 when it runs."""
    ssh = bench.shell()
    path = SYS.replace("/", "\\")
    quietly(lambda: bench.guest.unload_driver(ssh, SERVICE))
    created = services.win32_error(
        ssh.run(f"sc.exe create {SERVICE} type= kernel start= demand error= normal binPath= {path}")
    )
    return created or services.win32_error(ssh.run(f"sc.exe start {SERVICE}"))
