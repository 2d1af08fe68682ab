/*
 * datagram.c - sends datagrams over a WSK datagram socket. Read this file first: it is the whole path of a send.
 *
 * The path is that of Microsoft's page "Sending Data over a Datagram Socket": allocate an IRP, set a completion
 * routine, call WskSendTo, free the IRP in the routine. Where the page's listing leaves something open, this file
 * decides:
 *
 *  - The completion routine frees the buffer for every status. In the listing only the success branch does.
 *  - The caller frees nothing after the call, whatever WskSendTo returned. WSK completes the IRP in each case, so a
 *    caller that handles a returned error by freeing the buffer would free it twice.
 *  - The caller learns the outcome from the completion routine only. STATUS_PENDING is not an error.
 */
#include "datagram.h"

#include "accounts.h"

/*
 * The completion routine: owns the IRP and the MDL chain. It runs in any thread, also within WskSendTo.
 *
 * It always returns STATUS_MORE_PROCESSING_REQUIRED: the driver has freed the IRP, or keeps it for the next send, so
 * the I/O manager must not touch it again.
 */
_Function_class_(IO_COMPLETION_ROUTINE)
_IRQL_requires_max_(DISPATCH_LEVEL)
static NTSTATUS NTAPI DatagramComplete(_In_opt_ PDEVICE_OBJECT DeviceObject, _In_ PIRP Irp,
                                       _In_opt_ PVOID Context) {
    PCALL Call = Context;

    UNREFERENCED_PARAMETER(DeviceObject);
    CallRecord(Call, Irp);
    AccountAdd(AccountCompleted, 1);
    ChainFree(&Call->Chain);
    if (Call->KeptIrp) {
        InterlockedExchange(&Call->Socket->KeptIrpBusy, 0);
    } else {
        Call->Irp = NULL;
        IrpFree(Irp);
    }
    CallCompleted(Call);
    return STATUS_MORE_PROCESSING_REQUIRED;
}

/* Gives the call its IRP: a fresh one, which the completion routine frees, or the one that the socket keeps. */
_IRQL_requires_max_(DISPATCH_LEVEL)
_Must_inspect_result_
static NTSTATUS TakeIrp(_Inout_ PCALL Call, _In_ BOOLEAN Reuse) {
    PSOCKET Socket = Call->Socket;

    if (!Reuse) {
        Call->Irp = IrpAllocate();
        return Call->Irp != NULL ? STATUS_SUCCESS : STATUS_INSUFFICIENT_RESOURCES;
    }
    if (InterlockedCompareExchange(&Socket->KeptIrpBusy, 1, 0) != 0) {
        return STATUS_DEVICE_BUSY;
    }
    if (Socket->KeptIrp == NULL) {
        Socket->KeptIrp = IrpAllocate();
    } else {
        IoReuseIrp(Socket->KeptIrp, STATUS_SUCCESS);
    }
    if (Socket->KeptIrp == NULL) {
        InterlockedExchange(&Socket->KeptIrpBusy, 0);
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    Call->Irp = Socket->KeptIrp;
    Call->KeptIrp = TRUE;
    return STATUS_SUCCESS;
}

_Use_decl_annotations_
NTSTATUS DatagramSend(PCALL Call, ULONG Flags, ULONG Mode) {
    PSOCKET Socket = Call->Socket;
    PSOCKADDR Remote = AddressLength(&Call->Address) != 0 ? &Call->Address.Any : NULL;
    BOOLEAN Raised = (Mode & DATAGRAM_RAISED) != 0;
    KIRQL OldIrql = PASSIVE_LEVEL;
    NTSTATUS Status;

    Status = TakeIrp(Call, (Mode & DATAGRAM_REUSE_IRP) != 0);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    /* For success, error and cancellation: whoever skips one of them leaks the IRP. */
    IoSetCompletionRoutine(Call->Irp, DatagramComplete, Call, TRUE, TRUE, TRUE);
    CallSubmitted(Call);
    AccountAdd(AccountSends, 1);
    if (Raised) {
        KeRaiseIrql(DISPATCH_LEVEL, &OldIrql);
    }
    if ((Mode & DATAGRAM_MESSAGES) != 0) {
        Status = Socket->Dispatch->WskSendMessages(Socket->Wsk, Call->Buffers, Flags, Remote, Call->DataLength,
                                                   Call->Data, Call->Irp);
    } else {
        Status = Socket->Dispatch->WskSendTo(Socket->Wsk, &Call->Buffers->Buffer, Flags, Remote, Call->DataLength,
                                             Call->Data, Call->Irp);
    }
    if (Raised) {
        KeLowerIrql(OldIrql);
    }
    CallReturned(Call, Status); /* the IRP may be gone; the caller's reference keeps the call */
    return STATUS_SUCCESS;
}
