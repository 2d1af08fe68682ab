/* pool.c - the provider's nonpaged memory. */
#include "pool.h"

#define NETIO_TAG 0x4F49544Eu /* "NTIO" in a pool dump */

_Use_decl_annotations_
PVOID PoolAllocate(SIZE_T Bytes) {
    PVOID Memory = ExAllocatePoolWithTag(NonPagedPoolNx, Bytes, NETIO_TAG);

    if (Memory != NULL) {
        RtlZeroMemory(Memory, Bytes);
    }
    return Memory;
}

_Use_decl_annotations_
VOID PoolFree(PVOID Memory) {
    if (Memory != NULL) {
        ExFreePoolWithTag(Memory, NETIO_TAG);
    }
}
