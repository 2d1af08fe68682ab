"""The structures and constants of ``wsksend_abi.h`` and ``wskprovider_abi.h`` (drivers/include), as values.

Written by ``python -m harness.wsk.generate``: change the headers, then run it.
"""

from __future__ import annotations

from harness.wsk.layout import Layout

STATUS_SUCCESS = 0

VERSION = 1
DEVICE_TYPE = 32855
IOCTL_INFO = 0x8057E000
IOCTL_ACCOUNTS = 0x8057E004
IOCTL_OPEN = 0x8057E040
IOCTL_CLOSE = 0x8057E044
IOCTL_BIND = 0x8057E048
IOCTL_GET_LOCAL_ADDRESS = 0x8057E04C
IOCTL_SET_OPTION = 0x8057E050
IOCTL_GET_OPTION = 0x8057E054
IOCTL_SET_REMOTE_ADDRESS = 0x8057E058
IOCTL_SET_SENDTO_ADDRESS = 0x8057E05C
IOCTL_SEND = 0x8057E080
IOCTL_SEND_MESSAGES = 0x8057E084
IOCTL_BURST = 0x8057E088
IOCTL_COLLECT = 0x8057E08C
IOCTL_RECEIVE = 0x8057E090
IOCTL_BATCH = 0x8057E0C0
MAX_SOCKETS = 64
MAX_CALLS = 4096
MAX_WAIT_MS = 60000
MAX_BUFFERS = 64
MAX_MDLS = 256
MAX_CONTROLS = 16
MAX_CONTROL_BYTES = 1024
MAX_PAYLOAD = 1048576
MAX_OPTION = 1024
MAX_DATAGRAM = 131072
MAX_BURST = 1000000
MAX_DEPTH = 256
MAX_BATCH = 64
PAGE = 4096
MODE_WAIT = 1
MODE_REUSE_IRP = 2
MODE_RAISED = 4
ITEM_OPENED = 1
PROVIDER_VERSION = 1
PROVIDER_DEVICE_TYPE = 32856
PROVIDER_IOCTL_FORCE = 0x8058E000
PROVIDER_IOCTL_RELENT = 0x8058E004
PROVIDER_IOCTL_WATCH = 0x8058E008
PROVIDER_MAX_RULES = 16
PROVIDER_MAX_DELAY_MS = 10000
PROVIDER_CALL_SOCKET = 1
PROVIDER_CALL_CLOSE = 2
PROVIDER_CALL_BIND = 4
PROVIDER_CALL_GET_LOCAL_ADDRESS = 8
PROVIDER_CALL_CONTROL = 16
PROVIDER_CALL_SEND = 32
PROVIDER_CALL_RECEIVE = 64
PROVIDER_CALL_ALL = 127
PROVIDER_CALL_POOL = 256
PROVIDER_CALL_IRP = 512
PROVIDER_CALL_MDL = 1024
PROVIDER_CALL_MEMORY = 1792
PROVIDER_INLINE = 1
PROVIDER_LATE = 2
PROVIDER_RAISED = 4
PROVIDER_REVERSE = 8
PROVIDER_FAIL = 16
PROVIDER_REFUSE = 32
PROVIDER_PEND = 64
PROVIDER_DEAD = 128
PROVIDER_EFFECTS = 255

