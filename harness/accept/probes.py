"""What is sent to learn a stack's habits, and what the frames and statuses say of them: pure.

Each probe is a short plan on fresh sockets. The last operation's status answers for a situation of the model's
profile; the frames answer for TTL, DF, fragment layout and padding.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_interface
from itertools import pairwise
from typing import Any

from harness.capture.frames import CapturedFrame
from harness.lab.network import GUEST_ADDRESSES
from harness.model.profile import Situation
from harness.wsk import options as opt
from harness.wsk.operations import (
    Bind,
    Close,
    GetLocalAddress,
    GetOption,
    Open,
    Operation,
    Outcome,
    SendMessages,
    SendTo,
    SetRemoteAddress,
)
from harness.wsk.types import ControlMessage, Endpoint, Family, WskBuf

PEER4, PEER6 = ip_address("192.0.2.1"), ip_address("2001:db8:0:1::1")
ANY4, ANY6 = ip_address("0.0.0.0"), ip_address("::")
OWN4, OWN6 = (ip_interface(GUEST_ADDRESSES[place]).ip for place in (0, 2))
GROUP4, GROUP6 = ip_address("233.252.0.1"), ip_address("ff0e::db8:1")
BROADCAST = ip_address("192.0.2.255")
PORT, _TAKEN = 40000, 40001
_S, _S2 = 1, 2
_ETHERNET = 14
_MINIMUM = 60


@dataclass(frozen=True, slots=True)
class Probe:
    """One question to the stack.

    Args:
        name: of the probe, and of its stretch of the capture.
        operations: what is done; the last but closing is what is asked about.
        situation: what its status answers for; ``None`` when only the frames count.
        frames: how many frames it should put on the wire, to know when to stop waiting.
    """

    name: str
    operations: tuple[Operation, ...]
    situation: Situation | None = None
    frames: int = 0


def _bound(family: Family = Family.INET, port: int = 0) -> tuple[Operation, ...]:
    return Open(_S, family), Bind(_S, Endpoint(OWN4 if family is Family.INET else OWN6, port))


def _any() -> tuple[Operation, ...]:
    return Open(_S, Family.INET), Bind(_S, Endpoint(ANY4, 0))


def _with(option: opt.SocketOption) -> tuple[Operation, ...]:
    return *_bound(), option.on(_S)


def _send(to: Endpoint | None, size: int = 18, **changes: Any) -> SendTo:  # noqa: ANN401 (fields of SendTo)
    return SendTo(_S, WskBuf.of(bytes(index & 0xFF for index in range(size))), to, **changes)


def _at(address: Any, port: int = PORT) -> Endpoint:  # noqa: ANN401 (an address of either family)
    return Endpoint(address, port)


PROBES: tuple[Probe, ...] = (
    Probe("plain", (*_bound(), _send(_at(PEER4))), Situation.ACCEPTED, 1),
    Probe("empty", (*_bound(), _send(_at(PEER4), 0)), None, 1),
    Probe("full", (*_bound(), _send(_at(PEER4), 1472)), None, 1),
    Probe("fragments", (*_bound(), _send(_at(PEER4), 4000)), None, 3),
    Probe("largest", (*_bound(), _send(_at(PEER4), 65507)), None, 45),
    Probe("group", (*_bound(), _send(_at(GROUP4))), None, 1),
    Probe("plain6", (*_bound(Family.INET6), _send(_at(PEER6))), None, 1),
    Probe("fragments6", (*_bound(Family.INET6), _send(_at(PEER6), 4000)), None, 3),
    Probe("group6", (*_bound(Family.INET6), _send(_at(GROUP6))), None, 1),
    Probe("oversize", (*_bound(), _send(_at(PEER4), 65508)), Situation.OVERSIZE),
    Probe("unbound", (Open(_S, Family.INET), _send(_at(PEER4))), Situation.UNBOUND),
    Probe("no destination", (*_bound(), _send(None)), Situation.NO_DESTINATION),
    Probe("broadcast", (*_bound(), _send(_at(BROADCAST))), Situation.BROADCAST_DENIED),
    Probe("wrong family", (*_bound(), _send(_at(PEER6))), Situation.WRONG_FAMILY),
    Probe("port 0", (*_bound(), _send(_at(PEER4, 0))), Situation.INVALID_DESTINATION),
    Probe("nowhere", (*_bound(), _send(_at(ANY4))), Situation.INVALID_DESTINATION),
    Probe("elsewhere", (*_bound(), _send(_at(ip_address("203.0.113.1")))), Situation.ELSEWHERE),
    Probe("no neighbour", (*_bound(), _send(_at(ip_address("192.0.2.77")))), Situation.UNRESOLVED),
    Probe("flags", (*_bound(), _send(_at(PEER4), flags=1)), Situation.RESERVED_FLAGS),
    Probe("local unbound", (Open(_S, Family.INET), GetLocalAddress(_S)), Situation.LOCAL_UNBOUND),
    Probe("bound twice", (*_bound(), Bind(_S, Endpoint(OWN4, 0))), Situation.BOUND_TWICE),
    Probe("foreign bind", (Open(_S, Family.INET), Bind(_S, Endpoint(PEER4, 0))), Situation.FOREIGN_SOURCE),
    Probe("category", (Open(_S, Family.INET, 1),), Situation.CATEGORY),
    Probe("taken port", (*_bound(port=_TAKEN), Open(_S2, Family.INET), Bind(_S2, Endpoint(OWN4, _TAKEN))),
          Situation.ADDRESS_IN_USE),
    Probe("too big for DF", (*_with(opt.mtu_discover(Family.INET, opt.PMTUDISC_DO)), _send(_at(PEER4), 4000)),
          Situation.TOO_BIG_FOR_DF),
    Probe("mapped, v6only", (*_bound(Family.INET6), _send(_at(ip_address(f"::ffff:{PEER4}")))), Situation.V6ONLY),
    Probe("foreign source", (*_any(), _send(_at(PEER4), control=(opt.pktinfo(ip_address("192.0.2.99")),))),
          Situation.FOREIGN_SOURCE),
    Probe("ECN CE", (*_bound(), _send(_at(PEER4), control=(opt.ecn(Family.INET, opt.ECN_CE),))),
          Situation.CONTROL_REFUSED),
    Probe("unknown control", (*_bound(), _send(_at(PEER4), control=(ControlMessage(opt.IPPROTO_IP, 99, bytes(4)),))),
          Situation.CONTROL_UNKNOWN),
    Probe("segments", (*_bound(), _send(_at(PEER4), 1200, control=(opt.segment(400),))), Situation.SEGMENTATION, 3),
    Probe("segment too big", (*_bound(), _send(_at(PEER4), 4000, control=(opt.segment(2000),))),
          Situation.SEGMENT_TOO_BIG),
    Probe("list with one too big", (*_bound(), SendMessages(_S, (WskBuf.of(b"fits"), WskBuf.of(bytes(65508))),
                                                            _at(PEER4))), Situation.PARTIAL_LIST),
    Probe("loopback bind", (Open(_S, Family.INET), Bind(_S, Endpoint(ip_address("127.0.0.1"), 0))),
          Situation.SPECIAL_SOURCE),
    Probe("port of another socket", (*_bound(port=_TAKEN), Open(_S2, Family.INET), Bind(_S2, Endpoint(ANY4, _TAKEN))),
          Situation.PORT_SHARED),
    Probe("clear nothing", (*_bound(), SetRemoteAddress(_S, None)), Situation.NOTHING_TO_CLEAR),
    Probe("fixed port 0", (*_bound(), SetRemoteAddress(_S, _at(PEER4, 0))), Situation.ODD_FIXED_ADDRESS),
    Probe("unknown option", (*_bound(), GetOption(_S, opt.SOL_SOCKET, 0x7777, 4)), Situation.OPTION_UNKNOWN),
)  # fmt: skip


def plan(probe: Probe) -> tuple[Operation, ...]:
    """The probe's operations with its sockets closed behind them; one that does not open is not closed."""
    opened = [operation.socket for operation in probe.operations[:-1] if isinstance(operation, Open)]
    return (*probe.operations, *(Close(number) for number in reversed(opened)))


