/* send.c - the requests SEND and SEND_MESSAGES: checks them, builds what they describe, and lets datagram.c send it. */
#include "send.h"

#include "accounts.h"
#include "address.h"
#include "buffer.h"
#include "call.h"
#include "datagram.h"
#include "socket.h"
#include "wsksend_abi.h"

/* A checked request: pointers into the system buffer, which stays as it is until the reply is written. */
typedef struct _SEND_PARTS {
    struct wsksend_send Fixed;
    const struct wsksend_buffer *Buffers;
    const struct wsksend_mdl *Mdls;
    const struct wsksend_control *Controls;
    const UCHAR *ControlData;
    const UCHAR *Payload;
    ULONG ControlLength; /* of the whole block of CMSGHDRs, padded */
} SEND_PARTS;

/* Bytes that a control message takes in the block: its CMSGHDR and its data, padded. */
_IRQL_requires_max_(DISPATCH_LEVEL)
static ULONG ControlSpace(_In_ ULONG DataLength) {
    return (ULONG)sizeof(CMSGHDR) + ((DataLength + 7) & ~7u);
}

/* Each WSK_BUF must lie within its MDLs: Windows bugchecks on one that does not, so the driver refuses it. */
_IRQL_requires_max_(DISPATCH_LEVEL)
_Must_inspect_result_
static NTSTATUS CheckBuffers(_In_ const SEND_PARTS *Parts) {
    const struct wsksend_mdl *Mdl = Parts->Mdls;
    ULONG MdlsLeft = Parts->Fixed.mdl_count;
    ULONG64 Payload = 0;
    ULONG Index;
    ULONG Chain;

    for (Index = 0; Index < Parts->Fixed.buffer_count; Index++) {
        const struct wsksend_buffer *Buffer = &Parts->Buffers[Index];
        ULONG64 Bytes = 0;

        if (Buffer->mdl_count > MdlsLeft) {
            return STATUS_INFO_LENGTH_MISMATCH;
        }
        if (Buffer->mdl_count == 0 ? Buffer->offset != 0 : Buffer->offset != 0 && Buffer->offset >= Mdl->byte_count) {
            return STATUS_INVALID_PARAMETER;
        }
        for (Chain = 0; Chain < Buffer->mdl_count; Chain++, Mdl++, MdlsLeft--) {
            if (Mdl->byte_offset >= WSKSEND_PAGE || Mdl->byte_count > WSKSEND_MAX_PAYLOAD) {
                return STATUS_INVALID_PARAMETER;
            }
            Bytes += Mdl->byte_count;
        }
        if (Buffer->length > Bytes || Buffer->offset > Bytes - Buffer->length) {
            return STATUS_INVALID_PARAMETER;
        }
        Payload += Bytes;
    }
    return MdlsLeft == 0 && Payload == Parts->Fixed.payload_bytes ? STATUS_SUCCESS : STATUS_INFO_LENGTH_MISMATCH;
}

/* Checks the control messages, and sums their lengths up in ControlLength. */
_IRQL_requires_max_(DISPATCH_LEVEL)
_Must_inspect_result_
static NTSTATUS CheckControls(_Inout_ SEND_PARTS *Parts) {
    ULONG64 Bytes = 0;
    ULONG Index;

    Parts->ControlLength = 0;
    for (Index = 0; Index < Parts->Fixed.control_count; Index++) {
        const struct wsksend_control *Control = &Parts->Controls[Index];

        if (Control->reserved != 0 || Control->length > WSKSEND_MAX_CONTROL_BYTES) {
            return STATUS_INVALID_PARAMETER;
        }
        Bytes += Control->length;
        Parts->ControlLength += ControlSpace(Control->length);
    }
    return Bytes == Parts->Fixed.control_bytes ? STATUS_SUCCESS : STATUS_INFO_LENGTH_MISMATCH;
}

