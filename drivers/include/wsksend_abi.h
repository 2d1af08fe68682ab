/*
 * wsksend_abi.h - the IOCTL interface of wsksend.sys, written once.
 *
 * Portable C11, the source of the interface: the driver and wskctl.exe include it, and `python -m harness.wsk.generate`
 * writes harness/wsk/layouts.py from it. Little endian, natural alignment, no implicit padding, every length in bytes.
 *
 * A request starts with struct wsksend_header; `version` is WSKSEND_ABI_VERSION and `size` the number of bytes of the
 * whole request, which must be what the IOCTL brought. Reserved fields are zero. What a request asks of WSK is
 * answered by struct wsksend_completion in the reply, and the IOCTL's own status is then STATUS_SUCCESS whatever WSK
 * said. The IOCTL fails, with an empty reply and nothing done, only as follows:
 *
 *   STATUS_INVALID_DEVICE_REQUEST   unknown IOCTL code
 *   STATUS_BUFFER_TOO_SMALL         request shorter than its fixed part, or no room for the reply
 *   STATUS_REVISION_MISMATCH        header.version is not WSKSEND_ABI_VERSION
 *   STATUS_INFO_LENGTH_MISMATCH     header.size, or the sum of the parts, is not the length of the request
 *   STATUS_INVALID_PARAMETER        a field out of range, a reserved field not zero, a WSK_BUF outside its MDLs
 *   STATUS_INVALID_ADDRESS          an endpoint with an unknown family, or with bytes where its family has none
 *   STATUS_INVALID_HANDLE           handle never given, already closed, or of another opener
 *   STATUS_NOT_FOUND                a collected ticket that is not on the socket
 *   STATUS_DEVICE_BUSY              the socket's kept IRP is still in flight, or a ticket is already on the socket
 *   STATUS_TOO_MANY_OPENED_FILES    no socket slot is free
 *   STATUS_QUOTA_EXCEEDED           more uncollected calls on a socket than WSKSEND_MAX_CALLS
 *   STATUS_INSUFFICIENT_RESOURCES   out of memory
 */
#ifndef WSKSEND_ABI_H
#define WSKSEND_ABI_H

#include <stdint.h>

#define WSKSEND_ABI_VERSION 1

/* \\.\WskSend for user mode. Administrators and LocalSystem only. */
#define WSKSEND_DEVICE_TYPE 0x8057u

/* CTL_CODE(type, function, METHOD_BUFFERED, FILE_READ_DATA | FILE_WRITE_DATA) */
#define WSKSEND_IOCTL(function) ((WSKSEND_DEVICE_TYPE << 16) | (3u << 14) | ((function) << 2))

#define WSKSEND_IOCTL_INFO WSKSEND_IOCTL(0x800u)
#define WSKSEND_IOCTL_ACCOUNTS WSKSEND_IOCTL(0x801u)
#define WSKSEND_IOCTL_OPEN WSKSEND_IOCTL(0x810u)
#define WSKSEND_IOCTL_CLOSE WSKSEND_IOCTL(0x811u)
#define WSKSEND_IOCTL_BIND WSKSEND_IOCTL(0x812u)
#define WSKSEND_IOCTL_GET_LOCAL_ADDRESS WSKSEND_IOCTL(0x813u)
#define WSKSEND_IOCTL_SET_OPTION WSKSEND_IOCTL(0x814u)
#define WSKSEND_IOCTL_GET_OPTION WSKSEND_IOCTL(0x815u)
#define WSKSEND_IOCTL_SET_REMOTE_ADDRESS WSKSEND_IOCTL(0x816u)
#define WSKSEND_IOCTL_SET_SENDTO_ADDRESS WSKSEND_IOCTL(0x817u)
#define WSKSEND_IOCTL_SEND WSKSEND_IOCTL(0x820u)
#define WSKSEND_IOCTL_SEND_MESSAGES WSKSEND_IOCTL(0x821u)
#define WSKSEND_IOCTL_BURST WSKSEND_IOCTL(0x822u)
#define WSKSEND_IOCTL_COLLECT WSKSEND_IOCTL(0x823u)
#define WSKSEND_IOCTL_RECEIVE WSKSEND_IOCTL(0x824u)
#define WSKSEND_IOCTL_BATCH WSKSEND_IOCTL(0x830u)

