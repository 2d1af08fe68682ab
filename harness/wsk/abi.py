"""The bytes of the driver's IOCTLs: operations to requests, replies to outcomes.

The interface itself is ``drivers/include/wsksend_abi.h``; ``layouts`` is generated from it. Nothing here does I/O.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.wsk import layouts, table
from harness.wsk import operations as ops
from harness.wsk.layout import Layout
from harness.wsk.types import Endpoint

DEVICE_WSKSEND = table.DEVICE_WSKSEND


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


def encode(
    operation: ops.Operation, handles: Mapping[int, int], ticket: int = 0, tickets: Mapping[int, int] | None = None
) -> Request:
    """The IOCTL that carries out an operation.

    Args:
        operation: anything but Load, Unload and PeerSend, which are no IOCTLs.
        handles: the driver's handle of each socket of the plan; a socket that never opened has handle 0, which the
            driver refuses.
        ticket: names a send that nobody waits for.
        tickets: the ticket of each step that a Collect names; the step's own number by default.

    Raises:
        ValueError: the operation is no IOCTL.
    """
    handle = handles.get(getattr(operation, "socket", -1), 0)
    if isinstance(operation, ops.Ioctl):
        payload = operation.payload
        if operation.socket is not None:  # every request has its handle behind the header
            payload = payload[:8] + struct.pack("<Q", handle) + payload[16:]
        return Request(operation.code, payload, operation.capacity)
    return _encoded(operation, table.Context(handle, ticket, tickets or {}))


def encode_provider(operation: ops.Force | ops.Relent, local: Endpoint | None = None) -> Request:
    """The IOCTL that gives the provider a rule; ``local`` is the address of the socket that a rule is about."""
    return _encoded(operation, table.Context(local=local))


def encode_watch(number: int) -> Request:
    """The IOCTL that has the verifier say, by a line of its log with that number, which driver it watches."""
    payload = layouts.WATCH.pack(layouts.PROVIDER_VERSION, layouts.WATCH.size, number)
    return Request(layouts.PROVIDER_IOCTL_WATCH, payload, 0, table.DEVICE_PROVIDER)


def _encoded(operation: ops.Operation, context: table.Context) -> Request:
    row = table.ROWS.get(type(operation))
    if row is None:
        raise ValueError(f"{type(operation).__name__} is no IOCTL")
    tail = row.tail(operation, context)
    head = row.request.pack(row.version, row.request.size + len(tail), *row.values(operation, context))
    fixed = row.reply.size if row.reply is not None else 0
    return Request(row.code, head + tail, fixed + row.room(operation), row.device)


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
    if status != layouts.STATUS_SUCCESS:
        return ops.Outcome(ioctl=status)
    if isinstance(operation, ops.Ioctl):
        return ops.Outcome(data=data)
    return table.ROWS[type(operation)].outcome(operation, data, steps or {})


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
