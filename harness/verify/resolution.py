"""The forms of a guest's address resolution: ARP (RFC 826, RFC 5227) and neighbour discovery (RFC 4861).

A packet has the form only when each of its bytes is what the protocol asks for in this lab, so that nothing can hide.
"""

from __future__ import annotations

import struct

from harness.model.addresses import BROADCAST_MAC, group_mac
from harness.verify.forms import NO_MAC, Known, Scene, address, ends_at, sums_up6

_ARP_HEAD = b"\x00\x01\x08\x00\x06\x04"  # Ethernet, IPv4, 6 and 4 bytes of address
_ARP = struct.Struct(">H6s4s6s4s")
_REQUEST, _REPLY = 1, 2
_IPV6_HEAD = b"\x60\x00\x00\x00"  # traffic class and flow label 0
_ICMPV6, _HOPS = 58, 255
_ROUTERS, _SOLICITATION, _ADVERTISEMENT = 133, 135, 136
_ALL_NODES, _ALL_ROUTERS = (bytes.fromhex(f"ff02{'0' * 26}{last}") for last in ("01", "02"))
_SOURCE_MAC, _TARGET_MAC = b"\x01\x01", b"\x02\x01"  # options: type, and length in units of 8 bytes
_FLAGS = 0xE0  # router, solicited, override


def arp(frame: bytes, scene: Scene) -> Known | None:
    """The guest's request, probe, announcement or reply; ``None`` for a frame of any other form."""
    if (
        frame[12:14] != b"\x08\x06"
        or len(frame) < 42
        or frame[14:20] != _ARP_HEAD
        or not ends_at(frame, 42, scene.site)
    ):
        return None
    operation, sender_mac, sender, target_mac, target = _ARP.unpack_from(frame, 20)
    to, mine = frame[:6], scene.site.guest_mac
    if frame[6:12] != mine or sender_mac != mine:
        return None
    if operation == _REQUEST:
        own = scene.owns(target) and (sender in (bytes(4), target))  # a probe or announcement of its own address
        sought = scene.owns(sender) and scene.may_seek(target)
        aimed = to in (BROADCAST_MAC, NO_MAC) or (sought and scene.is_at(target, to))
        fine = (own or sought) and aimed and target_mac == bytes(6)
    else:
        fine = operation == _REPLY and scene.owns(sender) and target_mac == to != NO_MAC and scene.is_at(target, to)
        fine = fine or (operation == _REPLY and to == NO_MAC and scene.owns(sender) and scene.is_at(target, target_mac))
    return Known("arp", bytes([operation]) + target + sender) if fine else None


def neighbour_discovery(frame: bytes, scene: Scene) -> Known | None:
    """The guest's solicitation or advertisement; ``None`` for a frame of any other form."""
    if len(frame) < 54 or frame[12:18] != b"\x86\xdd" + _IPV6_HEAD or frame[20] != _ICMPV6 or frame[21] != _HOPS:
        return None
    length, source, destination = int.from_bytes(frame[18:20]), frame[22:38], frame[38:54]
    body = frame[54 : 54 + length]
    if length < 8 or len(body) < length or not ends_at(frame, 54 + length, scene.site) or body[1]:
        return None
    known = source == bytes(16) or scene.owns(source)
    if frame[6:12] != scene.site.guest_mac or not known or not sums_up6(source, destination, _ICMPV6, body):
        return None
    kind, to = body[0], frame[:6]
    if kind == _ROUTERS:
        fine = destination == _ALL_ROUTERS and not any(body[4:8]) and _is_group(to, destination)
        fine = fine and _option(body[8:], _SOURCE_MAC, scene, may_lack=True)
        return Known("nd", body[:1]) if fine else None
    if length < 24:
        return None
    target, options = body[8:24], body[24:]
    if kind == _SOLICITATION:
        fine = _solicits(source, destination, to, target, options, scene) and not any(body[4:8])
    elif kind == _ADVERTISEMENT:
        fine = not (body[4] & ~_FLAGS or any(body[5:8])) and scene.owns(target) and scene.owns(source)
        if destination == _ALL_NODES:
            fine = fine and _is_group(to, destination)
        else:
            fine = fine and scene.is_at(destination, to)
        fine = fine and _option(options, _TARGET_MAC, scene, may_lack=True)
    else:
        return None
    return Known("nd", body[:1] + target + destination) if fine else None


def _solicits(source: bytes, destination: bytes, to: bytes, target: bytes, options: bytes, scene: Scene) -> bool:
    group = bytes.fromhex(f"ff02{'0' * 18}01ff") + target[13:]
    to_group = destination == group and _is_group(to, destination)
    if source == bytes(16):  # it asks whether anybody else has its address
        return scene.owns(target) and to_group and not options
    if not scene.may_seek(target):
        return False
    to_owner = destination == target and scene.is_at(target, to)
    return (to_group or to_owner) and _option(options, _SOURCE_MAC, scene, may_lack=to_owner)


def _option(options: bytes, head: bytes, scene: Scene, *, may_lack: bool) -> bool:
    """Whether the options are one link-layer address, the guest's."""
    return options == head + scene.site.guest_mac or (may_lack and not options)


def _is_group(to: bytes, destination: bytes) -> bool:
    return to in (group_mac(address(destination)), NO_MAC)