/* Limits that the driver enforces. */
#define WSKSEND_MAX_SOCKETS 64u
#define WSKSEND_MAX_CALLS 4096u        /* calls on one socket that nobody has collected */
#define WSKSEND_MAX_WAIT_MS 60000u     /* longest wait in one request */
#define WSKSEND_MAX_BUFFERS 64u        /* WSK_BUFs in one WskSendMessages */
#define WSKSEND_MAX_MDLS 256u          /* MDLs in one request */
#define WSKSEND_MAX_CONTROLS 16u       /* control messages in one send */
#define WSKSEND_MAX_CONTROL_BYTES 1024u
#define WSKSEND_MAX_PAYLOAD 1048576u   /* bytes of all MDLs of one request */
#define WSKSEND_MAX_OPTION 1024u       /* bytes of a socket option */
#define WSKSEND_MAX_DATAGRAM 131072u   /* capacity of a receive, size of a burst's datagram */
#define WSKSEND_MAX_BURST 1000000u     /* datagrams in one burst */
#define WSKSEND_MAX_DEPTH 256u         /* IRPs that a burst keeps in flight */
#define WSKSEND_MAX_BATCH 64u          /* requests in one batch */
#define WSKSEND_PAGE 4096u             /* an MDL starts at an offset below this */

/* wsksend_send.mode and wsksend_receive.mode */
#define WSKSEND_MODE_WAIT 1u      /* answer when the IRP has completed, or wait_ms has passed */
#define WSKSEND_MODE_REUSE_IRP 2u /* send with the socket's kept IRP, after IoReuseIrp */
#define WSKSEND_MODE_RAISED 4u    /* call WskSendTo at DISPATCH_LEVEL */

struct wsksend_header {
    uint32_t version;
    uint32_t size;
};

/* A transport address in host order; the driver makes the SOCKADDR. Family 0 is "no address" (NULL). */
struct wsksend_endpoint {
    uint16_t family; /* 0, 2 (AF_INET) or 23 (AF_INET6) */
    uint16_t port;
    uint32_t scope_id;
    uint8_t address[16]; /* as written, first byte first; AF_INET uses the first four, the others are zero */
};

/* What became of one WSK call. A call that was refused before WSK saw it has returned == status and completions 0. */
struct wsksend_completion {
    uint32_t returned;        /* NTSTATUS of the function */
    uint32_t status;          /* Irp->IoStatus.Status; 0 while in flight */
    uint64_t information;     /* Irp->IoStatus.Information */
    uint32_t completions;     /* how often the completion routine ran */
    uint8_t irql;             /* of the completion routine */
    uint8_t pending_returned; /* Irp->PendingReturned in the completion routine */
    uint8_t in_flight;        /* 1: not completed yet */
    uint8_t reserved;
};

struct wsksend_request { /* INFO, ACCOUNTS */
    struct wsksend_header header;
};

struct wsksend_info {
    uint32_t abi_version;
    uint16_t wsk_highest; /* MAKE_WSK_VERSION of WskQueryProviderCharacteristics; 0 when it failed */
    uint16_t wsk_lowest;
    uint32_t wsk_status; /* NTSTATUS of that call */
    uint32_t reserved[3]; /* zero; older drivers that were built with a defect set bits in the last two */
};

/* What the driver holds now; sends and completed only grow. Signed: a double free shows as a negative number. */
struct wsksend_accounts {
    int64_t irps;
    int64_t mdls;
    int64_t buffers;
    int64_t sockets;
    int64_t in_flight;
    int64_t sends;
    int64_t completed;
    int64_t calls;    /* records of calls that nobody has collected, with the IRPs' own */
    int64_t canaries; /* buffers whose canary was found overwritten; only grows */
};

