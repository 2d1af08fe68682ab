/* accounts.c - what the driver holds: counters that must balance, pool memory and IRPs. */
#include "accounts.h"

#define WSKSEND_TAG 0x536B7357u /* "WskS" in a pool dump */

static volatile LONG64 Accounts[AccountCount];

_Use_decl_annotations_
VOID AccountAdd(ACCOUNT Account, LONG Delta) {
    InterlockedExchangeAdd64(&Accounts[Account], Delta);
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static LONG64 AccountRead(_In_ ACCOUNT Account) {
    return InterlockedExchangeAdd64(&Accounts[Account], 0);
}

_Use_decl_annotations_
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

_Use_decl_annotations_
PVOID PoolAllocate(SIZE_T Bytes) {
    PVOID Memory = ExAllocatePoolWithTag(NonPagedPoolNx, Bytes, WSKSEND_TAG);

    if (Memory != NULL) {
        RtlZeroMemory(Memory, Bytes);
    }
    return Memory;
}

_Use_decl_annotations_
VOID PoolFree(PVOID Memory) {
    if (Memory != NULL) {
        ExFreePoolWithTag(Memory, WSKSEND_TAG);
    }
}

_Use_decl_annotations_
PIRP IrpAllocate(VOID) {
    PIRP Irp = IoAllocateIrp(1, FALSE);

    if (Irp != NULL) {
        AccountAdd(AccountIrps, 1);
    }
    return Irp;
}

_Use_decl_annotations_
VOID IrpFree(PIRP Irp) {
    IoFreeIrp(Irp);
    AccountAdd(AccountIrps, -1);
}
