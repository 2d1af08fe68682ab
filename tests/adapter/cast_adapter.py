"""The adapter of udpcast.sys, as a team would write one for its own driver: one IOCTL that does everything.

The driver opens, binds, sends and closes in one go, so Open and Bind are only remembered here, and a send does all.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

from harness.adapter import DriverAdapter, completed, not_offered
from harness.control.ssh import Stream
from harness.errors import Failure
from harness.wsk import operations as ops
from harness.wsk import status as nt
from harness.wsk.types import Endpoint, Family

CAST = struct.Struct("<HHHH16s")
REPLY = struct.Struct("<II")


class CastAdapter(DriverAdapter):
    """Drives udpcast.sys through udpcast.exe, which lies beside it."""

    service = "udpcast"

    def files(self) -> dict[str, Path]:
        return {"udpcast.exe": self.sys_file.with_suffix(".exe")}

    def execute(self, operations: Sequence[ops.Operation]) -> list[ops.Outcome]:
        return [self._one(operation) for operation in operations]

    def close(self) -> None:
        if self._stream is not None:
            self._stream.finish()
            self._stream = None

    def unload(self) -> None:
        self.close()  # an open device keeps its driver from unloading
        super().unload()

    _stream: Stream | None = None
    _sockets: dict[int, Endpoint | None]
    _ports = 50000

    def _one(self, operation: ops.Operation) -> ops.Outcome:
        sockets = self.__dict__.setdefault("_sockets", {})
        if isinstance(operation, ops.Open):
            sockets[operation.socket] = None
            return completed(nt.SUCCESS)
        if isinstance(operation, ops.Bind):
            self._ports += 1
            sockets[operation.socket] = Endpoint(operation.local.address, operation.local.port or self._ports)
            return completed(nt.SUCCESS)
        if isinstance(operation, ops.GetLocalAddress):
            answer = completed(nt.SUCCESS)
            return ops.Outcome(completion=answer.completion, endpoint=sockets[operation.socket])
        if isinstance(operation, ops.Close):
            del sockets[operation.socket]
            return completed(nt.SUCCESS)
        local = sockets.get(getattr(operation, "socket", -1))
        if isinstance(operation, ops.SendTo) and operation.remote is not None and local is not None:
            return self._cast(local.port, operation.remote, b"".join(mdl.data for mdl in operation.buffer.mdls))
        return not_offered(operation)

    def _cast(self, source: int, remote: Endpoint, data: bytes) -> ops.Outcome:
        if self._stream is None:
            self._stream = self.shell.open_stream(r"C:\harness\udpcast.exe")
        six = remote.family is Family.INET6
        head = CAST.pack(six, source, remote.port, len(data), remote.address.packed.ljust(16, b"\0"))
        self._stream.write(head + data)
        reply = b""
        while len(reply) < REPLY.size:
            piece = self._stream.read(REPLY.size - len(reply))
            if not piece:
                raise Failure("udpcast.exe ended without an answer")
            reply += piece
        return completed(*REPLY.unpack(reply))
