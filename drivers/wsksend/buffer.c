/*
 * buffer.c - MDL chains. Each MDL describes a nonpaged block of its own, which starts at a chosen offset within a page
 * and ends at a canary, so that a write beyond the MDL is found.
 */
#include "buffer.h"

#include "accounts.h"

#define CANARY_BYTES 16u
#define CANARY_BYTE 0xA5

_Use_decl_annotations_
NTSTATUS ChainCreate(PCHAIN Chain, ULONG BlockCount) {
    Chain->BlockCount = 0;
    Chain->Blocks = NULL;
    if (BlockCount == 0) {
        return STATUS_SUCCESS;
    }
    Chain->Blocks = PoolAllocate((SIZE_T)BlockCount * sizeof(BLOCK));
    if (Chain->Blocks == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    Chain->BlockCount = BlockCount;
    return STATUS_SUCCESS;
}

_Use_decl_annotations_
NTSTATUS ChainAddBlock(PCHAIN Chain, ULONG Index, ULONG ByteCount, ULONG ByteOffset) {
    PBLOCK Block = &Chain->Blocks[Index];
    ULONG_PTR Page;

    /* A page more than needed, because only the pool knows where its memory starts. */
    Block->Pool = PoolAllocate((SIZE_T)PAGE_SIZE + ByteOffset + ByteCount + CANARY_BYTES);
    if (Block->Pool == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    AccountAdd(AccountBuffers, 1);
    Page = ((ULONG_PTR)Block->Pool + PAGE_SIZE - 1) & ~((ULONG_PTR)PAGE_SIZE - 1);
    Block->Data = (PUCHAR)Page + ByteOffset;
    Block->ByteCount = ByteCount;
    RtlFillMemory(Block->Data + ByteCount, CANARY_BYTES, CANARY_BYTE);

    /* An MDL over no bytes cannot be built: build it over one (the canary's first) and shorten it. */
    Block->Mdl = IoAllocateMdl(Block->Data, ByteCount == 0 ? 1 : ByteCount, FALSE, FALSE, NULL);
    if (Block->Mdl == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    AccountAdd(AccountMdls, 1);
    MmBuildMdlForNonPagedPool(Block->Mdl);
    Block->Mdl->ByteCount = ByteCount;
    return STATUS_SUCCESS;
}

_Use_decl_annotations_
VOID ChainLink(PCHAIN Chain, ULONG First, ULONG Count) {
    ULONG Index;

    for (Index = First; Index + 1 < First + Count; Index++) {
        Chain->Blocks[Index].Mdl->Next = Chain->Blocks[Index + 1].Mdl;
    }
}

_Use_decl_annotations_
VOID ChainFree(PCHAIN Chain) {
    ULONG Index;
    ULONG Byte;

    for (Index = 0; Index < Chain->BlockCount; Index++) {
        PBLOCK Block = &Chain->Blocks[Index];

        if (Block->Mdl != NULL) {
            IoFreeMdl(Block->Mdl);
            AccountAdd(AccountMdls, -1);
        }
        if (Block->Pool != NULL) {
            for (Byte = 0; Byte < CANARY_BYTES; Byte++) {
                if (Block->Data[Block->ByteCount + Byte] != CANARY_BYTE) {
                    AccountAdd(AccountCanaries, 1);
                    break;
                }
            }
            PoolFree(Block->Pool);
            AccountAdd(AccountBuffers, -1);
        }
    }
    PoolFree(Chain->Blocks);
    Chain->Blocks = NULL;
    Chain->BlockCount = 0;
}
