"""What a guest's stack may send by itself: in its protocol's form to the last bit, by its profile, at its rate."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import replace
from ipaddress import ip_address

import pytest

from harness.capture.frames import CapturedFrame, Integrity
from harness.model.addresses import group_mac, link_local, mac_bytes
from harness.model.checksum import folded_sum
from harness.model.frames import encode
from harness.model.predict import predict
from harness.model.profile import LINUX, WINDOWS, StackProfile
from harness.results.status import Status
from harness.verify.judge import judge
from harness.verify.verdict import CaseVerdict, Verdict
from harness.wsk.types import Endpoint
from tests.unit.verify_kit import GUEST_MAC, HOST_MAC, Plan, captured, packets, raw, site

GUEST, HOST = mac_bytes(GUEST_MAC), mac_bytes(HOST_MAC)
BROADCAST = b"\xff" * 6
OWN4, OTHER4, PEER4 = (ip_address(text).packed for text in ("192.0.2.10", "192.0.2.77", "192.0.2.1"))
OWN6, PEER6 = (ip_address(text).packed for text in ("2001:db8:0:1::10", "2001:db8:0:1::1"))
NONE4, NONE6, NO_MAC = bytes(4), bytes(16), bytes(6)
ALL_NODES = ip_address("ff02::1").packed


def arp(
    operation: int = 1,
    to: bytes = BROADCAST,
    mac: bytes = GUEST,
    sender: bytes = OWN4,
    target_mac: bytes = NO_MAC,
    target: bytes = PEER4,
    more: bytes = b"",
) -> bytes:
    head = to + GUEST + b"\x08\x06\x00\x01\x08\x00\x06\x04" + operation.to_bytes(2)
    return head + mac + sender + target_mac + target + more


def group(address: bytes) -> bytes:
    return bytes.fromhex("ff0200000000000000000001ff") + address[13:]


def ipv6(
    destination: bytes, body: bytes, source: bytes = OWN6, hops: int = 255, ahead: bytes = b"", mac: bytes = b""
) -> bytes:
    checksum = 0xFFFF - folded_sum(source + destination + struct.pack(">II", len(body), 58) + body)
    body = ahead + body[:2] + checksum.to_bytes(2) + body[4:]
    head = b"\x60\0\0\0" + len(body).to_bytes(2) + bytes([0 if ahead else 58, hops]) + source + destination
    return (mac or group_mac(ip_address(destination))) + GUEST + b"\x86\xdd" + head + body


def solicitation(target: bytes = PEER6, options: bytes = b"\x01\x01" + GUEST, source: bytes = OWN6) -> bytes:
    return ipv6(group(target), bytes([135, *bytes(7)]) + target + options, source)


def advertisement(target: bytes = OWN6, flags: int = 0x60, options: bytes = b"\x02\x01" + GUEST) -> bytes:
    return ipv6(PEER6, bytes([136, 0, 0, 0, flags, 0, 0, 0]) + target + options, mac=HOST)


def mld(member: bytes, sources: int = 0) -> bytes:
    body = bytes([143, *bytes(6), 1, 4, 0]) + sources.to_bytes(2) + member + bytes(16 * sources)
    alert = b"\x3a\x00\x05\x02\x00\x00\x01\x00"
    return ipv6(ip_address("ff02::16").packed, body, link_local(GUEST).packed, 1, alert)


def igmp(member: str) -> bytes:
    packed = ip_address(member).packed
    body = b"\x22\0\0\0\0\0\0\x01\x04\0\0\0" + packed
    body = body[:2] + (0xFFFF - folded_sum(body)).to_bytes(2) + body[4:]
    head = (
        b"\x46\xc0"
        + (24 + len(body)).to_bytes(2)
        + b"\0\0\x40\0\x01\x02\0\0"
        + OWN4
        + bytes([224, 0, 0, 22])
        + b"\x94\x04\0\0"
    )
    head = head[:10] + (0xFFFF - folded_sum(head)).to_bytes(2) + head[12:]
    return group_mac(ip_address("224.0.0.22")) + GUEST + b"\x08\x00" + head + body


def plan() -> Plan:
    made = Plan()
    made.socket()
    made.send(b"hello", "192.0.2.1")
    made.send(b"to a group", "239.1.2.3")
    return made


def udp(
    destination: str, ports: tuple[int, int], payload: bytes, source: str = "192.0.2.10", mac: bytes = b""
) -> bytes:
    (packet,) = packets(ONE_SEND.predict(site()), site())
    changed = replace(
        packet,
        destination_mac=mac or group_mac(ip_address(destination)),
        source=Endpoint(ip_address(source), ports[0]),
        destination=Endpoint(ip_address(destination), ports[1]),
        payload=payload,
    )
    (frame,) = encode(changed)
    return frame


def _one() -> Plan:
    made = Plan()
    made.socket()
    made.send(b"hello", "192.0.2.1")
    return made


ONE_SEND = _one()
QUESTION = b"\0\0\0\0\0\x01\0\0\0\0\0\0" + b"\x04wpad\x05local\0" + b"\0\x01\0\x01"
ASKED = b"\x12\x34" + QUESTION[2:]
SEARCH = (
    b'M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: "ssdp:discover"\r\nMX: 3\r\nST: upnp:rootdevice\r\n\r\n'
)
NETBIOS = b"\x12\x34\x01\x10\0\x01\0\0\0\0\0\0\x20" + b"CA" * 16 + b"\0\0\x20\0\x01"
DISCOVER = (
    b"\x01\x01\x06\0abcd" + bytes(20) + GUEST + bytes(10 + 64 + 128) + b"\x63\x82\x53\x63"
    + b"\x35\x01\x01\x3d\x07\x01" + GUEST + b"\x3c\x08MSFT 5.0\x37\x03\x01\x03\x06\xff"
)  # fmt: skip


def mdns(payload: bytes = QUESTION, ports: tuple[int, int] = (5353, 5353)) -> bytes:
    return udp("224.0.0.251", ports, payload)


def ssdp(payload: bytes = SEARCH) -> bytes:
    return udp("239.255.255.250", (50000, 1900), payload)


def dhcp(payload: bytes = DISCOVER) -> bytes:
    return udp("255.255.255.255", (68, 67), payload, "0.0.0.0", BROADCAST)


def judged(
    frames: Iterable[bytes],
    profile: StackProfile = LINUX,
    pads: bool = False,
    seconds: float = 0.0,
    made: Plan | None = None,
) -> CaseVerdict:
    """The verdict of a case in which a faultless guest sends these beside its datagrams, so many seconds apart."""
    where, made = site(profile, pads=pads), made or plan()
    sent = captured([*raw(packets(made.predict(where), where)), *frames])
    timed: list[CapturedFrame] = [replace(frame, time_ns=int(frame.number * seconds * 1e9)) for frame in sent]
    return judge(predict(made.steps, where), made.steps, timed, Integrity(), where, tshark=False)


STACKS = {
    "a request": ("arp", arp()),
    "an unicast request": ("arp", arp(to=HOST)),
    "a probe of its own address": ("arp", arp(sender=NONE4, target=OWN4)),
    "an announcement": ("arp", arp(target=OWN4)),
    "a reply": ("arp", arp(2, HOST, target_mac=HOST)),
    "a solicitation": ("nd", solicitation()),
    "duplicate address detection": ("nd", solicitation(OWN6, b"", NONE6)),
    "an advertisement": ("nd", advertisement()),
    "a report of its own group": ("mld", mld(group(OWN6))),
    "a report of a group that the test named": ("igmp", igmp("239.1.2.3")),
}
SERVICES = {
    "mdns": mdns(),
    "llmnr": udp("224.0.0.252", (50000, 5355), ASKED),
    "ssdp": ssdp(),
    "nbns": udp("192.0.2.255", (137, 137), NETBIOS, mac=BROADCAST),
    "dhcp": dhcp(),
}


@pytest.mark.parametrize("what", STACKS)
def test_what_a_stack_must_send_is_counted_and_not_held_against_the_driver(what: str) -> None:
    name, frame = STACKS[what]
    for profile in (LINUX, WINDOWS):
        said = judged([frame], profile)
        assert (said.status, said.background, said.counts.background) == (Status.PASSED, ((name, 1),), 1)


@pytest.mark.parametrize("name", SERVICES)
def test_services_ask_where_the_profile_allows_them_and_a_silent_guest_may_not(name: str) -> None:
    assert judged([SERVICES[name]], WINDOWS).background == ((name, 1),)
    assert judged([SERVICES[name]], WINDOWS).status is Status.PASSED
    assert [item.verdict for item in judged([SERVICES[name]], LINUX).findings] == [Verdict.UNEXPECTED]


def ether(kind: str, payload: bytes, to: bytes = HOST) -> bytes:
    return to + GUEST + bytes.fromhex(kind) + payload


def ipv4(protocol: int, body: bytes) -> bytes:
    head = b"\x45\0" + (20 + len(body)).to_bytes(2) + b"\0\0\x40\0\x40" + bytes([protocol, 0, 0]) + OWN4 + PEER4
    return ether("0800", head[:10] + (0xFFFF - folded_sum(head)).to_bytes(2) + head[12:] + body)


HIDDEN = b"anything at all "
FOREIGN = {
    "tcp": ipv4(6, bytes(200)),
    "icmp": ipv4(1, b"\x08" + bytes(199)),
    "icmp unreachable": ipv4(1, b"\x03\x03" + bytes(198)),
    "eapol": ether("888e", b"\x01\x01\0\0" + bytes(196)),
    "lldp": ether("88cc", bytes(200), bytes.fromhex("0180c200000e")),
    "802.3": ether("00c8", bytes(200)),
    "experimental": ether("88b5", bytes(200)),
    "arp of 200 bytes": arp(more=bytes(200)),
    "arp with a trailer": arp(more=HIDDEN + b"xx"),
    "arp padded by a NIC that does not pad": arp(more=bytes(18)),
    "arp for somebody nobody named": arp(target=OTHER4),
    "arp from another address": arp(sender=OTHER4),
    "arp with a target MAC in a request": arp(target_mac=HIDDEN[:6]),
    "arp with another sender MAC": arp(mac=HOST),
    "arp to a stranger": arp(to=HIDDEN[:6]),
    "arp of an unknown operation": arp(3),
    "a reply about another address": arp(2, HOST, sender=OTHER4, target_mac=HOST),
    "a solicitation for somebody nobody named": solicitation(PEER6[:8] + HIDDEN[:8]),
    "a solicitation with a nonce": solicitation(OWN6, b"\x0e\x01" + HIDDEN[:6], NONE6),
    "a solicitation with two options": solicitation(options=b"\x01\x01" + GUEST + b"\x0e\x01" + HIDDEN[:6]),
    "a solicitation with a trailer": solicitation() + HIDDEN,
    "an advertisement of another address": advertisement(PEER6),
    "an advertisement with reserved bits": advertisement(flags=0x61),
    "a router advertisement": ipv6(ALL_NODES, bytes([134, *bytes(15)])),
    "an echo request": ipv6(ALL_NODES, bytes([128, *bytes(7)]) + HIDDEN),
    "a report of a strange group": mld(ip_address("ff02::7777:7777").packed),
    "a report with sources": mld(group(OWN6), sources=2),
    "a report of a group nobody named": igmp("239.7.7.7"),
    "mdns from port 9000": mdns(bytes(200), (9000, 5353)),
    "mdns that is no question": mdns(bytes(200)),
    "mdns with something behind it": mdns(QUESTION + HIDDEN),
    "ssdp that is no search": ssdp(bytes(200)),
    "ssdp with a body": ssdp(SEARCH + HIDDEN),
    "dhcp that is no message": dhcp(bytes(200)),
    "dhcp with a file name": dhcp(DISCOVER[:108] + HIDDEN + DISCOVER[108 + len(HIDDEN) :]),
    "dhcp with something behind it": dhcp(DISCOVER + HIDDEN),
    "dhcp of another client": dhcp(DISCOVER[:28] + HOST + DISCOVER[34:]),
}


@pytest.mark.parametrize("what", FOREIGN)
@pytest.mark.parametrize("profile", [LINUX, WINDOWS], ids=["linux", "windows"])
def test_what_has_another_form_is_unexpected(what: str, profile: StackProfile) -> None:
    if profile is WINDOWS and what == "arp padded by a NIC that does not pad":
        pytest.skip("nobody knows yet whether Windows pads")
    said = judged([FOREIGN[what]], profile)
    assert (said.status, [item.verdict for item in said.findings]) == (Status.FAILED, [Verdict.UNEXPECTED])


@pytest.mark.parametrize("what", STACKS)
def test_no_bit_of_a_stacks_packet_is_free(what: str) -> None:
    """Each byte changed in each bit: what still counts as background says another thing that this lab knows as well."""
    _, frame = STACKS[what]
    free = set()
    for place in range(len(frame) * 8):
        changed = bytearray(frame)
        changed[place // 8] ^= 1 << place % 8
        if judged([bytes(changed)]).status is Status.PASSED:
            free.add(place // 8)
    # A second address of the guest or of the host, another flag of an advertisement, IGMP's identification.
    assert len(free) <= (4 if what.startswith("a report of a group") else 2), free


def test_padding_is_zeros_and_only_of_a_nic_that_pads() -> None:
    assert judged([arp(more=bytes(18))], pads=True).status is Status.PASSED
    assert judged([arp(more=bytes(17) + b"x")], pads=True).status is Status.FAILED
    assert judged([arp(more=bytes(19))], pads=True).status is Status.FAILED


def test_what_a_test_named_may_be_sought_in_its_case_and_later() -> None:
    named = Plan()
    named.socket()
    named.send(b"is anybody there?", "192.0.2.77")
    assert judged([arp(target=OTHER4)], made=named).background == (("arp", 1),)
    where, made = site(), plan()
    sent = captured([*raw(packets(made.predict(where), where)), arp(target=OTHER4)])
    later = judge(
        made.predict(where), made.steps, sent, Integrity(), where, tshark=False, asked={ip_address("192.0.2.77")}
    )
    assert later.status is Status.PASSED


def test_background_beyond_its_rate_is_unexpected() -> None:
    assert judged([arp()] * 20, seconds=1.0).background == (("arp", 20),)
    said = judged([arp()] * 20, seconds=0.001)
    assert (said.counts.background, said.counts.unexpected) == (3, 17)
    assert said.findings[0].detail == "arp more often than the linux stack sends it by itself"
    about_both = [arp(), arp(target=PEER4[:3] + b"\x02")] * 3
    assert judged(about_both, seconds=0.001).counts.background == 6
