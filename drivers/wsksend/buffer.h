/*
 * buffer.h - MDL chains. Each MDL describes a block of nonpaged memory of its own, which ends at a canary.
 */
#ifndef WSKSEND_BUFFER_H
#define WSKSEND_BUFFER_H

#include "wsk_min.h"

typedef struct _BLOCK {
    PVOID Pool;
    PUCHAR Data;
    ULONG ByteCount;
    PMDL Mdl;
} BLOCK, *PBLOCK;

/* Whoever owns the chain frees it once, with ChainFree. */
typedef struct _CHAIN {
    ULONG BlockCount;
    PBLOCK Blocks;
} CHAIN, *PCHAIN;

/* Allocates room for BlockCount blocks, none of which has memory yet. ChainFree is allowed even after a failure. */
_IRQL_requires_max_(DISPATCH_LEVEL)
_Must_inspect_result_
NTSTATUS ChainCreate(_Out_ PCHAIN Chain, _In_ ULONG BlockCount);

/*
 * Allocates block Index with its MDL: ByteCount bytes, of which the first lies ByteOffset (below PAGE_SIZE) bytes into
 * its page. The chain owns memory and MDL.
 */
_IRQL_requires_max_(DISPATCH_LEVEL)
_Must_inspect_result_
NTSTATUS ChainAddBlock(_Inout_ PCHAIN Chain, _In_ ULONG Index, _In_ ULONG ByteCount, _In_ ULONG ByteOffset);

/* Links the MDLs of Count blocks from First on into one MDL chain. */
_IRQL_requires_max_(DISPATCH_LEVEL)
VOID ChainLink(_Inout_ PCHAIN Chain, _In_ ULONG First, _In_ ULONG Count);

/* Frees MDLs and blocks, and counts each block whose canary was overwritten. */
_IRQL_requires_max_(DISPATCH_LEVEL)
VOID ChainFree(_Inout_ PCHAIN Chain);

#endif /* WSKSEND_BUFFER_H */