def status(probe: Probe, outcomes: Sequence[Outcome]) -> int:
    """The status that the probed call ended with: of its completion when there was one, else of the request."""
    outcome = outcomes[len(probe.operations) - 1]
    if outcome.completion is None:
        return outcome.ioctl
    completion = outcome.completion
    return completion.status if completion.completions else completion.returned


def observe(results: Mapping[str, tuple[Sequence[Outcome], Sequence[CapturedFrame]]]) -> dict[str, Any]:
    """What the probes' outcomes and frames (the guest's only) say.

    Returns:
        "statuses": situation's name to a sorted list of statuses in hex; "wire": habits by name, as far as seen;
        "layouts": probe to (offset, bytes, more, DF) of each IPv4 frame or (offset, bytes, more) of each IPv6 one.
    """
    statuses: dict[str, set[int]] = {}
    layouts: dict[str, list[list[int]]] = {}
    calls: dict[str, str] = {}
    for probe in PROBES:
        if probe.name not in results:
            continue
        outcomes, frames = results[probe.name]
        answer = status(probe, outcomes)
        calls[probe.name] = f"{answer:#010x}"
        if probe.situation is not None:
            statuses.setdefault(probe.situation.name, set()).add(answer)
        layouts[probe.name] = [layout for frame in frames if (layout := _layout(frame.data))]
    named = {name: [f"{value:#010x}" for value in sorted(values)] for name, values in sorted(statuses.items())}
    wire = _habits({name: frames for name, (_, frames) in results.items()})
    return {"statuses": named, "calls": calls, "wire": wire, "layouts": layouts}


