"""The interface: the generated ``harness.wsk.layouts`` against the compiled headers, and what goes over it."""

from __future__ import annotations

import re
import struct
import subprocess
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import get_args

import pytest

from harness import resources
from harness.control import wskctl
from harness.driver_build import build
from harness.errors import Failure
from harness.wsk import abi, generate, layouts, table
from harness.wsk import operations as ops
from harness.wsk.layout import Layout
from harness.wsk.types import AF_INET, Completion, ControlMessage, Endpoint, Mdl, WskBuf

INCLUDE = resources.root() / "drivers" / "include"
STRUCTS = {layout.name: layout for layout in layouts.LAYOUTS}
CONSTANTS = {
    "WSKCTL_DEVICE_WSKSEND": wskctl.DEVICE_WSKSEND,
    "WSKCTL_DEVICE_PROVIDER": wskctl.DEVICE_PROVIDER,
    "WSKCTL_CODE_DETACH": wskctl.CODE_DETACH,
    **{f"WSKPROVIDER_CALL_{item.name}": item.value for item in ops.Calls},
    **{f"WSKPROVIDER_{item.name}": item.value for item in ops.Effects},
    **{name: getattr(layouts, generate.constant(name)) for name in generate.read().constants},
}


def compiled(expressions: list[str], folder: Path) -> list[int]:
    """The values of C expressions, as the compiler of the drivers sees them; nothing is run."""
    source = folder / "values.c"
    headers = ("wsksend_abi.h", "wskprovider_abi.h", "wskctl_frames.h")
    lines = [*(f'#include "{header}"' for header in headers), "#include <stddef.h>"]
    values = ", ".join(f"(unsigned long long)({expression})" for expression in expressions)
    lines.append(f'__attribute__((section(".abi"))) const unsigned long long values[] = {{{values}}};')
    source.write_text("\n".join(lines) + "\n")
    flags = ["-std=c11", "-Wall", "-Wextra", "-Werror", f"-I{INCLUDE}"]
    subprocess.run([build.COMPILER, *flags, "-c", "-o", folder / "values.o", source], check=True)
    objcopy = build.COMPILER.replace("gcc", "objcopy")
    subprocess.run([objcopy, "-O", "binary", "-j", ".abi", folder / "values.o", folder / "values.bin"], check=True)
    data = (folder / "values.bin").read_bytes()
    return list(struct.unpack_from(f"<{len(expressions)}Q", data))


def test_the_layouts_are_what_the_generator_makes_of_the_headers() -> None:
    """Run ``python -m harness.wsk.generate`` when this fails."""
    assert generate.TARGET.read_text() == generate.text(generate.read())


def test_every_structure_of_the_header_has_a_layout() -> None:
    headers = "".join((INCLUDE / name).read_text() for name in generate.HEADERS)
    assert set(re.findall(r"^struct (wsk\w+) \{", headers, re.M)) == {*STRUCTS, "wsksend_header"}


def test_implicit_padding_in_a_header_is_refused() -> None:
    with pytest.raises(ValueError, match="struct s has padding before b"):
        generate._members("s", "uint16_t a;\n    uint32_t b;\n", generate.Interface({}, {}))


def test_sizes_offsets_and_constants_are_those_of_the_compiled_header(tmp_path: Path) -> None:
    expected = {f"sizeof(struct {name})": layout.size for name, layout in STRUCTS.items()}
    for name, layout in STRUCTS.items():
        for member, offset in layout.offsets().items():
            expected[f"offsetof(struct {name}, {member})"] = offset
    for name, layout in STRUCTS.items():
        for member, code in layout.members:
            expected[f"sizeof(((struct {name} *)0)->{member})"] = struct.calcsize("<" + code)
    expected |= CONSTANTS
    expected["sizeof(struct wskctl_request)"] = wskctl.REQUEST.size
    expected["sizeof(struct wskctl_reply)"] = wskctl.REPLY.size
    found = dict(zip(expected, compiled(list(expected), tmp_path), strict=True))
    assert found == expected


def parts(request: abi.Request, layout: Layout) -> dict[str, int | bytes]:
    values = layout.unpack(request.payload)
    assert values["header.version"] == layouts.VERSION
    assert values["header.size"] == len(request.payload)
    return values


def test_an_endpoint_goes_over_in_host_order() -> None:
    request = abi.encode(ops.Bind(3, Endpoint(IPv4Address("192.0.2.7"), 0x1234)), {3: 77})
    values = parts(request, layouts.ADDRESS)
    assert (request.code, values["handle"]) == (layouts.IOCTL_BIND, 77)
    assert (values["endpoint.family"], values["endpoint.port"]) == (2, 0x1234)
    assert values["endpoint.address"] == bytes([192, 0, 2, 7]).ljust(16, b"\0")


