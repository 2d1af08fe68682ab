/*
 * socket.h - the table of sockets: handles, states, owners, and the counts that keep a socket alive.
 *
 * A handle is (generation << 32 | slot + 1). A slot's generation grows when its socket has closed, so a closed handle
 * never names a new socket. Two counts keep a socket alive: Users (requests that may call WSK on it; WskCloseSocket
 * must not run beside another call) and InFlight (IRPs that WSK has). Both start at one, which the closer takes away;
 * whoever brings a count to zero sets its event.
 */
#ifndef WSKSEND_SOCKET_H
#define WSKSEND_SOCKET_H

#include "wsk_min.h"

typedef struct _CALL CALL, *PCALL; /* call.h */

typedef enum _SOCKET_STATE { SocketFree, SocketOpening, SocketOpen, SocketClosing, SocketStalled } SOCKET_STATE;

typedef struct _SOCKET {
    SOCKET_STATE State; /* this and the next four: under the table's mutex */
    ULONG Generation;
    PFILE_OBJECT Opener;
    LIST_ENTRY Calls;
    ULONG CallCount;
    PWSK_SOCKET Wsk;
    const WSK_PROVIDER_DATAGRAM_DISPATCH *Dispatch;
    volatile LONG Users;
    KEVENT Unused;
    volatile LONG InFlight;
    KEVENT Drained;
    PIRP KeptIrp; /* for WSKSEND_MODE_REUSE_IRP; freed with the socket */
    volatile LONG KeptIrpBusy;
    PCALL OpenCall; /* a WskSocket call that did not complete in time; the socket's closer finishes it */
    PCALL CloseCall; /* this and the next two: the closer's */
    BOOLEAN UsersDropped;
    BOOLEAN InFlightDropped;
} SOCKET, *PSOCKET;

/* Called once, before the device exists. */
_IRQL_requires_(PASSIVE_LEVEL)
VOID SocketTableInitialize(VOID);

/* Takes the mutex of states, owners, generations and lists of calls. The holder makes no WSK call. */
_IRQL_requires_max_(APC_LEVEL)
VOID SocketTableLock(VOID);

_IRQL_requires_(APC_LEVEL)
VOID SocketTableUnlock(VOID);

/* Returns the socket of a slot, 0 to WSKSEND_MAX_SOCKETS - 1, whatever its state. */
_IRQL_requires_max_(DISPATCH_LEVEL)
PSOCKET SocketAt(_In_ ULONG Slot);

_IRQL_requires_max_(DISPATCH_LEVEL)
UINT64 SocketHandle(_In_ const SOCKET *Socket);

/* Finds an open socket by its handle and keeps it from closing until SocketRelease. STATUS_INVALID_HANDLE otherwise. */
_IRQL_requires_(PASSIVE_LEVEL)
_Must_inspect_result_
NTSTATUS SocketAcquire(_In_ UINT64 Handle, _In_ PFILE_OBJECT Opener, _Outptr_ PSOCKET *Socket);

/* Ends a SocketAcquire. A request calls it before it waits for a completion, so that a close can cancel the call. */
_IRQL_requires_max_(DISPATCH_LEVEL)
VOID SocketRelease(_Inout_ PSOCKET Socket);

/* Takes a free slot for Opener, in state SocketOpening, or returns NULL when no slot is free. */
_IRQL_requires_(PASSIVE_LEVEL)
_Must_inspect_result_ _Ret_maybenull_
PSOCKET SocketReserve(_In_ PFILE_OBJECT Opener);

/* Gives the slot back under a new generation. Nobody may use the socket any more. */
_IRQL_requires_(PASSIVE_LEVEL)
VOID SocketFreeSlot(_Inout_ PSOCKET Socket);

#endif /* WSKSEND_SOCKET_H */