def _habits(frames: Mapping[str, Sequence[CapturedFrame]]) -> dict[str, Any]:
    habits: dict[str, Any] = {}
    for name, key4, key6 in (("plain", "ttl", ""), ("plain6", "", "hop_limit"), ("group", "multicast_ttl", "")):
        for frame in frames.get(name, ())[:1]:
            header = frame.data[_ETHERNET:]
            if header[0] >> 4 == 4 and key4:
                habits[key4] = header[8]
                if name == "plain":
                    habits["dont_fragment"] = bool(header[6] & 0x40)
                    habits["tos"] = header[1]
            elif header[0] >> 4 == 6 and key6:
                habits[key6] = header[7]
    for frame in frames.get("group6", ())[:1]:
        habits["multicast_hops"] = frame.data[_ETHERNET + 7]
    for frame in frames.get("empty", ())[:1]:
        habits["pads_to_60"] = frame.length >= _MINIMUM
        if frame.length > _ETHERNET + 28:
            habits["padding_is_zero"] = not any(frame.data[_ETHERNET + 28 :])
    identifications = [
        struct.unpack_from(">H", frame.data, _ETHERNET + 4)[0]
        for name in ("plain", "empty", "full")
        for frame in frames.get(name, ())[:1]
        if frame.data[_ETHERNET] >> 4 == 4
    ]
    if len(identifications) == 3:
        steps = {(b - a) & 0xFFFF for a, b in pairwise(identifications)}
        habits["identification"] = "counter" if steps == {1} else "zero" if identifications == [0, 0, 0] else "other"
    return habits


def _layout(data: bytes) -> list[int]:
    header = data[_ETHERNET:]
    if header[:1] and header[0] >> 4 == 4:
        flags = struct.unpack_from(">H", header, 6)[0]
        size = struct.unpack_from(">H", header, 2)[0] - (header[0] & 15) * 4
        return [(flags & 0x1FFF) * 8, size, flags >> 13 & 1, flags >> 14 & 1]
    if header[:1] and header[0] >> 4 == 6:
        size = struct.unpack_from(">H", header, 4)[0]
        if header[6] != 44:
            return [0, size, 0]
        field = struct.unpack_from(">H", header, 42)[0]
        return [field & 0xFFF8, size - 8, field & 1]
    return []