struct wsksend_open {
    struct wsksend_header header;
    uint16_t family;
    uint16_t reserved;
    uint32_t category; /* the Flags of WskSocket: 4 is WSK_FLAG_DATAGRAM_SOCKET */
};

struct wsksend_open_reply {
    struct wsksend_completion completion;
    uint64_t handle; /* 0 when no socket was made */
};

struct wsksend_socket { /* CLOSE, GET_LOCAL_ADDRESS */
    struct wsksend_header header;
    uint64_t handle;
};

struct wsksend_address { /* BIND, SET_REMOTE_ADDRESS, SET_SENDTO_ADDRESS; the latter two clear with family 0 */
    struct wsksend_header header;
    uint64_t handle;
    struct wsksend_endpoint endpoint;
};

struct wsksend_address_reply { /* GET_LOCAL_ADDRESS */
    struct wsksend_completion completion;
    struct wsksend_endpoint endpoint;
};

struct wsksend_option { /* SET_OPTION: `length` bytes follow; GET_OPTION: nothing follows */
    struct wsksend_header header;
    uint64_t handle;
    uint32_t level;
    uint32_t name;
    uint32_t length;
    uint32_t reserved;
};

struct wsksend_option_reply { /* GET_OPTION: `length` bytes follow */
    struct wsksend_completion completion;
    uint32_t length;
    uint32_t reserved;
};

/*
 * SEND (exactly one buffer) and SEND_MESSAGES. Behind it, in this order and without gaps: buffers[buffer_count],
 * mdls[mdl_count], controls[control_count], the data of the control messages, the bytes of the MDLs.
 */
struct wsksend_send {
    struct wsksend_header header;
    uint64_t handle;
    struct wsksend_endpoint remote; /* family 0: RemoteAddress is NULL */
    uint32_t flags;                 /* passed on as it is */
    uint32_t mode;
    uint32_t wait_ms;
    uint32_t buffer_count;
    uint32_t mdl_count;
    uint32_t control_count;
    uint32_t control_bytes;
    uint32_t payload_bytes;
    uint64_t ticket; /* names the call for COLLECT; used when WSKSEND_MODE_WAIT is not set, or the wait ran out */
};

struct wsksend_buffer { /* a WSK_BUF over the next mdl_count MDLs */
    uint32_t mdl_count;
    uint32_t offset;
    uint64_t length;
};

struct wsksend_mdl { /* takes the next byte_count bytes of the payload */
    uint32_t byte_count;
    uint32_t byte_offset; /* of its first byte within its page */
};

struct wsksend_control { /* takes the next `length` bytes of the control data */
    int32_t level;
    int32_t type;
    uint32_t length;
    uint32_t reserved;
};

struct wsksend_send_reply {
    struct wsksend_completion completion;
    uint64_t ticket;
};

/* The driver makes `count` datagrams itself, at most `depth` of them in flight. */
struct wsksend_burst {
    struct wsksend_header header;
    uint64_t handle;
    struct wsksend_endpoint remote;
    uint32_t count;
    uint32_t size;
    uint32_t depth;
    uint32_t interval_us; /* pause before each datagram but the first */
    uint64_t first;       /* sequence number of the first datagram */
    uint32_t wait_ms;     /* for the whole burst */
    uint32_t reserved;
};

struct wsksend_burst_reply { /* the sum: see struct wsksend_completion; status is the first that was not success */
    struct wsksend_completion completion;
    uint64_t first_failed; /* sequence number of that one; UINT64_MAX when all went well */
    uint32_t sent;         /* calls made */
    uint32_t succeeded;
};

struct wsksend_collect { /* `count` tickets (uint64_t) follow */
    struct wsksend_header header;
    uint64_t handle;
    uint32_t count;
    uint32_t wait_ms; /* for all of them together */
};

