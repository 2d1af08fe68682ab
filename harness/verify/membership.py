"""The forms of a guest's membership reports: IGMPv3 and IGMPv2 (RFC 3376, RFC 2236), MLDv2 (RFC 3810)."""

from __future__ import annotations

import struct

from harness.model.addresses import group_mac
from harness.model.checksum import folded_sum
from harness.verify.forms import NO_MAC, Known, Scene, address, ends_at, sums_up6

_ROUTER_ALERT4, _ROUTER_ALERT6 = b"\x94\x04\x00\x00", b"\x3a\x00\x05\x02\x00\x00\x01\x00"
_REPORTS4, _REPORTS6 = bytes([224, 0, 0, 22]), bytes.fromhex(f"ff02{'0' * 26}16")
_V3_REPORT, _V2_REPORT, _V2_LEAVE, _MLD_REPORT = 0x22, 0x16, 0x17, 143
_RECORD_TYPES = range(1, 7)
_CLASSES = (0, 0xC0)  # RFC 3376 section 4: internetwork control; Windows leaves it 0


def igmp(frame: bytes, scene: Scene) -> Known | None:
    """The guest's report or leave of groups that a test has named; ``None`` for a frame of any other form."""
    if (
        len(frame) < 46
        or frame[12:15] != b"\x08\x00\x46"
        or frame[15] not in _CLASSES
        or frame[34:38] != _ROUTER_ALERT4
    ):
        return None
    total, source, destination = int.from_bytes(frame[16:18]), frame[26:30], frame[30:34]
    body = frame[38 : 14 + total]
    if len(frame) < 14 + total or total < 32 or not ends_at(frame, 14 + total, scene.site):
        return None
    fine = frame[20:22] in (b"\x00\x00", b"\x40\x00") and frame[22:24] == b"\x01\x02" and _from(frame, source, scene)
    fine = fine and folded_sum(frame[14:38]) == 0xFFFF and folded_sum(body + bytes(len(body) % 2)) == 0xFFFF
    fine = fine and frame[:6] in (group_mac(address(destination)), NO_MAC)
    if body[0] == _V3_REPORT:
        fine = fine and destination == _REPORTS4 and _records(body, 4, scene)
    elif body[0] in (_V2_REPORT, _V2_LEAVE):
        to = body[4:8] if body[0] == _V2_REPORT else bytes([224, 0, 0, 2])
        fine = fine and len(body) == 8 and body[1] == 0 and destination == to and _joined(body[4:8], scene)
    else:
        return None
    return Known("igmp", destination) if fine else None


def mld(frame: bytes, scene: Scene) -> Known | None:
    """The guest's report of its own groups and those that a test has named; ``None`` for a frame of any other form."""
    if len(frame) < 70 or frame[12:18] != b"\x86\xdd\x60\x00\x00\x00" or frame[20:22] != b"\x00\x01":
        return None
    length, source, destination = int.from_bytes(frame[18:20]), frame[22:38], frame[38:54]
    body = frame[62 : 54 + length]
    if len(frame) < 54 + length or length < 16 or not ends_at(frame, 54 + length, scene.site):
        return None
    fine = frame[54:62] == _ROUTER_ALERT6 and destination == _REPORTS6 and body[:2] == bytes([_MLD_REPORT, 0])
    fine = fine and _from(frame, source, scene) and sums_up6(source, destination, 58, body)
    fine = fine and frame[:6] in (group_mac(address(destination)), NO_MAC)
    return Known("mld") if fine and _records(body, 16, scene) else None


def _from(frame: bytes, source: bytes, scene: Scene) -> bool:
    return frame[6:12] == scene.site.guest_mac and (not any(source) or scene.owns(source))


def _records(body: bytes, size: int, scene: Scene) -> bool:
    """Whether group records, without sources, fill a report from its eighth byte on to its end."""
    reserved, count = struct.unpack_from(">HH", body, 4)
    at = range(8, len(body), 4 + size)
    if reserved or len(body) != 8 + count * (4 + size):
        return False
    return all(
        body[n] in _RECORD_TYPES and body[n + 1 : n + 4] == bytes(3) and _joined(body[n + 4 : n + 4 + size], scene)
        for n in at
    )


def _joined(packed: bytes, scene: Scene) -> bool:
    """Whether the guest has a reason to be in a group: a test named it, or each of its addresses needs it."""
    group = address(packed)
    if group in scene.asked or group in scene.site.profile.groups:
        return True
    own = (item.ip.packed for item in scene.site.interfaces6)
    lasts = {packed_own[13:] for packed_own in own} | {scene.site.guest_mac[3:]}
    return packed[:13] == bytes.fromhex(f"ff02{'0' * 18}01ff") and packed[13:] in lasts
