"""IOCTLs as a hostile caller sends them: every field out of range, cut, too long, of another version, on dead handles.

Rules: the table of statuses in drivers/include/wsksend_abi.h. Each request must be refused with the documented status
and leave nothing behind; after each, the driver must still send.
"""

from __future__ import annotations

import struct

import pytest

from harness.api import Wire, Wsk
from harness.wsk import abi, layouts
from harness.wsk import operations as ops
from harness.wsk import status as nt
from harness.wsk.layout import Layout
from harness.wsk.types import AF_INET, AF_INET6, ControlMessage, Endpoint, Mdl, WskBuf

REVISION_MISMATCH = 0xC0000059
INFO_LENGTH_MISMATCH = 0xC0000004
TOO_MANY_OPENED_FILES = 0xC000011F
CODES = {name: value for name, value in vars(layouts).items() if name.startswith("IOCTL_")}
HEAD = 8  # struct wsksend_header


def fields(layout: Layout) -> dict[str, tuple[int, str]]:
    """Offset and struct code of each member."""
    return {name: (offset, dict(layout.members)[name]) for name, offset in layout.offsets().items()}


def changed(request: abi.Request, layout: Layout, field: str, value: int) -> bytes:
    """The request with one member of its fixed part replaced."""
    offset, code = fields(layout)[field]
    payload = bytearray(request.payload)
    struct.pack_into("<" + code, payload, offset, value)
    return bytes(payload)


def a_send(wire: Wire) -> abi.Request:
    """A good send that every test here spoils."""
    control = (ControlMessage(0, 3, b"\x20\0\0\0"),)
    buffer = WskBuf((Mdl(b"abcd", 1), Mdl(b"ef", 2)), 1, 4)
    return abi.encode(ops.SendTo(0, buffer, wire.peer(9000), control=control), {})


def alive(wsk: Wsk, wire: Wire) -> None:
    with wsk.datagram_socket() as sock:
        wire.expect(sock.send_to(b"still alive", wire.peer(9000)))


@pytest.mark.parametrize(
    ("field", "value", "refused"),
    [
        ("header.version", 0, REVISION_MISMATCH),
        ("header.version", 2, REVISION_MISMATCH),
        ("header.version", 0xFFFFFFFF, REVISION_MISMATCH),
        ("header.size", 0, INFO_LENGTH_MISMATCH),
        ("header.size", 0xFFFFFFFF, INFO_LENGTH_MISMATCH),
        ("remote.family", 1, nt.INVALID_ADDRESS),
        ("remote.family", 0, nt.INVALID_ADDRESS),
        ("remote.family", 0xFFFF, nt.INVALID_ADDRESS),
        ("remote.scope_id", 1, nt.INVALID_ADDRESS),
        ("mode", 8, nt.INVALID_PARAMETER),
        ("mode", 0xFFFFFFFF, nt.INVALID_PARAMETER),
        ("wait_ms", 60001, nt.INVALID_PARAMETER),
        ("buffer_count", 0, nt.INVALID_PARAMETER),
        ("buffer_count", 2, nt.INVALID_PARAMETER),
        ("buffer_count", 0xFFFFFFFF, nt.INVALID_PARAMETER),
        ("mdl_count", 257, nt.INVALID_PARAMETER),
        ("mdl_count", 0x10000001, nt.INVALID_PARAMETER),
        ("mdl_count", 1, INFO_LENGTH_MISMATCH),
        ("control_count", 17, nt.INVALID_PARAMETER),
        ("control_count", 0, INFO_LENGTH_MISMATCH),
        ("control_bytes", 1025, nt.INVALID_PARAMETER),
        ("control_bytes", 3, INFO_LENGTH_MISMATCH),
        ("payload_bytes", 1048577, nt.INVALID_PARAMETER),
        ("payload_bytes", 0xFFFFFFFF, nt.INVALID_PARAMETER),
        ("payload_bytes", 5, INFO_LENGTH_MISMATCH),
    ],
)
def test_field_of_a_send(wsk: Wsk, wire: Wire, field: str, value: int, refused: int) -> None:
    """Each count, size, mode and address out of range."""
    good = a_send(wire)
    with wsk.datagram_socket() as sock:
        wsk.ioctl(good.code, changed(good, layouts.SEND, field, value), good.capacity, refused=refused, on=sock)
        wire.expect(sock.send_to(b"still alive", wire.peer(9000)))


