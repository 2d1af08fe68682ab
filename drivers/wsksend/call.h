/*
 * call.h - the record of one call of a WSK function: what it lends to WSK, who owns what, and the outcome.
 *
 * A CALL has up to three owners, each with a reference: the request that makes it, the IRP while WSK has it, and the
 * socket's list from CallCreate until CallForget. From CallSubmitted on the IRP belongs to WSK and then to the
 * completion routine, whatever the WSK function returns: an error that is returned is completed as well. The request
 * reads only the outcome, and only after Done.
 */
#ifndef WSKSEND_CALL_H
#define WSKSEND_CALL_H

#include "address.h"
#include "buffer.h"
#include "socket.h"
#include "wsk_min.h"
#include "wsksend_abi.h"

struct _CALL {
    LIST_ENTRY Link;     /* on Socket->Calls, under the table's mutex */
    BOOLEAN Linked;      /* likewise; the list holds a reference */
    volatile LONG References;
    PSOCKET Socket;      /* valid while in flight or linked */
    PIRP Irp;
    BOOLEAN KeptIrp;     /* the IRP is the socket's */
    BOOLEAN LateIrp;     /* the request may cancel the IRP, so it lives as long as the call */
    BOOLEAN Collectable; /* COLLECT may ask for it by its ticket */
    volatile LONG Finished; /* set just before Done */
    UINT64 Ticket;
    KEVENT Done;
    NTSTATUS Returned;   /* by the WSK function */
    NTSTATUS Status;     /* this and the next four: written by the completion routine before Done */
    ULONG_PTR Information;
    volatile LONG Completions;
    KIRQL Irql;
    BOOLEAN PendingReturned;
    CHAIN Chain;
    PWSK_BUF_LIST Buffers;
    ADDRESS Address;
    PVOID Data; /* what WSK reads or writes until completion: option, control information */
    ULONG DataLength;
    SIZE_T OutputSize;
    ULONG ControlFlags;
};

/*
 * Makes a call without an IRP on an acquired socket, with DataLength bytes of nonpaged Data, and puts it on the
 * socket's list. The caller gets a reference, and ends it with CallFinish, CallRelease or CallAbandon.
 */
_IRQL_requires_(PASSIVE_LEVEL)
_Must_inspect_result_
NTSTATUS CallCreate(_In_ PSOCKET Socket, _In_ UINT64 Ticket, _In_ ULONG DataLength, _Outptr_ PCALL *Call);

/* Makes a call that has an IRP of its own. Ownership as for CallCreate. */
_IRQL_requires_(PASSIVE_LEVEL)
_Must_inspect_result_
NTSTATUS CallCreateWithIrp(_In_ PSOCKET Socket, _In_ UINT64 Ticket, _In_ ULONG DataLength, _Outptr_ PCALL *Call);

/*
 * Prepares the IRP of CallCreateWithIrp for a WSK function, which the caller must call next with Call->Irp. The
 * completion routine frees the IRP.
 */
_IRQL_requires_max_(DISPATCH_LEVEL)
VOID CallBegin(_Inout_ PCALL Call);

/* For functions with a completion routine of their own: the IRP gets its reference, and counts as in flight. */
_IRQL_requires_max_(DISPATCH_LEVEL)
VOID CallSubmitted(_Inout_ PCALL Call);

/* Notes what the WSK function returned. This says nothing about the IRP: only the completion routine does. */
_IRQL_requires_max_(DISPATCH_LEVEL)
VOID CallReturned(_Inout_ PCALL Call, _In_ NTSTATUS Status);

/* In a completion routine, first: copies the IRP's outcome into the call. */
_IRQL_requires_max_(DISPATCH_LEVEL)
VOID CallRecord(_Inout_ PCALL Call, _In_ const IRP *Irp);

/* In a completion routine, last: wakes the request and gives the IRP's reference back. The call may be gone then. */
_IRQL_requires_max_(DISPATCH_LEVEL)
VOID CallCompleted(_In_ PCALL Call);

/* TRUE once the completion routine has run. */
_IRQL_requires_max_(DISPATCH_LEVEL)
BOOLEAN CallIsDone(_In_ PCALL Call);

/* Waits for the completion, at most so long. TRUE when it has come. The caller holds a reference. */
_IRQL_requires_(PASSIVE_LEVEL)
BOOLEAN CallWait(_In_ PCALL Call, _In_ ULONG Milliseconds);

/* Copies the outcome as far as there is one. The caller holds a reference. */
_IRQL_requires_max_(DISPATCH_LEVEL)
VOID CallReport(_In_ PCALL Call, _Out_ struct wsksend_completion *Completion);

/* Finds a send or receive of an acquired socket by its ticket, or returns NULL. The caller gets a reference. */
_IRQL_requires_(PASSIVE_LEVEL)
_Must_inspect_result_ _Ret_maybenull_
PCALL CallFind(_In_ PSOCKET Socket, _In_ UINT64 Ticket);

/* Takes the call off its socket's list, if it is still there. The caller holds a reference. */
_IRQL_requires_(PASSIVE_LEVEL)
VOID CallForget(_Inout_ PCALL Call);

/* Ends a call that no WSK function was called for, with the caller's reference. */
_IRQL_requires_(PASSIVE_LEVEL)
VOID CallAbandon(_In_ PCALL Call);

/* Gives a reference back. The caller must not touch the call afterwards. */
_IRQL_requires_max_(DISPATCH_LEVEL)
VOID CallRelease(_In_ PCALL Call);

/*
 * Ends a request's work with a call: waits so long, reports, forgets the call if it is done, and gives the caller's
 * reference back. A call that is not done stays on the list, for COLLECT or until the socket closes.
 */
_IRQL_requires_(PASSIVE_LEVEL)
VOID CallFinish(_In_ PCALL Call, _In_ ULONG Milliseconds, _Out_ struct wsksend_completion *Completion);

#endif /* WSKSEND_CALL_H */
