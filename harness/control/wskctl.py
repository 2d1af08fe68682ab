"""The driver's side of a session: operations over an open ``wskctl.exe serve``, pipelined.

Speaks the frames of ``drivers/include/wskctl_frames.h`` over any binary stream, and keeps the driver's handle of each
socket of the plan. It knows neither SSH nor the guest.
"""

from __future__ import annotations

import contextlib
import queue
import struct
import threading
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Protocol

from harness.errors import AwaitTimeout, Failure, HarnessError, LabError, UsageError
from harness.wsk import abi, layouts, table
from harness.wsk.operations import (
    Accounts,
    Burst,
    Collect,
    Force,
    GetLocalAddress,
    Ioctl,
    Open,
    Operation,
    Outcome,
    Receive,
    Relent,
    SendMessages,
    SendTo,
)
from harness.wsk.types import Completion, Endpoint

REQUEST = struct.Struct("<IIIII")
REPLY = struct.Struct("<III")
DEVICE_WSKSEND = table.DEVICE_WSKSEND
DEVICE_PROVIDER = table.DEVICE_PROVIDER
CODE_DETACH = 0
DEADLINE = 30.0
CLOSE_DEADLINE = 5.0
BURST_PIECE = 2000
"""Datagrams of a burst in one request: seconds even for an emulated NIC on a busy host."""
WINDOW_BYTES = 512 * 1024
MOST_UNREAD = 256 << 20
"""Bytes that the relay may send which nobody has read yet: a relay that sends for ever would fill our memory."""
_FRAME_COST = 100


class Stream(Protocol):
    """A binary duplex stream: what a channel of an SSH connection offers, or a process with two pipes."""

    def read(self, size: int, /) -> bytes:
        """At most ``size`` bytes as soon as there are any; none at the end of the stream.

        It may raise AwaitTimeout when nothing comes for long, and be asked again.
        """

    def write(self, data: bytes, /) -> object:
        """Write all of ``data``."""

    def close(self) -> object:
        """End the stream in both directions."""