@pytest.mark.parametrize(
    ("at", "code", "value", "refused"),
    [
        (0, "I", 3, INFO_LENGTH_MISMATCH),  # wsksend_buffer.mdl_count
        (4, "I", 4, nt.INVALID_PARAMETER),  # offset outside the first MDL
        (4, "I", 0xFFFFFFFF, nt.INVALID_PARAMETER),
        (8, "Q", 6, nt.INVALID_PARAMETER),  # length beyond the chain
        (8, "Q", 0xFFFFFFFFFFFFFFFF, nt.INVALID_PARAMETER),
        (16, "I", 5, nt.INVALID_PARAMETER),  # wsksend_mdl.byte_count of the first: the sum is not the payload
        (16, "I", 0xFFFFFFFF, nt.INVALID_PARAMETER),
        (20, "I", 4096, nt.INVALID_PARAMETER),  # byte_offset beyond its page
        (40, "I", 0xFFFFFFFF, nt.INVALID_PARAMETER),  # wsksend_control.length
        (44, "I", 1, nt.INVALID_PARAMETER),  # reserved
    ],
)
def test_part_of_a_send(wsk: Wsk, wire: Wire, at: int, code: str, value: int, refused: int) -> None:
    """WSK_BUFs outside their MDLs (a bug check on Windows), MDLs outside their page, control messages."""
    good = a_send(wire)
    payload = bytearray(good.payload)
    struct.pack_into("<" + code, payload, layouts.SEND.size + at, value)
    wanted = INFO_LENGTH_MISMATCH if (at, value) == (16, 5) else refused
    with wsk.datagram_socket() as sock:
        wsk.ioctl(good.code, bytes(payload), good.capacity, refused=wanted, on=sock)
        wire.expect(sock.send_to(b"still alive", wire.peer(9000)))


@pytest.mark.parametrize("name", sorted(CODES))
def test_every_request_cut_and_of_another_version(wsk: Wsk, wire: Wire, name: str) -> None:
    """Nothing at all, half a header, a header alone, another version, and no room for the reply."""
    code = CODES[name]
    fixed = REQUESTS[name].size
    whole = struct.pack("<II", layouts.VERSION, fixed).ljust(fixed, b"\0")
    wsk.ioctl(code, b"", 256, refused=nt.BUFFER_TOO_SMALL)
    wsk.ioctl(code, b"\1\0\0\0", 256, refused=nt.BUFFER_TOO_SMALL)
    wsk.ioctl(code, struct.pack("<II", 2, fixed).ljust(fixed, b"\0"), 256, refused=REVISION_MISMATCH)
    if fixed > HEAD:
        wsk.ioctl(code, struct.pack("<II", layouts.VERSION, HEAD), 256, refused=nt.BUFFER_TOO_SMALL)
        wsk.ioctl(code, whole[:-1], 256, refused=nt.BUFFER_TOO_SMALL)
    wsk.ioctl(code, whole + b"\0", 256, refused=INFO_LENGTH_MISMATCH)
    if name not in ("IOCTL_COLLECT", "IOCTL_BATCH"):  # as many bytes of reply as the rest of the request asks for
        wsk.ioctl(code, whole, 4, refused=nt.BUFFER_TOO_SMALL)
    alive(wsk, wire)


REQUESTS = {
    "IOCTL_INFO": layouts.REQUEST,
    "IOCTL_ACCOUNTS": layouts.REQUEST,
    "IOCTL_OPEN": layouts.OPEN,
    "IOCTL_CLOSE": layouts.SOCKET,
    "IOCTL_BIND": layouts.ADDRESS,
    "IOCTL_GET_LOCAL_ADDRESS": layouts.SOCKET,
    "IOCTL_SET_OPTION": layouts.OPTION,
    "IOCTL_GET_OPTION": layouts.OPTION,
    "IOCTL_SET_REMOTE_ADDRESS": layouts.ADDRESS,
    "IOCTL_SET_SENDTO_ADDRESS": layouts.ADDRESS,
    "IOCTL_SEND": layouts.SEND,
    "IOCTL_SEND_MESSAGES": layouts.SEND,
    "IOCTL_BURST": layouts.BURST,
    "IOCTL_COLLECT": layouts.COLLECT,
    "IOCTL_RECEIVE": layouts.RECEIVE,
    "IOCTL_BATCH": layouts.BATCH,
}


