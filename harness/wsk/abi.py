"""Encodes operations as the driver's IOCTLs, and decodes their replies to outcomes; does no I/O.

``drivers/include/wsksend_abi.h`` defines the interface; ``layouts`` is generated from it.
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
    """One IOCTL: its code, its input, the size of its output buffer in bytes, and the device that receives it."""

    code: int
    payload: bytes
    capacity: int
    device: int = DEVICE_WSKSEND


@dataclass(frozen=True, slots=True)
class Info:
    """The driver's reply to INFO: its version of the interface, and the versions of WSK that it found."""

    abi_version: int
    wsk_highest: int
    wsk_lowest: int
    wsk_status: int


def _request(code: int, layout: Layout, *values: int | bytes, tail: bytes = b"", reply: int) -> Request:
    return Request(code, layout.pack(layouts.VERSION, layout.size + len(tail), *values) + tail, reply)


def encode(
    operation: ops.Operation, handles: Mapping[int, int], ticket: int = 0, tickets: Mapping[int, int] | None = None
) -> Request:
    """Encode the IOCTL that executes an operation.

    Args:
        operation: any operation but Load, Unload and PeerSend, which are no IOCTLs.
        handles: the driver's handle by the plan's socket number; a socket that never opened gets handle 0, which the
            driver refuses.
        ticket: number by which a later Collect names this send, if it does not wait for its completion.
        tickets: ticket by step number, for a Collect; by default the step's own number.

    Raises:
        ValueError: the operation is no IOCTL.
    """
    handle = handles.get(getattr(operation, "socket", -1), 0)
    if isinstance(operation, ops.Ioctl):
        payload = operation.payload
        if operation.socket is not None:  # in every request the handle follows the header
            payload = payload[:8] + struct.pack("<Q", handle) + payload[16:]
        return Request(operation.code, payload, operation.capacity)
    return _encoded(operation, table.Context(handle, ticket, tickets or {}))


def encode_provider(operation: ops.Force | ops.Relent, local: Endpoint | None = None) -> Request:
    """Encode the IOCTL that adds a rule to the provider, or ends all; ``local`` is the address of the rule's socket."""
    return _encoded(operation, table.Context(local=local))


def encode_watch(number: int) -> Request:
    """Encode the IOCTL on which the verifier logs, in a line with that number, which driver it watches."""
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
    """Decode an IOCTL's reply to the outcome of its operation.

    Args:
        operation: the operation that was encoded.
        status: NTSTATUS of the IOCTL, unsigned.
        data: output of the IOCTL.
        steps: step number by ticket, for a Collect; by default the ticket itself.

    Raises:
        Failure: the reply is shorter than the interface says.
    """
    if status != layouts.STATUS_SUCCESS:
        return ops.Outcome(ioctl=status)
    if isinstance(operation, ops.Ioctl):
        return ops.Outcome(data=data)
    return table.ROWS[type(operation)].outcome(operation, data, steps or {})


def opened_handle(status: int, data: bytes) -> int:
    """Decode the handle in the reply to an Open; 0 if the IOCTL failed or made no socket."""
    return layouts.OPEN_REPLY.numbers(data)["handle"] if status == layouts.STATUS_SUCCESS else 0


def encode_batch(requests: Sequence[tuple[Request, bool]]) -> Request:
    """Encode many requests as one IOCTL; the bool is true if the driver must insert the handle of the latest Open."""
    parts = []
    room = 0
    for request, opened in requests:
        head = (request.code, len(request.payload), request.capacity, layouts.ITEM_OPENED if opened else 0)
        parts.append(layouts.ITEM.pack(*head) + request.payload + bytes(-len(request.payload) % 8))
        room += layouts.ITEM_REPLY.size + request.capacity + -request.capacity % 8
    return _request(layouts.IOCTL_BATCH, layouts.BATCH, len(requests), 0, tail=b"".join(parts), reply=room)


def decode_batch(data: bytes, count: int) -> list[tuple[int, bytes]]:
    """Decode the status and output of each request of a batch.

    Raises:
        Failure: the reply is too short for ``count`` requests.
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
    """Encode the IOCTL that reads the driver's counters (accounts)."""
    return _request(layouts.IOCTL_ACCOUNTS, layouts.REQUEST, reply=layouts.ACCOUNTS.size)


def decode_ledger(data: bytes) -> dict[str, int]:
    """Decode the counters, by their names in the header."""
    return layouts.ACCOUNTS.numbers(data)


def decode_accounts(data: bytes) -> ops.Accounts:
    """Decode the counters to ``Accounts``."""
    ledger = decode_ledger(data)
    return ops.Accounts(**{name: ledger[name] for name in ops.Accounts.__slots__})


def encode_info() -> Request:
    """Encode the IOCTL that asks for the driver's ``Info``."""
    return _request(layouts.IOCTL_INFO, layouts.REQUEST, reply=layouts.INFO.size)


def decode_info(data: bytes) -> Info:
    """Decode the driver's ``Info``."""
    values = layouts.INFO.numbers(data)
    return Info(**{name: values[name] for name in Info.__slots__})
