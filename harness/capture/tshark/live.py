"""Asks tshark what each frame is: one tshark for the whole session, fed frame by frame, read with pyshark.

The only module that knows tshark and pyshark. Every UDP payload is plain data to it (no upper dissector may call a
payload malformed), checksums are verified and fragments reassembled.
"""

from __future__ import annotations

import os
import threading
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from harness import children
from harness.capture import pcapng, proof
from harness.capture.frames import CapturedFrame, Checksum, Dissection
from harness.errors import AwaitTimeout, LabError
from harness.lab.process import Child

LAYERS = ("frame", "ip", "ipv6", "ipv6.fraghdr", "udp", "arp", "icmp", "icmpv6", "_ws.expert", "_ws.malformed")

ARGUMENTS = (
    *("tshark", "-n", "-l", "-r", "-", "-T", "ek", "-J", " ".join(LAYERS)),
    *("-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE"),
    *("-o", "ip.defragment:TRUE", "-o", "ipv6.defragment:TRUE"),
    *("-d", "udp.port==0-65535,data"),
)

# tshark's proto.h: PROTO_CHECKSUM_E_*; PI_SEVERITY_MASK.
_CHECKSUM = {"0": Checksum.BAD, "1": Checksum.GOOD, "2": Checksum.UNVERIFIED, "3": Checksum.ABSENT}
_SEVERITY = {0x100000: "comment", 0x200000: "chat", 0x400000: "note", 0x600000: "warning", 0x800000: "error"}
_FRAGMENT_FAULTS = (
    ("fragment_overlap", "fragments overlap"),
    ("fragment_overlap_conflict", "overlapping fragments differ"),
    ("fragment_multipletails", "more than one last fragment"),
    ("fragment_toolongfragment", "a fragment reaches past the end"),
)


@cache
def _parser() -> Callable[[bytes], Any]:
    """Pyshark's reader of one line of ``tshark -T ek``; importing it takes as long as tshark takes to start."""
    from pyshark.ek_field_mapping import MAPPING
    from pyshark.tshark.output_parser.tshark_ek import packet_from_ek_packet

    # pyshark wants to know each field's type before it gives a value, and would fetch all of them (20 MB of them) from
    # tshark. All that is asked for here is text.
    vars(MAPPING)["_protocol_to_mapping"].update(
        {name.replace(".", "_"): {"properties": {}} for name in ("frame", "ip", "ipv6", "udp", "_ws.malformed")}
    )
    parse: Callable[[bytes], Any] = packet_from_ek_packet
    return parse


class Layer(Protocol):
    """What is used of a pyshark layer."""

    @property
    def layer_name(self) -> str:
        """Its protocol."""

    def get_field(self, name: str) -> object:
        """Value of a field, ``None`` when the layer lacks it."""


