/*
 * force.h - behaviour that a test has asked for: rules that decide, call by call, what a provider may legally do
 * differently. The requests come through device.c; the worker carries the decisions out.
 */
#ifndef NETIO_FORCE_H
#define NETIO_FORCE_H

#include "socket.h"
#include "work.h"
#include "wsk_min.h"
#include "wskprovider_abi.h"

typedef enum _FORCE {
    ForceNone, /* carry the call out */
    ForceKept, /* force.c holds the WORK and completes it later */
    ForceDead, /* the socket is closed by force: complete the call with STATUS_FILE_FORCED_CLOSED */
    ForceFail  /* complete the call with ForcedStatus, and do nothing */
} FORCE;

/* Forgets everything, before the worker starts. */
_IRQL_requires_(PASSIVE_LEVEL)
VOID ForceReset(VOID);

/* FORCE: adds a rule. STATUS_INVALID_PARAMETER for one without sense, STATUS_QUOTA_EXCEEDED for one too many. */
_IRQL_requires_(PASSIVE_LEVEL)
_Must_inspect_result_
NTSTATUS ForceAdd(_In_ const struct wskprovider_force *Asked);

/* RELENT: forgets the rules; the worker completes what is held when it is woken next. */
_IRQL_requires_(PASSIVE_LEVEL)
VOID ForceRelent(_Out_ struct wskprovider_relented *Reply);

/* Notes in a WORK what shall be done with it. In the thread that submits it. */
_IRQL_requires_max_(DISPATCH_LEVEL)
VOID ForceMatch(_Inout_ PWORK Work);

/* TRUE when the client's own allocation shall fail; Call is one of WSKPROVIDER_CALL_MEMORY. */
_IRQL_requires_max_(DISPATCH_LEVEL)
BOOLEAN ForceMemory(_In_ ULONG Call);

/* Decides what the worker does with a WORK instead of carrying it out. Worker only. */
_IRQL_requires_(PASSIVE_LEVEL)
_Must_inspect_result_
FORCE ForceBegin(_Inout_ PWORK Work);

/* TRUE when a WORK, which has its status, is completed later; force.c then has it. Worker only. */
_IRQL_requires_(PASSIVE_LEVEL)
_Must_inspect_result_
BOOLEAN ForceHold(_Inout_ PWORK Work);

/* Completes what is due, or all once the rules are gone. Returns the ms until the next, -1 for none. Worker only. */
_IRQL_requires_(PASSIVE_LEVEL)
int ForceTick(VOID);

/* Completes what is held of a socket that closes (NULL: of all). Worker only. */
_IRQL_requires_(PASSIVE_LEVEL)
VOID ForceFlush(_In_opt_ PSOCKET Socket);

#endif /* NETIO_FORCE_H */