/* Takes the request apart. Every count is bounded before it is multiplied, so no sum can overflow. */
_IRQL_requires_max_(DISPATCH_LEVEL)
_Must_inspect_result_
static NTSTATUS SendParse(_In_ const REQUEST *Request, _In_ ULONG MaxBuffers, _Out_ SEND_PARTS *Parts) {
    const UCHAR *At = (const UCHAR *)Request->Buffer + sizeof(struct wsksend_send);
    const struct wsksend_send *Fixed = &Parts->Fixed;
    NTSTATUS Status;

    Parts->Fixed = *(const struct wsksend_send *)Request->Buffer;
    if (Fixed->buffer_count == 0 || Fixed->buffer_count > MaxBuffers || Fixed->mdl_count > WSKSEND_MAX_MDLS ||
        Fixed->control_count > WSKSEND_MAX_CONTROLS || Fixed->control_bytes > WSKSEND_MAX_CONTROL_BYTES ||
        Fixed->payload_bytes > WSKSEND_MAX_PAYLOAD || Fixed->wait_ms > WSKSEND_MAX_WAIT_MS ||
        (Fixed->mode & ~(WSKSEND_MODE_WAIT | WSKSEND_MODE_REUSE_IRP | WSKSEND_MODE_RAISED)) != 0) {
        return STATUS_INVALID_PARAMETER;
    }
    Parts->Buffers = (const struct wsksend_buffer *)At;
    At += (SIZE_T)Fixed->buffer_count * sizeof(struct wsksend_buffer);
    Parts->Mdls = (const struct wsksend_mdl *)At;
    At += (SIZE_T)Fixed->mdl_count * sizeof(struct wsksend_mdl);
    Parts->Controls = (const struct wsksend_control *)At;
    At += (SIZE_T)Fixed->control_count * sizeof(struct wsksend_control);
    Parts->ControlData = At;
    At += Fixed->control_bytes;
    Parts->Payload = At;
    At += Fixed->payload_bytes;
    if ((SIZE_T)(At - (const UCHAR *)Request->Buffer) != Request->InputLength) {
        return STATUS_INFO_LENGTH_MISMATCH;
    }
    Status = CheckBuffers(Parts);
    return NT_SUCCESS(Status) ? CheckControls(Parts) : Status;
}