class Dissector:
    """A running tshark.

    Args:
        interface: name that tshark knows the frames' interface by.
        log: file that takes tshark's error output.
    """

    def __init__(self, interface: str, log: Path) -> None:
        self._child = Child(
            "the dissector (tshark)",
            ARGUMENTS,
            log,
            pipe_input=True,
            pipe_output=True,
            environment=children.wireshark_environment(),
        )
        _parser()  # while tshark starts
        self._known: dict[int, Dissection] = {}
        self._numbers = array("Q", [0])  # of the frames that tshark was fed, which it counts from 1
        self._proof: dict[int, Dissection] = {}
        self._last = 0
        self._forgotten = 0
        self._news = threading.Condition()
        self._queue: deque[bytes] = deque([pcapng.section(interface)])
        self._queued = threading.Event()
        self.feed(proof.frames())
        self._closing = False
        self._failure: BaseException | None = None
        self._writer = threading.Thread(target=self._write, name="tshark-input", daemon=True)
        self._reader = threading.Thread(target=self._read, name="tshark-output", daemon=True)
        self._writer.start()
        self._reader.start()

    def prove(self, seconds: float) -> None:
        """See that tshark reads the frames that it was given first as they are (``harness.capture.proof``).

        Raises:
            AwaitTimeout: tshark said nothing in time.
            LabError: tshark died, or reads them otherwise: by another version's or a person's settings.
        """
        wanted = range(1, len(proof.frames()) + 1)
        self._await(lambda: len(self._proof) == len(wanted), "tshark to dissect the frames that prove it", seconds)
        proof.require([self._proof.get(at) for at in wanted])

    def feed(self, frames: Iterable[CapturedFrame]) -> None:
        """Hand frames to tshark, in ascending order of their numbers; never blocks."""
        for frame in frames:
            self._numbers.append(frame.number)
            self._queue.append(pcapng.packet(frame))
        self._queued.set()

    def await_number(self, number: int, seconds: float) -> None:
        """Wait until the frame of that number, and so every frame that was fed before it, is dissected.

        Raises:
            AwaitTimeout: tshark did not get that far in time.
            LabError: tshark died.
        """
        self._await(
            lambda: self._last >= number, f"tshark to dissect frame {number} (it has done {self._last})", seconds
        )

    def _await(self, done: Callable[[], bool], awaited: str, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        with self._news:
            while not done():
                if self._failure is not None:
                    raise LabError(f"reading tshark's output failed: {self._failure}") from self._failure
                self._child.require_alive()
                left = deadline - time.monotonic()
                if left <= 0:
                    raise AwaitTimeout(awaited, seconds, detail=self._child.tail())
                self._news.wait(min(left, 0.25))

    def get(self, number: int) -> Dissection | None:
        """What tshark said of the frame of that number; ``None`` while it has not spoken, or when it was forgotten."""
        return self._known.get(number)

    def forget(self, number: int) -> None:
        """Let go what tshark said, or will say, of the frames up to that number."""
        with self._news:
            self._forgotten = max(self._forgotten, number)
            self._known = {key: said for key, said in self._known.items() if key > number}

    def close(self, seconds: float = 10.0) -> None:
        """Let tshark finish what it was fed, then end it."""
        self._closing = True
        self._queued.set()
        self._writer.join(seconds)
        self._child.stdin.close()
        self._reader.join(seconds)
        self._child.end()

    def _write(self) -> None:
        descriptor = self._child.stdin.fileno()
        try:
            while True:
                self._queued.wait()
                self._queued.clear()
                while self._queue:
                    data = b"".join(self._queue.popleft() for _ in range(min(len(self._queue), 64)))
                    while data:
                        data = data[os.write(descriptor, data) :]
                if self._closing and not self._queue:
                    return
        except OSError:
            return  # tshark has died, which whoever waits for it will notice

    def _read(self) -> None:
        descriptor = self._child.stdout.fileno()
        rest = b""
        try:
            while chunk := os.read(descriptor, 1 << 20):
                *lines, rest = (rest + chunk).split(b"\n")
                fresh = [dissection(line) for line in lines if line.startswith(b'{"timestamp')]
                if not fresh:
                    continue
                numbers = self._numbers
                with self._news:
                    for at, said in fresh:
                        if not numbers[at]:
                            self._proof[at] = said
                        elif numbers[at] > self._forgotten:
                            self._known[numbers[at]] = said.renumbered(numbers)
                    self._last = numbers[fresh[-1][0]]
                    self._news.notify_all()
        except BaseException as error:
            self._failure = error
        with self._news:
            self._news.notify_all()


def dissection(line: bytes) -> tuple[int, Dissection]:
    """Frame number by tshark's count and dissection from one line of ``tshark -T ek``."""
    packet = _parser()(line)
    layers: dict[str, Layer] = {}
    for layer in packet.layers:
        layers.setdefault(layer.layer_name, layer)
    ip = layers.get("ip") or layers.get("ipv6")
    udp = layers.get("udp")
    return int(packet.number), Dissection(
        protocols=_text(packet.frame_info, "protocols"),
        source=_text(ip, "src"),
        destination=_text(ip, "dst"),
        source_port=_number(udp, "srcport"),
        destination_port=_number(udp, "dstport"),
        payload=_payload(udp),
        ip_checksum=_checksum(layers.get("ip")),
        udp_checksum=_checksum(udp),
        reassembled_from=_fragments(ip),
        expert=tuple(message for layer in layers.values() for message in _expert(layer)),
    )


def _values(layer: Layer | None, name: str) -> list[Any]:
    """All values of a field of a layer; an absent layer has none."""
    value = layer.get_field(name) if layer is not None else None
    value = getattr(value, "value", value)  # a field that has subfields keeps its own value beside them
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]


def _text(layer: Layer | None, name: str) -> str:
    values = _values(layer, name)
    return str(values[0]) if values else ""


def _number(layer: Layer | None, name: str) -> int | None:
    values = _values(layer, name)
    return int(values[0]) if values else None


def _payload(udp: Layer | None) -> bytes | None:
    if udp is None:
        return None
    return bytes.fromhex(_text(udp, "payload").replace(":", ""))


def _checksum(layer: Layer | None) -> Checksum:
    return _CHECKSUM.get(_text(layer, "checksum_status"), Checksum.ABSENT)


def _fragments(ip: Layer | None) -> tuple[int, ...]:
    if not _values(ip, "fragment_count"):
        return ()
    return tuple(sorted({int(value) for name in ("fragment", "fragment_error") for value in _values(ip, name)}))


def _expert(layer: Layer | None) -> list[str]:
    """Expert messages on a layer, and the faults of its reassembly."""
    messages = []
    for note in _values(layer, "_ws_expert"):
        severity = _SEVERITY.get(int(note.get("_ws_expert__ws_expert_severity", 0)), "message")
        text = note.get("_ws_expert__ws_expert_message", "")
        messages += [f"{severity}: {line}" for line in (text if isinstance(text, list) else [text])]
    messages += [f"error: {text}" for name, text in _FRAGMENT_FAULTS if any(_values(layer, name))]
    return messages