@pytest.mark.parametrize("code", [0x80578004, 0x8057E000 | 0x3FC, 0x222003, 0xFFFFFFFC])
def test_unknown_code(wsk: Wsk, wire: Wire, code: int) -> None:
    """A code that is no request of this driver."""
    wsk.ioctl(code, struct.pack("<II", 1, 8), 64, refused=nt.INVALID_DEVICE_REQUEST)
    alive(wsk, wire)


def requests_on_a_socket(wire: Wire) -> list[ops.Operation]:
    peer = wire.peer(9000)
    return [
        ops.Bind(0, Endpoint(wire.guest_address(), 0)),
        ops.GetLocalAddress(0),
        ops.SetOption(0, 0xFFFF, 0x20, b"\1\0\0\0"),
        ops.GetOption(0, 0xFFFF, 0x20, 4),
        ops.SetRemoteAddress(0, peer),
        ops.SetSendToAddress(0, peer),
        ops.SendTo(0, WskBuf.of(b"x"), peer),
        ops.SendMessages(0, (WskBuf.of(b"x"),), peer),
        ops.Burst(0, peer, 1, 8, 1),
        ops.Collect(0, (1,)),
        ops.Receive(0, 16, 0),
        ops.Close(0),
    ]


@pytest.mark.parametrize("index", range(12))
def test_handles_that_are_nobodys(wsk: Wsk, wire: Wire, index: int) -> None:
    """Handle 0, of a slot beyond the table, of another generation, and of a closed socket."""
    request = abi.encode(requests_on_a_socket(wire)[index], {})
    with wsk.datagram_socket() as closed:
        pass
    with wsk.datagram_socket() as sock:  # in the slot that the closed one has left
        for handle in (0, 65, 0xFFFFFFFFFFFFFFFF, 0x7FFFFFFF00000001):
            payload = request.payload[:8] + struct.pack("<Q", handle) + request.payload[16:]
            wsk.ioctl(request.code, payload, request.capacity, refused=nt.INVALID_HANDLE)
        wsk.ioctl(request.code, request.payload, request.capacity, refused=nt.INVALID_HANDLE, on=closed)
        wire.expect(sock.send_to(b"still alive", wire.peer(9000)))


@pytest.mark.parametrize(
    ("request_of", "layout", "field", "value", "refused"),
    [
        (ops.Open(0, AF_INET), layouts.OPEN, "reserved", 1, nt.INVALID_PARAMETER),
        (ops.SetOption(0, 0, 4, b"\1\0\0\0"), layouts.OPTION, "length", 1025, nt.INVALID_PARAMETER),
        (ops.SetOption(0, 0, 4, b"\1\0\0\0"), layouts.OPTION, "length", 3, INFO_LENGTH_MISMATCH),
        (ops.SetOption(0, 0, 4, b"\1\0\0\0"), layouts.OPTION, "reserved", 1, nt.INVALID_PARAMETER),
        (ops.GetOption(0, 0, 4, 4), layouts.OPTION, "length", 0xFFFFFFFF, nt.INVALID_PARAMETER),
        (ops.GetOption(0, 0, 4, 4), layouts.OPTION, "length", 1024, nt.BUFFER_TOO_SMALL),
        (ops.Receive(0, 16, 0), layouts.RECEIVE, "capacity", 131073, nt.INVALID_PARAMETER),
        (ops.Receive(0, 16, 0), layouts.RECEIVE, "capacity", 1000, nt.BUFFER_TOO_SMALL),
        (ops.Receive(0, 16, 0), layouts.RECEIVE, "wait_ms", 60001, nt.INVALID_PARAMETER),
        (ops.Receive(0, 16, 0), layouts.RECEIVE, "mode", 2, nt.INVALID_PARAMETER),
        (ops.Receive(0, 16, 0), layouts.RECEIVE, "reserved", 1, nt.INVALID_PARAMETER),
        (ops.Collect(0, (1,)), layouts.COLLECT, "count", 0, nt.INVALID_PARAMETER),
        (ops.Collect(0, (1,)), layouts.COLLECT, "count", 4097, nt.INVALID_PARAMETER),
        (ops.Collect(0, (1,)), layouts.COLLECT, "count", 2, INFO_LENGTH_MISMATCH),
        (ops.Collect(0, (1,)), layouts.COLLECT, "wait_ms", 60001, nt.INVALID_PARAMETER),
        (ops.Collect(0, (1,)), layouts.COLLECT, "wait_ms", 0, nt.NOT_FOUND),
        (ops.Burst(0, None, 1, 8, 1), layouts.BURST, "count", 0, nt.INVALID_PARAMETER),
        (ops.Burst(0, None, 1, 8, 1), layouts.BURST, "count", 1000001, nt.INVALID_PARAMETER),
        (ops.Burst(0, None, 1, 8, 1), layouts.BURST, "depth", 0, nt.INVALID_PARAMETER),
        (ops.Burst(0, None, 1, 8, 1), layouts.BURST, "depth", 257, nt.INVALID_PARAMETER),
        (ops.Burst(0, None, 1, 8, 1), layouts.BURST, "size", 131073, nt.INVALID_PARAMETER),
        (ops.Burst(0, None, 1, 8, 1), layouts.BURST, "interval_us", 1000001, nt.INVALID_PARAMETER),
        (ops.SetSendToAddress(0, None), layouts.ADDRESS, "endpoint.family", 3, nt.INVALID_ADDRESS),
        (ops.SetSendToAddress(0, None), layouts.ADDRESS, "endpoint.port", 1, nt.INVALID_ADDRESS),
    ],
)
def test_field_of_other_requests(
    wsk: Wsk,
    wire: Wire,
    request_of: ops.Operation,
    layout: Layout,
    field: str,
    value: int,
    refused: int,
) -> None:
    """Each length, wait, count and reserved field out of range."""
    good = abi.encode(request_of, {})
    with wsk.datagram_socket() as sock:
        on = None if isinstance(request_of, ops.Open) else sock
        wsk.ioctl(good.code, changed(good, layout, field, value), good.capacity, refused=refused, on=on)
        wire.expect(sock.send_to(b"still alive", wire.peer(9000)))


