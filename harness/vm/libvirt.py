"""Everything that is said to libvirt: connection, domains, events; the only module that imports libvirt.

Inside a lab the connection is ``qemu:///embed``: libvirt's QEMU driver in this process, no daemon, state on the lab's
tmpfs. Any other URI (``qemu:///system``, ``qemu+ssh://...``) goes to that libvirt; bridges must then exist there.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from xml.etree import ElementTree as ET

from harness.errors import LabError
from harness.lab import namespace
from harness.vm import emulator

# libvirt reads this once, when it is loaded, and would chatter on standard error otherwise.
_LOG = namespace.WORK / "libvirt.log" if namespace.is_inside() else Path(os.devnull)
os.environ.setdefault("LIBVIRT_LOG_OUTPUTS", f"3:file:{_LOG}")
import libvirt  # noqa: E402

QEMU_CONF = """\
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
namespaces = []
cgroup_controllers = []
stdio_handler = "file"
"""
"""QEMU is started as root and gives that up by itself (``harness.vm.confine``). No ownership changes (they need trusted
xattrs), no cgroups, no logging daemon: user namespaces lack them all."""


_QEMU_USERS = ("libvirt-qemu", "qemu", "kvm")
"""Whom distributions let libvirt run QEMU as; these names must resolve although the configuration says root."""


class Event(Enum):
    """What became of a domain, in words that a report may use."""

    STARTED = "started"
    SUSPENDED = "suspended"
    RESUMED = "resumed"
    SHUT_DOWN = "shut itself down"
    DESTROYED = "destroyed"
    CRASHED = "crashed"
    CRASH_LOADED = "crashed and writes its own dump"
    SAVED = "saved"
    FAILED = "QEMU failed"
    OTHER = "other"


_STOPPED = {
    libvirt.VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN: Event.SHUT_DOWN,
    libvirt.VIR_DOMAIN_EVENT_STOPPED_DESTROYED: Event.DESTROYED,
    libvirt.VIR_DOMAIN_EVENT_STOPPED_CRASHED: Event.CRASHED,
    libvirt.VIR_DOMAIN_EVENT_STOPPED_SAVED: Event.SAVED,
    libvirt.VIR_DOMAIN_EVENT_STOPPED_FAILED: Event.FAILED,
}
_EVENTS = {
    libvirt.VIR_DOMAIN_EVENT_STARTED: Event.STARTED,
    libvirt.VIR_DOMAIN_EVENT_SUSPENDED: Event.SUSPENDED,
    libvirt.VIR_DOMAIN_EVENT_RESUMED: Event.RESUMED,
    libvirt.VIR_DOMAIN_EVENT_CRASHED: Event.CRASHED,
}

_loop_lock = threading.Lock()
_loop_runs = False


def cache_folder() -> Path:
    """Where libvirt's knowledge of QEMU's capabilities is kept from run to run (probing QEMU takes seconds)."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "wsk-harness" / "libvirt"


def embedded_uri() -> str:
    """Prepare the embedded driver's root folder in the lab and give the URI to open.

    Raises:
        LabError: not inside a lab.
    """
    if not namespace.is_inside():
        raise LabError("libvirt's embedded driver needs a lab of its own", mend="give a libvirt URI in harness.toml")
    root = namespace.WORK / "libvirt"
    (root / "etc").mkdir(parents=True, exist_ok=True)
    (root / "etc" / "qemu.conf").write_text(QEMU_CONF)
    cache_folder().mkdir(parents=True, exist_ok=True)
    _name_users()
    if not (root / "cache").is_symlink():
        (root / "cache").symlink_to(cache_folder(), target_is_directory=True)
    _search_first(emulator.confined(cache_folder()))
    return f"qemu:///embed?root={root}"


def _search_first(folder: Path) -> None:
    """Let libvirt, which looks for emulators by ``PATH``, find those of a folder."""
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    os.environ["PATH"] = os.pathsep.join([str(folder), *(other for other in folders if other != str(folder))])


def _name_users() -> None:
    """Give the lab the names of users and groups that libvirt's build insists on, as names of root.

    The package that makes them comes with a daemon that the harness does not need. Only the lab sees the change.
    """
    for file, entry in (("passwd", "{}:x:0:0::/:/usr/sbin/nologin"), ("group", "{}:x:0:")):
        path = Path("/etc") / file
        text = path.read_text()
        missing = [name for name in _QEMU_USERS if f"\n{name}:" not in text]
        if missing:
            own = namespace.WORK / file
            own.write_text(text.rstrip("\n") + "\n" + "".join(entry.format(name) + "\n" for name in missing))
            own.chmod(0o644)
            namespace.mount(str(own), str(path), None, namespace.MS_BIND)


