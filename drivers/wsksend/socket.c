/* socket.c - the table of sockets; see socket.h. */
#include "socket.h"

#include "wsksend_abi.h"

static SOCKET Sockets[WSKSEND_MAX_SOCKETS];
static FAST_MUTEX TableMutex;

_Use_decl_annotations_
VOID SocketTableInitialize(VOID) {
    ExInitializeFastMutex(&TableMutex);
}

_Use_decl_annotations_
VOID SocketTableLock(VOID) {
    ExAcquireFastMutex(&TableMutex);
}

_Use_decl_annotations_
VOID SocketTableUnlock(VOID) {
    ExReleaseFastMutex(&TableMutex);
}

_Use_decl_annotations_
PSOCKET SocketAt(ULONG Slot) {
    return &Sockets[Slot];
}

_Use_decl_annotations_
UINT64 SocketHandle(const SOCKET *Socket) {
    return ((UINT64)Socket->Generation << 32) | (ULONG)(Socket - Sockets + 1);
}

_Use_decl_annotations_
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

_Use_decl_annotations_
VOID SocketRelease(PSOCKET Socket) {
    if (InterlockedDecrement(&Socket->Users) == 0) {
        KeSetEvent(&Socket->Unused, IO_NO_INCREMENT, FALSE);
    }
}

_Use_decl_annotations_
PSOCKET SocketReserve(PFILE_OBJECT Opener) {
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

_Use_decl_annotations_
VOID SocketFreeSlot(PSOCKET Socket) {
    SocketTableLock();
    Socket->State = SocketFree;
    Socket->Generation++;
    Socket->Opener = NULL;
    SocketTableUnlock();
}
