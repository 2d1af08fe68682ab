/* accounts.c - what the driver holds: pool, IRPs and the counters that must balance. Any IRQL up to DISPATCH_LEVEL. */
#include "wsksend.h"

static volatile LONG64 Accounts[AccountCount];

/* Adds Delta to one account. */
VOID AccountAdd(ACCOUNT Account, LONG Delta) {
    InterlockedExchangeAdd64(&Accounts[Account], Delta);
}

static LONG64 AccountRead(ACCOUNT Account) {
    return InterlockedExchangeAdd64(&Accounts[Account], 0);
}

/* Reads each account once; the set is consistent only while nothing is in flight. */
VOID AccountsRead(struct wsksend_accounts *Read) {
    Read->irps = AccountRead(AccountIrps);
    Read->mdls = AccountRead(AccountMdls);
    Read->buffers = AccountRead(AccountBuffers);
    Read->sockets = AccountRead(AccountSockets);
    Read->in_flight = AccountRead(AccountInFlight);
    Read->sends = AccountRead(AccountSends);
    Read->completed = AccountRead(AccountCompleted);
    Read->calls = AccountRead(AccountCalls);
    Read->canaries = AccountRead(AccountCanaries);
}

/* Zeroed nonpaged memory, or NULL. The caller frees it with PoolFree and counts what it makes of it. */
PVOID PoolAllocate(SIZE_T Bytes) {
    PVOID Memory = ExAllocatePoolWithTag(NonPagedPoolNx, Bytes, WSKSEND_TAG);

    if (Memory != NULL) {
        RtlZeroMemory(Memory, Bytes);
    }
    return Memory;
}

/* Frees what PoolAllocate gave; NULL is nothing to free. */
VOID PoolFree(PVOID Memory) {
    if (Memory != NULL) {
        ExFreePoolWithTag(Memory, WSKSEND_TAG);
    }
}

/* An IRP with the one stack location that WSK needs, or NULL. The caller owns it until a WSK function takes it. */
PIRP IrpAllocate(VOID) {
    PIRP Irp = IoAllocateIrp(1, FALSE);

    if (Irp != NULL) {
        AccountAdd(AccountIrps, 1);
    }
    return Irp;
}

/* Frees an IRP of IrpAllocate that is not with WSK. */
VOID IrpFree(PIRP Irp) {
    IoFreeIrp(Irp);
    AccountAdd(AccountIrps, -1);
}
