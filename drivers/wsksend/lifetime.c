/* lifetime.c - opening and closing sockets, in the order that WSK asks for. */
#include "lifetime.h"

#include "accounts.h"
#include "call.h"
#include "registration.h"
#include "request.h"
#include "socket.h"
#include "wsksend_abi.h"

/* Takes the closer's own one from a count, the first time that it is called for this count. */
_IRQL_requires_max_(DISPATCH_LEVEL)
static VOID Drop(_Inout_ PBOOLEAN Dropped, _Inout_ volatile LONG *Count, _Inout_ PKEVENT Zero) {
    if (!*Dropped) {
        *Dropped = TRUE;
        if (InterlockedDecrement(Count) == 0) {
            KeSetEvent(Zero, IO_NO_INCREMENT, FALSE);
        }
    }
}

/* Waits for an event, without a deadline when Timeout is NULL. TRUE when the event was set in time. */
_IRQL_requires_(PASSIVE_LEVEL)
static BOOLEAN Wait(_In_ PKEVENT Event, _In_opt_ PLARGE_INTEGER Timeout) {
    return KeWaitForSingleObject(Event, Executive, KernelMode, FALSE, Timeout) == STATUS_SUCCESS;
}

/* Stores the WSK_SOCKET that a completed WskSocket call brought. FALSE when it brought none. */
_IRQL_requires_max_(DISPATCH_LEVEL)
static BOOLEAN SocketAdopt(_Inout_ PSOCKET Socket, _In_ const CALL *Call) {
    if (!NT_SUCCESS(Call->Status) || Call->Information == 0) {
        return FALSE;
    }
    Socket->Wsk = (PWSK_SOCKET)Call->Information;
    Socket->Dispatch = Socket->Wsk->Dispatch;
    AccountAdd(AccountSockets, 1);
    return TRUE;
}

/* Calls WskCloseSocket. A socket must be closed even when memory is short, so it tries until it has an IRP. */
_IRQL_requires_(PASSIVE_LEVEL)
static VOID CloseBegin(_Inout_ PSOCKET Socket) {
    LARGE_INTEGER Pause = {.QuadPart = -10 * 10000};
    NTSTATUS Status;

    while ((Status = CallCreateWithIrp(Socket, 0, 0, &Socket->CloseCall)) != STATUS_SUCCESS) {
        if (Status == STATUS_QUOTA_EXCEEDED) {
            CallForget(CONTAINING_RECORD(Socket->Calls.Flink, CALL, Link));
        } else {
            KeDelayExecutionThread(KernelMode, FALSE, &Pause);
        }
    }
    CallBegin(Socket->CloseCall);
    CallReturned(Socket->CloseCall,
                 WSK_BASIC(Socket->Dispatch)->WskCloseSocket(Socket->Wsk, Socket->CloseCall->Irp));
}

/*
 * Closes a socket that the caller has put into SocketClosing: waits for requests that use it, calls WskCloseSocket
 * (which cancels what is pending), waits until every IRP is back, forgets the calls that nobody collected, and frees
 * the slot. Each wait has the timeout (NULL: none). When one runs out the socket becomes SocketStalled, and a later
 * closer goes on where this one stopped. Completion, when it is not NULL, gets the outcome of WskCloseSocket.
 */
