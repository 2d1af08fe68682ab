"""The bytes of the driver's IOCTLs: operations to requests, replies to outcomes.

The interface itself is ``drivers/include/wsksend_abi.h``; ``tests/unit/test_abi.py`` compiles that header and holds
every structure, offset and constant below against it. Nothing here does I/O.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import assert_never

from harness.errors import Failure
from harness.wsk import operations as ops
from harness.wsk.types import Completion, Endpoint, Family, WskBuf

VERSION = 1
STATUS_SUCCESS = 0
MODE_WAIT = 1
MODE_REUSE_IRP = 2
MODE_RAISED = 4
MAX_DATAGRAM = 131072
MAX_WAIT_MS = 60000
SEND_WAIT_MS = 10000
BURST_WAIT_MS = 25000


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
_ENDPOINT = (("family", "H"), ("port", "H"), ("scope_id", "I"), ("address", "16s"))
_COMPLETION = (
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
_DONE = _within("completion", _COMPLETION)

REQUEST = Layout("wsksend_request", *_within("header", _HEADER))
INFO = Layout(
    "wsksend_info",
    ("abi_version", "I"),
    ("wsk_highest", "H"),
    ("wsk_lowest", "H"),
    ("wsk_status", "I"),
    ("reserved", "I"),
    ("defects", "Q"),
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
ENDPOINT = Layout("wsksend_endpoint", *_ENDPOINT)
COMPLETION = Layout("wsksend_completion", *_COMPLETION)
OPEN = Layout("wsksend_open", *_within("header", _HEADER), ("family", "H"), ("reserved", "H"), ("category", "I"))
OPEN_REPLY = Layout("wsksend_open_reply", *_DONE, ("handle", "Q"))
SOCKET = Layout("wsksend_socket", *_HEAD)
ADDRESS = Layout("wsksend_address", *_HEAD, *_within("endpoint", _ENDPOINT))
ADDRESS_REPLY = Layout("wsksend_address_reply", *_DONE, *_within("endpoint", _ENDPOINT))
OPTION = Layout("wsksend_option", *_HEAD, ("level", "I"), ("name", "I"), ("length", "I"), ("reserved", "I"))
OPTION_REPLY = Layout("wsksend_option_reply", *_DONE, ("length", "I"), ("reserved", "I"))
SEND = Layout(
    "wsksend_send",
    *_HEAD,
    *_within("remote", _ENDPOINT),
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
    *_within("remote", _ENDPOINT),
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
    "wsksend_receive_reply", *_DONE, *_within("remote", _ENDPOINT), ("length", "I"), ("control_flags", "I")
)
LAYOUTS = tuple(value for value in list(globals().values()) if isinstance(value, Layout))


@dataclass(frozen=True, slots=True)
class Request:
    """One IOCTL: its code, its input, and how many bytes of output it may bring."""

    code: int
    payload: bytes
    capacity: int


@dataclass(frozen=True, slots=True)
class Info:
    """What the driver says of itself; ``defects`` is 0 for the good driver (bits: drivers/wsksend/defects.h)."""

    abi_version: int
    wsk_highest: int
    wsk_lowest: int
    wsk_status: int
    defects: int


def _request(code: int, layout: Layout, *values: int | bytes, tail: bytes = b"", reply: int) -> Request:
    return Request(code, layout.pack(VERSION, layout.size + len(tail), *values) + tail, reply)


def _endpoint(endpoint: Endpoint | None) -> tuple[int, int, int, bytes]:
    if endpoint is None:
        return (0, 0, 0, bytes(16))
    return (endpoint.family, endpoint.port, endpoint.scope_id, endpoint.address.packed.ljust(16, b"\0"))


def _send(
    code: int,
    handle: int,
    buffers: tuple[WskBuf, ...],
    operation: ops.SendTo | ops.SendMessages,
    mode: int,
    ticket: int,
) -> Request:
    mdls = [mdl for buffer in buffers for mdl in buffer.mdls]
    control = operation.control
    data = b"".join(message.data for message in control)
    payload = b"".join(mdl.data for mdl in mdls)
    tail = b"".join(
        (
            *(BUFFER.pack(len(buffer.mdls), buffer.offset, buffer.size) for buffer in buffers),
            *(MDL.pack(len(mdl.data), mdl.byte_offset) for mdl in mdls),
            *(CONTROL.pack(message.level, message.type, len(message.data), 0) for message in control),
            data,
            payload,
        )
    )
    counts = (len(buffers), len(mdls), len(control), len(data), len(payload))
    return _request(
        code,
        SEND,
        handle,
        *_endpoint(operation.remote),
        operation.flags,
        mode,
        SEND_WAIT_MS,
        *counts,
        ticket,
        tail=tail,
        reply=SEND_REPLY.size,
    )


def encode(  # noqa: C901 - one arm for each operation of the interface
    operation: ops.Operation, handles: Mapping[int, int], ticket: int = 0, tickets: Mapping[int, int] | None = None
) -> Request:
    """The IOCTL that carries out an operation.

    Args:
        operation: anything but Load and Unload, which are the service manager's business.
        handles: the driver's handle of each socket of the plan; a socket that never opened has handle 0, which the
            driver refuses.
        ticket: names a send that nobody waits for.
        tickets: the ticket of each step that a Collect names; the step's own number by default.
    """
    handle = handles.get(getattr(operation, "socket", -1), 0)
    match operation:
        case ops.Open():
            return _request(IOCTL_OPEN, OPEN, operation.family, 0, operation.category, reply=OPEN_REPLY.size)
        case ops.Bind():
            return _request(IOCTL_BIND, ADDRESS, handle, *_endpoint(operation.local), reply=COMPLETION.size)
        case ops.GetLocalAddress():
            return _request(IOCTL_GET_LOCAL_ADDRESS, SOCKET, handle, reply=ADDRESS_REPLY.size)
        case ops.SetOption():
            head = (handle, operation.level, operation.name, len(operation.value), 0)
            return _request(IOCTL_SET_OPTION, OPTION, *head, tail=operation.value, reply=COMPLETION.size)
        case ops.GetOption():
            head = (handle, operation.level, operation.name, operation.length, 0)
            return _request(IOCTL_GET_OPTION, OPTION, *head, reply=OPTION_REPLY.size + operation.length)
        case ops.SetRemoteAddress() | ops.SetSendToAddress():
            remote = isinstance(operation, ops.SetRemoteAddress)
            code = IOCTL_SET_REMOTE_ADDRESS if remote else IOCTL_SET_SENDTO_ADDRESS
            return _request(code, ADDRESS, handle, *_endpoint(operation.remote), reply=COMPLETION.size)
        case ops.SendTo():
            mode = MODE_WAIT * operation.wait | MODE_REUSE_IRP * operation.reuse_irp
            mode |= MODE_RAISED * (operation.path is ops.SendPath.SEND_TO_FROM_DPC)
            buffers: tuple[WskBuf, ...] = (operation.buffer,)
            return _send(IOCTL_SEND, handle, buffers, operation, mode, ticket)
        case ops.SendMessages():
            return _send(IOCTL_SEND_MESSAGES, handle, operation.buffers, operation, MODE_WAIT, ticket)
        case ops.Burst():
            asked = (operation.count, operation.size, operation.depth, operation.interval_us, operation.first)
            address = _endpoint(operation.remote)
            return _request(IOCTL_BURST, BURST, handle, *address, *asked, BURST_WAIT_MS, 0, reply=BURST_REPLY.size)
        case ops.Collect():
            named = [(tickets or {}).get(step, step) for step in operation.steps]
            tail = struct.pack(f"<{len(named)}Q", *named)
            reply = COLLECTED.size * len(named)
            return _request(IOCTL_COLLECT, COLLECT, handle, len(named), SEND_WAIT_MS, tail=tail, reply=reply)
        case ops.Receive():
            wait = (operation.capacity, operation.wait_ms, MODE_WAIT, 0)
            reply = RECEIVE_REPLY.size + operation.capacity
            return _request(IOCTL_RECEIVE, RECEIVE, handle, *wait, ticket, reply=reply)
        case ops.Close():
            return _request(IOCTL_CLOSE, SOCKET, handle, reply=COMPLETION.size)
        case ops.Load() | ops.Unload():
            raise ValueError(f"{type(operation).__name__} is no IOCTL")
        case _:
            assert_never(operation)


def _completion(values: Mapping[str, int], member: str = "completion.") -> Completion:
    return Completion(
        returned=values[member + "returned"],
        status=values[member + "status"],
        information=values[member + "information"],
        completions=values[member + "completions"],
        irql=values[member + "irql"],
        pending_returned=bool(values[member + "pending_returned"]),
        in_flight=bool(values[member + "in_flight"]),
    )


def _answered(layout: Layout, member: str, data: bytes) -> Endpoint | None:
    values = layout.unpack(data)
    family, port, scope, packed = (values[f"{member}.{name}"] for name, _ in _ENDPOINT)
    assert isinstance(port, int)
    assert isinstance(scope, int)
    assert isinstance(packed, bytes)
    if family == Family.INET:
        return Endpoint(IPv4Address(packed[:4]), port)
    if family == Family.INET6:
        return Endpoint(IPv6Address(packed), port, scope)
    return None


def decode(operation: ops.Operation, status: int, data: bytes, steps: Mapping[int, int] | None = None) -> ops.Outcome:
    """What an IOCTL's reply says of the operation.

    Args:
        operation: the operation that was encoded.
        status: NTSTATUS of the IOCTL, unsigned.
        data: its output.
        steps: the step number of each ticket that a Collect names; the ticket itself by default.

    Raises:
        Failure: the reply is shorter than the interface says.
    """
    if status != STATUS_SUCCESS:
        return ops.Outcome(ioctl=status)
    match operation:
        case ops.Open():
            return ops.Outcome(completion=_completion(OPEN_REPLY.numbers(data)))
        case ops.GetLocalAddress():
            answer = ADDRESS_REPLY.numbers(data)
            return ops.Outcome(completion=_completion(answer), endpoint=_answered(ADDRESS_REPLY, "endpoint", data))
        case ops.GetOption():
            answer = OPTION_REPLY.numbers(data)
            value = data[OPTION_REPLY.size : OPTION_REPLY.size + answer["length"]]
            return ops.Outcome(completion=_completion(answer), data=value)
        case ops.SendTo() | ops.SendMessages():
            return ops.Outcome(completion=_completion(SEND_REPLY.numbers(data)))
        case ops.Burst():
            return ops.Outcome(completion=_completion(BURST_REPLY.numbers(data)))
        case ops.Receive():
            answer = RECEIVE_REPLY.numbers(data)
            received = data[RECEIVE_REPLY.size : RECEIVE_REPLY.size + answer["length"]]
            sender = _answered(RECEIVE_REPLY, "remote", data)
            return ops.Outcome(completion=_completion(answer), endpoint=sender, data=received)
        case ops.Collect():
            rows = [COLLECTED.numbers(data, COLLECTED.size * index) for index in range(len(operation.steps))]
            return ops.Outcome(
                collected={(steps or {}).get(row["ticket"], row["ticket"]): _completion(row) for row in rows}
            )
        case _:
            return ops.Outcome(completion=_completion(COMPLETION.numbers(data), ""))


def opened_handle(status: int, data: bytes) -> int:
    """The handle that an Open brought, 0 when it brought none."""
    return OPEN_REPLY.numbers(data)["handle"] if status == STATUS_SUCCESS else 0


def encode_accounts() -> Request:
    """The IOCTL that reads the driver's accounts."""
    return _request(IOCTL_ACCOUNTS, REQUEST, reply=ACCOUNTS.size)


def decode_ledger(data: bytes) -> dict[str, int]:
    """Every account by the header's name, those that ``Accounts`` leaves out included (calls, canaries)."""
    return ACCOUNTS.numbers(data)


def decode_accounts(data: bytes) -> ops.Accounts:
    """The accounts that must balance."""
    ledger = decode_ledger(data)
    return ops.Accounts(**{name: ledger[name] for name in ops.Accounts.__slots__})


def encode_info() -> Request:
    """The IOCTL that asks the driver what it is."""
    return _request(IOCTL_INFO, REQUEST, reply=INFO.size)


def decode_info(data: bytes) -> Info:
    """What the driver says of itself."""
    values = INFO.numbers(data)
    return Info(**{name: values[name] for name in Info.__slots__})