class WskCtl:
    """A conversation with one loaded driver.

    Args:
        stream: joined to standard input and output of ``wskctl.exe serve``.
        deadline: seconds that one request may take; the driver's own waits are shorter.
    """

    def __init__(self, stream: Stream, deadline: float = DEADLINE) -> None:
        self._stream = stream
        self._deadline = deadline
        self._tag = 0
        self._handles: dict[int, int] = {}
        self._waiting: dict[int, list[int]] = {}  # tickets of sends in flight, by socket, oldest first
        self._ticket = 0
        self._locals: dict[int, Endpoint] = {}
        self._devices = {DEVICE_WSKSEND}
        self._frames: queue.Queue[bytes | None] = queue.Queue()
        self._end = "ended"
        self._arrived = self._taken = 0  # bytes of frames
        self._reader = threading.Thread(target=self._read, name="wskctl replies", daemon=True)
        self._reader.start()

    def execute(self, operation: Operation) -> Outcome:
        """Carry out one operation; see ``submit``."""
        return self.submit((operation,))[0]

    def submit(self, operations: Sequence[Operation]) -> list[Outcome]:
        """Carry out operations in order, many on their way at once.

        A Collect names steps; it is given the completions of the oldest sends without wait on its socket, in the order
        in which it names them.

        Raises:
            Failure: the driver did not answer in time, or answered what the interface does not allow.
            LabError: the relay ended.
        """
        return [outcome for group in _groups(operations) for outcome in self._carry_out(group)]

    def settle(self, operations: Sequence[Operation]) -> tuple[list[Outcome], Accounts]:
        """Carry out operations as ``submit`` does and then ask for the books, in one trip where that is possible."""
        *groups, last = _groups(operations) or [[]]
        if any(isinstance(operation, _ALONE) for operation in last):
            groups, last = [*groups, last], []
        outcomes = [outcome for group in groups for outcome in self._carry_out(group)]
        rest, (books,) = self._exchange(last, [abi.encode_accounts()])
        return outcomes + rest, abi.decode_accounts(self._brought(*books))

    def accounts(self) -> Accounts:
        """The driver's books."""
        return abi.decode_accounts(self._ask(abi.encode_accounts()))

    def ledger(self) -> dict[str, int]:
        """The driver's books with the accounts that ``Accounts`` leaves out (calls, canaries)."""
        return abi.decode_ledger(self._ask(abi.encode_accounts()))

    def info(self) -> abi.Info:
        """What the driver says of itself; Failure when it speaks another version of the interface."""
        info = abi.decode_info(self._ask(abi.encode_info()))
        if info.abi_version != layouts.VERSION:
            raise Failure(
                f"the driver speaks version {info.abi_version} of its interface, the harness {layouts.VERSION}",
                mend="build driver and harness from one tree",
            )
        return info

    def watch(self, number: int) -> int:
        """Have the verifier say in its log, with that number, which driver it watches; gives the NTSTATUS."""
        return self._roundtrip([(DEVICE_PROVIDER, abi.encode_watch(number))])[0][0]

    def ioctl(self, code: int, payload: bytes, capacity: int, device: int = DEVICE_WSKSEND) -> tuple[int, bytes]:
        """One IOCTL as it is: NTSTATUS and output. For hostile requests and for other devices."""
        return self._roundtrip([(device, abi.Request(code, payload, capacity))])[0]

    def detach(self) -> None:
        """Let the relay close what it has open: sockets close and the driver can unload. A request opens it again."""
        devices, self._devices = self._devices, {DEVICE_WSKSEND}
        self._roundtrip([(device, abi.Request(CODE_DETACH, b"", 0)) for device in sorted(devices)])
        self._handles.clear()
        self._waiting.clear()
        self._locals.clear()

    def abandon(self) -> None:
        """Let go of a relay whose driver does not answer any more, without asking it for anything."""
        self._stream.close()

    def close(self) -> None:
        """End the relay. The device is closed first, because an open one keeps its driver from unloading."""
        with contextlib.suppress(HarnessError):
            self._deadline = min(self._deadline, CLOSE_DEADLINE)
            self.detach()
        self._stream.close()
        self._reader.join(self._deadline)

    def _carry_out(self, group: Sequence[Operation]) -> list[Outcome]:
        """One group of operations; a long burst goes in pieces, since a request has a deadline."""
        if not (len(group) == 1 and isinstance(group[0], Burst) and group[0].count > BURST_PIECE):
            return self._exchange(group)[0]
        burst = group[0]
        parts: list[Completion] = []
        for done in range(0, burst.count, BURST_PIECE):
            count = min(BURST_PIECE, burst.count - done)
            outcome = self._exchange([replace(burst, first=burst.first + done, count=count)])[0][0]
            if outcome.completion is None:
                return [outcome]
            parts.append(outcome.completion)
            if outcome.completion.in_flight:
                break
        return [Outcome(completion=_sum(parts))]

    def _exchange(
        self, operations: Sequence[Operation], more: Sequence[abi.Request] = ()
    ) -> tuple[list[Outcome], list[tuple[int, bytes]]]:
        """Carry out one group of operations in one request; further requests go with them and come back as they are."""
        requests: list[tuple[abi.Request, bool]] = []
        tickets: list[dict[int, int]] = []  # for a Collect: step by ticket
        opened: int | None = None  # the socket that this group opens
        for operation in operations:
            steps = self._steps(operation)
            tickets.append(steps)
            named = {step: ticket for ticket, step in steps.items()}
            if isinstance(operation, Force | Relent):
                requests.append((abi.encode_provider(operation, self._local(operation)), False))
                continue
            request = abi.encode(operation, self._handles, self._ticket, named)
            requests.append((request, opened is not None and getattr(operation, "socket", None) == opened))
            if isinstance(operation, Open):
                opened = operation.socket
                self._waiting.pop(opened, None)
        answers = self._together([*requests, *((request, False) for request in more)])
        outcomes = []
        sent = self._ticket - sum(_unwaited(operation) for operation in operations)
        for operation, steps, (status, data) in zip(operations, tickets, answers, strict=False):
            outcomes.append(abi.decode(operation, status, data, steps))
            if isinstance(operation, Open):
                self._handles[operation.socket] = abi.opened_handle(status, data)
                self._locals.pop(operation.socket, None)
            elif isinstance(operation, GetLocalAddress) and outcomes[-1].endpoint is not None:
                self._locals[operation.socket] = outcomes[-1].endpoint
            elif isinstance(operation, SendTo) and _unwaited(operation):
                sent += 1
                if status != layouts.STATUS_SUCCESS:
                    self._waiting[operation.socket].remove(sent)
        return outcomes, answers[len(operations) :]

    def _together(self, requests: Sequence[tuple[abi.Request, bool]]) -> list[tuple[int, bytes]]:
        """Status and output of each request; several are one IOCTL, because the trip costs more than the work."""
        if len(requests) < 2:
            return self._roundtrip([(request.device, request) for request, _ in requests])
        status, data = self._roundtrip([(DEVICE_WSKSEND, abi.encode_batch(requests))])[0]
        if status != layouts.STATUS_SUCCESS:
            return [(status, b"")] * len(requests)  # nothing was done
        return abi.decode_batch(data, len(requests))

    def _steps(self, operation: Operation) -> dict[int, int]:
        """Give a send without wait its ticket; for a Collect take the oldest tickets of its socket with their steps."""
        if isinstance(operation, SendTo) and _unwaited(operation):
            self._ticket += 1
            self._waiting.setdefault(operation.socket, []).append(self._ticket)
        if not isinstance(operation, Collect):
            return {}
        waiting = self._waiting.setdefault(operation.socket, [])
        tickets = waiting[: len(operation.steps)]
        del waiting[: len(operation.steps)]
        # A step too many is asked for by a ticket that was never given, which the driver refuses.
        tickets += range(-1 & 0xFFFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF - (len(operation.steps) - len(tickets)), -1)
        return dict(zip(tickets, operation.steps, strict=True))

    def _local(self, operation: Force | Relent) -> Endpoint | None:
        """The address of the socket that a rule is about."""
        if isinstance(operation, Relent) or operation.socket is None:
            return None
        if operation.socket not in self._locals:
            raise UsageError(f"socket {operation.socket} is not bound, so the provider cannot tell it from others")
        return self._locals[operation.socket]

    def _ask(self, request: abi.Request) -> bytes:
        return self._brought(*self._roundtrip([(DEVICE_WSKSEND, request)])[0])

    @staticmethod
    def _brought(status: int, data: bytes) -> bytes:
        if status != layouts.STATUS_SUCCESS:
            raise Failure(f"the driver refused to tell of itself, with {status:#010x}")
        return data

    def _roundtrip(self, requests: Iterable[tuple[int, abi.Request]]) -> list[tuple[int, bytes]]:
        tags = []
        frames = []
        for device, request in requests:
            self._tag = (self._tag + 1) & 0xFFFFFFFF
            tags.append(self._tag)
            self._devices.add(device)
            head = (REQUEST.size - 4 + len(request.payload), self._tag, device, request.code, request.capacity)
            frames.append(REQUEST.pack(*head) + request.payload)
        try:
            self._stream.write(b"".join(frames))
        except OSError as error:
            raise LabError(f"the relay in the guest takes no request ({error})") from error
        return [self._reply(tag) for tag in tags]

    def _reply(self, tag: int) -> tuple[int, bytes]:
        try:
            frame = self._frames.get(timeout=self._deadline)
        except queue.Empty:
            raise Failure(f"the driver did not answer a request within {self._deadline:.0f} s") from None
        if frame is None:
            self._frames.put(None)
            raise LabError(f"the relay in the guest {self._end} (wskctl.exe serve)")
        self._taken += len(frame) + _FRAME_COST
        if len(frame) < REPLY.size:
            raise LabError(f"the relay in the guest answered with {len(frame)} bytes, fewer than a reply has")
        _, answered, status = REPLY.unpack_from(frame)
        if answered != tag:
            raise LabError(f"the relay in the guest answered request {answered} where {tag} was due")
        return status, frame[REPLY.size :]

    def _read(self) -> None:
        buffer = bytearray()
        while True:
            try:
                data = self._stream.read(1 << 16)
            except AwaitTimeout:
                continue  # nobody asked for anything: each request has a deadline of its own
            except (OSError, ValueError):
                data = b""
            if not data:
                self._frames.put(None)
                return
            buffer += data
            while len(buffer) >= 4 and len(buffer) >= (length := int.from_bytes(buffer[:4], "little") + 4):
                self._frames.put(bytes(buffer[:length]))
                self._arrived += length + _FRAME_COST
                del buffer[:length]
            if len(buffer) + self._arrived - self._taken > MOST_UNREAD:
                self._end = f"sent more than {MOST_UNREAD >> 20} MiB that nobody asked for"
                self._frames.put(None)
                self._stream.close()
                return