_IRQL_requires_(PASSIVE_LEVEL)
static VOID SocketCloseNow(_Inout_ PSOCKET Socket, _In_opt_ PLARGE_INTEGER Timeout,
                           _Inout_opt_ struct wsksend_completion *Completion) {
    BOOLEAN Done;

    Drop(&Socket->UsersDropped, &Socket->Users, &Socket->Unused);
    Done = Wait(&Socket->Unused, Timeout);
    if (Done && Socket->OpenCall != NULL) {
        Done = Wait(&Socket->OpenCall->Done, Timeout);
        if (Done) {
            SocketAdopt(Socket, Socket->OpenCall);
            CallRelease(Socket->OpenCall);
            Socket->OpenCall = NULL;
        }
    }
    if (Done && Socket->Wsk != NULL) {
        if (Socket->CloseCall == NULL) {
            CloseBegin(Socket);
        }
        Done = Wait(&Socket->CloseCall->Done, Timeout);
        if (Completion != NULL) {
            CallReport(Socket->CloseCall, Completion);
        }
        if (Done) {
            if (NT_SUCCESS(Socket->CloseCall->Status)) {
                AccountAdd(AccountSockets, -1);
            }
            CallRelease(Socket->CloseCall);
            Socket->CloseCall = NULL;
            Socket->Wsk = NULL;
        }
    }
    if (Done) {
        Drop(&Socket->InFlightDropped, &Socket->InFlight, &Socket->Drained);
        Done = Wait(&Socket->Drained, Timeout);
    }
    if (!Done) {
        if (Completion != NULL) {
            Completion->in_flight = 1;
        }
        SocketTableLock();
        Socket->State = SocketStalled;
        SocketTableUnlock();
        return;
    }
    while (!IsListEmpty(&Socket->Calls)) {
        CallForget(CONTAINING_RECORD(Socket->Calls.Flink, CALL, Link));
    }
    if (Socket->KeptIrp != NULL) {
        IrpFree(Socket->KeptIrp);
        Socket->KeptIrp = NULL;
    }
    SocketFreeSlot(Socket);
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static VOID CloseTimeout(_Out_ PLARGE_INTEGER Timeout) {
    Timeout->QuadPart = -(LONGLONG)WSKSEND_CALL_WAIT_MS * 10000;
}

_Use_decl_annotations_
VOID SocketCloseAll(PFILE_OBJECT Opener) {
    LARGE_INTEGER Timeout;
    ULONG Slot;

    CloseTimeout(&Timeout);
    for (Slot = 0; Slot < WSKSEND_MAX_SOCKETS; Slot++) {
        PSOCKET Socket = SocketAt(Slot);
        BOOLEAN Mine;

        SocketTableLock();
        Mine = Opener == NULL ? Socket->State == SocketOpen || Socket->State == SocketStalled
                              : Socket->State == SocketOpen && Socket->Opener == Opener;
        if (Mine) {
            Socket->State = SocketClosing;
        }
        SocketTableUnlock();
        if (Mine) {
            SocketCloseNow(Socket, Opener == NULL ? NULL : &Timeout, NULL);
        }
    }
}

_Use_decl_annotations_
NTSTATUS RequestOpen(PREQUEST Request) {
    struct wsksend_open Open = *(const struct wsksend_open *)Request->Buffer;
    struct wsksend_open_reply *Reply = Request->Buffer;
    PSOCKET Socket;
    PCALL Call;
    NTSTATUS Status;

    if (Open.header.size != sizeof(Open)) {
        return STATUS_INFO_LENGTH_MISMATCH;
    }
    if (Open.reserved != 0) {
        return STATUS_INVALID_PARAMETER;
    }
    Socket = SocketReserve(Request->Opener);
    if (Socket == NULL) {
        return STATUS_TOO_MANY_OPENED_FILES;
    }
    Status = CallCreateWithIrp(Socket, 0, 0, &Call);
    if (!NT_SUCCESS(Status)) {
        SocketFreeSlot(Socket);
        return Status;
    }
    CallBegin(Call);
    CallReturned(Call, WskProvider.Dispatch->WskSocket(WskProvider.Client, Open.family, SOCK_DGRAM, IPPROTO_UDP,
                                                       Open.category, NULL, NULL, NULL, NULL, NULL, Call->Irp));
    RtlZeroMemory(Reply, sizeof(*Reply));
    if (!CallWait(Call, WSKSEND_CALL_WAIT_MS)) {
        CallReport(Call, &Reply->completion);
        Socket->OpenCall = Call;
        SocketTableLock();
        Socket->State = SocketOpen; /* for SocketCloseAll; nobody gets its handle */
        SocketTableUnlock();
    } else {
        CallReport(Call, &Reply->completion);
        if (SocketAdopt(Socket, Call)) {
            Reply->handle = SocketHandle(Socket);
            CallForget(Call);
            CallRelease(Call);
            SocketTableLock();
            Socket->State = SocketOpen;
            SocketTableUnlock();
        } else {
            CallForget(Call);
            CallRelease(Call);
            Drop(&Socket->InFlightDropped, &Socket->InFlight, &Socket->Drained);
            Wait(&Socket->Drained, NULL); /* the completion routine, which is running or done, counts on the slot */
            SocketFreeSlot(Socket);
        }
    }
    Request->Information = sizeof(*Reply);
    return STATUS_SUCCESS;
}

_Use_decl_annotations_
NTSTATUS RequestClose(PREQUEST Request) {
    struct wsksend_socket Close = *(const struct wsksend_socket *)Request->Buffer;
    struct wsksend_completion *Reply = Request->Buffer;
    LARGE_INTEGER Timeout;
    PSOCKET Socket;
    NTSTATUS Status;
    BOOLEAN Mine;

    if (Close.header.size != sizeof(Close)) {
        return STATUS_INFO_LENGTH_MISMATCH;
    }
    Status = SocketAcquire(Close.handle, Request->Opener, &Socket);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    SocketTableLock();
    Mine = Socket->State == SocketOpen; /* else another request closes it already */
    if (Mine) {
        Socket->State = SocketClosing;
    }
    SocketTableUnlock();
    SocketRelease(Socket);
    if (!Mine) {
        return STATUS_INVALID_HANDLE;
    }
    RtlZeroMemory(Reply, sizeof(*Reply));
    CloseTimeout(&Timeout);
    SocketCloseNow(Socket, &Timeout, Reply);
    Request->Information = sizeof(*Reply);
    return STATUS_SUCCESS;
}
