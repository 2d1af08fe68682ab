"""The bytes of the driver's IOCTLs: operations to requests, replies to outcomes.

The interface itself is ``drivers/include/wsksend_abi.h``; ``layouts`` is generated from it. Nothing here does I/O.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import assert_never

from harness.wsk import layouts
from harness.wsk import operations as ops
from harness.wsk.layout import Layout
from harness.wsk.types import Completion, Endpoint, Family, WskBuf

SEND_WAIT_MS = 10000
BURST_WAIT_MS = 25000


DEVICE_WSKSEND = 0
DEVICE_PROVIDER = 1


@dataclass(frozen=True, slots=True)
class Request:
    """One IOCTL: its code, its input, how many bytes of output it may bring, and the device it is for."""

    code: int
    payload: bytes
    capacity: int
    device: int = DEVICE_WSKSEND


@dataclass(frozen=True, slots=True)
class Info:
    """What the driver answers to INFO: its version of the interface, and the versions of WSK that it found."""

    abi_version: int
    wsk_highest: int
    wsk_lowest: int
    wsk_status: int


def _request(code: int, layout: Layout, *values: int | bytes, tail: bytes = b"", reply: int) -> Request:
    return Request(code, layout.pack(layouts.VERSION, layout.size + len(tail), *values) + tail, reply)


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
            *(layouts.BUFFER.pack(len(buffer.mdls), buffer.offset, buffer.size) for buffer in buffers),
            *(layouts.MDL.pack(len(mdl.data), mdl.byte_offset) for mdl in mdls),
            *(layouts.CONTROL.pack(message.level, message.type, len(message.data), 0) for message in control),
            data,
            payload,
        )
    )
    counts = (len(buffers), len(mdls), len(control), len(data), len(payload))
    return _request(
        code,
        layouts.SEND,
        handle,
        *_endpoint(operation.remote),
        operation.flags,
        mode,
        SEND_WAIT_MS,
        *counts,
        ticket,
        tail=tail,
        reply=layouts.SEND_REPLY.size,
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
            return _request(
                layouts.IOCTL_OPEN, layouts.OPEN, operation.family, 0, operation.category, reply=layouts.OPEN_REPLY.size
            )
        case ops.Bind():
            return _request(
                layouts.IOCTL_BIND, layouts.ADDRESS, handle, *_endpoint(operation.local), reply=layouts.COMPLETION.size
            )
        case ops.GetLocalAddress():
            return _request(layouts.IOCTL_GET_LOCAL_ADDRESS, layouts.SOCKET, handle, reply=layouts.ADDRESS_REPLY.size)
        case ops.SetOption():
            head = (handle, operation.level, operation.name, len(operation.value), 0)
            return _request(
                layouts.IOCTL_SET_OPTION, layouts.OPTION, *head, tail=operation.value, reply=layouts.COMPLETION.size
            )
        case ops.GetOption():
            head = (handle, operation.level, operation.name, operation.length, 0)
            return _request(
                layouts.IOCTL_GET_OPTION, layouts.OPTION, *head, reply=layouts.OPTION_REPLY.size + operation.length
            )
        case ops.SetRemoteAddress() | ops.SetSendToAddress():
            remote = isinstance(operation, ops.SetRemoteAddress)
            code = layouts.IOCTL_SET_REMOTE_ADDRESS if remote else layouts.IOCTL_SET_SENDTO_ADDRESS
            return _request(code, layouts.ADDRESS, handle, *_endpoint(operation.remote), reply=layouts.COMPLETION.size)
        case ops.SendTo():
            mode = layouts.MODE_WAIT * operation.wait | layouts.MODE_REUSE_IRP * operation.reuse_irp
            mode |= layouts.MODE_RAISED * (operation.path is ops.SendPath.SEND_TO_FROM_DPC)
            buffers: tuple[WskBuf, ...] = (operation.buffer,)
            return _send(layouts.IOCTL_SEND, handle, buffers, operation, mode, ticket)
        case ops.SendMessages():
            return _send(layouts.IOCTL_SEND_MESSAGES, handle, operation.buffers, operation, layouts.MODE_WAIT, ticket)
        case ops.Burst():
            asked = (operation.count, operation.size, operation.depth, operation.interval_us, operation.first)
            address = _endpoint(operation.remote)
            return _request(
                layouts.IOCTL_BURST,
                layouts.BURST,
                handle,
                *address,
                *asked,
                BURST_WAIT_MS,
                0,
                reply=layouts.BURST_REPLY.size,
            )
        case ops.Collect():
            named = [(tickets or {}).get(step, step) for step in operation.steps]
            tail = struct.pack(f"<{len(named)}Q", *named)
            reply = layouts.COLLECTED.size * len(named)
            return _request(
                layouts.IOCTL_COLLECT, layouts.COLLECT, handle, len(named), SEND_WAIT_MS, tail=tail, reply=reply
            )
        case ops.Receive():
            wait = (operation.capacity, operation.wait_ms, layouts.MODE_WAIT, 0)
            reply = layouts.RECEIVE_REPLY.size + operation.capacity
            return _request(layouts.IOCTL_RECEIVE, layouts.RECEIVE, handle, *wait, ticket, reply=reply)
        case ops.Close():
            return _request(layouts.IOCTL_CLOSE, layouts.SOCKET, handle, reply=layouts.COMPLETION.size)
        case ops.Ioctl():
            payload = operation.payload
            if operation.socket is not None:  # every request has its handle behind the header
                payload = payload[:8] + struct.pack("<Q", handle) + payload[16:]
            return Request(operation.code, payload, operation.capacity)
        case ops.Force() | ops.Relent():
            return encode_provider(operation)
        case ops.Load() | ops.Unload() | ops.PeerSend():
            raise ValueError(f"{type(operation).__name__} is no IOCTL")
        case _:
            assert_never(operation)


def encode_provider(operation: ops.Force | ops.Relent, local: Endpoint | None = None) -> Request:
    """The IOCTL that tells the provider how to behave; ``local`` is the address of the socket that a rule is about."""
    if isinstance(operation, ops.Relent):
        code, reply = layouts.PROVIDER_IOCTL_RELENT, layouts.RELENTED.size
        payload = layouts.RELENT.pack(layouts.PROVIDER_VERSION, layouts.RELENT.size)
    else:
        code, reply = layouts.PROVIDER_IOCTL_FORCE, 0
        what = (operation.calls, operation.effects, operation.status, operation.delay_ms, operation.skip)
        where = (local.family, local.port) if local is not None else (0, 0)
        payload = layouts.FORCE.pack(layouts.PROVIDER_VERSION, layouts.FORCE.size, *what, operation.count, *where, 0)
    return Request(code, payload, reply, DEVICE_PROVIDER)


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
    family, port, scope, packed = (values[f"{member}.{name}"] for name, _ in layouts.ENDPOINT.members)
    assert isinstance(port, int)
    assert isinstance(scope, int)
    assert isinstance(packed, bytes)
    if family == Family.INET:
        return Endpoint(IPv4Address(packed[:4]), port)
    if family == Family.INET6:
        return Endpoint(IPv6Address(packed), port, scope)
    return None


def decode(  # noqa: C901 - one arm for each kind of reply
    operation: ops.Operation, status: int, data: bytes, steps: Mapping[int, int] | None = None
) -> ops.Outcome:
    """What an IOCTL's reply says of the operation.

    Args:
        operation: the operation that was encoded.
        status: NTSTATUS of the IOCTL, unsigned.
        data: its output.
        steps: the step number of each ticket that a Collect names; the ticket itself by default.

    Raises:
        Failure: the reply is shorter than the interface says.
    """
    if status != layouts.STATUS_SUCCESS:
        return ops.Outcome(ioctl=status)
    match operation:
        case ops.Open():
            return ops.Outcome(completion=_completion(layouts.OPEN_REPLY.numbers(data)))
        case ops.GetLocalAddress():
            answer = layouts.ADDRESS_REPLY.numbers(data)
            return ops.Outcome(
                completion=_completion(answer), endpoint=_answered(layouts.ADDRESS_REPLY, "endpoint", data)
            )
        case ops.GetOption():
            answer = layouts.OPTION_REPLY.numbers(data)
            value = data[layouts.OPTION_REPLY.size : layouts.OPTION_REPLY.size + answer["length"]]
            return ops.Outcome(completion=_completion(answer), data=value)
        case ops.SendTo() | ops.SendMessages():
            return ops.Outcome(completion=_completion(layouts.SEND_REPLY.numbers(data)))
        case ops.Burst():
            return ops.Outcome(completion=_completion(layouts.BURST_REPLY.numbers(data)))
        case ops.Receive():
            answer = layouts.RECEIVE_REPLY.numbers(data)
            received = data[layouts.RECEIVE_REPLY.size : layouts.RECEIVE_REPLY.size + answer["length"]]
            sender = _answered(layouts.RECEIVE_REPLY, "remote", data)
            return ops.Outcome(completion=_completion(answer), endpoint=sender, data=received)
        case ops.Collect():
            rows = [
                layouts.COLLECTED.numbers(data, layouts.COLLECTED.size * index) for index in range(len(operation.steps))
            ]
            return ops.Outcome(
                collected={(steps or {}).get(row["ticket"], row["ticket"]): _completion(row) for row in rows}
            )
        case ops.Force() | ops.Ioctl():
            return ops.Outcome(data=data)
        case ops.Relent():
            relented = layouts.RELENTED.unpack(data)
            acted, rules = relented["acted"], relented["rules"]
            assert isinstance(acted, bytes)
            assert isinstance(rules, int)
            return ops.Outcome(data=acted[: 4 * rules])
        case _:
            return ops.Outcome(completion=_completion(layouts.COMPLETION.numbers(data), ""))


def opened_handle(status: int, data: bytes) -> int:
    """The handle that an Open brought, 0 when it brought none."""
    return layouts.OPEN_REPLY.numbers(data)["handle"] if status == layouts.STATUS_SUCCESS else 0


def encode_batch(requests: Sequence[tuple[Request, bool]]) -> Request:
    """Many requests in one; true beside one means the handle of the socket that the batch opened last."""
    parts = []
    room = 0
    for request, opened in requests:
        head = (request.code, len(request.payload), request.capacity, layouts.ITEM_OPENED if opened else 0)
        parts.append(layouts.ITEM.pack(*head) + request.payload + bytes(-len(request.payload) % 8))
        room += layouts.ITEM_REPLY.size + request.capacity + -request.capacity % 8
    return _request(layouts.IOCTL_BATCH, layouts.BATCH, len(requests), 0, tail=b"".join(parts), reply=room)


def decode_batch(data: bytes, count: int) -> list[tuple[int, bytes]]:
    """Status and output of each request of a batch.

    Raises:
        Failure: the reply is shorter than that.
    """
    answers = []
    at = 0
    for _ in range(count):
        head = layouts.ITEM_REPLY.numbers(data, at)
        at += layouts.ITEM_REPLY.size
        answers.append((head["status"], data[at : at + head["length"]]))
        at += head["length"] + -head["length"] % 8
    return answers


def encode_accounts() -> Request:
    """The IOCTL that reads the driver's accounts."""
    return _request(layouts.IOCTL_ACCOUNTS, layouts.REQUEST, reply=layouts.ACCOUNTS.size)


def decode_ledger(data: bytes) -> dict[str, int]:
    """Every account by the header's name."""
    return layouts.ACCOUNTS.numbers(data)


def decode_accounts(data: bytes) -> ops.Accounts:
    """The accounts that must balance."""
    ledger = decode_ledger(data)
    return ops.Accounts(**{name: ledger[name] for name in ops.Accounts.__slots__})


def encode_info() -> Request:
    """The IOCTL that asks the driver what it is."""
    return _request(layouts.IOCTL_INFO, layouts.REQUEST, reply=layouts.INFO.size)


def decode_info(data: bytes) -> Info:
    """What the driver says of itself."""
    values = layouts.INFO.numbers(data)
    return Info(**{name: values[name] for name in Info.__slots__})