def _run_loop() -> None:
    """Register libvirt's event loop and run it, once for the process; must precede the first connection."""
    global _loop_runs
    with _loop_lock:
        if _loop_runs:
            return
        libvirt.registerErrorHandler(lambda _context, _error: None, None)  # errors are raised, not printed
        libvirt.virEventRegisterDefaultImpl()

        def run() -> None:
            while True:
                libvirt.virEventRunDefaultImpl()

        threading.Thread(target=run, name="libvirt-events", daemon=True).start()
        _loop_runs = True


class Domain:
    """A running domain."""

    def __init__(self, connection: Connection, handle: Any) -> None:  # noqa: ANN401 (libvirt has no types)
        self._connection = connection
        self._handle = handle
        self.uuid: str = handle.UUIDString()
        self.name: str = handle.name()

    def xml(self) -> str:
        """The XML that libvirt made of the one it was given: every default written out."""
        return str(self._do("describe", self._handle.XMLDesc))

    def is_running(self) -> bool:
        """Whether the guest runs now."""
        try:
            state, _ = self._handle.state()
        except libvirt.libvirtError:
            return False  # a domain that was not defined ceases to exist when it stops
        return bool(state == libvirt.VIR_DOMAIN_RUNNING)

    def destroy(self) -> None:
        """End QEMU at once; nothing to do when it has ended."""
        try:
            self._handle.destroy()
        except libvirt.libvirtError as error:
            if error.get_error_code() not in (libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID):
                raise LabError(f"cannot end {self.name}: {error}") from error

    def save(self, path: Path) -> None:
        """Save memory and devices to a file and end QEMU (virDomainSave)."""
        self._do("save", self._handle.save, str(path))

    def shutdown(self) -> None:
        """Press the power button (ACPI)."""
        self._do("shut down", self._handle.shutdown)

    def press(self, *keys: int) -> None:
        """Press keys at once and let them go; Linux key codes (28 is Enter)."""
        self._do("press a key of", self._handle.sendKey, libvirt.VIR_KEYCODE_SET_LINUX, 50, list(keys), len(keys), 0)

    def screenshot(self) -> bytes:
        """What the screen shows, as a PPM or PNG image."""
        stream = self._do("take a screenshot of", self._connection.new_stream)
        image = bytearray()

        def keep(_stream: object, data: bytes, _opaque: object) -> int:
            image.extend(data)
            return len(data)

        self._do("take a screenshot of", self._handle.screenshot, stream, 0, 0)
        self._do("take a screenshot of", stream.recvAll, keep, None)
        self._do("take a screenshot of", stream.finish)
        return bytes(image)

    def disk_written(self, target: str) -> int:
        """Bytes that the guest has written to a disk ("sda") since it was started."""
        return int(self._do("measure", self._handle.blockStats, target)[3])

    def inject_nmi(self) -> None:
        """Raise a non-maskable interrupt: a Windows that is set up for it stops with bugcheck 0x80."""
        self._do("inject an NMI into", self._handle.injectNMI)

    def dump_windows(self, path: Path) -> None:
        """Write the guest's memory as a Windows dump; needs the guest's fwcfg driver."""
        form, flags = libvirt.VIR_DOMAIN_CORE_DUMP_FORMAT_WIN_DMP, libvirt.VIR_DUMP_MEMORY_ONLY
        self._do("dump", self._handle.coreDumpWithFormat, str(path), form, flags)

    def attach(self, device_xml: str) -> None:
        """Plug a device in while the guest runs."""
        self._do("plug a device into", self._handle.attachDeviceFlags, device_xml, libvirt.VIR_DOMAIN_AFFECT_LIVE)

    def change(self, device_xml: str) -> None:
        """Change a device while the guest runs: the medium of a drive, the link of a NIC."""
        self._do("change a device of", self._handle.updateDeviceFlags, device_xml, libvirt.VIR_DOMAIN_AFFECT_LIVE)

    def detach(self, device_xml: str) -> None:
        """Ask the guest to let go of a device; it may take its time, or refuse."""
        self._do("unplug a device from", self._handle.detachDeviceFlags, device_xml, libvirt.VIR_DOMAIN_AFFECT_LIVE)

    def resident_bytes(self) -> int:
        """Resident memory of the QEMU process in bytes."""
        statistics = self._do("measure", self._handle.memoryStats)
        return int(statistics.get("rss", 0)) * 1024

    def _do(self, verb: str, call: Callable[..., Any], *arguments: object) -> Any:  # noqa: ANN401
        try:
            return call(*arguments)
        except libvirt.libvirtError as error:
            raise LabError(f"cannot {verb} {self.name}: {error}") from error