ENDPOINT = Layout(
    "wsksend_endpoint",
    ("family", "H"),
    ("port", "H"),
    ("scope_id", "I"),
    ("address", "16s"),
)
COMPLETION = Layout(
    "wsksend_completion",
    ("returned", "I"),
    ("status", "I"),
    ("information", "Q"),
    ("completions", "I"),
    ("irql", "B"),
    ("pending_returned", "B"),
    ("in_flight", "B"),
    ("reserved", "B"),
)
REQUEST = Layout(
    "wsksend_request",
    ("header.version", "I"),
    ("header.size", "I"),
)
INFO = Layout(
    "wsksend_info",
    ("abi_version", "I"),
    ("wsk_highest", "H"),
    ("wsk_lowest", "H"),
    ("wsk_status", "I"),
    ("reserved", "12s"),
)
ACCOUNTS = Layout(
    "wsksend_accounts",
    ("irps", "q"),
    ("mdls", "q"),
    ("buffers", "q"),
    ("sockets", "q"),
    ("in_flight", "q"),
    ("sends", "q"),
    ("completed", "q"),
    ("calls", "q"),
    ("canaries", "q"),
)
OPEN = Layout(
    "wsksend_open",
    ("header.version", "I"),
    ("header.size", "I"),
    ("family", "H"),
    ("reserved", "H"),
    ("category", "I"),
)
OPEN_REPLY = Layout(
    "wsksend_open_reply",
    ("completion.returned", "I"),
    ("completion.status", "I"),
    ("completion.information", "Q"),
    ("completion.completions", "I"),
    ("completion.irql", "B"),
    ("completion.pending_returned", "B"),
    ("completion.in_flight", "B"),
    ("completion.reserved", "B"),
    ("handle", "Q"),
)
SOCKET = Layout(
    "wsksend_socket",
    ("header.version", "I"),
    ("header.size", "I"),
    ("handle", "Q"),
)
ADDRESS = Layout(
    "wsksend_address",
    ("header.version", "I"),
    ("header.size", "I"),
    ("handle", "Q"),
    ("endpoint.family", "H"),
    ("endpoint.port", "H"),
    ("endpoint.scope_id", "I"),
    ("endpoint.address", "16s"),
)
ADDRESS_REPLY = Layout(
    "wsksend_address_reply",
    ("completion.returned", "I"),
    ("completion.status", "I"),
    ("completion.information", "Q"),
    ("completion.completions", "I"),
    ("completion.irql", "B"),
    ("completion.pending_returned", "B"),
    ("completion.in_flight", "B"),
    ("completion.reserved", "B"),
    ("endpoint.family", "H"),
    ("endpoint.port", "H"),
    ("endpoint.scope_id", "I"),
    ("endpoint.address", "16s"),
)
OPTION = Layout(
    "wsksend_option",
    ("header.version", "I"),
    ("header.size", "I"),
    ("handle", "Q"),
    ("level", "I"),
    ("name", "I"),
    ("length", "I"),
    ("reserved", "I"),
)
OPTION_REPLY = Layout(
    "wsksend_option_reply",
    ("completion.returned", "I"),
    ("completion.status", "I"),
    ("completion.information", "Q"),
    ("completion.completions", "I"),
    ("completion.irql", "B"),
    ("completion.pending_returned", "B"),
    ("completion.in_flight", "B"),
    ("completion.reserved", "B"),
    ("length", "I"),
    ("reserved", "I"),
)
SEND = Layout(
    "wsksend_send",
    ("header.version", "I"),
    ("header.size", "I"),
    ("handle", "Q"),
    ("remote.family", "H"),
    ("remote.port", "H"),
    ("remote.scope_id", "I"),
    ("remote.address", "16s"),
    ("flags", "I"),
    ("mode", "I"),
    ("wait_ms", "I"),
    ("buffer_count", "I"),
    ("mdl_count", "I"),
    ("control_count", "I"),
    ("control_bytes", "I"),
    ("payload_bytes", "I"),
    ("ticket", "Q"),
)
BUFFER = Layout(
    "wsksend_buffer",
    ("mdl_count", "I"),
    ("offset", "I"),
    ("length", "Q"),
)
MDL = Layout(
    "wsksend_mdl",
    ("byte_count", "I"),
    ("byte_offset", "I"),
)
CONTROL = Layout(
    "wsksend_control",
    ("level", "i"),
    ("type", "i"),
    ("length", "I"),
    ("reserved", "I"),
)
SEND_REPLY = Layout(
    "wsksend_send_reply",
    ("completion.returned", "I"),
    ("completion.status", "I"),
    ("completion.information", "Q"),
    ("completion.completions", "I"),
    ("completion.irql", "B"),
    ("completion.pending_returned", "B"),
    ("completion.in_flight", "B"),
    ("completion.reserved", "B"),
    ("ticket", "Q"),
)
BURST = Layout(
    "wsksend_burst",
    ("header.version", "I"),
    ("header.size", "I"),
    ("handle", "Q"),
    ("remote.family", "H"),
    ("remote.port", "H"),
    ("remote.scope_id", "I"),
    ("remote.address", "16s"),
    ("count", "I"),
    ("size", "I"),
    ("depth", "I"),
    ("interval_us", "I"),
    ("first", "Q"),
    ("wait_ms", "I"),
    ("reserved", "I"),
)
BURST_REPLY = Layout(
    "wsksend_burst_reply",
    ("completion.returned", "I"),
    ("completion.status", "I"),
    ("completion.information", "Q"),
    ("completion.completions", "I"),
    ("completion.irql", "B"),
    ("completion.pending_returned", "B"),
    ("completion.in_flight", "B"),
    ("completion.reserved", "B"),
    ("first_failed", "Q"),
    ("sent", "I"),
    ("succeeded", "I"),
)
COLLECT = Layout(
    "wsksend_collect",
    ("header.version", "I"),
    ("header.size", "I"),
    ("handle", "Q"),
    ("count", "I"),
    ("wait_ms", "I"),
)
COLLECTED = Layout(
    "wsksend_collected",
    ("ticket", "Q"),
    ("completion.returned", "I"),
    ("completion.status", "I"),
    ("completion.information", "Q"),
    ("completion.completions", "I"),
    ("completion.irql", "B"),
    ("completion.pending_returned", "B"),
    ("completion.in_flight", "B"),
    ("completion.reserved", "B"),
)
RECEIVE = Layout(
    "wsksend_receive",
    ("header.version", "I"),
    ("header.size", "I"),
    ("handle", "Q"),
    ("capacity", "I"),
    ("wait_ms", "I"),
    ("mode", "I"),
    ("reserved", "I"),
    ("ticket", "Q"),
)
RECEIVE_REPLY = Layout(
    "wsksend_receive_reply",
    ("completion.returned", "I"),
    ("completion.status", "I"),
    ("completion.information", "Q"),
    ("completion.completions", "I"),
    ("completion.irql", "B"),
    ("completion.pending_returned", "B"),
    ("completion.in_flight", "B"),
    ("completion.reserved", "B"),
    ("remote.family", "H"),
    ("remote.port", "H"),
    ("remote.scope_id", "I"),
    ("remote.address", "16s"),
    ("length", "I"),
    ("control_flags", "I"),
)
BATCH = Layout(
    "wsksend_batch",
    ("header.version", "I"),
    ("header.size", "I"),
    ("count", "I"),
    ("reserved", "I"),
)
ITEM = Layout(
    "wsksend_item",
    ("code", "I"),
    ("length", "I"),
    ("capacity", "I"),
    ("flags", "I"),
)
ITEM_REPLY = Layout(
    "wsksend_item_reply",
    ("status", "I"),
    ("length", "I"),
)
FORCE = Layout(
    "wskprovider_force",
    ("version", "I"),
    ("size", "I"),
    ("calls", "I"),
    ("effects", "I"),
    ("status", "I"),
    ("delay_ms", "I"),
    ("skip", "I"),
    ("count", "I"),
    ("family", "H"),
    ("port", "H"),
    ("reserved", "I"),
)
RELENT = Layout(
    "wskprovider_relent",
    ("version", "I"),
    ("size", "I"),
)
RELENTED = Layout(
    "wskprovider_relented",
    ("rules", "I"),
    ("held", "I"),
    ("acted", "64s"),
)
WATCH = Layout(
    "wskprovider_watch",
    ("version", "I"),
    ("size", "I"),
    ("number", "Q"),
)

LAYOUTS = (
    ENDPOINT,
    COMPLETION,
    REQUEST,
    INFO,
    ACCOUNTS,
    OPEN,
    OPEN_REPLY,
    SOCKET,
    ADDRESS,
    ADDRESS_REPLY,
    OPTION,
    OPTION_REPLY,
    SEND,
    BUFFER,
    MDL,
    CONTROL,
    SEND_REPLY,
    BURST,
    BURST_REPLY,
    COLLECT,
    COLLECTED,
    RECEIVE,
    RECEIVE_REPLY,
    BATCH,
    ITEM,
    ITEM_REPLY,
    FORCE,
    RELENT,
    RELENTED,
    WATCH,
)
