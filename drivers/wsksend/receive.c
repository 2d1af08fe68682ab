/* receive.c - WskReceiveFrom with a deadline, and the completions of calls that no request has waited for. */
#include "receive.h"

#include "accounts.h"
#include "address.h"
#include "buffer.h"
#include "call.h"
#include "socket.h"
#include "wsksend_abi.h"

#define CANCEL_WAIT_MS 5000u /* for the completion of a receive that was cancelled */

_Use_decl_annotations_
NTSTATUS RequestReceive(PREQUEST Request) {
    struct wsksend_receive Asked = *(const struct wsksend_receive *)Request->Buffer;
    struct wsksend_receive_reply *Reply = Request->Buffer;
    PSOCKET Socket;
    PCALL Call;
    ULONG Length;
    NTSTATUS Status;

    if (Asked.header.size != sizeof(Asked)) {
        return STATUS_INFO_LENGTH_MISMATCH;
    }
    if (Asked.capacity > WSKSEND_MAX_DATAGRAM || Asked.wait_ms > WSKSEND_MAX_WAIT_MS ||
        (Asked.mode & ~WSKSEND_MODE_WAIT) != 0 || Asked.reserved != 0) {
        return STATUS_INVALID_PARAMETER;
    }
    if (Request->OutputLength < sizeof(*Reply) + Asked.capacity) {
        return STATUS_BUFFER_TOO_SMALL;
    }
    Status = SocketAcquire(Asked.handle, Request->Opener, &Socket);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (Asked.mode == 0 && (Call = CallFind(Socket, Asked.ticket)) != NULL) {
        CallRelease(Call);
        SocketRelease(Socket);
        return STATUS_DEVICE_BUSY;
    }
    Status = CallCreateWithIrp(Socket, Asked.ticket, 0, &Call);
    if (!NT_SUCCESS(Status)) {
        SocketRelease(Socket);
        return Status;
    }
    Call->LateIrp = TRUE; /* IoCancelIrp needs an IRP that the completion routine has not freed */
    Call->Collectable = TRUE;
    Call->Buffers = PoolAllocate(sizeof(WSK_BUF_LIST));
    Status = Call->Buffers == NULL ? STATUS_INSUFFICIENT_RESOURCES : ChainCreate(&Call->Chain, 1);
    if (NT_SUCCESS(Status)) {
        Status = ChainAddBlock(&Call->Chain, 0, Asked.capacity, 0);
    }
    if (!NT_SUCCESS(Status)) {
        CallAbandon(Call);
        SocketRelease(Socket);
        return Status;
    }
    Call->Buffers->Buffer.Mdl = Call->Chain.Blocks[0].Mdl;
    Call->Buffers->Buffer.Length = Asked.capacity;
    CallBegin(Call);
    CallReturned(Call, Socket->Dispatch->WskReceiveFrom(Socket->Wsk, &Call->Buffers->Buffer, 0, &Call->Address.Any,
                                                        NULL, NULL, &Call->ControlFlags, Call->Irp));
    SocketRelease(Socket);

    RtlZeroMemory(Reply, sizeof(*Reply));
    Request->Information = sizeof(*Reply);
    if (Asked.mode == 0) {
        CallReport(Call, &Reply->completion);
        CallRelease(Call);
        return STATUS_SUCCESS;
    }
    if (!CallWait(Call, Asked.wait_ms)) {
        IoCancelIrp(Call->Irp);
        CallWait(Call, CANCEL_WAIT_MS);
    }
    if (CallIsDone(Call) && NT_SUCCESS(Call->Status)) {
        Length = Call->Information > Asked.capacity ? Asked.capacity : (ULONG)Call->Information;
        Reply->length = Length;
        Reply->control_flags = Call->ControlFlags;
        AddressToEndpoint(&Call->Address, &Reply->remote);
        RtlCopyMemory(Reply + 1, Call->Chain.Blocks[0].Data, Length);
        Request->Information += Length;
    }
    CallFinish(Call, 0, &Reply->completion);
    return STATUS_SUCCESS;
}

_Use_decl_annotations_
NTSTATUS RequestCollect(PREQUEST Request) {
    struct wsksend_collect Asked = *(const struct wsksend_collect *)Request->Buffer;
    const UINT64 *Tickets;
    struct wsksend_collected *Reply = Request->Buffer;
    LARGE_INTEGER Frequency;
    LONGLONG Deadline;
    PCALL *Calls;
    PSOCKET Socket;
    NTSTATUS Status;
    ULONG Index;

    if (Asked.count == 0 || Asked.count > WSKSEND_MAX_CALLS || Asked.wait_ms > WSKSEND_MAX_WAIT_MS) {
        return STATUS_INVALID_PARAMETER;
    }
    if (Asked.header.size != sizeof(Asked) + Asked.count * sizeof(UINT64)) {
        return STATUS_INFO_LENGTH_MISMATCH;
    }
    if (Request->OutputLength < Asked.count * sizeof(*Reply)) {
        return STATUS_BUFFER_TOO_SMALL;
    }
    Status = SocketAcquire(Asked.handle, Request->Opener, &Socket);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Calls = PoolAllocate(Asked.count * sizeof(*Calls));
    if (Calls == NULL) {
        SocketRelease(Socket);
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    Tickets = (const UINT64 *)((const UCHAR *)Request->Buffer + sizeof(Asked));
    for (Index = 0; Index < Asked.count && NT_SUCCESS(Status); Index++) {
        Calls[Index] = CallFind(Socket, Tickets[Index]);
        if (Calls[Index] == NULL) {
            Status = STATUS_NOT_FOUND;
        }
    }
    SocketRelease(Socket);

    if (NT_SUCCESS(Status)) {
        Deadline = KeQueryPerformanceCounter(&Frequency).QuadPart;
        Deadline += (LONGLONG)Asked.wait_ms * Frequency.QuadPart / 1000;
        for (Index = 0; Index < Asked.count; Index++) {
            LONGLONG Left = Deadline - KeQueryPerformanceCounter(NULL).QuadPart;

            Reply[Index].ticket = Calls[Index]->Ticket;
            CallFinish(Calls[Index], Left <= 0 ? 0 : (ULONG)(Left * 1000 / Frequency.QuadPart) + 1,
                       &Reply[Index].completion);
        }
        Request->Information = Asked.count * sizeof(*Reply);
    } else {
        for (Index = 0; Index < Asked.count && Calls[Index] != NULL; Index++) {
            CallRelease(Calls[Index]);
        }
    }
    PoolFree(Calls);
    return Status;
}
