/* calls.h - one WSK call with an IRP. */
#ifndef VERIFIER_CALLS_H
#define VERIFIER_CALLS_H

#include "sockets.h"
#include "wsk_min.h"

typedef enum _CALL_KIND { CallOther, CallOpen, CallClose, CallSend } CALL_KIND;

/* What a call hands over and must leave alone until its IRP has completed. */
typedef struct _HANDED {
    CALL_KIND Kind;
    PSOCKET_RECORD Socket;
    const WSK_BUF *Buffer;
    const WSK_BUF_LIST *List;
    const VOID *Address;
    SIZE_T AddressLength;
    const VOID *Control;
    SIZE_T ControlLength;
} HANDED;

extern volatile LONG CallsInFlight; /* IRPs that WSK has */

/*
 * Checks a call and puts the verifier's completion routine before the driver's. FALSE: WSK must not be called; the
 * finding has been reported, and the IRP is completed if that could be done.
 */
_IRQL_requires_max_(DISPATCH_LEVEL)
_Must_inspect_result_
BOOLEAN CallSubmit(_In_opt_ PIRP Irp, _In_ const HANDED *Handed, _In_z_ const char *Function, _In_ ULONG_PTR Caller);

/* Completes an IRP that WSK does not get, and returns Status. */
_IRQL_requires_max_(DISPATCH_LEVEL)
NTSTATUS CallRefuse(_In_opt_ PIRP Irp, _In_ NTSTATUS Status);

/* Leaves the calls that are in flight to themselves: their driver has gone. */
_IRQL_requires_max_(DISPATCH_LEVEL)
VOID CallsOrphan(VOID);

#endif /* VERIFIER_CALLS_H */