def test_a_socket_that_never_opened_has_handle_zero() -> None:
    assert parts(abi.encode(ops.Close(9), {}), layouts.SOCKET)["handle"] == 0


def test_a_cleared_address_has_no_family() -> None:
    values = parts(abi.encode(ops.SetRemoteAddress(1, None), {1: 5}), layouts.ADDRESS)
    assert (values["endpoint.family"], values["endpoint.address"]) == (0, bytes(16))


def test_a_send_carries_its_mdls_control_and_payload_in_order() -> None:
    buffer = WskBuf((Mdl(b"abcd", 4090), Mdl(b"efg", 1)), offset=2, length=4)
    control = (ControlMessage(0, 3, b"\x2e\0\0\0"), ControlMessage(41, 39, b"12345"))
    remote = Endpoint(IPv6Address("2001:db8::9"), 53, 4)
    operation = ops.SendTo(1, buffer, remote, 6, control, wait=False, reuse_irp=True, path=ops.SendPath(1))
    request = abi.encode(operation, {1: 5}, ticket=88)
    values = parts(request, layouts.SEND)
    assert request.code == layouts.IOCTL_SEND
    assert values["mode"] == layouts.MODE_REUSE_IRP | layouts.MODE_RAISED
    assert (values["flags"], values["ticket"], values["remote.scope_id"]) == (6, 88, 4)
    counts = [values[f"{name}_count"] for name in ("buffer", "mdl", "control")]
    assert [*counts, values["control_bytes"], values["payload_bytes"]] == [1, 2, 2, 9, 7]
    tail = request.payload[layouts.SEND.size :]
    assert tail == b"".join(
        (
            layouts.BUFFER.pack(2, 2, 4),
            layouts.MDL.pack(4, 4090) + layouts.MDL.pack(3, 1),
            layouts.CONTROL.pack(0, 3, 4, 0) + layouts.CONTROL.pack(41, 39, 5, 0),
            b"\x2e\x00\x00\x0012345",
            b"abcdefg",
        )
    )


def test_an_empty_send_has_no_mdl() -> None:
    values = parts(abi.encode(ops.SendTo(1, WskBuf.of(b""), None), {1: 5}), layouts.SEND)
    assert (values["mdl_count"], values["remote.family"], values["mode"]) == (0, 0, layouts.MODE_WAIT)


COMPLETED = (0x103, 0, 5, 1, 2, 1, 0, 0)


def test_a_completion_is_read_field_by_field() -> None:
    data = layouts.SEND_REPLY.pack(*COMPLETED, 88)
    outcome = abi.decode(ops.SendTo(1, WskBuf.of(b"hello"), None), 0, data)
    assert outcome == ops.Outcome(completion=Completion(0x103, 0, 5, 1, 2, True, False))


def test_a_refused_ioctl_has_its_status_and_no_completion() -> None:
    outcome = abi.decode(ops.Close(1), 0xC0000008, b"")
    assert (outcome.ioctl, outcome.completion) == (0xC0000008, None)


def test_a_received_datagram_brings_sender_and_bytes() -> None:
    sender = (2, 9000, 0, IPv4Address("192.0.2.1").packed.ljust(16, b"\0"))
    data = layouts.RECEIVE_REPLY.pack(*COMPLETED, *sender, 5, 0) + b"hello"
    outcome = abi.decode(ops.Receive(1, 100, 50), 0, data)
    assert (outcome.endpoint, outcome.data) == (Endpoint(IPv4Address("192.0.2.1"), 9000), b"hello")


def test_collected_completions_come_under_their_steps() -> None:
    data = layouts.COLLECTED.pack(7, *COMPLETED) + layouts.COLLECTED.pack(8, *COMPLETED)
    outcome = abi.decode(ops.Collect(1, (40, 41)), 0, data, {7: 40, 8: 41})
    assert list(outcome.collected) == [40, 41]


def test_a_reply_that_is_too_short_is_the_drivers_failure() -> None:
    with pytest.raises(Failure, match="wsksend_open_reply"):
        abi.decode(ops.Open(1, AF_INET), 0, bytes(8))


def test_every_operation_is_a_row_of_the_table_or_no_ioctl_of_its_own() -> None:
    others = {ops.Load, ops.Unload, ops.PeerSend, ops.Ioctl}
    assert set(table.ROWS) == set(get_args(ops.Operation)) - others
    assert len({row.code for row in table.ROWS.values()}) == len(table.ROWS)


def test_loading_is_no_ioctl() -> None:
    with pytest.raises(ValueError, match="Load"):
        abi.encode(ops.Load(), {})
