/*
 * accounts.h - what the driver holds: the counters that must balance, and the pool memory and IRPs behind them.
 */
#ifndef WSKSEND_ACCOUNTS_H
#define WSKSEND_ACCOUNTS_H

#include "wsk_min.h"
#include "wsksend_abi.h"

typedef enum _ACCOUNT {
    AccountIrps,
    AccountMdls,
    AccountBuffers,
    AccountSockets,
    AccountInFlight,
    AccountSends,
    AccountCompleted,
    AccountCalls,
    AccountCanaries,
    AccountCount
} ACCOUNT;

/* Adds Delta to one counter. */
_IRQL_requires_max_(DISPATCH_LEVEL)
VOID AccountAdd(_In_ ACCOUNT Account, _In_ LONG Delta);

/* Reads each counter once; they agree with each other only while nothing is in flight. */
_IRQL_requires_max_(DISPATCH_LEVEL)
VOID AccountsRead(_Out_ struct wsksend_accounts *Accounts);

/* Allocates zeroed nonpaged memory, or returns NULL. The caller owns it and frees it with PoolFree. */
_IRQL_requires_max_(DISPATCH_LEVEL)
_Must_inspect_result_ _Ret_maybenull_
PVOID PoolAllocate(_In_ SIZE_T Bytes);

/* Frees memory of PoolAllocate. NULL is allowed. */
_IRQL_requires_max_(DISPATCH_LEVEL)
VOID PoolFree(_In_opt_ PVOID Memory);

/*
 * Allocates an IRP with one stack location, which is what WSK needs, or returns NULL. The caller owns the IRP until it
 * passes it to a WSK function.
 */
_IRQL_requires_max_(DISPATCH_LEVEL)
_Must_inspect_result_ _Ret_maybenull_
PIRP IrpAllocate(VOID);

/* Frees an IRP of IrpAllocate. The caller owns it: either WSK never had it, or its completion routine runs. */
_IRQL_requires_max_(DISPATCH_LEVEL)
VOID IrpFree(_In_ PIRP Irp);

#endif /* WSKSEND_ACCOUNTS_H */
