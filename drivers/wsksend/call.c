/* call.c - the record of one call of a WSK function; see call.h for its owners. */
#include "call.h"

#include "accounts.h"

/* Frees a call's memory, for its last owner. */
_IRQL_requires_max_(DISPATCH_LEVEL)
static VOID CallDestroy(_In_ PCALL Call) {
    ChainFree(&Call->Chain);
    if (Call->Irp != NULL && !Call->KeptIrp) {
        IrpFree(Call->Irp);
    }
    PoolFree(Call->Buffers);
    PoolFree(Call->Data);
    PoolFree(Call);
    AccountAdd(AccountCalls, -1);
}

_Use_decl_annotations_
VOID CallRelease(PCALL Call) {
    if (InterlockedDecrement(&Call->References) == 0) {
        CallDestroy(Call);
    }
}

_Use_decl_annotations_
NTSTATUS CallCreate(PSOCKET Socket, UINT64 Ticket, ULONG DataLength, PCALL *Made) {
    PCALL Call = PoolAllocate(sizeof(*Call));

    if (Call == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    AccountAdd(AccountCalls, 1);
    Call->References = 1;
    Call->Socket = Socket;
    Call->Ticket = Ticket;
    Call->DataLength = DataLength;
    KeInitializeEvent(&Call->Done, NotificationEvent, FALSE);
    if (DataLength != 0) {
        Call->Data = PoolAllocate(DataLength);
        if (Call->Data == NULL) {
            CallRelease(Call);
            return STATUS_INSUFFICIENT_RESOURCES;
        }
    }
    SocketTableLock();
    if (Socket->CallCount >= WSKSEND_MAX_CALLS) {
        SocketTableUnlock();
        CallRelease(Call);
        return STATUS_QUOTA_EXCEEDED;
    }
    InsertTailList(&Socket->Calls, &Call->Link);
    Socket->CallCount++;
    Call->Linked = TRUE;
    InterlockedIncrement(&Call->References);
    SocketTableUnlock();
    *Made = Call;
    return STATUS_SUCCESS;
}

_Use_decl_annotations_
NTSTATUS CallCreateWithIrp(PSOCKET Socket, UINT64 Ticket, ULONG DataLength, PCALL *Made) {
    PCALL Call;
    NTSTATUS Status = CallCreate(Socket, Ticket, DataLength, &Call);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Call->Irp = IrpAllocate();
    if (Call->Irp == NULL) {
        CallAbandon(Call);
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    *Made = Call;
    return STATUS_SUCCESS;
}

/* The completion routine of everything but sends (datagram.c has theirs). The IRP has no owner in the I/O manager. */
_Function_class_(IO_COMPLETION_ROUTINE)
_IRQL_requires_max_(DISPATCH_LEVEL)
static NTSTATUS NTAPI CallComplete(_In_opt_ PDEVICE_OBJECT DeviceObject, _In_ PIRP Irp,
                                   _In_opt_ PVOID Context) {
    PCALL Call = Context;

    UNREFERENCED_PARAMETER(DeviceObject);
    CallRecord(Call, Irp);
    if (!Call->LateIrp) {
        Call->Irp = NULL;
        IrpFree(Irp);
    }
    CallCompleted(Call);
    return STATUS_MORE_PROCESSING_REQUIRED;
}

_Use_decl_annotations_
VOID CallBegin(PCALL Call) {
    IoSetCompletionRoutine(Call->Irp, CallComplete, Call, TRUE, TRUE, TRUE);
    CallSubmitted(Call);
}

_Use_decl_annotations_
VOID CallSubmitted(PCALL Call) {
    InterlockedIncrement(&Call->References);
    InterlockedIncrement(&Call->Socket->InFlight);
    AccountAdd(AccountInFlight, 1);
}

_Use_decl_annotations_
VOID CallRecord(PCALL Call, const IRP *Irp) {
    Call->Status = Irp->IoStatus.Status;
    Call->Information = Irp->IoStatus.Information;
    Call->PendingReturned = Irp->PendingReturned;
    Call->Irql = KeGetCurrentIrql();
    InterlockedIncrement(&Call->Completions);
}

_Use_decl_annotations_
VOID CallCompleted(PCALL Call) {
    PSOCKET Socket = Call->Socket;

    AccountAdd(AccountInFlight, -1);
    InterlockedExchange(&Call->Finished, 1);
    KeSetEvent(&Call->Done, IO_NO_INCREMENT, FALSE);
    CallRelease(Call);
    if (InterlockedDecrement(&Socket->InFlight) == 0) {
        KeSetEvent(&Socket->Drained, IO_NO_INCREMENT, FALSE);
    }
}

_Use_decl_annotations_
VOID CallReturned(PCALL Call, NTSTATUS Status) {
    Call->Returned = Status;
}

_Use_decl_annotations_
BOOLEAN CallIsDone(PCALL Call) {
    return InterlockedCompareExchange(&Call->Finished, 0, 0) != 0;
}

/* Most completions need no more than the processor, so the thread yields once before it waits for the event. */
_Use_decl_annotations_
BOOLEAN CallWait(PCALL Call, ULONG Milliseconds) {
    LARGE_INTEGER Timeout = {.QuadPart = 0};

    if (!CallIsDone(Call) && Milliseconds != 0) {
        KeDelayExecutionThread(KernelMode, FALSE, &Timeout);
    }
    if (CallIsDone(Call)) {
        return TRUE;
    }
    Timeout.QuadPart = -(LONGLONG)Milliseconds * 10000;
    return KeWaitForSingleObject(&Call->Done, Executive, KernelMode, FALSE, &Timeout) == STATUS_SUCCESS;
}

_Use_decl_annotations_
VOID CallReport(PCALL Call, struct wsksend_completion *Completion) {
    BOOLEAN Done = CallIsDone(Call);

    RtlZeroMemory(Completion, sizeof(*Completion));
    Completion->returned = (uint32_t)Call->Returned;
    Completion->in_flight = !Done;
    if (Done) {
        Completion->status = (uint32_t)Call->Status;
        Completion->information = Call->Information;
        Completion->completions = (uint32_t)Call->Completions;
        Completion->irql = Call->Irql;
        Completion->pending_returned = Call->PendingReturned != FALSE;
    }
}

_Use_decl_annotations_
PCALL CallFind(PSOCKET Socket, UINT64 Ticket) {
    PCALL Found = NULL;
    PLIST_ENTRY Link;

    SocketTableLock();
    for (Link = Socket->Calls.Flink; Link != &Socket->Calls; Link = Link->Flink) {
        PCALL Call = CONTAINING_RECORD(Link, CALL, Link);

        if (Call->Collectable && Call->Ticket == Ticket) {
            InterlockedIncrement(&Call->References);
            Found = Call;
            break;
        }
    }
    SocketTableUnlock();
    return Found;
}

_Use_decl_annotations_
VOID CallForget(PCALL Call) {
    BOOLEAN Linked;

    SocketTableLock();
    Linked = Call->Linked;
    if (Linked) {
        RemoveEntryList(&Call->Link);
        Call->Socket->CallCount--;
        Call->Linked = FALSE;
    }
    SocketTableUnlock();
    if (Linked) {
        CallRelease(Call);
    }
}

_Use_decl_annotations_
VOID CallAbandon(PCALL Call) {
    CallForget(Call);
    CallRelease(Call);
}

_Use_decl_annotations_
VOID CallFinish(PCALL Call, ULONG Milliseconds, struct wsksend_completion *Completion) {
    BOOLEAN Done = Milliseconds != 0 ? CallWait(Call, Milliseconds) : CallIsDone(Call);

    CallReport(Call, Completion);
    if (Done) {
        CallForget(Call);
    }
    CallRelease(Call);
}
