"""First layer: the payload that a WSK_BUF describes.

Rule (WDK, WSK_BUF structure): the bytes of the MDL chain joined, from Offset on, Length of them. Offset lies within the
first MDL; with Length 0 there need be no MDL, and Offset is unused. A Length beyond the chain is never sent by a
default run: Windows stops with a bug check instead of an error.
"""

from __future__ import annotations

from harness.errors import UsageError
from harness.wsk.types import WskBuf


def payload(buffer: WskBuf) -> bytes:
    """Bytes that a send of this buffer must carry.

    Raises:
        UsageError: the buffer breaks the rule above, so no payload is defined.
    """
    if buffer.length == 0 or not buffer.mdls:
        if buffer.size:
            raise UsageError(f"WSK_BUF of {buffer.size} bytes without an MDL")
        return b""
    chain = buffer.mdls[0].data if len(buffer.mdls) == 1 else b"".join(mdl.data for mdl in buffer.mdls)
    if not 0 <= buffer.offset < max(1, len(buffer.mdls[0].data)):
        raise UsageError(f"WSK_BUF.Offset {buffer.offset} is outside the first MDL of {len(buffer.mdls[0].data)} bytes")
    end = buffer.offset + buffer.size
    if buffer.size < 0 or end > len(chain):
        raise UsageError(
            f"WSK_BUF.Length {buffer.size} from offset {buffer.offset} exceeds the chain of {len(chain)} bytes"
        )
    return chain[buffer.offset : end]
