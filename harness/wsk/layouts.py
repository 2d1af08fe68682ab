"""The structures, offsets and constants of ``wsksend_abi.h`` and ``wskprovider_abi.h`` (drivers/include), as tables.

``tests/unit/test_abi.py`` compiles those headers and holds everything below against them.
"""

from __future__ import annotations

import struct

from harness.errors import Failure

VERSION = 1
STATUS_SUCCESS = 0
MODE_WAIT = 1
MODE_REUSE_IRP = 2
MODE_RAISED = 4
MAX_DATAGRAM = 131072
MAX_WAIT_MS = 60000
MAX_BATCH = 64
ITEM_OPENED = 1


def _ioctl(function: int) -> int:
    return 0x8057 << 16 | 3 << 14 | function << 2


IOCTL_INFO = _ioctl(0x800)
IOCTL_ACCOUNTS = _ioctl(0x801)
IOCTL_OPEN = _ioctl(0x810)
IOCTL_CLOSE = _ioctl(0x811)
IOCTL_BIND = _ioctl(0x812)
IOCTL_GET_LOCAL_ADDRESS = _ioctl(0x813)
IOCTL_SET_OPTION = _ioctl(0x814)
IOCTL_GET_OPTION = _ioctl(0x815)
IOCTL_SET_REMOTE_ADDRESS = _ioctl(0x816)
IOCTL_SET_SENDTO_ADDRESS = _ioctl(0x817)
IOCTL_SEND = _ioctl(0x820)
IOCTL_SEND_MESSAGES = _ioctl(0x821)
IOCTL_BURST = _ioctl(0x822)
IOCTL_COLLECT = _ioctl(0x823)
IOCTL_RECEIVE = _ioctl(0x824)
IOCTL_BATCH = _ioctl(0x830)

PROVIDER_VERSION = 1
PROVIDER_MAX_RULES = 16
PROVIDER_IOCTL_FORCE = 0x8058 << 16 | 3 << 14 | 0x800 << 2
PROVIDER_IOCTL_RELENT = 0x8058 << 16 | 3 << 14 | 0x801 << 2


class Layout:
    """One structure of the header: its members in order, each with its ``struct`` code.

    Args:
        name: the structure's name in the header.
        members: (member as C writes it, ``struct`` code) pairs; alignment is explicit in the header, so none is added.
    """

    def __init__(self, name: str, *members: tuple[str, str]) -> None:
        self.name = name
        self.members = members
        self._struct = struct.Struct("<" + "".join(code for _, code in members))
        self.size = self._struct.size

    def offsets(self) -> dict[str, int]:
        """Where each member starts."""
        ends = ["<" + "".join(code for _, code in self.members[:index]) for index in range(len(self.members))]
        return {name: struct.calcsize(end) for (name, _), end in zip(self.members, ends, strict=True)}

    def pack(self, *values: int | bytes) -> bytes:
        """The structure with its members' values in order."""
        return self._struct.pack(*values)

    def unpack(self, data: bytes, offset: int = 0) -> dict[str, int | bytes]:
        """The members of the structure at ``offset``; Failure when the driver answered too little."""
        if len(data) < offset + self.size:
            raise Failure(f"the driver answered {len(data)} bytes where struct {self.name} needs {offset + self.size}")
        return dict(zip((name for name, _ in self.members), self._struct.unpack_from(data, offset), strict=True))

    def numbers(self, data: bytes, offset: int = 0) -> dict[str, int]:
        """The integer members of the structure at ``offset``."""
        return {name: value for name, value in self.unpack(data, offset).items() if isinstance(value, int)}


