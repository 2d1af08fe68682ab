/*
 * call.c - one call of a WSK function: its IRP, its record, and who owns what until it has completed.
 *
 * A CALL has up to three owners, each with a reference: the request that makes it, the IRP while WSK has it, and
 * the socket's list from CallCreate until it is forgotten. From CallBegin on the IRP belongs to WSK and then to the
 * completion routine, and so does the chain of a send, whatever the WSK function returns: an error that is returned is
 * completed as well. The caller reads only the record, and only after Done.
 */
#include "wsksend.h"

/* Frees a call's memory. The last owner, at any IRQL up to DISPATCH. */
static VOID CallDestroy(PCALL Call) {
    ChainFree(&Call->Chain);
    if (Call->Irp != NULL && !Call->KeptIrp) {
        IrpFree(Call->Irp);
    }
    PoolFree(Call->Buffers);
    PoolFree(Call->Data);
    PoolFree(Call);
    AccountAdd(AccountCalls, -1);
}

/* Gives a reference back. Any IRQL up to DISPATCH; the call must not be touched afterwards. */
VOID CallRelease(PCALL Call) {
    if (InterlockedDecrement(&Call->References) == 0) {
        CallDestroy(Call);
    }
}

/*
 * Makes a call on an acquired socket, with DataLength bytes of nonpaged Data, puts it on the socket's list and
 * gives the caller a reference. ReuseIrp takes the socket's kept IRP. PASSIVE_LEVEL.
 */
NTSTATUS CallCreate(PSOCKET Socket, UINT64 Ticket, ULONG DataLength, BOOLEAN ReuseIrp, PCALL *Made) {
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
    if (ReuseIrp) {
        if (InterlockedCompareExchange(&Socket->KeptIrpBusy, 1, 0) != 0) {
            CallRelease(Call);
            return STATUS_DEVICE_BUSY;
        }
        if (Socket->KeptIrp == NULL) {
            Socket->KeptIrp = IrpAllocate();
        } else {
            IoReuseIrp(Socket->KeptIrp, STATUS_SUCCESS);
        }
        Call->Irp = Socket->KeptIrp;
        Call->KeptIrp = TRUE;
    } else {
        Call->Irp = IrpAllocate();
    }
    if (Call->Irp == NULL) {
        if (ReuseIrp) {
            InterlockedExchange(&Socket->KeptIrpBusy, 0);
        }
        CallRelease(Call);
        return STATUS_INSUFFICIENT_RESOURCES;
    }

    SocketTableLock();
    if (Socket->CallCount >= WSKSEND_MAX_CALLS) {
        SocketTableUnlock();
        CallAbandon(Call);
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

/*
 * The completion routine of every IRP. Arbitrary thread, IRQL <= DISPATCH_LEVEL. It owns the IRP and, for a send, the chain,
 * and always returns STATUS_MORE_PROCESSING_REQUIRED: the IRP has no owner in the I/O manager.
 */
static NTSTATUS NTAPI CallComplete(PDEVICE_OBJECT DeviceObject, PIRP Irp, PVOID Context) {
    PCALL Call = Context;
    PSOCKET Socket = Call->Socket;

    UNREFERENCED_PARAMETER(DeviceObject);
    Call->Status = Irp->IoStatus.Status;
    Call->Information = Irp->IoStatus.Information;
    Call->PendingReturned = Irp->PendingReturned;
    Call->Irql = KeGetCurrentIrql();
    InterlockedIncrement(&Call->Completions);

    if (Call->Send) {
        AccountAdd(AccountCompleted, 1);
        ChainFree(&Call->Chain);
    }
    if (Call->KeptIrp) {
        InterlockedExchange(&Socket->KeptIrpBusy, 0);
    } else if (!Call->LateIrp) {
        Call->Irp = NULL;
        IrpFree(Irp);
    }
    AccountAdd(AccountInFlight, -1);
    InterlockedExchange(&Call->Finished, 1);
    KeSetEvent(&Call->Done, IO_NO_INCREMENT, FALSE);
    CallRelease(Call);
    if (InterlockedDecrement(&Socket->InFlight) == 0) {
        KeSetEvent(&Socket->Drained, IO_NO_INCREMENT, FALSE);
    }
    return STATUS_MORE_PROCESSING_REQUIRED;
}

/* Readies the IRP for a WSK function, which the caller must call next with Call->Irp. IRQL <= DISPATCH_LEVEL. */
VOID CallBegin(PCALL Call) {
    IoSetCompletionRoutine(Call->Irp, CallComplete, Call, TRUE, TRUE, TRUE);
    InterlockedIncrement(&Call->References);
    InterlockedIncrement(&Call->Socket->InFlight);
    AccountAdd(AccountInFlight, 1);
    if (Call->Send) {
        AccountAdd(AccountSends, 1);
    }
}

/* Notes what the WSK function returned. It says nothing on the IRP: only the completion routine does. */
VOID CallReturned(PCALL Call, NTSTATUS Status) {
    Call->Returned = Status;
}

/* Whether the completion routine has run. */
BOOLEAN CallIsDone(PCALL Call) {
    return InterlockedCompareExchange(&Call->Finished, 0, 0) != 0;
}

/*
 * Waits for the completion, at most so long. TRUE when it has come. PASSIVE_LEVEL. Most completions need no more than the
 * processor, so it is offered once before an event is waited for.
 */
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

/* Copies the record. The caller holds a reference. */
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

/* Finds a send or receive by its ticket among the calls of an acquired socket, with a reference, or NULL. PASSIVE_LEVEL. */
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

/* Takes the call off its socket's list, if it is still there. The caller holds a reference. PASSIVE_LEVEL. */
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

/* Undoes CallCreate for a call that was never begun: gives back the kept IRP and the caller's reference. PASSIVE_LEVEL. */
VOID CallAbandon(PCALL Call) {
    if (Call->KeptIrp) {
        InterlockedExchange(&Call->Socket->KeptIrpBusy, 0);
    }
    CallForget(Call);
    CallRelease(Call);
}

/*
 * Ends a request's business with a call: waits so long, reports, forgets the call if it is done, and gives the caller's
 * reference back. A call that is not done stays on the list, for COLLECT or until the socket closes. PASSIVE_LEVEL.
 */
VOID CallFinish(PCALL Call, ULONG Milliseconds, struct wsksend_completion *Completion) {
    BOOLEAN Done = Milliseconds != 0 ? CallWait(Call, Milliseconds) : CallIsDone(Call);

    CallReport(Call, Completion);
    if (Done) {
        CallForget(Call);
    }
    CallRelease(Call);
}
