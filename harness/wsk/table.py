"""Holds a row per operation of the drivers' interface: its code, its layouts, and how to encode and decode its values.

``abi`` encodes and decodes by this table. A new operation needs a row here and its class in ``operations``.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from harness.wsk import layouts
from harness.wsk import operations as ops
from harness.wsk.layout import Layout
from harness.wsk.types import Completion, Endpoint, Family, WskBuf

DEVICE_WSKSEND = 0
DEVICE_PROVIDER = 1
SEND_WAIT_MS = 10000
BURST_WAIT_MS = 25000

Values = tuple[int | bytes, ...]


@dataclass(frozen=True, slots=True)
class Context:
    """The values that a request needs besides its operation.

    Args:
        handle: the driver's handle of the operation's socket; 0 for a socket that never opened.
        ticket: number by which a later Collect names this send, if it does not wait for its completion.
        tickets: ticket by step number, for a Collect; by default the step's own number.
        local: the address of the socket to which a Force applies.
    """

    handle: int = 0
    ticket: int = 0
    tickets: Mapping[int, int] = field(default_factory=dict)
    local: Endpoint | None = None


Steps = Mapping[int, int]
"""Step number by ticket, for a Collect; by default the ticket itself."""


def _nothing(_operation: Any, _context: Context) -> bytes:  # noqa: ANN401 - any operation
    return b""


def _no_room(_operation: Any) -> int:  # noqa: ANN401 - any operation
    return 0


@dataclass(frozen=True, slots=True)
class Row:
    """One operation of the interface.

    Args:
        code: the control code.
        request: layout of the request's fixed part, which begins with version and size.
        reply: layout of the reply's fixed part; ``None`` if the reply has no fixed part.
        values: returns the request's members after version and size.
        outcome: decodes the output of an IOCTL that succeeded.
        tail: returns the bytes after the fixed part of the request.
        room: returns the largest number of bytes after the fixed part of the reply.
        device: ``DEVICE_WSKSEND`` or ``DEVICE_PROVIDER``.
        version: the interface's version in the request.
    """

    code: int
    request: Layout
    reply: Layout | None
    values: Callable[[Any, Context], Values]
    outcome: Callable[[Any, bytes, Steps], ops.Outcome]
    tail: Callable[[Any, Context], bytes] = _nothing
    room: Callable[[Any], int] = _no_room
    device: int = DEVICE_WSKSEND
    version: int = layouts.VERSION


# Values of requests.


def endpoint_values(endpoint: Endpoint | None) -> Values:
    """Return the members of struct wsksend_endpoint; family 0 stands for no endpoint."""
    if endpoint is None:
        return (0, 0, 0, bytes(16))
    return (endpoint.family, endpoint.port, endpoint.scope_id, endpoint.address.packed.ljust(16, b"\0"))


def _handle(_operation: ops.Close | ops.GetLocalAddress, context: Context) -> Values:
    return (context.handle,)


def _remote(operation: ops.SetRemoteAddress | ops.SetSendToAddress, context: Context) -> Values:
    return (context.handle, *endpoint_values(operation.remote))


def _burst(operation: ops.Burst, context: Context) -> Values:
    asked = (operation.count, operation.size, operation.depth, operation.interval_us, operation.first)
    return (context.handle, *endpoint_values(operation.remote), *asked, BURST_WAIT_MS, 0)


def _buffers(operation: ops.SendTo | ops.SendMessages) -> tuple[WskBuf, ...]:
    return (operation.buffer,) if isinstance(operation, ops.SendTo) else operation.buffers


def _mode(operation: ops.SendTo | ops.SendMessages) -> int:
    if isinstance(operation, ops.SendMessages):
        return layouts.MODE_WAIT
    mode = layouts.MODE_WAIT * operation.wait | layouts.MODE_REUSE_IRP * operation.reuse_irp
    return mode | layouts.MODE_RAISED * (operation.path is ops.SendPath.SEND_TO_FROM_DPC)


def _send(operation: ops.SendTo | ops.SendMessages, context: Context) -> Values:
    buffers = _buffers(operation)
    mdls = [mdl for buffer in buffers for mdl in buffer.mdls]
    counts = (len(buffers), len(mdls), len(operation.control))
    sizes = (sum(len(message.data) for message in operation.control), sum(len(mdl.data) for mdl in mdls))
    head = (context.handle, *endpoint_values(operation.remote), operation.flags, _mode(operation), SEND_WAIT_MS)
    return (*head, *counts, *sizes, context.ticket)


def _send_tail(operation: ops.SendTo | ops.SendMessages, _context: Context) -> bytes:
    buffers, control = _buffers(operation), operation.control
    mdls = [mdl for buffer in buffers for mdl in buffer.mdls]
    return b"".join(
        (
            *(layouts.BUFFER.pack(len(buffer.mdls), buffer.offset, buffer.size) for buffer in buffers),
            *(layouts.MDL.pack(len(mdl.data), mdl.byte_offset) for mdl in mdls),
            *(layouts.CONTROL.pack(message.level, message.type, len(message.data), 0) for message in control),
            *(message.data for message in control),
            *(mdl.data for mdl in mdls),
        )
    )


def _tickets(operation: ops.Collect, context: Context) -> bytes:
    named = [context.tickets.get(step, step) for step in operation.steps]
    return struct.pack(f"<{len(named)}Q", *named)


def _force(operation: ops.Force, context: Context) -> Values:
    what = (operation.calls, operation.effects, operation.status, operation.delay_ms, operation.skip, operation.count)
    where = (context.local.family, context.local.port) if context.local is not None else (0, 0)
    return (*what, *where, 0)


# Outcomes of replies.


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


def _endpoint(layout: Layout, member: str, data: bytes) -> Endpoint | None:
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


def _completed(_operation: ops.Operation, data: bytes, _steps: Steps) -> ops.Outcome:
    return ops.Outcome(completion=_completion(layouts.COMPLETION.numbers(data), ""))


def _completed_in(layout: Layout) -> Callable[[ops.Operation, bytes, Steps], ops.Outcome]:
    return lambda _operation, data, _steps: ops.Outcome(completion=_completion(layout.numbers(data)))


def _local_address(_operation: ops.GetLocalAddress, data: bytes, _steps: Steps) -> ops.Outcome:
    answer = layouts.ADDRESS_REPLY.numbers(data)
    return ops.Outcome(completion=_completion(answer), endpoint=_endpoint(layouts.ADDRESS_REPLY, "endpoint", data))


def _option(_operation: ops.GetOption, data: bytes, _steps: Steps) -> ops.Outcome:
    answer = layouts.OPTION_REPLY.numbers(data)
    value = data[layouts.OPTION_REPLY.size : layouts.OPTION_REPLY.size + answer["length"]]
    return ops.Outcome(completion=_completion(answer), data=value)


def _received(_operation: ops.Receive, data: bytes, _steps: Steps) -> ops.Outcome:
    answer = layouts.RECEIVE_REPLY.numbers(data)
    received = data[layouts.RECEIVE_REPLY.size : layouts.RECEIVE_REPLY.size + answer["length"]]
    sender = _endpoint(layouts.RECEIVE_REPLY, "remote", data)
    return ops.Outcome(completion=_completion(answer), endpoint=sender, data=received)


def _collected(operation: ops.Collect, data: bytes, steps: Steps) -> ops.Outcome:
    at = (layouts.COLLECTED.size * index for index in range(len(operation.steps)))
    rows = [layouts.COLLECTED.numbers(data, each) for each in at]
    return ops.Outcome(collected={steps.get(row["ticket"], row["ticket"]): _completion(row) for row in rows})


def _bytes(_operation: ops.Operation, data: bytes, _steps: Steps) -> ops.Outcome:
    return ops.Outcome(data=data)


def _relented(_operation: ops.Relent, data: bytes, _steps: Steps) -> ops.Outcome:
    relented = layouts.RELENTED.unpack(data)
    acted, rules = relented["acted"], relented["rules"]
    assert isinstance(acted, bytes)
    assert isinstance(rules, int)
    return ops.Outcome(data=acted[: 4 * rules])


_SEND_DONE = _completed_in(layouts.SEND_REPLY)
_OF_PROVIDER = (_nothing, _no_room, DEVICE_PROVIDER, layouts.PROVIDER_VERSION)

ROWS: dict[type, Row] = {
    ops.Open: Row(
        layouts.IOCTL_OPEN,
        layouts.OPEN,
        layouts.OPEN_REPLY,
        lambda operation, _: (operation.family, 0, operation.category),
        _completed_in(layouts.OPEN_REPLY),
    ),
    ops.Close: Row(layouts.IOCTL_CLOSE, layouts.SOCKET, layouts.COMPLETION, _handle, _completed),
    ops.Bind: Row(
        layouts.IOCTL_BIND,
        layouts.ADDRESS,
        layouts.COMPLETION,
        lambda operation, context: (context.handle, *endpoint_values(operation.local)),
        _completed,
    ),
    ops.GetLocalAddress: Row(
        layouts.IOCTL_GET_LOCAL_ADDRESS, layouts.SOCKET, layouts.ADDRESS_REPLY, _handle, _local_address
    ),
    ops.SetOption: Row(
        layouts.IOCTL_SET_OPTION,
        layouts.OPTION,
        layouts.COMPLETION,
        lambda operation, context: (context.handle, operation.level, operation.name, len(operation.value), 0),
        _completed,
        tail=lambda operation, _: bytes(operation.value),
    ),
    ops.GetOption: Row(
        layouts.IOCTL_GET_OPTION,
        layouts.OPTION,
        layouts.OPTION_REPLY,
        lambda operation, context: (context.handle, operation.level, operation.name, operation.length, 0),
        _option,
        room=lambda operation: int(operation.length),
    ),
    ops.SetRemoteAddress: Row(
        layouts.IOCTL_SET_REMOTE_ADDRESS, layouts.ADDRESS, layouts.COMPLETION, _remote, _completed
    ),
    ops.SetSendToAddress: Row(
        layouts.IOCTL_SET_SENDTO_ADDRESS, layouts.ADDRESS, layouts.COMPLETION, _remote, _completed
    ),
    ops.SendTo: Row(layouts.IOCTL_SEND, layouts.SEND, layouts.SEND_REPLY, _send, _SEND_DONE, tail=_send_tail),
    ops.SendMessages: Row(
        layouts.IOCTL_SEND_MESSAGES, layouts.SEND, layouts.SEND_REPLY, _send, _SEND_DONE, tail=_send_tail
    ),
    ops.Burst: Row(layouts.IOCTL_BURST, layouts.BURST, layouts.BURST_REPLY, _burst, _completed_in(layouts.BURST_REPLY)),
    ops.Collect: Row(
        layouts.IOCTL_COLLECT,
        layouts.COLLECT,
        None,
        lambda operation, context: (context.handle, len(operation.steps), SEND_WAIT_MS),
        _collected,
        tail=_tickets,
        room=lambda operation: layouts.COLLECTED.size * len(operation.steps),
    ),
    ops.Receive: Row(
        layouts.IOCTL_RECEIVE,
        layouts.RECEIVE,
        layouts.RECEIVE_REPLY,
        lambda asked, at: (at.handle, asked.capacity, asked.wait_ms, layouts.MODE_WAIT, 0, at.ticket),
        _received,
        room=lambda operation: int(operation.capacity),
    ),
    ops.Force: Row(layouts.PROVIDER_IOCTL_FORCE, layouts.FORCE, None, _force, _bytes, *_OF_PROVIDER),
    ops.Relent: Row(
        layouts.PROVIDER_IOCTL_RELENT, layouts.RELENT, layouts.RELENTED, lambda *_: (), _relented, *_OF_PROVIDER
    ),
}
"""Every operation that has an IOCTL of its own. Ioctl has its own bytes; Load, Unload and PeerSend are no IOCTLs."""