/* Copies the payload into blocks of the call's own, with an MDL for each and a WSK_BUF over each run of MDLs. */
_IRQL_requires_max_(DISPATCH_LEVEL)
_Must_inspect_result_
static NTSTATUS BuildBuffers(_In_ const SEND_PARTS *Parts, _Inout_ PCALL Call) {
    const UCHAR *Payload = Parts->Payload;
    ULONG First = 0;
    ULONG Index;
    NTSTATUS Status;

    Call->Buffers = PoolAllocate((SIZE_T)Parts->Fixed.buffer_count * sizeof(WSK_BUF_LIST));
    if (Call->Buffers == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    Status = ChainCreate(&Call->Chain, Parts->Fixed.mdl_count);
    for (Index = 0; NT_SUCCESS(Status) && Index < Parts->Fixed.mdl_count; Index++) {
        Status = ChainAddBlock(&Call->Chain, Index, Parts->Mdls[Index].byte_count, Parts->Mdls[Index].byte_offset);
        if (NT_SUCCESS(Status)) {
            RtlCopyMemory(Call->Chain.Blocks[Index].Data, Payload, Parts->Mdls[Index].byte_count);
            Payload += Parts->Mdls[Index].byte_count;
        }
    }
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    for (Index = 0; Index < Parts->Fixed.buffer_count; Index++) {
        const struct wsksend_buffer *Asked = &Parts->Buffers[Index];
        PWSK_BUF_LIST Entry = &Call->Buffers[Index];

        Entry->Next = Index + 1 < Parts->Fixed.buffer_count ? Entry + 1 : NULL;
        if (Asked->mdl_count != 0) {
            ChainLink(&Call->Chain, First, Asked->mdl_count);
            Entry->Buffer.Mdl = Call->Chain.Blocks[First].Mdl;
        }
        Entry->Buffer.Offset = Asked->offset;
        Entry->Buffer.Length = (SIZE_T)Asked->length;
        First += Asked->mdl_count;
    }
    return STATUS_SUCCESS;
}

/* Lays the control messages out: each CMSGHDR on 8 bytes, cmsg_len without padding, the block with it. */
_IRQL_requires_max_(DISPATCH_LEVEL)
static VOID BuildControls(_In_ const SEND_PARTS *Parts, _Out_ PUCHAR Block) {
    const UCHAR *Data = Parts->ControlData;
    ULONG Index;

    for (Index = 0; Index < Parts->Fixed.control_count; Index++) {
        const struct wsksend_control *Asked = &Parts->Controls[Index];
        PCMSGHDR Header = (PCMSGHDR)Block;

        Header->cmsg_len = sizeof(CMSGHDR) + Asked->length;
        Header->cmsg_level = Asked->level;
        Header->cmsg_type = Asked->type;
        RtlCopyMemory(Header + 1, Data, Asked->length);
        Data += Asked->length;
        Block += ControlSpace(Asked->length);
    }
}

/* The mode of datagram.h for a request. */
_IRQL_requires_max_(DISPATCH_LEVEL)
static ULONG SendMode(_In_ const SEND_PARTS *Parts, _In_ BOOLEAN Messages) {
    return (Messages ? DATAGRAM_MESSAGES : 0) |
           ((Parts->Fixed.mode & WSKSEND_MODE_RAISED) != 0 ? DATAGRAM_RAISED : 0) |
           ((Parts->Fixed.mode & WSKSEND_MODE_REUSE_IRP) != 0 ? DATAGRAM_REUSE_IRP : 0);
}

_IRQL_requires_(PASSIVE_LEVEL)
static NTSTATUS Send(_Inout_ PREQUEST Request, _In_ BOOLEAN Messages) {
    SEND_PARTS Parts;
    struct wsksend_send_reply *Reply = Request->Buffer;
    ADDRESS Remote;
    PSOCKET Socket;
    PCALL Call;
    NTSTATUS Status;
    BOOLEAN Wait;

    Status = SendParse(Request, Messages ? WSKSEND_MAX_BUFFERS : 1, &Parts);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = AddressFromEndpoint(&Parts.Fixed.remote, &Remote);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Wait = (Parts.Fixed.mode & WSKSEND_MODE_WAIT) != 0;
    Status = SocketAcquire(Parts.Fixed.handle, Request->Opener, &Socket);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (!Wait && (Call = CallFind(Socket, Parts.Fixed.ticket)) != NULL) {
        CallRelease(Call);
        SocketRelease(Socket);
        return STATUS_DEVICE_BUSY;
    }
    Status = CallCreate(Socket, Parts.Fixed.ticket, Parts.ControlLength, &Call);
    if (!NT_SUCCESS(Status)) {
        SocketRelease(Socket);
        return Status;
    }
    Status = BuildBuffers(&Parts, Call);
    if (NT_SUCCESS(Status)) {
        BuildControls(&Parts, Call->Data);
        Call->Address = Remote;
        Call->Collectable = TRUE;
        Status = DatagramSend(Call, Parts.Fixed.flags, SendMode(&Parts, Messages));
    }
    if (!NT_SUCCESS(Status)) {
        CallAbandon(Call);
        SocketRelease(Socket);
        return Status;
    }
    SocketRelease(Socket);

    RtlZeroMemory(Reply, sizeof(*Reply));
    Reply->ticket = Parts.Fixed.ticket;
    Request->Information = sizeof(*Reply);
    if (Wait) {
        CallFinish(Call, Parts.Fixed.wait_ms, &Reply->completion);
    } else {
        /* The record stays for COLLECT even if the IRP has completed by now. */
        CallReport(Call, &Reply->completion);
        CallRelease(Call);
    }
    return STATUS_SUCCESS;
}

_Use_decl_annotations_
NTSTATUS RequestSend(PREQUEST Request) {
    return Send(Request, FALSE);
}

_Use_decl_annotations_
NTSTATUS RequestSendMessages(PREQUEST Request) {
    return Send(Request, TRUE);
}
