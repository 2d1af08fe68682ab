"""The names that tests import; ``harness.cell.api`` and ``harness.wsk`` define and document them."""

from harness.cell.api import (
    ANY,
    DatagramSocket,
    Forced,
    ProviderUnreachable,
    Recorder,
    Sent,
    Wire,
    Wsk,
    pattern,
)
from harness.wsk.options import SocketOption
from harness.wsk.types import AF_INET, AF_INET6, Address, Completion, ControlMessage, Endpoint, Family, WskBuf

__all__ = [
    "AF_INET",
    "AF_INET6",
    "ANY",
    "Address",
    "Completion",
    "ControlMessage",
    "DatagramSocket",
    "Endpoint",
    "Family",
    "Forced",
    "ProviderUnreachable",
    "Recorder",
    "Sent",
    "SocketOption",
    "Wire",
    "Wsk",
    "WskBuf",
    "pattern",
]
