/* blocks.h - memory that faults when it is touched beyond its ends or after its end. */
#ifndef VERIFIER_BLOCKS_H
#define VERIFIER_BLOCKS_H

#include "wsk_min.h"

typedef enum _BLOCK_KIND { BlockPool, BlockIrp, BlockMdl, BlockSocket } BLOCK_KIND;
typedef enum _BLOCK_STATE { BlockUnused, BlockLive, BlockFreed } BLOCK_STATE;
typedef enum _IRP_STATE { IrpFresh, IrpSubmitted, IrpCompleted } IRP_STATE;

typedef struct _BLOCK {
    volatile LONG State;
    ULONG Kind;
    ULONG Size;
    ULONG Tag;
    ULONG Generation;
    volatile LONG Busy; /* WSK may still read it */
    ULONG IrpState;
    ULONG Next; /* in the queue of freed blocks */
    ULONG_PTR Object;
    ULONG_PTR OpenFrom; /* first page of the slot that may be touched; 0: none */
    ULONG_PTR AllocatedAt;
    ULONG_PTR FreedAt;
    BOOLEAN HasEvent; /* KeInitializeEvent was called on something in it */
    BOOLEAN Paged;
    BOOLEAN Dead; /* freed and poisoned, not shut */
} BLOCK, *PBLOCK;

/* Reserves the memory, once. FALSE: there is none. */
_IRQL_requires_(PASSIVE_LEVEL)
_Must_inspect_result_
BOOLEAN BlocksInitialize(VOID);

/* Begins a request of the driver: the next blocks that it frees are shut. */
_IRQL_requires_max_(DISPATCH_LEVEL)
VOID BlocksRequest(VOID);

/* Allocates an object that ends at a page which nobody may touch, or returns NULL. Made, if not NULL: its block. */
_IRQL_requires_max_(DISPATCH_LEVEL)
PVOID BlockAllocate(_In_ BLOCK_KIND Kind, _In_ SIZE_T Size, _In_ ULONG Tag, _In_ ULONG_PTR Caller,
                    _Out_opt_ PBLOCK *Made);

/* The block whose slot an address lies in, NULL when it lies in none. */
_IRQL_requires_max_(DISPATCH_LEVEL)
PBLOCK BlockOf(_In_ ULONG_PTR Address);

/* Frees a block, or reports why it cannot be freed. FALSE: nothing was freed. */
_IRQL_requires_max_(DISPATCH_LEVEL)
BOOLEAN BlockFree(_Inout_ PBLOCK Block, _In_ PVOID Object, _In_ BLOCK_KIND Kind, _In_ ULONG_PTR Caller);

/* Lets a shut page be touched, so that the driver can go on after a finding. */
_IRQL_requires_max_(DISPATCH_LEVEL)
BOOLEAN BlockExpose(_In_ ULONG_PTR Address);

/* Ends all blocks that are still allocated, and with Tell reports each. */
_IRQL_requires_max_(DISPATCH_LEVEL)
VOID BlocksLeaked(_In_ BOOLEAN Tell);

/* What a kind of block is called in a finding. */
_IRQL_requires_max_(DISPATCH_LEVEL)
const char *NameOf(_In_ ULONG Kind);

#endif /* VERIFIER_BLOCKS_H */
