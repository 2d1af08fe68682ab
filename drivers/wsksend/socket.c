/*
 * socket.c - the table of sockets: handles with a generation, opening, and closing in the order that WSK asks for.
 *
 * A handle is (generation << 32 | slot + 1); a slot's generation grows when its socket closes, so a closed handle
 * never names a new socket. Two counts keep a socket alive: Users (requests that may call WSK on it; WskCloseSocket must
 * not run beside another call) and InFlight (IRPs with WSK). Both start at one, which closing takes away; who brings
 * a count to zero signals its event.
 */
#include "wsksend.h"

static SOCKET Sockets[WSKSEND_MAX_SOCKETS];
static FAST_MUTEX TableMutex;

/* PASSIVE_LEVEL, once, before the device exists. */
VOID SocketTableInitialize(VOID) {
    ExInitializeFastMutex(&TableMutex);
}

/* Guards states, owners, generations and the lists of calls. PASSIVE_LEVEL; no WSK call is made under it. */
VOID SocketTableLock(VOID) {
    ExAcquireFastMutex(&TableMutex);
}

VOID SocketTableUnlock(VOID) {
    ExReleaseFastMutex(&TableMutex);
}

static UINT64 SocketHandle(PSOCKET Socket) {
    return ((UINT64)Socket->Generation << 32) | (ULONG)(Socket - Sockets + 1);
}

/* Finds an open socket by handle and holds it against closing until SocketRelease. PASSIVE_LEVEL. */
NTSTATUS SocketAcquire(UINT64 Handle, PFILE_OBJECT Opener, PSOCKET *Found) {
    ULONG Slot = (ULONG)Handle;
    PSOCKET Socket;
    NTSTATUS Status = STATUS_INVALID_HANDLE;

    if (Slot == 0 || Slot > WSKSEND_MAX_SOCKETS) {
        return STATUS_INVALID_HANDLE;
    }
    Socket = &Sockets[Slot - 1];
    SocketTableLock();
    if (Socket->State == SocketOpen && Socket->Wsk != NULL && SocketHandle(Socket) == Handle &&
        Socket->Opener == Opener) {
        InterlockedIncrement(&Socket->Users);
        *Found = Socket;
        Status = STATUS_SUCCESS;
    }
    SocketTableUnlock();
    return Status;
}

/* Ends a SocketAcquire. A request releases before it waits for a completion, so that a close can cancel it. */
VOID SocketRelease(PSOCKET Socket) {
    if (InterlockedDecrement(&Socket->Users) == 0) {
        KeSetEvent(&Socket->Unused, IO_NO_INCREMENT, FALSE);
    }
}

/* Takes the closer's own one from a count, the first time it is asked. */
static VOID Drop(PBOOLEAN Dropped, volatile LONG *Count, PKEVENT Zero) {
    if (!*Dropped) {
        *Dropped = TRUE;
        if (InterlockedDecrement(Count) == 0) {
            KeSetEvent(Zero, IO_NO_INCREMENT, FALSE);
        }
    }
}

/* Timeout NULL waits for ever. */
static BOOLEAN Wait(PKEVENT Event, PLARGE_INTEGER Timeout) {
    return KeWaitForSingleObject(Event, Executive, KernelMode, FALSE, Timeout) == STATUS_SUCCESS;
}

/* Takes a free slot for Opener in state SocketOpening, or NULL. PASSIVE_LEVEL. */
static PSOCKET SocketReserve(PFILE_OBJECT Opener) {
    PSOCKET Socket = NULL;
    ULONG Slot;

    SocketTableLock();
    for (Slot = 0; Slot < WSKSEND_MAX_SOCKETS; Slot++) {
        if (Sockets[Slot].State == SocketFree) {
            Socket = &Sockets[Slot];
            Socket->State = SocketOpening;
            Socket->Opener = Opener;
            Socket->CallCount = 0;
            Socket->Wsk = NULL;
            Socket->Dispatch = NULL;
            Socket->Users = 1;
            Socket->InFlight = 1;
            Socket->KeptIrp = NULL;
            Socket->KeptIrpBusy = 0;
            Socket->OpenCall = NULL;
            Socket->CloseCall = NULL;
            Socket->UsersDropped = FALSE;
            Socket->InFlightDropped = FALSE;
            InitializeListHead(&Socket->Calls);
            KeInitializeEvent(&Socket->Unused, NotificationEvent, FALSE);
            KeInitializeEvent(&Socket->Drained, NotificationEvent, FALSE);
            break;
        }
    }
    SocketTableUnlock();
    return Socket;
}

/* Gives the slot back under a new generation. Nothing uses the socket any more. */
static VOID SocketFreeSlot(PSOCKET Socket) {
    SocketTableLock();
    Socket->State = SocketFree;
    Socket->Generation++;
    Socket->Opener = NULL;
    SocketTableUnlock();
}

/* Takes what WskSocket gave, once its call is done. */
static BOOLEAN SocketAdopt(PSOCKET Socket, PCALL Call) {
    if (!NT_SUCCESS(Call->Status) || Call->Information == 0) {
        return FALSE;
    }
    Socket->Wsk = (PWSK_SOCKET)Call->Information;
    Socket->Dispatch = Socket->Wsk->Dispatch;
    AccountAdd(AccountSockets, 1);
    return TRUE;
}

/* Calls WskCloseSocket. A socket must be closed even when memory is short, so it tries until an IRP can be had. */
static VOID CloseBegin(PSOCKET Socket) {
    LARGE_INTEGER Pause = {.QuadPart = -10 * 10000};
    NTSTATUS Status;

    while ((Status = CallCreate(Socket, 0, 0, FALSE, &Socket->CloseCall)) != STATUS_SUCCESS) {
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
 * Closes a socket that the caller has put into SocketClosing: waits for requests in it, calls WskCloseSocket (which cancels
 * what is pending), waits until every IRP is back, forgets the calls that nobody collected, frees the slot. Each wait
 * has the timeout (NULL: none); when one runs out the socket is SocketStalled, and a later closer goes on where this
 * one stopped. Reports WskCloseSocket in Completion when that is not NULL. PASSIVE_LEVEL.
 */
static VOID SocketCloseNow(PSOCKET Socket, PLARGE_INTEGER Timeout, struct wsksend_completion *Completion) {
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

static VOID CloseTimeout(PLARGE_INTEGER Timeout) {
    Timeout->QuadPart = -(LONGLONG)WSKSEND_CALL_WAIT_MS * 10000;
}

/*
 * Closes every socket of Opener, within the time that a request may take. With Opener NULL: every socket there is, stalled
 * ones too, however long WSK needs, because the caller unloads. PASSIVE_LEVEL.
 */
VOID SocketCloseAll(PFILE_OBJECT Opener) {
    LARGE_INTEGER Timeout;
    ULONG Slot;

    CloseTimeout(&Timeout);
    for (Slot = 0; Slot < WSKSEND_MAX_SOCKETS; Slot++) {
        PSOCKET Socket = &Sockets[Slot];
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

/* OPEN: WskSocket for a datagram socket of the asked family and category. */
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
    Status = CallCreate(Socket, 0, 0, FALSE, &Call);
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
        Socket->State = SocketOpen; /* for SocketCloseAll; its handle is never told */
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

/* CLOSE: the handle is dead from here on, whatever WskCloseSocket says; in_flight when it did not end in time. */
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