struct wsksend_collected { /* the reply: one for each ticket; those not in flight are forgotten by the driver */
    uint64_t ticket;
    struct wsksend_completion completion;
};

struct wsksend_receive {
    struct wsksend_header header;
    uint64_t handle;
    uint32_t capacity;
    uint32_t wait_ms; /* then IoCancelIrp */
    uint32_t mode;    /* WSKSEND_MODE_WAIT, or 0 to leave it in flight for COLLECT (the datagram itself is then lost) */
    uint32_t reserved;
    uint64_t ticket;
};

struct wsksend_receive_reply { /* `length` bytes follow */
    struct wsksend_completion completion;
    struct wsksend_endpoint remote; /* family 0 when nothing was received */
    uint32_t length;
    uint32_t control_flags;
};

/*
 * BATCH: `count` other requests in one, carried out in order, each answered as if it had come alone. Behind it: for
 * each a struct wsksend_item and its `length` bytes of input, the next one starting on 8 bytes. A batch within a
 * batch is an INVALID_DEVICE_REQUEST. The reply is a struct wsksend_item_reply and `length` bytes of output for each,
 * aligned in the same way.
 */
struct wsksend_batch {
    struct wsksend_header header;
    uint32_t count;
    uint32_t reserved;
};

#define WSKSEND_ITEM_OPENED 1u /* its handle is that of the socket that this batch opened last */

struct wsksend_item {
    uint32_t code;
    uint32_t length;   /* bytes of input */
    uint32_t capacity; /* bytes of output that are wanted at most */
    uint32_t flags;
};

struct wsksend_item_reply {
    uint32_t status; /* NTSTATUS, as the IOCTL would have brought it */
    uint32_t length; /* bytes of output */
};

#define WSKSEND_ASSERT_SIZE(type, size) _Static_assert(sizeof(struct type) == (size), "size of " #type)
WSKSEND_ASSERT_SIZE(wsksend_header, 8);
WSKSEND_ASSERT_SIZE(wsksend_endpoint, 24);
WSKSEND_ASSERT_SIZE(wsksend_completion, 24);
WSKSEND_ASSERT_SIZE(wsksend_info, 24);
WSKSEND_ASSERT_SIZE(wsksend_accounts, 72);
WSKSEND_ASSERT_SIZE(wsksend_open, 16);
WSKSEND_ASSERT_SIZE(wsksend_open_reply, 32);
WSKSEND_ASSERT_SIZE(wsksend_socket, 16);
WSKSEND_ASSERT_SIZE(wsksend_address, 40);
WSKSEND_ASSERT_SIZE(wsksend_address_reply, 48);
WSKSEND_ASSERT_SIZE(wsksend_option, 32);
WSKSEND_ASSERT_SIZE(wsksend_option_reply, 32);
WSKSEND_ASSERT_SIZE(wsksend_send, 80);
WSKSEND_ASSERT_SIZE(wsksend_buffer, 16);
WSKSEND_ASSERT_SIZE(wsksend_mdl, 8);
WSKSEND_ASSERT_SIZE(wsksend_control, 16);
WSKSEND_ASSERT_SIZE(wsksend_send_reply, 32);
WSKSEND_ASSERT_SIZE(wsksend_burst, 72);
WSKSEND_ASSERT_SIZE(wsksend_burst_reply, 40);
WSKSEND_ASSERT_SIZE(wsksend_collect, 24);
WSKSEND_ASSERT_SIZE(wsksend_collected, 32);
WSKSEND_ASSERT_SIZE(wsksend_receive, 40);
WSKSEND_ASSERT_SIZE(wsksend_receive_reply, 56);
WSKSEND_ASSERT_SIZE(wsksend_batch, 16);
WSKSEND_ASSERT_SIZE(wsksend_item, 16);
WSKSEND_ASSERT_SIZE(wsksend_item_reply, 8);

#endif /* WSKSEND_ABI_H */
