"""The model's frames and fragments against tshark: it must put together the same datagram and find nothing wrong.

Datagrams of random sizes, MTUs, addresses and fields, their fragments in any order, and sizes around every border of
the arithmetic.
"""

from __future__ import annotations

import random
import shutil
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest

from harness.capture import pcapng
from harness.capture.frames import CapturedFrame, Checksum
from harness.capture.tshark.one_pass import dissect_file
from harness.model.addresses import mac_bytes
from harness.model.frames import MAX_PAYLOAD, Packet, encode
from harness.wsk.types import AF_INET, Address, Endpoint, Family

pytestmark = pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
SEED = 1122
GUEST, HOST = mac_bytes("52:54:00:d0:00:01"), mac_bytes("02:00:00:00:d0:01")


def datagram(chance: random.Random, size: int, mtu: int, number: int) -> Packet:
    """One with fields of chance; the number keeps identifications apart."""
    if chance.random() < 0.5:
        source: Address = IPv4Address("192.0.2.10")
        target: Address = IPv4Address(f"192.0.2.{chance.randrange(1, 250)}")
        most = MAX_PAYLOAD[AF_INET]
    else:
        source = IPv6Address("2001:db8:0:1::10")
        target = IPv6Address(f"2001:db8:0:1::{chance.randrange(1, 250):x}")
        most = MAX_PAYLOAD[Family.INET6]
    return Packet(
        GUEST,
        HOST,
        Endpoint(source, chance.randrange(1, 65536)),
        Endpoint(target, chance.randrange(1, 65536)),
        chance.randbytes(min(size, most)),
        ttl=chance.randrange(1, 256),
        tos=chance.randrange(0, 64) << 2,
        identification=number,
        mtu=mtu,
    )


def cases() -> list[Packet]:
    chance = random.Random(SEED)
    borders = [k * 1480 - 8 + d for k in range(1, 5) for d in (-1, 0, 1)]
    borders += [k * 1448 - 8 + d for k in range(1, 5) for d in (-1, 0, 1)]
    sizes = [(size, 1500) for size in (0, 1, 17, 18, *borders, 65507, 65527)]
    sizes += [(chance.randrange(0, 9000), chance.choice([1280, 1400, 1492, 1500, 4000, 9000])) for _ in range(300)]
    return [datagram(chance, size, mtu, number) for number, (size, mtu) in enumerate(sizes, 1)]


@pytest.mark.parametrize("order", ["ascending", "shuffled"])
def test_tshark_reassembles_what_the_model_fragments(tmp_path: Path, order: str) -> None:
    chance = random.Random(SEED + 1)
    frames: list[bytes] = []
    ends: list[tuple[int, Packet, int]] = []  # number of the frame that completes it, and how many it has
    for packet in cases():
        parts = list(encode(packet))
        if order == "shuffled":
            chance.shuffle(parts)
        frames += parts
        ends.append((len(frames), packet, len(parts)))
    path = tmp_path / "model.pcapng"
    captured = [CapturedFrame(number, number * 1000, data, len(data), "dut0") for number, data in enumerate(frames, 1)]
    path.write_bytes(pcapng.section("dut0") + b"".join(pcapng.packet(frame) for frame in captured))
    seen = dissect_file(path, range(1, len(frames) + 1))
    for number, packet, count in ends:
        found = seen[number]
        told = f"{packet.source} -> {packet.destination}, {len(packet.payload)} bytes, MTU {packet.mtu}"
        assert (found.payload or b"") == packet.payload, told
        assert (found.source_port, found.destination_port) == (packet.source.port, packet.destination.port), told
        assert found.udp_checksum is Checksum.GOOD, told
        assert not [note for note in found.expert if note.startswith(("error", "warning"))], (told, found.expert)
        assert len(found.reassembled_from) == (count if count > 1 else 0), told
        assert max(len(data) for data in frames[number - count : number]) <= packet.mtu + 14, told
