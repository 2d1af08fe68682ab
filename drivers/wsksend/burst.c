/*
 * burst.c - many sends in one request: the driver makes the datagrams and keeps up to `depth` IRPs in flight, each call
 * with its own IRP and buffer. No send is started from a completion routine.
 */
#include "burst.h"

#include "accounts.h"
#include "address.h"
#include "buffer.h"
#include "call.h"
#include "datagram.h"
#include "socket.h"
#include "wsksend_abi.h"

typedef struct _BURST {
    struct wsksend_burst Asked;
    ADDRESS Remote;
    PSOCKET Socket;
    struct wsksend_burst_reply Reply;
    LARGE_INTEGER Frequency;
    LONGLONG Deadline; /* in ticks of the performance counter */
} BURST;

/* Milliseconds until the burst's deadline, 0 when it has passed. */
_IRQL_requires_max_(DISPATCH_LEVEL)
static ULONG TimeLeft(_In_ const BURST *Burst) {
    LONGLONG Left = Burst->Deadline - KeQueryPerformanceCounter(NULL).QuadPart;

    return Left <= 0 ? 0 : (ULONG)(Left * 1000 / Burst->Frequency.QuadPart) + 1;
}

/* Datagram: the sequence number, little endian, then (index + sequence) & 0xFF; shorter ones cut the number. */
_IRQL_requires_max_(DISPATCH_LEVEL)
static VOID FillPayload(_Out_writes_bytes_(Size) PUCHAR Data, _In_ ULONG Size, _In_ UINT64 Sequence) {
    ULONG Index;

    for (Index = 0; Index < Size; Index++) {
        Data[Index] = Index < 8 ? (UCHAR)(Sequence >> (8 * Index)) : (UCHAR)(Index + Sequence);
    }
}

/* Sends one datagram; the caller gets its call with a reference. */
_IRQL_requires_(PASSIVE_LEVEL)
_Must_inspect_result_
static NTSTATUS BurstSend(_Inout_ BURST *Burst, _In_ UINT64 Sequence, _Outptr_ PCALL *Sent) {
    PCALL Call;
    NTSTATUS Status = CallCreate(Burst->Socket, Sequence, 0, &Call);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Call->Buffers = PoolAllocate(sizeof(WSK_BUF_LIST));
    Status = Call->Buffers == NULL ? STATUS_INSUFFICIENT_RESOURCES
                                   : ChainCreate(&Call->Chain, Burst->Asked.size == 0 ? 0 : 1);
    if (NT_SUCCESS(Status) && Burst->Asked.size != 0) {
        Status = ChainAddBlock(&Call->Chain, 0, Burst->Asked.size, 0);
    }
    if (NT_SUCCESS(Status) && Burst->Asked.size != 0) {
        FillPayload(Call->Chain.Blocks[0].Data, Burst->Asked.size, Sequence);
        Call->Buffers->Buffer.Mdl = Call->Chain.Blocks[0].Mdl;
        Call->Buffers->Buffer.Length = Burst->Asked.size;
    }
    if (NT_SUCCESS(Status)) {
        Call->Address = Burst->Remote;
        Status = DatagramSend(Call, 0, 0);
    }
    if (!NT_SUCCESS(Status)) {
        CallAbandon(Call);
        return Status;
    }
    Burst->Reply.sent++;
    *Sent = Call;
    return STATUS_SUCCESS;
}