class Connection:
    """A connection to libvirt while the context lasts.

    Args:
        uri: libvirt URI; empty opens the embedded driver of the lab.

    Raises:
        LabError: libvirt refused.
    """

    def __init__(self, uri: str = "") -> None:
        self.uri = uri or embedded_uri()
        self._embedded = not uri
        self._listeners: dict[str, Callable[[Event], None]] = {}
        _run_loop()
        try:
            self._handle: Any = libvirt.open(self.uri)
            self._registration = self._handle.domainEventRegisterAny(
                None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._dispatch, None
            )
        except libvirt.libvirtError as error:
            raise LabError(f"cannot connect to libvirt at {self.uri}: {error}", mend="harness doctor") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; domains that it started on another libvirt end with it."""
        self._handle.domainEventDeregisterAny(self._registration)
        self._handle.close()

    def versions(self) -> dict[str, str]:
        """Versions of libvirt and QEMU, for the results."""
        numbers = {"libvirt": self._handle.getLibVersion(), "qemu": self._handle.getVersion()}
        return {name: f"{n // 1_000_000}.{n // 1000 % 1000}.{n % 1000}" for name, n in numbers.items()}

    def create(self, xml: str, uuid: str, listener: Callable[[Event], None]) -> Domain:
        """Start a domain that exists only while it runs.

        Args:
            xml: the domain.
            uuid: its UUID, as in the XML.
            listener: called with each event of the domain, on libvirt's event thread.

        Raises:
            LabError: libvirt or QEMU refused.
        """
        flags = 0 if self._embedded else libvirt.VIR_DOMAIN_START_AUTODESTROY
        return self._start("start the guest", uuid, listener, lambda: self._handle.createXML(xml, flags))

    def firmware_of(self, path: Path) -> Path:
        """The UEFI firmware of a domain that ``Domain.save`` wrote: libvirt chose it as the domain was started.

        Raises:
            LabError: the file is no saved domain, or one without UEFI.
        """
        try:
            saved = ET.fromstring(self._handle.saveImageGetXMLDesc(str(path), 0))
        except (libvirt.libvirtError, ET.ParseError) as error:
            raise LabError(f"libvirt cannot read the saved guest {path}: {error}") from error
        loader = saved.findtext("os/loader")
        if not loader:
            raise LabError(f"the saved guest {path} has no UEFI firmware")
        return Path(loader)

    def restore(self, path: Path, xml: str, uuid: str, listener: Callable[[Event], None]) -> Domain:
        """Start a domain from a file that ``Domain.save`` wrote, with ``xml`` in place of the saved one.

        Raises:
            LabError: libvirt or QEMU refused.
        """

        def call() -> Any:  # noqa: ANN401
            self._handle.restoreFlags(str(path), xml, 0)
            return self._handle.lookupByUUIDString(uuid)

        return self._start("restore the guest", uuid, listener, call)

    def new_stream(self) -> Any:  # noqa: ANN401 (libvirt has no types)
        """A stream of the connection."""
        return self._handle.newStream(0)

    def forget(self, uuid: str) -> None:
        """Stop telling of a domain's events."""
        self._listeners.pop(uuid, None)

    def _start(self, what: str, uuid: str, listener: Callable[[Event], None], call: Callable[[], Any]) -> Domain:
        self._listeners[uuid] = listener
        try:
            return Domain(self, call())
        except libvirt.libvirtError as error:
            del self._listeners[uuid]
            raise LabError(f"libvirt could not {what}: {error}") from error

    def _dispatch(self, _connection: object, domain: Any, event: int, detail: int, _opaque: object) -> None:  # noqa: ANN401
        listener = self._listeners.get(domain.UUIDString())
        if listener is None:
            return
        if event == libvirt.VIR_DOMAIN_EVENT_STOPPED:
            listener(_STOPPED.get(detail, Event.OTHER))
        elif event == libvirt.VIR_DOMAIN_EVENT_CRASHED and detail == libvirt.VIR_DOMAIN_EVENT_CRASHED_CRASHLOADED:
            listener(Event.CRASH_LOADED)
        else:
            listener(_EVENTS.get(event, Event.OTHER))