def _within(member: str, layout: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    return tuple((f"{member}.{name}", code) for name, code in layout)


_HEADER = (("version", "I"), ("size", "I"))
ENDPOINT_MEMBERS = (("family", "H"), ("port", "H"), ("scope_id", "I"), ("address", "16s"))
COMPLETION_MEMBERS = (
    ("returned", "I"),
    ("status", "I"),
    ("information", "Q"),
    ("completions", "I"),
    ("irql", "B"),
    ("pending_returned", "B"),
    ("in_flight", "B"),
    ("reserved", "B"),
)
_HEAD = (*_within("header", _HEADER), ("handle", "Q"))
_DONE = _within("completion", COMPLETION_MEMBERS)

REQUEST = Layout("wsksend_request", *_within("header", _HEADER))
INFO = Layout(
    "wsksend_info",
    ("abi_version", "I"),
    ("wsk_highest", "H"),
    ("wsk_lowest", "H"),
    ("wsk_status", "I"),
    ("reserved", "12s"),
)
ACCOUNTS = Layout(
    "wsksend_accounts",
    *(
        (name, "q")
        for name in (
            "irps",
            "mdls",
            "buffers",
            "sockets",
            "in_flight",
            "sends",
            "completed",
            "calls",
            "canaries",
        )
    ),
)
ENDPOINT = Layout("wsksend_endpoint", *ENDPOINT_MEMBERS)
COMPLETION = Layout("wsksend_completion", *COMPLETION_MEMBERS)
OPEN = Layout("wsksend_open", *_within("header", _HEADER), ("family", "H"), ("reserved", "H"), ("category", "I"))
OPEN_REPLY = Layout("wsksend_open_reply", *_DONE, ("handle", "Q"))
SOCKET = Layout("wsksend_socket", *_HEAD)
ADDRESS = Layout("wsksend_address", *_HEAD, *_within("endpoint", ENDPOINT_MEMBERS))
ADDRESS_REPLY = Layout("wsksend_address_reply", *_DONE, *_within("endpoint", ENDPOINT_MEMBERS))
OPTION = Layout("wsksend_option", *_HEAD, ("level", "I"), ("name", "I"), ("length", "I"), ("reserved", "I"))
OPTION_REPLY = Layout("wsksend_option_reply", *_DONE, ("length", "I"), ("reserved", "I"))
SEND = Layout(
    "wsksend_send",
    *_HEAD,
    *_within("remote", ENDPOINT_MEMBERS),
    ("flags", "I"),
    ("mode", "I"),
    ("wait_ms", "I"),
    ("buffer_count", "I"),
    ("mdl_count", "I"),
    ("control_count", "I"),
    ("control_bytes", "I"),
    ("payload_bytes", "I"),
    ("ticket", "Q"),
)
BUFFER = Layout("wsksend_buffer", ("mdl_count", "I"), ("offset", "I"), ("length", "Q"))
MDL = Layout("wsksend_mdl", ("byte_count", "I"), ("byte_offset", "I"))
CONTROL = Layout("wsksend_control", ("level", "i"), ("type", "i"), ("length", "I"), ("reserved", "I"))
SEND_REPLY = Layout("wsksend_send_reply", *_DONE, ("ticket", "Q"))
BURST = Layout(
    "wsksend_burst",
    *_HEAD,
    *_within("remote", ENDPOINT_MEMBERS),
    ("count", "I"),
    ("size", "I"),
    ("depth", "I"),
    ("interval_us", "I"),
    ("first", "Q"),
    ("wait_ms", "I"),
    ("reserved", "I"),
)
BURST_REPLY = Layout("wsksend_burst_reply", *_DONE, ("first_failed", "Q"), ("sent", "I"), ("succeeded", "I"))
COLLECT = Layout("wsksend_collect", *_HEAD, ("count", "I"), ("wait_ms", "I"))
COLLECTED = Layout("wsksend_collected", ("ticket", "Q"), *_DONE)
RECEIVE = Layout(
    "wsksend_receive",
    *_HEAD,
    ("capacity", "I"),
    ("wait_ms", "I"),
    ("mode", "I"),
    ("reserved", "I"),
    ("ticket", "Q"),
)
RECEIVE_REPLY = Layout(
    "wsksend_receive_reply", *_DONE, *_within("remote", ENDPOINT_MEMBERS), ("length", "I"), ("control_flags", "I")
)
BATCH = Layout("wsksend_batch", *_within("header", _HEADER), ("count", "I"), ("reserved", "I"))
ITEM = Layout("wsksend_item", ("code", "I"), ("length", "I"), ("capacity", "I"), ("flags", "I"))
ITEM_REPLY = Layout("wsksend_item_reply", ("status", "I"), ("length", "I"))
_VERSIONED = (("version", "I"), ("size", "I"))
FORCE = Layout(
    "wskprovider_force",
    *_VERSIONED,
    *((name, "I") for name in ("calls", "effects", "status", "delay_ms", "skip", "count")),
    ("family", "H"),
    ("port", "H"),
    ("reserved", "I"),
)
RELENT = Layout("wskprovider_relent", *_VERSIONED)
RELENTED = Layout("wskprovider_relented", ("rules", "I"), ("held", "I"), ("acted", "64s"))
LAYOUTS = tuple(value for value in list(globals().values()) if isinstance(value, Layout))