def test_every_slot_taken(wsk: Wsk, wire: Wire) -> None:
    """The sixty-fifth socket is refused, and when the others are closed there is room again."""
    sockets = [wsk.open()[0] for _ in range(64)]
    request = abi.encode(ops.Open(0, AF_INET), {})
    wsk.ioctl(request.code, request.payload, request.capacity, refused=TOO_MANY_OPENED_FILES)
    for sock in sockets:
        sock.close()
    alive(wsk, wire)


def test_wrong_family(wsk: Wsk, wire: Wire) -> None:
    """Addresses of the other family at bind, send and both fixed addresses: errors, and nothing leaves."""
    with wsk.datagram_socket(AF_INET, bind=False) as four, wsk.datagram_socket(AF_INET6) as six:
        four.bind(wire.guest_address(0, AF_INET6))
        four.bind()
        for sock, wrong in ((four, wire.peer(9000, family=AF_INET6)), (six, wire.peer(9000))):
            sock.set_remote_address(wrong)
            sock.set_sendto_address(wrong)
            wire.expect_nothing(sock.send_to(b"wrong", wrong), sock.send_to(b"nowhere", None))
        wire.expect(four.send_to(b"right", wire.peer(9000)), six.send_to(b"right", wire.peer(9000, family=AF_INET6)))


@pytest.mark.parametrize(
    ("at", "code", "value", "refused"),
    [
        (8, "I", 0, nt.INVALID_PARAMETER),  # wsksend_batch.count
        (8, "I", 65, nt.INVALID_PARAMETER),
        (8, "I", 1, INFO_LENGTH_MISMATCH),
        (8, "I", 3, INFO_LENGTH_MISMATCH),
        (12, "I", 1, nt.INVALID_PARAMETER),  # reserved
        (20, "I", 0xFFFFFFFF, INFO_LENGTH_MISMATCH),  # wsksend_item.length
        (24, "I", 0xFFFFFFFF, nt.BUFFER_TOO_SMALL),  # capacity
        (28, "I", 2, nt.INVALID_PARAMETER),  # flags
    ],
)
def test_field_of_a_batch(wsk: Wsk, wire: Wire, at: int, code: str, value: int, refused: int) -> None:
    """A batch is looked through before anything of it is done."""
    good = abi.encode_batch([(abi.encode_accounts(), False)] * 2)
    payload = bytearray(good.payload)
    struct.pack_into("<" + code, payload, at, value)
    wsk.ioctl(good.code, bytes(payload), good.capacity, refused=refused)
    alive(wsk, wire)