def _groups(operations: Sequence[Operation]) -> list[list[Operation]]:
    """Operations in the groups that one request can carry.

    A group opens one socket at most, for only the last one's handle is known to the driver while it works; a send that
    was refused must be known before it is collected, and a rule names the port that its socket was given.
    """
    groups: list[list[Operation]] = []
    group: list[Operation] = []
    weight = 0
    for operation in operations:
        alone = isinstance(operation, _ALONE)
        second = isinstance(operation, Open) and any(isinstance(other, Open) for other in group)
        full = len(group) == layouts.MAX_BATCH - 1 or weight > WINDOW_BYTES
        if group and (alone or second or full or isinstance(operation, Collect)):
            groups.append(group)
            group, weight = [], 0
        group.append(operation)
        weight += _weight(operation)
        if alone:
            groups.append(group)
            group, weight = [], 0
    return [*groups, group] if group else groups


_ALONE = (Force, Relent, Ioctl, Burst, Receive)
"""What is not the driver's, may take long, brings much, or is about the IOCTL itself."""


def _weight(operation: Operation) -> int:
    if isinstance(operation, SendTo | SendMessages):
        buffers = (operation.buffer,) if isinstance(operation, SendTo) else operation.buffers
        return sum(len(mdl.data) + 64 for buffer in buffers for mdl in buffer.mdls)
    return 64


def _sum(parts: Sequence[Completion]) -> Completion:
    """One record of a burst that went in pieces: sums, and the first status that was not success."""
    wrong = next((part for part in parts if part.status), parts[-1])
    return replace(
        wrong,
        information=sum(part.information for part in parts),
        completions=sum(part.completions for part in parts),
        irql=max(part.irql for part in parts),
        in_flight=any(part.in_flight for part in parts),
    )


def _unwaited(operation: Operation) -> bool:
    return isinstance(operation, SendTo) and not operation.wait