/* Waits for one datagram's completion, adds it to the sum and ends the call. FALSE when the deadline has passed. */
_IRQL_requires_(PASSIVE_LEVEL)
static BOOLEAN BurstHarvest(_Inout_ BURST *Burst, _In_ PCALL Call) {
    struct wsksend_completion *Sum = &Burst->Reply.completion;
    struct wsksend_completion One;
    UINT64 Sequence = Call->Ticket;

    CallFinish(Call, TimeLeft(Burst), &One);
    if (One.in_flight) {
        Sum->in_flight = 1;
    } else {
        Sum->information += One.information;
        Sum->completions += One.completions;
        Sum->irql = One.irql > Sum->irql ? One.irql : Sum->irql;
        Sum->pending_returned |= One.pending_returned;
    }
    if (One.in_flight || One.status != 0) {
        if (Burst->Reply.first_failed == MAXUINT64) {
            Burst->Reply.first_failed = Sequence;
            Sum->returned = One.returned;
            Sum->status = One.status;
        }
    } else {
        Burst->Reply.succeeded++;
        if (Burst->Reply.first_failed == MAXUINT64) {
            Sum->returned = One.returned;
        }
    }
    return !One.in_flight;
}

_Use_decl_annotations_
NTSTATUS RequestBurst(PREQUEST Request) {
    BURST Burst;
    PCALL *Window;
    ULONG Next;
    ULONG Oldest = 0;
    BOOLEAN InTime = TRUE;
    NTSTATUS Status;

    RtlZeroMemory(&Burst, sizeof(Burst));
    Burst.Asked = *(const struct wsksend_burst *)Request->Buffer;
    if (Burst.Asked.header.size != sizeof(Burst.Asked)) {
        return STATUS_INFO_LENGTH_MISMATCH;
    }
    if (Burst.Asked.count == 0 || Burst.Asked.count > WSKSEND_MAX_BURST || Burst.Asked.depth == 0 ||
        Burst.Asked.depth > WSKSEND_MAX_DEPTH || Burst.Asked.size > WSKSEND_MAX_DATAGRAM ||
        Burst.Asked.wait_ms > WSKSEND_MAX_WAIT_MS || Burst.Asked.interval_us > 1000000 || Burst.Asked.reserved != 0) {
        return STATUS_INVALID_PARAMETER;
    }
    Status = AddressFromEndpoint(&Burst.Asked.remote, &Burst.Remote);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Window = PoolAllocate(Burst.Asked.depth * sizeof(*Window));
    if (Window == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    Status = SocketAcquire(Burst.Asked.handle, Request->Opener, &Burst.Socket);
    if (!NT_SUCCESS(Status)) {
        PoolFree(Window);
        return Status;
    }
    Burst.Reply.first_failed = MAXUINT64;
    Burst.Deadline = KeQueryPerformanceCounter(&Burst.Frequency).QuadPart;
    Burst.Deadline += (LONGLONG)Burst.Asked.wait_ms * Burst.Frequency.QuadPart / 1000;

    for (Next = 0; Next < Burst.Asked.count && InTime && NT_SUCCESS(Status); Next++) {
        if (Next - Oldest == Burst.Asked.depth) {
            InTime = BurstHarvest(&Burst, Window[Oldest++ % Burst.Asked.depth]);
        }
        if (Next != 0 && Burst.Asked.interval_us != 0) {
            LARGE_INTEGER Pause = {.QuadPart = -(LONGLONG)Burst.Asked.interval_us * 10};
            KeDelayExecutionThread(KernelMode, FALSE, &Pause);
        }
        InTime = InTime && TimeLeft(&Burst) != 0;
        if (InTime) {
            Status = BurstSend(&Burst, Burst.Asked.first + Next, &Window[Next % Burst.Asked.depth]);
        }
        if (!InTime || !NT_SUCCESS(Status)) {
            break;
        }
    }
    SocketRelease(Burst.Socket);
    while (Oldest < Next) {
        BurstHarvest(&Burst, Window[Oldest++ % Burst.Asked.depth]);
    }
    PoolFree(Window);
    if (!NT_SUCCESS(Status) && Burst.Reply.sent == 0) {
        return Status;
    }
    RtlCopyMemory(Request->Buffer, &Burst.Reply, sizeof(Burst.Reply));
    Request->Information = sizeof(Burst.Reply);
    return STATUS_SUCCESS;
}
