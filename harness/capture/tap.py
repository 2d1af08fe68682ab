"""Sees the bridge's frames the moment they pass: an AF_PACKET socket with a memory-mapped ring (TPACKET_V2).

dumpcap keeps the record, but hands its frames on by the quarter of a second (the block timeout of libpcap's TPACKET_V3
ring) and writes them out by the half. The tap shows the same frames within a millisecond, counts what it loses while
it runs, and is compared with the record frame by frame in the end.
"""

from __future__ import annotations

import mmap
import os
import select
import socket
import struct
import threading
from collections.abc import Callable

from harness.capture.frames import CapturedFrame
from harness.capture.origin import Direction
from harness.errors import LabError

# Constants of <linux/if_packet.h> and <linux/if_ether.h>.
_SOL_PACKET = 263
_ADD_MEMBERSHIP, _RX_RING, _STATISTICS, _VERSION = 1, 5, 6, 10
_MR_PROMISC = 1
_TPACKET_V2 = 1
_TP_STATUS_USER, _TP_STATUS_VLAN_VALID, _TP_STATUS_VLAN_TPID_VALID = 0x1, 0x10, 0x40
_ETH_P_ALL, _ETH_P_8021Q = 0x0003, 0x8100
_HEADER = struct.Struct("=IIIHHIIHH")  # tpacket2_hdr: status, len, snaplen, mac, net, sec, nsec, vlan_tci, vlan_tpid
_PACKET_TYPE_AT = 42  # sockaddr_ll.sll_pkttype: the address follows the header, which is aligned to 16 bytes
_PACKET_OUTGOING = 4
_HEADER_ROOM = 128  # header, sockaddr_ll and alignment before the Ethernet header
_BLOCK = 1 << 18


class Tap:
    """Reads all frames that pass an interface, both directions, and hands them on from a thread of its own.

    Args:
        interface: name of the interface.
        deliver: takes frames in order, numbered from 1; called on the tap's thread.
        mtu: frames up to this MTU are kept whole; longer ones are cut and show their true ``length``.
        buffer: size of the ring in bytes.

    ``kept`` is how many bytes of a frame are kept at least.

    Raises:
        LabError: the interface does not exist, or the right to capture is missing.
    """

    def __init__(
        self,
        interface: str,
        deliver: Callable[[list[CapturedFrame]], None],
        *,
        mtu: int = 1500,
        buffer: int = 16 << 20,
    ) -> None:
        self._interface = interface
        self._deliver = deliver
        self._slot = 1 << (mtu + 18 + _HEADER_ROOM - 1).bit_length()
        self.kept = mtu + 18
        self._dropped = 0
        self._count = 0
        self._lock = threading.Lock()
        self._failure: BaseException | None = None
        block = max(_BLOCK, self._slot)
        blocks = max(1, buffer // block)
        self._slots = blocks * (block // self._slot)
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        try:
            self._socket.setsockopt(_SOL_PACKET, _VERSION, _TPACKET_V2)
            ring = struct.pack("IIII", block, blocks, self._slot, self._slots)
            self._socket.setsockopt(_SOL_PACKET, _RX_RING, ring)
            self._ring = mmap.mmap(self._socket.fileno(), block * blocks)
            self._socket.bind((interface, _ETH_P_ALL))
            index = socket.if_nametoindex(interface)
            promiscuous = struct.pack("iHH8s", index, _MR_PROMISC, 0, b"")
            self._socket.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, promiscuous)
        except OSError as error:
            self._socket.close()
            raise LabError(f"cannot listen on {interface}: {error}") from error
        self._stop, self._stopped = os.pipe2(os.O_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name=f"tap-{interface}", daemon=True)
        self._thread.start()

    def dropped(self) -> int:
        """Frames that the kernel could not put into the ring so far.

        Raises:
            LabError: the tap has failed.
        """
        if self._failure is not None:
            raise LabError(f"listening on {self._interface} failed: {self._failure}") from self._failure
        with self._lock:
            # Reading the statistics clears them.
            _, drops = struct.unpack("II", self._socket.getsockopt(_SOL_PACKET, _STATISTICS, 8))
            self._dropped += drops
            return self._dropped

    def close(self) -> None:
        """Stop listening; frames already in the ring are delivered first."""
        os.write(self._stopped, b".")
        self._thread.join()
        self._ring.close()
        self._socket.close()
        os.close(self._stop)
        os.close(self._stopped)

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        poll.register(self._stop, select.POLLIN)
        try:
            slot = 0
            while True:
                slot, frames = self._drain(slot)
                if frames:
                    self._deliver(frames)
                elif any(descriptor == self._stop for descriptor, _ in poll.poll()):
                    return
        except BaseException as error:  # reported by the next caller of dropped()
            self._failure = error

    def _drain(self, slot: int) -> tuple[int, list[CapturedFrame]]:
        """Take what is in the ring from ``slot`` on, at most half a ring at a time."""
        frames: list[CapturedFrame] = []
        ring = self._ring
        for _ in range(self._slots // 2 or 1):
            at = slot * self._slot
            status, length, kept, mac, _, seconds, nanoseconds, tci, tpid = _HEADER.unpack_from(ring, at)
            if not status & _TP_STATUS_USER:
                break
            data = ring[at + mac : at + mac + kept]
            outgoing = ring[at + _PACKET_TYPE_AT] == _PACKET_OUTGOING
            struct.pack_into("=I", ring, at, 0)
            if status & _TP_STATUS_VLAN_VALID:
                # The kernel takes the outer tag out of the frame: put it back where it was on the wire.
                tag = struct.pack("!HH", tpid if status & _TP_STATUS_VLAN_TPID_VALID else _ETH_P_8021Q, tci)
                data, length = data[:12] + tag + data[12:], length + 4
            self._count += 1
            time_ns = seconds * 1_000_000_000 + nanoseconds
            way = Direction.OUTBOUND if outgoing else Direction.INBOUND
            frames.append(CapturedFrame(self._count, time_ns, data, length, self._interface, None, way))
            slot = (slot + 1) % self._slots
        return slot, frames
